//! The clock of the measurement.

use std::time::Duration;

use horolog::{Clock, SystemClock};

/// Runs from when it was made.
pub(super) struct Stopwatch {
    clock: SystemClock,
    begun_ns: u64,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        let clock = SystemClock::new();
        Self { begun_ns: clock.times().boottime_ns, clock }
    }

    pub(super) fn ns(&self) -> u64 {
        self.clock.times().boottime_ns.saturating_sub(self.begun_ns)
    }

    pub(super) fn has_reached(&self, time: Duration) -> bool {
        u128::from(self.ns()) >= time.as_nanos()
    }
}

/// Calls again and again until the time or the number is used up, at least once, and says how long each call took, in
/// nanoseconds.
pub(super) fn one_by_one<E>(
    time: Duration,
    calls_max: u64,
    mut call: impl FnMut() -> Result<(), E>,
) -> Result<Vec<u64>, E> {
    let watch = Stopwatch::start();
    let mut samples_ns = Vec::new();
    loop {
        let before_ns = watch.ns();
        call()?;
        samples_ns.push(watch.ns() - before_ns);
        if samples_ns.len() as u64 >= calls_max || watch.has_reached(time) {
            return Ok(samples_ns);
        }
    }
}
