//! The clock of all measurements.
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]

use std::time::Instant;

/// Now.
#[inline]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds since `begin`.
pub(crate) fn ns_since(begin: Instant) -> f64 {
    now().duration_since(begin).as_secs_f64() * 1e9
}
