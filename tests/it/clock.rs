//! A clock that is moved by hand.

use std::sync::Mutex;
use std::time::Duration;

use horolog::{Clock, ClockTimes};

#[derive(Debug)]
pub(crate) struct HandClock(Mutex<ClockTimes>);

impl HandClock {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(ClockTimes {
            wall_ns: 1_800_000_000 * 1_000_000_000,
            boottime_ns: 1_000_000_000,
            boot_id: 7,
        }))
    }

    /// Time passes, on all clocks.
    pub(crate) fn pass(&self, time: Duration) {
        self.change(
            |times, ns| {
                times.wall_ns += ns;
                times.boottime_ns += ns;
            },
            time,
        );
    }

    /// Somebody sets the wall clock forward.
    pub(crate) fn set_forward(&self, by: Duration) {
        self.change(|times, ns| times.wall_ns += ns, by);
    }

    /// Somebody sets the wall clock back.
    pub(crate) fn set_back(&self, by: Duration) {
        self.change(|times, ns| times.wall_ns -= ns, by);
    }

    /// The machine is off for a while and boots again.
    pub(crate) fn reboot(&self, after: Duration) {
        self.change(
            |times, ns| {
                times.wall_ns += ns;
                (times.boottime_ns, times.boot_id) = (1_000_000, times.boot_id + 1);
            },
            after,
        );
    }

    fn change(&self, change: impl FnOnce(&mut ClockTimes, u64), by: Duration) {
        let ns = u64::try_from(by.as_nanos()).expect("a span that fits");
        change(&mut self.0.lock().expect("no panic holds it"), ns);
    }

    pub(crate) fn wall(&self) -> std::time::SystemTime {
        let wall_ns = self.0.lock().expect("no panic holds it").wall_ns;
        std::time::UNIX_EPOCH + Duration::from_nanos(wall_ns)
    }
}

impl Clock for HandClock {
    fn times(&self) -> ClockTimes {
        *self.0.lock().expect("no panic holds it")
    }
}
