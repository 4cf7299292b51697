//! What the timers are: seeded numbers and spreads of deadlines.

use horolog_benches::Rng;

/// An hour, in ticks of one millisecond.
pub(crate) const HOUR: u64 = 3_600_000;

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * HOUR;
const SECOND: u64 = 1_000;

/// How far deadlines are away.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spread {
    /// 1 to 60 seconds, evenly.
    Minute,
    /// Up to an hour, evenly.
    Hour,
    /// A millisecond to a day; each power of ten as likely as the next.
    Log,
}

impl Spread {
    pub(crate) const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Log];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Log => "log",
        }
    }

    /// No delay is longer.
    pub(crate) fn longest(self) -> u64 {
        match self {
            Self::Minute => MINUTE,
            Self::Hour => HOUR,
            Self::Log => DAY,
        }
    }

    pub(crate) fn delay(self, rng: &mut Rng) -> u64 {
        match self {
            Self::Minute => SECOND + rng.below(MINUTE - SECOND + 1),
            Self::Hour => 1 + rng.below(HOUR),
            Self::Log => log_uniform(rng),
        }
    }
}

/// From one hour on to two, evenly: nothing of it is due for a while.
pub(crate) fn far(rng: &mut Rng) -> u64 {
    HOUR + rng.below(HOUR)
}

#[expect(clippy::cast_possible_truncation, reason = "1 to 86 400 000")]
fn log_uniform(rng: &mut Rng) -> u64 {
    let part = rng.draw() as f64 / u64::MAX as f64;
    ((DAY as f64).ln() * part).exp() as u64
}

/// What one run of one peer works on.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) timers: usize,
    pub(crate) spread: Spread,
    pub(crate) run: u64,
}

impl Load {
    pub(crate) fn rng(&self) -> Rng {
        Rng::numbered(self.run << 32)
    }

    pub(crate) fn delays(&self, rng: &mut Rng, count: usize) -> Vec<u64> {
        (0..count).map(|_| self.spread.delay(rng)).collect()
    }

    /// For the rows of threads, in which no timer is due within a second: a cancel is never too late.
    pub(crate) fn long_delays(&self, rng: &mut Rng, count: usize) -> Vec<u64> {
        self.delays(rng, count).into_iter().map(|delay| delay.max(SECOND)).collect()
    }

    /// How many timers the steady workloads cancel, insert and move: a tenth, but enough to be measured.
    pub(crate) fn part(&self) -> usize {
        if self.timers <= 1_000 { self.timers / 2 } else { self.timers / 10 }
    }

    /// How often a workload is repeated on new structures, so that small ones outlast the clock.
    pub(crate) fn repeats(&self, most: usize) -> usize {
        (200_000 / self.timers.max(1)).clamp(1, most)
    }
}
