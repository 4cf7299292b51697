//! What the counted paths start from: seeded numbers, and timers in the state that a path needs. Nothing here is counted,
//! but for [`Churn`].

use std::hint::black_box;
use std::iter::Cycle;
use std::vec::IntoIter;

use horolog_wheel::{Expired, Progress, Tick, TimerId, Timers};

/// The longest a timer waits, in ticks: deadlines are even over 1 to this.
pub const LONGEST: u64 = 60_000;

/// An hour, in ticks of a millisecond.
pub const HOUR: u64 = 3_600_000;

/// Farther away than any bench goes.
const NEVER: Tick = Tick(1 << 62);

/// Timers that are far away while time passes.
const CROWD: usize = 50_000;

/// Few enough draws to stay in the cache that is simulated, and no power of two: two cycles must not keep in step.
const DRAWS: usize = 1_009;

/// A small generator (SplitMix64), always from the same seed.
struct Rng(u64);

impl Rng {
    fn new() -> Self {
        Self(0x484f_524f_4c4f_4721)
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.draw().checked_rem(n).unwrap_or(0)
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    fn delay(&mut self) -> u64 {
        1 + self.below(LONGEST)
    }

    fn shuffle(&mut self, ids: &mut [TimerId]) {
        for last in (1..ids.len()).rev() {
            ids.swap(last, self.index(last + 1));
        }
    }
}

/// What one bench works on. It is in a box and is handed back, so that neither its moves nor its end are counted.
#[derive(Debug)]
pub struct Work {
    /// The wheel and its slab.
    pub timers: Timers,
    /// The pending timers that the bench touches, in random order.
    pub ids: Vec<TimerId>,
    /// The deadlines that it needs, in random order.
    pub deadlines: Vec<Tick>,
    /// What has fired. It has room for all.
    pub expired: Vec<Expired>,
    /// What was cancelled, by its word. It has room for a batch.
    pub words: Vec<Option<u64>>,
    /// How many operations the bench is to do.
    pub count: u64,
}

impl Work {
    fn new(count: usize) -> Self {
        Self {
            timers: Timers::new(Tick(0)),
            ids: Vec::with_capacity(2 * count),
            deadlines: Vec::with_capacity(count),
            expired: Vec::with_capacity(count),
            words: Vec::with_capacity(64),
            count: count as u64,
        }
    }

