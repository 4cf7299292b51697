//! What a user asks for: when a timer is due, what happens when it is late, how often it is tried.

use core::num::{NonZeroU32, NonZeroU64};

use horolog_wheel::Tick;

use crate::time::{DueTime, Now, TickLen, Timeline};

/// When a timer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At a UTC instant, in nanoseconds since the Unix epoch. An instant in the past is due at once.
    At {
        /// Nanoseconds since the Unix epoch.
        unix_ns: u128,
    },
    /// After a delay from the moment it is scheduled, on the elapsed timeline.
    After {
        /// The delay in nanoseconds.
        delay_ns: u128,
    },
    /// Again and again, on a grid that nothing moves: not lateness, not a restart, not an edit of anything else.
    Every {
        /// The distance between two occurrences, in nanoseconds.
        interval_ns: NonZeroU64,
        /// Where the grid begins.
        anchor: Anchor,
    },
}

/// Where the grid of a recurring timer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// The moment of scheduling, on the elapsed timeline. The first occurrence is one interval later.
    Created,
    /// A UTC instant: occurrences are at `instant + n * interval`, the first one not before the moment of scheduling.
    Instant {
        /// Nanoseconds since the Unix epoch.
        unix_ns: u64,
    },
}

/// What becomes of an occurrence whose time passed while nothing ran, or that is late by more than
/// [`misfire_threshold_ticks`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Misfire {
    /// Fire once, now, for the latest missed occurrence; it is told how many it stands for. One-shots fire.
    #[default]
    FireOnce = 0,
    /// Do not fire; go on with the next occurrence that is not late. A one-shot ends as skipped.
    Skip = 1,
}

impl Misfire {
    /// The byte that stands for this policy in a record.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The policy of a byte.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::FireOnce),
            1 => Some(Self::Skip),
            _ => None,
        }
    }
}

/// How often an occurrence is tried, and how long it waits in between.
///
/// After failure `n` the wait is `backoff_base_ns * 2^(n - 1)`, at most `backoff_max_ns`, on the elapsed timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Failures (reported, dropped or panicked) after which the occurrence is dead.
    pub failures_max: NonZeroU32,
    /// Deliveries, those a crash cut short included, after which the occurrence is dead. A job that kills its process
    /// is stopped by this one.
    pub deliveries_max: NonZeroU32,
    /// The wait after the first failure.
    pub backoff_base_ns: u64,
    /// The longest wait.
    pub backoff_max_ns: u64,
}

impl Default for Retry {
    fn default() -> Self {
        const SECOND: u64 = 1_000_000_000;
        let count = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        Self {
            failures_max: count(20),
            deliveries_max: count(25),
            backoff_base_ns: SECOND,
            backoff_max_ns: 3_600 * SECOND,
        }
    }
}

impl Retry {
    /// The wait after failure number `failures` (1, 2, …).
    #[must_use]
    pub fn backoff_ns(&self, failures: u32) -> u64 {
        let doublings = failures.saturating_sub(1).min(63);
        self.backoff_base_ns.saturating_mul(1 << doublings).min(self.backoff_max_ns)
    }
}

/// Lateness above which an occurrence counts as missed: one second, and never under two ticks.
#[must_use]
pub fn misfire_threshold_ticks(tick_len: TickLen) -> u64 {
    tick_len.ticks_in(1_000_000_000).max(2)
}

/// The grid of a recurring timer, resolved: occurrence `n` is at `anchor_ns + n * interval_ns`.
///
/// Slots are found by arithmetic from the anchor, never by adding to the last run, so no restart and no lateness moves
/// them and a thousand missed slots cost as much as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// The axis on which the grid lies.
    pub timeline: Timeline,
    /// Where occurrence 0 lies, in nanoseconds after the timeline's zero.
    pub anchor_ns: u64,
    /// The distance between two occurrences in nanoseconds.
    pub interval_ns: NonZeroU64,
}

impl Grid {
    /// The due time of occurrence `index`.
    #[must_use]
    pub fn due(&self, tick_len: TickLen, index: u64) -> DueTime {
        let ns = u128::from(self.anchor_ns) + u128::from(index) * u128::from(self.interval_ns.get());
        DueTime { timeline: self.timeline, tick: tick_len.tick_up(ns) }
    }

    /// The highest occurrence that is due at `now`; `None` before occurrence 0.
    #[must_use]
    pub fn latest_due(&self, tick_len: TickLen, now: Tick) -> Option<u64> {
        let since = tick_len.start_ns(now).checked_sub(u128::from(self.anchor_ns))?;
        Some(u64::try_from(since / u128::from(self.interval_ns.get())).unwrap_or(u64::MAX))
    }

