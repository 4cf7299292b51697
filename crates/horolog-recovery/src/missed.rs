//! Where each timer waits from an opening on, and what came due while nothing ran.
//!
//! Missed timers do not go through the wheel: they are sorted once and handed out from a list, so that an hour of
//! downtime costs a sort and not an hour of ticks.

use std::cmp::Reverse;

use horolog_state::{Lsn, Now, Phase, Standing, State, Tick, Timeline, TimerId};
use horolog_wheel::Wheel;

/// The timers that do not wait in a wheel, by what has to happen to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// Due while nothing ran, the longest due first; equally late ones in the order of their records.
    pub backlog: Vec<TimerId>,
    /// In flight when the process before this one ended, the least tried first. They are delivered again one at a time:
    /// if one of them kills the process, it alone is tried once more, and it ends up last.
    pub suspects: Vec<TimerId>,
}

/// Puts every timer of a replayed state where it belongs at `now`: into the wheel of its timeline if it is due some time, and
/// else into a list. Both wheels are at `now` and empty.
///
/// O(timers), and a sort of those that were missed. A wheel that stays empty costs nothing.
pub fn place(state: &mut State, civil: &mut Wheel, elapsed: &mut Wheel, now: &Now) -> Missed {
    let mut lists = Lists::default();
    state.arm_all(civil, |timer| lists.sort(&timer, now));
    if lists.elapsed > 0 {
        state.arm_all(elapsed, |timer| match Place::of(&timer, now) {
            Place::Wheel(Timeline::Elapsed, tick) => Some(tick),
            _ => None,
        });
    }
    lists.into_missed()
}

/// Where a timer waits.
enum Place {
    /// Nowhere: dead, or in flight.
    Nowhere,
    Suspects,
    Backlog,
    Wheel(Timeline, Tick),
}

impl Place {
    fn of(timer: &Standing, now: &Now) -> Self {
        if timer.phase != Phase::Waiting {
            Self::Nowhere
        } else if timer.suspect {
            Self::Suspects
        } else if now.has_reached(timer.due) {
            Self::Backlog
        } else {
            Self::Wheel(timer.due.timeline, timer.due.tick)
        }
    }
}

/// What one look at every timer gives, yet unsorted.
#[derive(Default)]
struct Lists {
    backlog: Vec<(Reverse<u64>, Lsn, TimerId)>,
    suspects: Vec<(u32, Reverse<u64>, Lsn, TimerId)>,
    /// How many wait for elapsed time.
    elapsed: usize,
}

impl Lists {
    /// Notes where a timer belongs; gives the tick of one that belongs into the civil wheel.
    fn sort(&mut self, timer: &Standing, now: &Now) -> Option<Tick> {
        let late = || Reverse(now.ticks_since(timer.due));
        match Place::of(timer, now) {
            Place::Nowhere => {}
            Place::Suspects => self.suspects.push((timer.deliveries, late(), timer.lsn, timer.id)),
            Place::Backlog => self.backlog.push((late(), timer.lsn, timer.id)),
            Place::Wheel(Timeline::Elapsed, _) => self.elapsed += 1,
            Place::Wheel(Timeline::Civil, tick) => return Some(tick),
        }
        None
    }

    fn into_missed(self) -> Missed {
        let Self { mut backlog, mut suspects, .. } = self;
        backlog.sort_unstable();
        suspects.sort_unstable();
        Missed {
            backlog: backlog.into_iter().map(|(_, _, id)| id).collect(),
            suspects: suspects.into_iter().map(|(_, _, _, id)| id).collect(),
        }
    }
}
