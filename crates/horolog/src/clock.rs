//! Where the engine's present comes from: the system's clocks, read in one place, and the two timelines made of them.
//!
//! # The elapsed timeline over a restart
//!
//! The log notes the clocks at each opening, when the wall clock is set, and at a shutdown ([`ClockReading`]); every batch
//! carries the elapsed tick besides. At the next opening, within one boot of the machine, exactly as much time has passed
//! as its boot-time clock says, suspend included; across a reboot nothing better than the wall clock is there, and it never
//! counts backwards. Either way elapsed time does not fall behind the last tick that the log has seen.

use std::fmt::Debug;
use std::time::{SystemTime, UNIX_EPOCH};

use horolog_state::{ClockReading, Now, TickLen};

/// What the clocks of a machine say at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockTimes {
    /// UTC wall time in nanoseconds since the Unix epoch. It may be set forward and back.
    pub wall_ns: u64,
    /// Nanoseconds since boot, suspend included. It never goes back within a boot.
    pub boottime_ns: u64,
    /// Which boot that is; 0 where the system cannot say.
    pub boot_id: u128,
}

/// A source of time.
///
/// The engine reads it once per call and once per turn of its timer thread. A clock that is moved by hand (in a test)
/// must be followed by [`Engine::clock_moved`](crate::Engine::clock_moved), so that the timer thread looks again.
pub trait Clock: Send + Sync + Debug {
    /// What the clocks say now.
    fn times(&self) -> ClockTimes;
}

/// The clocks of the operating system.
#[derive(Debug)]
pub struct SystemClock {
    boot_id: u128,
}

impl SystemClock {
    /// Reads the identity of this boot.
    #[must_use]
    pub fn new() -> Self {
        Self { boot_id: horolog_storage::boot_id() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn times(&self) -> ClockTimes {
        ClockTimes { wall_ns: wall_ns(), boottime_ns: boottime_ns(), boot_id: self.boot_id }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
fn wall_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Suspend counts: a timer that is due while the machine sleeps is due when it wakes, not a sleep later.
#[cfg(target_os = "linux")]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the boot-time clock")]
fn boottime_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Without a boot-time clock the process's own monotonic one stands in; the boot id is 0 then, so that no two processes
/// ever compare theirs.
#[cfg(not(target_os = "linux"))]
fn boottime_ns() -> u64 {
    monotonic_ns()
}

/// Nanoseconds since this was first asked: how long things take, and never when they are due.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads a monotonic clock")]
pub(crate) fn monotonic_ns() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The same in milliseconds: how fast log segments fill.
pub(crate) fn monotonic_ms() -> u64 {
    monotonic_ns() / 1_000_000
}

/// The two timelines of an open engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timelines {
    tick_len: TickLen,
    /// Elapsed time minus boot time, fixed while the engine is open.
    elapsed_minus_boottime_ns: i128,
    boot_id: u128,
}

impl Timelines {
    /// Both timelines begin together, at the wall clock's present.
    pub(crate) fn begin(tick_len: TickLen, times: ClockTimes) -> Self {
        Self::with_elapsed(tick_len, times, times.wall_ns)
    }

    /// Goes on from what the log noted down. `last_tick` is the last elapsed tick that it saw.
    pub(crate) fn resume(tick_len: TickLen, noted: ClockReading, last_tick: u64, times: ClockTimes) -> Self {
        let same_boot = noted.boot_id == times.boot_id && noted.boot_id != 0;
        let passed_ns = if same_boot {
            times.boottime_ns.saturating_sub(noted.boottime_ns)
        } else {
            times.wall_ns.saturating_sub(noted.wall_ns)
        };
        let seen_ns = u128::from(last_tick) * u128::from(tick_len.ns());
        let seen_ns = u64::try_from(seen_ns).unwrap_or(u64::MAX);
        Self::with_elapsed(tick_len, times, noted.elapsed_ns.saturating_add(passed_ns).max(seen_ns))
    }

    fn with_elapsed(tick_len: TickLen, times: ClockTimes, elapsed_ns: u64) -> Self {
        let elapsed_minus_boottime_ns = i128::from(elapsed_ns) - i128::from(times.boottime_ns);
        Self { tick_len, elapsed_minus_boottime_ns, boot_id: times.boot_id }
    }

    /// The present.
    pub(crate) fn now(&self, times: ClockTimes) -> Now {
        let elapsed_ns = i128::from(times.boottime_ns) + self.elapsed_minus_boottime_ns;
        let elapsed_ns = u64::try_from(elapsed_ns.max(0)).unwrap_or(u64::MAX);
        Now::new(self.tick_len, times.wall_ns, elapsed_ns)
    }

    /// The present as the log notes it down.
    pub(crate) fn reading(&self, now: &Now) -> ClockReading {
        let boottime_ns = i128::from(now.elapsed_ns) - self.elapsed_minus_boottime_ns;
        ClockReading {
            wall_ns: now.civil_ns,
            boottime_ns: u64::try_from(boottime_ns.max(0)).unwrap_or(u64::MAX),
            boot_id: self.boot_id,
            elapsed_ns: now.elapsed_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: TickLen = TickLen::MILLISECOND;
    const S: u64 = 1_000_000_000;

    fn times(wall_s: u64, boot_s: u64, boot_id: u128) -> ClockTimes {
        ClockTimes { wall_ns: wall_s * S, boottime_ns: boot_s * S, boot_id }
    }

    fn noted(wall_s: u64, boot_s: u64, boot_id: u128, elapsed_s: u64) -> ClockReading {
        ClockReading { wall_ns: wall_s * S, boottime_ns: boot_s * S, boot_id, elapsed_ns: elapsed_s * S }
    }

    #[test]
    fn both_timelines_begin_at_the_wall_clock() {
        let now = Timelines::begin(LEN, times(1_000, 5, 1)).now(times(1_007, 12, 1));
        assert_eq!((now.civil_ns, now.elapsed_ns), (1_007 * S, 1_007 * S));
    }

    #[test]
    fn within_a_boot_a_set_clock_does_not_move_elapsed_time() {
        let lines = Timelines::resume(LEN, noted(1_000, 50, 7, 900), 0, times(9_999, 60, 7));
        assert_eq!(lines.now(times(9_999, 60, 7)).elapsed_ns, 910 * S);
    }

    #[test]
    fn across_a_reboot_the_wall_clock_counts_and_never_backwards() {
        let forward = Timelines::resume(LEN, noted(1_000, 50, 7, 900), 0, times(1_030, 2, 8));
        assert_eq!(forward.now(times(1_031, 3, 8)).elapsed_ns, 931 * S);
        let back = Timelines::resume(LEN, noted(1_000, 50, 7, 900), 0, times(10, 2, 8));
        assert_eq!(back.now(times(11, 3, 8)).elapsed_ns, 901 * S);
    }

    #[test]
    fn elapsed_time_does_not_fall_behind_what_the_log_saw() {
        let lines = Timelines::resume(LEN, noted(1_000, 50, 7, 900), 950_000, times(10, 2, 8));
        assert_eq!(lines.now(times(10, 2, 8)).elapsed, horolog_state::Tick(950_000));
    }

    #[test]
    fn a_reading_gives_back_what_was_read() {
        let lines = Timelines::begin(LEN, times(1_000, 5, 1));
        let reading = lines.reading(&lines.now(times(2_000, 77, 1)));
        assert_eq!(reading, noted(2_000, 77, 1, 1_072));
    }
}
