//! What an opening tells of itself: how far it is, while it goes on, and what it took, afterwards.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use horolog_recovery::{Progress, RecoveryStep};

/// How long an opening took, phase by phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpeningTimes {
    /// Every byte of the log was checked.
    pub check: Duration,
    /// The snapshot was loaded.
    pub snapshot: Duration,
    /// The records behind it were applied.
    pub replay: Duration,
    /// A fresh segment was made and linked to the log.
    pub link: Duration,
    /// Timers were put into the wheels, and missed ones sorted.
    pub place: Duration,
    /// The opening was made durable, and threads were started.
    pub begin: Duration,
}

impl OpeningTimes {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.phases().iter().map(|(_, time)| *time).sum()
    }

    fn phases(&self) -> [(&'static str, Duration); 6] {
        let Self { check, snapshot, replay, link, place, begin } = *self;
        [
            ("check", check),
            ("snapshot", snapshot),
            ("replay", replay),
            ("link", link),
            ("place", place),
            ("begin", begin),
        ]
    }
}

impl fmt::Display for OpeningTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.total().as_millis())?;
        for (at, (phase, time)) in self.phases().iter().enumerate() {
            write!(f, "{}{phase} {}", if at == 0 { ": " } else { ", " }, time.as_millis())?;
        }
        Ok(())
    }
}

/// The part of an opening whose time is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Recovery(RecoveryStep),
    Link,
    Place,
    Begin,
}

/// A stopwatch over the phases.
#[derive(Debug)]
pub(crate) struct Laps {
    now_ns: fn() -> u64,
    phase: Phase,
    since_ns: u64,
    times: OpeningTimes,
}

impl Laps {
    pub(crate) fn begin(now_ns: fn() -> u64) -> Self {
        let phase = Phase::Recovery(RecoveryStep::Check);
        Self { now_ns, phase, since_ns: now_ns(), times: OpeningTimes::default() }
    }

    /// What comes from now on belongs to `phase`.
    pub(crate) fn enter(&mut self, phase: Phase) {
        if phase != self.phase {
            self.lap();
            self.phase = phase;
        }
    }

    pub(crate) fn end(mut self) -> OpeningTimes {
        self.lap();
        self.times
    }

    fn lap(&mut self) {
        let now_ns = (self.now_ns)();
        let lap = Duration::from_nanos(now_ns.saturating_sub(self.since_ns));
        self.since_ns = now_ns;
        *match self.phase {
            Phase::Recovery(RecoveryStep::Check) => &mut self.times.check,
            Phase::Recovery(RecoveryStep::Snapshot) => &mut self.times.snapshot,
            Phase::Recovery(RecoveryStep::Replay) => &mut self.times.replay,
            Phase::Link => &mut self.times.link,
            Phase::Place => &mut self.times.place,
            Phase::Begin => &mut self.times.begin,
        } += lap;
    }
}

/// Who is told how far an opening is.
#[derive(Clone, Default)]
pub(crate) struct Watcher(pub(crate) Option<Arc<dyn Fn(Progress) + Send + Sync>>);

impl Watcher {
    pub(crate) fn tell(&self, progress: Progress) {
        if let Some(watch) = &self.0 {
            watch(progress);
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Watcher" } else { "no Watcher" })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn each_phase_has_the_time_between_its_beginning_and_the_next_and_a_repeated_one_adds_up() {
        static NOW: AtomicU64 = AtomicU64::new(0);
        let mut laps = Laps::begin(|| NOW.load(Ordering::Relaxed));
        let phases = [
            (Phase::Recovery(RecoveryStep::Snapshot), 5),
            (Phase::Recovery(RecoveryStep::Check), 7),
            (Phase::Recovery(RecoveryStep::Check), 11),
            (Phase::Recovery(RecoveryStep::Replay), 13),
            (Phase::Link, 17),
            (Phase::Place, 19),
            (Phase::Begin, 23),
        ];
        for (phase, ms) in phases {
            NOW.fetch_add(ms * 1_000_000, Ordering::Relaxed);
            laps.enter(phase);
        }
        NOW.fetch_add(29_000_000, Ordering::Relaxed);
        let times = laps.end();
        let text = "124 ms: check 29, snapshot 7, replay 17, link 19, place 23, begin 29";
        assert_eq!((times.to_string().as_str(), times.total()), (text, Duration::from_millis(124)));
    }
}
