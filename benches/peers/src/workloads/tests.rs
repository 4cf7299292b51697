//! No peer's figure counts before it has been shown to do the work.

use super::*;
use crate::PEERS;
use crate::queue::Producer;
use crate::queues::btree::Tree;
use crate::queues::hash_wheel::HashWheel;
use crate::queues::locked::{Lockable, Locked};
use crate::queues::ours::{Ours, SharedOurs};

/// A queue that is right, but for what it does to time.
struct Off<const BY: i64>(Tree);

impl<const BY: i64> TimerQueue for Off<BY> {
    type Handle = (u64, u64);

    fn with<R>(work: impl FnOnce(Self) -> R) -> R {
        work(Self(Tree::default()))
    }

    fn insert(&mut self, deadline: u64, payload: u64) -> (u64, u64) {
        self.0.insert(deadline, payload)
    }

    fn cancel(&mut self, handle: (u64, u64)) -> bool {
        self.0.cancel(handle)
    }

    fn reschedule(&mut self, handle: (u64, u64), deadline: u64) -> (u64, u64) {
        self.0.reschedule(handle, deadline)
    }

    fn advance(&mut self, now: u64, fired: &mut Vec<u64>) {
        self.0.advance(now.saturating_add_signed(BY), fired);
    }
}

/// A queue that says it has cancelled a timer and has not.
struct Deaf(Tree);

impl TimerQueue for Deaf {
    type Handle = (u64, u64);

    fn with<R>(work: impl FnOnce(Self) -> R) -> R {
        work(Self(Tree::default()))
    }

    fn insert(&mut self, deadline: u64, payload: u64) -> (u64, u64) {
        self.0.insert(deadline, payload)
    }

    fn cancel(&mut self, _: (u64, u64)) -> bool {
        true
    }

    fn reschedule(&mut self, handle: (u64, u64), deadline: u64) -> (u64, u64) {
        self.0.reschedule(handle, deadline)
    }

    fn advance(&mut self, now: u64, fired: &mut Vec<u64>) {
        self.0.advance(now, fired);
    }
}

/// A queue that loses every hundredth timer, and says that it was pending when it is cancelled.
struct Lossy(Tree);

impl TimerQueue for Lossy {
    type Handle = (u64, u64);

    fn with<R>(work: impl FnOnce(Self) -> R) -> R {
        work(Self(Tree::default()))
    }

    fn insert(&mut self, deadline: u64, payload: u64) -> (u64, u64) {
        let handle = self.0.insert(deadline, payload);
        if handle.1.is_multiple_of(100) {
            self.0.cancel(handle);
        }
        handle
    }

    fn cancel(&mut self, handle: (u64, u64)) -> bool {
        self.0.cancel(handle) || handle.1.is_multiple_of(100)
    }

    fn reschedule(&mut self, handle: (u64, u64), deadline: u64) -> (u64, u64) {
        self.0.reschedule(handle, deadline)
    }

    fn advance(&mut self, now: u64, fired: &mut Vec<u64>) {
        self.0.advance(now, fired);
    }
}

impl<const BY: i64> Lockable for Off<BY> {}
impl Lockable for Deaf {}
impl Lockable for Lossy {}

/// Time of its own, in which nothing ever fires; and what a thread asks at the end is not pending either.
struct Dead;

impl SharedQueue for Dead {
    type Producer = Self;

    const HAS_OWN_TIME: bool = true;

    fn with<R>(work: impl FnOnce(&mut Self) -> R) -> R {
        work(&mut Self)
    }

    fn producer(&self) -> Self {
        Self
    }

    fn advance(&mut self, _: u64, _: &mut Vec<u64>) {}
}

impl Producer for Dead {
    type Handle = ();

    fn insert(&mut self, _: u64, _: u64) {}

    fn cancel(&mut self, (): ()) -> bool {
        true
    }
}

fn measure(workloads: &[Workload]) -> Run {
    workloads.iter().flat_map(|workload| workload.measure(&load())).collect()
}

fn load() -> Load {
    Load { timers: 3_000, spread: Spread::Minute, run: 0 }
}

#[test]
fn every_peer_fires_what_is_left_and_nothing_else() {
    for peer in PEERS {
        let figures = measure(&(peer.workloads)(&load(), Rows::All));
        let wrong: Vec<&Metric> =
            figures.iter().filter(|(_, value)| value.is_none()).map(|(metric, _)| metric).collect();
        assert_eq!(wrong, [] as [&Metric; 0], "{}", peer.name);
    }
}