    /// The first occurrence that is not before `ns`.
    #[must_use]
    pub fn first_from(&self, ns: u128) -> u64 {
        let since = ns.saturating_sub(u128::from(self.anchor_ns));
        u64::try_from(since.div_ceil(u128::from(self.interval_ns.get()))).unwrap_or(u64::MAX)
    }
}

/// A request's time, made absolute at the moment it is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The first due time.
    pub due: DueTime,
    /// The grid and the index of the first occurrence, for a recurring timer.
    pub grid: Option<(Grid, u64)>,
}

impl When {
    /// Makes the time absolute. The present counts unrounded here, so that a delay is never shortened by its rounding.
    #[must_use]
    pub fn resolve(&self, tick_len: TickLen, now: &Now) -> Resolved {
        let (civil_ns, elapsed_ns) = (now.civil_ns, now.elapsed_ns);
        let once =
            |timeline, ns| Resolved { due: DueTime { timeline, tick: tick_len.tick_up(ns) }, grid: None };
        match *self {
            Self::At { unix_ns } => once(Timeline::Civil, unix_ns),
            Self::After { delay_ns } => {
                once(Timeline::Elapsed, u128::from(elapsed_ns).saturating_add(delay_ns))
            }
            Self::Every { interval_ns, anchor: Anchor::Created } => {
                let grid = Grid { timeline: Timeline::Elapsed, anchor_ns: elapsed_ns, interval_ns };
                Resolved { due: grid.due(tick_len, 1), grid: Some((grid, 1)) }
            }
            Self::Every { interval_ns, anchor: Anchor::Instant { unix_ns } } => {
                let grid = Grid { timeline: Timeline::Civil, anchor_ns: unix_ns, interval_ns };
                let first = grid.first_from(u128::from(civil_ns));
                Resolved { due: grid.due(tick_len, first), grid: Some((grid, first)) }
            }
        }
    }
}

/// The due time of a retry after failure number `failures`.
#[must_use]
pub fn retry_due(retry: &Retry, failures: u32, tick_len: TickLen, now: &Now) -> DueTime {
    // `now` is rounded down, so one tick more keeps the wait from being cut short.
    let ticks = tick_len.ticks_in(retry.backoff_ns(failures)).saturating_add(1);
    DueTime { timeline: Timeline::Elapsed, tick: Tick(now.elapsed.0.saturating_add(ticks)) }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const MS: u64 = 1_000_000;
    const LEN: TickLen = TickLen::MILLISECOND;

    fn every(interval_ns: u64) -> NonZeroU64 {
        NonZeroU64::new(interval_ns).expect("not zero")
    }

    #[test]
    fn backoff_doubles_up_to_its_cap() {
        let retry = Retry { backoff_base_ns: 10, backoff_max_ns: 100, ..Retry::default() };
        let waits: Vec<u64> = (1..=6).map(|failures| retry.backoff_ns(failures)).collect();
        assert_eq!(waits, [10, 20, 40, 80, 100, 100]);
        assert_eq!(retry.backoff_ns(u32::MAX), 100);
    }

    #[test]
    fn a_created_grid_begins_one_interval_later() {
        let when = When::Every { interval_ns: every(7 * MS), anchor: Anchor::Created };
        let resolved = when.resolve(LEN, &Now::new(LEN, 0, 1_000 * MS));
        assert_eq!(resolved.due.tick, Tick(1_007));
        assert_eq!(resolved.due.timeline, Timeline::Elapsed);
    }

    #[test]
    fn an_anchored_grid_begins_at_the_first_slot_not_before_now() {
        let when = When::Every { interval_ns: every(10 * MS), anchor: Anchor::Instant { unix_ns: 3 * MS } };
        assert_eq!(when.resolve(LEN, &Now::new(LEN, 0, 0)).due.tick, Tick(3));
        assert_eq!(when.resolve(LEN, &Now::new(LEN, 13 * MS, 0)).due.tick, Tick(13));
        assert_eq!(when.resolve(LEN, &Now::new(LEN, 13 * MS + 1, 0)).due.tick, Tick(23));
    }

    #[test]
    fn latest_due_agrees_with_the_due_ticks_around_it() {
        let len = TickLen::MILLISECOND;
        let grid = Grid { timeline: Timeline::Civil, anchor_ns: 500, interval_ns: every(700_001) };
        for now in 0..5_000 {
            let latest = grid.latest_due(len, Tick(now));
            if let Some(latest) = latest {
                assert!(grid.due(len, latest).tick <= Tick(now));
            }
            assert!(grid.due(len, latest.map_or(0, |n| n + 1)).tick > Tick(now));
        }
    }

    #[test]
    fn a_delay_without_end_is_due_at_the_end_of_time() {
        let when = When::After { delay_ns: u128::MAX };
        assert_eq!(when.resolve(LEN, &Now::new(LEN, 5, 5)).due.tick, Tick(u64::MAX));
    }
}
