//! The clocks of all measurements.
#![expect(clippy::disallowed_methods, reason = "a bench measures time, and waits for a server to start")]

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Now.
#[inline]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds since `begin`; what does not fit is the longest that does, four seconds.
#[inline]
pub(crate) fn ns_since(begin: Instant) -> u32 {
    u32::try_from(now().duration_since(begin).as_nanos()).unwrap_or(u32::MAX)
}

/// Milliseconds since the Unix epoch.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A short while, before something is tried again.
pub(crate) fn pause() {
    thread::sleep(Duration::from_micros(500));
}