#[test]
fn a_queue_that_fires_early_is_wrong() {
    assert_eq!(expire::by_ticks::<Off<1>>(&load()), Err(Wrong));
    assert_eq!(steady::cancel::<Off<1>>(&load()), Err(Wrong));
    assert_eq!(churn::one_by_one::<Off<1>>(&load()), Err(Wrong));
    assert_eq!(churn::in_64s::<Off<1>>(&load()), Err(Wrong));
    assert_eq!(rebuild::run::<Off<1>>(&load()), Err(Wrong));
    assert_eq!(churn::memory::<Off<1>>(&load()), Err(Wrong));
    assert_eq!(empty::resident::<Off<1>>(&load()), Err(Wrong));
}

#[test]
fn a_queue_that_fires_late_is_wrong() {
    assert_eq!(expire::by_ticks::<Off<-1>>(&load()), Err(Wrong));
    assert_eq!(expire::by_jumps::<Off<-1>>(&load()), Err(Wrong));
    assert_eq!(expire::at_once::<Off<-1>>(&load()), Err(Wrong));
    assert_eq!(rebuild::run::<Off<-1>>(&load()), Err(Wrong));
    assert_eq!(empty::resident::<Off<-1>>(&load()), Err(Wrong));
}

#[test]
fn a_queue_that_fires_what_was_cancelled_is_wrong() {
    assert_eq!(steady::cancel::<Deaf>(&load()), Err(Wrong));
    assert_eq!(steady::cancel_many::<Deaf>(&load()), Err(Wrong));
    assert_eq!(churn::one_by_one::<Deaf>(&load()), Err(Wrong));
    assert_eq!(churn::in_64s::<Deaf>(&load()), Err(Wrong));
    assert_eq!(steady::singles::<Deaf>(&load()), Err(Wrong));
    assert_eq!(churn::memory::<Deaf>(&load()), Err(Wrong));
    assert_eq!(residue::run::<Deaf>(&load()), Err(Wrong));
}

#[test]
fn what_cancelled_timers_leave_behind_shows_in_the_residue() {
    let many = Load { timers: 300_000, ..load() };
    let is_small = |residue: Result<Figures, Wrong>| residue.map(|figures| figures[0].1 < 1_000.0);
    assert_eq!(is_small(residue::run::<Ours>(&many)), Ok(true));
    assert_eq!(is_small(residue::run::<HashWheel>(&many)), Ok(false));
}

#[test]
fn a_shared_queue_that_fires_early_or_late_or_what_was_cancelled_is_wrong() {
    assert_eq!(shared::insert::<Locked<Off<1>>, 2>(&load()), Err(Wrong));
    assert_eq!(shared::insert::<Locked<Off<-1>>, 2>(&load()), Err(Wrong));
    assert_eq!(shared::pair::<Locked<Off<1>>, 2>(&load()), Err(Wrong));
    assert_eq!(shared::pair::<Locked<Deaf>, 1>(&load()), Err(Wrong));
    assert_eq!(shared::pair::<Locked<Deaf>, 2>(&load()), Err(Wrong));
}

#[test]
fn a_shared_queue_that_loses_timers_is_wrong() {
    assert_eq!(shared::insert::<Locked<Lossy>, 1>(&load()), Err(Wrong));
    assert_eq!(shared::pair::<Locked<Lossy>, 2>(&load()), Err(Wrong));
    assert_eq!(shared::insert::<Dead, 2>(&load()), Err(Wrong));
}

#[test]
fn every_metric_is_measured() {
    let figures = measure(&of::<Ours, SharedOurs>(&load(), Rows::All));
    let figures = crate::child::with_sum(figures);
    assert_eq!(figures.into_keys().collect::<Vec<_>>(), Metric::ALL);
}

#[test]
fn the_least_budget_that_is_enough_is_found() {
    for least in [3, 4, 258, 259, 260, 70_000] {
        assert_eq!(items::least(3, |budget| Ok(budget >= least)), Ok(least));
    }
}

#[test]
fn a_queue_without_a_budget_has_no_row_of_items_and_is_not_wrong() {
    let figures = measure(&of::<Tree, Locked<Tree>>(&load(), Rows::Alone));
    assert!(!figures.contains_key(&Metric::ItemsMost));
    assert!(figures.into_values().all(|figure| figure.is_some()));
}
