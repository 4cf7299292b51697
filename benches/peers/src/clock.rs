//! The clock of all measurements.
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]

use std::thread;
use std::time::Instant;

/// Now.
#[inline]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Sleeps until then, or a little longer.
pub(crate) fn sleep_until(then: Instant) {
    thread::sleep(then.saturating_duration_since(now()));
}

/// Nanoseconds since `begin`.
pub(crate) fn ns_since(begin: Instant) -> f64 {
    now().duration_since(begin).as_secs_f64() * 1e9
}
