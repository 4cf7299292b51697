//! What came due while nothing ran.
//!
//! Missed timers do not go through the wheel: they are sorted once and handed out from a list, so that an hour of
//! downtime costs a sort and not an hour of ticks.

use horolog_state::{DueTime, Lsn, Now, Phase, State, TimerId};

/// Every timer that can still fire, by what has to happen to it at an opening.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// Due while nothing ran, the longest due first; equally late ones in the order of their records.
    pub backlog: Vec<TimerId>,
    /// In flight when the process before this one ended, the least tried first. They are delivered again one at a time:
    /// if one of them kills the process, it alone is tried once more, and it ends up last.
    pub suspects: Vec<TimerId>,
    /// Due some time: they go into a wheel.
    pub waiting: Vec<(TimerId, DueTime)>,
}

/// Sorts the timers of a replayed state by what has to happen to them at `now`.
#[must_use]
pub fn missed(state: &State, now: &Now) -> Missed {
    let mut waiting = Vec::with_capacity(state.len());
    let mut backlog: Vec<(std::cmp::Reverse<u64>, Lsn, TimerId)> = Vec::new();
    let mut suspects: Vec<(u32, std::cmp::Reverse<u64>, Lsn, TimerId)> = Vec::new();
    for timer in state.timers().filter(|timer| timer.phase == Phase::Waiting) {
        let late = std::cmp::Reverse(now.ticks_since(timer.due));
        if timer.suspect {
            suspects.push((timer.deliveries, late, timer.lsn, timer.id));
        } else if now.has_reached(timer.due) {
            backlog.push((late, timer.lsn, timer.id));
        } else {
            waiting.push((timer.id, timer.due));
        }
    }
    backlog.sort_unstable();
    suspects.sort_unstable();
    Missed {
        backlog: backlog.into_iter().map(|(_, _, id)| id).collect(),
        suspects: suspects.into_iter().map(|(_, _, _, id)| id).collect(),
        waiting,
    }
}