    fn insert(&mut self, rng: &mut Rng, count: usize) {
        for _ in 0..count {
            self.ids.extend(self.timers.insert(Tick(rng.delay()), 7));
        }
    }
}

/// No timers, and `count` deadlines.
#[must_use]
pub fn nothing(count: usize) -> Box<Work> {
    let (mut work, mut rng) = (Work::new(count), Rng::new());
    work.deadlines.extend((0..count).map(|_| Tick(rng.delay())));
    Box::new(work)
}

/// `count` timers, all of them to be touched in random order.
#[must_use]
pub fn full(count: usize) -> Box<Work> {
    let (mut work, mut rng) = (Work::new(count), Rng::new());
    work.insert(&mut rng, count);
    rng.shuffle(&mut work.ids);
    Box::new(work)
}

/// `count` timers that stay, the room of as many that were cancelled at random, and deadlines to fill it with.
#[must_use]
pub fn half_cancelled(count: usize) -> Box<Work> {
    let (mut work, mut rng) = (Work::new(count), Rng::new());
    work.insert(&mut rng, 2 * count);
    rng.shuffle(&mut work.ids);
    for id in work.ids.drain(count..) {
        work.timers.cancel(id);
    }
    work.deadlines.extend((0..count).map(|_| Tick(rng.delay())));
    Box::new(work)
}

/// `count` timers, and a deadline for each, which is earlier or later.
#[must_use]
pub fn to_move(count: usize) -> Box<Work> {
    let (mut work, mut rng) = (full(count), Rng::new());
    rng.draw(); // out of step with the deadlines there are
    work.deadlines.extend((0..count).map(|_| Tick(rng.delay())));
    work
}

/// `count` timers, and a deadline for each, up to twice as far away as its own.
#[must_use]
pub fn to_put_off(count: usize) -> Box<Work> {
    let (mut work, mut rng) = (full(count), Rng::new());
    let Work { timers, ids, deadlines, .. } = &mut *work;
    let own = ids.iter().filter_map(|id| timers.get(*id)).map(|entry| entry.deadline.0);
    deadlines.extend(own.map(|own| Tick(own + rng.below(own + 1))));
    work
}

/// One timer, farther away than the bench goes.
#[must_use]
pub fn one_far_away(count: usize) -> Box<Work> {
    let mut work = Work::new(count);
    work.ids.extend(work.timers.insert(NEVER, 7));
    Box::new(work)
}

/// 50 000 timers, one to two hours away.
#[must_use]
pub fn a_crowd_far_away(count: usize) -> Box<Work> {
    let (mut work, mut rng) = (Work::new(count), Rng::new());
    for _ in 0..CROWD {
        work.timers.insert(Tick(HOUR + rng.below(HOUR)), 7);
    }
    Box::new(work)
}

/// Every timer is gone; after the count.
///
/// # Panics
///
/// If that is not so: the bench did not do its work.
pub fn none_is_left(work: Box<Work>) {
    assert!(work.timers.is_empty(), "{} timers are left", work.timers.len());
}

/// The one timer is still there; after the count.
///
/// # Panics
///
/// If that is not so: the time that passed was not empty.
pub fn one_is_left(work: Box<Work>) {
    assert_eq!(work.timers.len(), 1, "one timer is far away");
}

/// The crowd is still there; after the count.
///
/// # Panics
///
/// If that is not so: the time that passed was not empty.
pub fn the_crowd_is_left(work: Box<Work>) {
    assert_eq!(work.timers.len(), CROWD, "all are far away");
}

/// A service: most timers are cancelled before they are due. As many are pending after each operation as before.
#[derive(Debug)]
pub struct Churn {
    timers: Timers,
    /// The pending timers, and some that have fired.
    ids: Vec<TimerId>,
    delays: Cycle<IntoIter<u64>>,
    picks: Cycle<IntoIter<u64>>,
    expired: Vec<Expired>,
    now: u64,
    /// How many operations the bench is to do, and how many timers are pending.
    pub count: usize,
}

impl Churn {
    /// `count` timers, and numbers to go on with, drawn beforehand.
    #[must_use]
    pub fn new(count: usize) -> Box<Self> {
        let (work, mut rng) = (full(count), Rng::new());
        let delays: Vec<u64> = (0..DRAWS).map(|_| rng.delay()).collect();
        let picks: Vec<u64> = (0..=DRAWS).map(|_| rng.draw() >> 32).collect();
        Box::new(Self {
            timers: work.timers,
            ids: work.ids,
            delays: delays.into_iter().cycle(),
            picks: picks.into_iter().cycle(),
            expired: work.expired,
            now: 0,
            count,
        })
    }

    /// Inserts one; then nine times of ten cancels one, and once lets time pass until something fires.
    pub fn operate(&mut self, operation: usize) {
        self.insert();
        if operation.is_multiple_of(10) { self.fire() } else { self.cancel() }
    }

    fn insert(&mut self) {
        let deadline = Tick(self.now + self.delays.next().unwrap_or(1));
        self.ids.extend(self.timers.insert(deadline, 7));
    }

    /// Those that have fired meanwhile are forgotten on the way.
    fn cancel(&mut self) {
        while let Some(at) = self.pick() {
            if self.timers.cancel(self.ids.swap_remove(at)).is_some() {
                return;
            }
        }
    }

    /// A random place in the list, without a division.
    fn pick(&mut self) -> Option<usize> {
        let at = usize::try_from((self.picks.next()? * self.ids.len() as u64) >> 32).ok()?;
        (at < self.ids.len()).then_some(at)
    }

    /// What fires beside the first is inserted again, so that the number stays.
    fn fire(&mut self) {
        while self.expired.is_empty() {
            self.now += 1;
            advance(&mut self.timers, self.now, &mut self.expired);
        }
        (1..self.expired.len()).for_each(|_| self.insert());
        self.expired.clear();
    }

    /// As many timers are pending as at first; after the count.
    ///
    /// # Panics
    ///
    /// If that is not so: the bench did not do its work.
    pub fn has_kept_its_number(self: Box<Self>) {
        assert_eq!(self.timers.len(), self.count, "operations keep the number");
    }
}

/// Lets time pass to `now`, in one call.
#[inline]
pub fn advance(timers: &mut Timers, now: u64, expired: &mut Vec<Expired>) {
    let progress = black_box(timers).advance(Tick(now), u32::MAX, expired);
    debug_assert_eq!(progress, Progress::Done, "the budget is endless");
}
