//! A clock that is moved by hand, and one that holds an engine's own threads.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use horolog::{Clock, ClockTimes, SystemClock};

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

/// A clock that answers the thread that made it, and makes all others wait until they are let go. An engine's own
/// threads ask what time it is before they take a job, so none of them writes or syncs anything until then.
#[derive(Debug)]
pub(crate) struct HoldingClock {
    maker: ThreadId,
    held: Receiver<Infallible>,
    system: SystemClock,
}

impl HoldingClock {
    /// The clock, and what lets everybody go when it is dropped.
    pub(crate) fn new() -> (Arc<Self>, Sender<Infallible>) {
        let (let_go, held) = crossbeam_channel::bounded(0);
        let maker = std::thread::current().id();
        (Arc::new(Self { maker, held, system: SystemClock::new() }), let_go)
    }
}

impl Clock for HoldingClock {
    fn times(&self) -> ClockTimes {
        if std::thread::current().id() != self.maker {
            // Nothing can be sent: this is the end of the sender, or of a test that forgot it.
            let _ = self.held.recv_timeout(super::PATIENCE);
        }
        self.system.times()
    }
}
