//! The present of a directory that is only read, as the engine would have it if it was opened now.

use horolog::{Clock, SystemClock};
use horolog_state::{DueTime, Now, State, TickLen, Timeline};

pub(crate) struct Present {
    now: Now,
    tick_len: TickLen,
}

impl Present {
    pub(crate) fn of(state: &State) -> Self {
        let (times, noted) = (SystemClock::new().times(), state.reading());
        let same_boot = noted.boot_id == times.boot_id && noted.boot_id != 0;
        let passed_ns = if same_boot {
            times.boottime_ns.saturating_sub(noted.boottime_ns)
        } else {
            times.wall_ns.saturating_sub(noted.wall_ns)
        };
        let tick_len = state.tick_len().unwrap_or(TickLen::MILLISECOND);
        let elapsed_ns = noted.elapsed_ns.saturating_add(passed_ns);
        Self { now: Now::new(tick_len, times.wall_ns, elapsed_ns), tick_len }
    }

    /// A due time as nanoseconds of UTC; one on the elapsed timeline is seen from the present.
    pub(crate) fn unix_ns(&self, due: DueTime) -> u128 {
        let due_ns = self.tick_len.start_ns(due.tick);
        let (civil_ns, elapsed_ns) = (u128::from(self.now.civil_ns), u128::from(self.now.elapsed_ns));
        match due.timeline {
            Timeline::Civil => due_ns,
            Timeline::Elapsed => (due_ns + civil_ns).saturating_sub(elapsed_ns),
        }
    }

    pub(crate) fn has_reached(&self, due: DueTime) -> bool {
        self.now.has_reached(due)
    }
}
