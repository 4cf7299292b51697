//! No peer's figure counts before it has been shown to do the work.

use super::*;
use crate::PEERS;
use crate::queues::btree::Tree;

/// A queue that is right, but for what it does to time.
struct Off<const BY: i64>(Tree);

impl<const BY: i64> TimerQueue for Off<BY> {
    type Handle = (u64, u64);

    fn with<R>(work: impl FnOnce(&mut Self) -> R) -> R {
        work(&mut Self(Tree::default()))
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

    fn with<R>(work: impl FnOnce(&mut Self) -> R) -> R {
        work(&mut Self(Tree::default()))
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

fn load() -> Load {
    Load { timers: 3_000, spread: Spread::Minute, run: 0 }
}

#[test]
fn every_peer_fires_what_is_left_and_nothing_else() {
    for peer in PEERS {
        let figures = (peer.measure)(&load());
        let wrong: Vec<&Metric> =
            figures.iter().filter(|(_, value)| value.is_none()).map(|(metric, _)| metric).collect();
        assert_eq!(wrong, [] as [&Metric; 0], "{}", peer.name);
    }
}

#[test]
fn a_queue_that_fires_early_is_wrong() {
    assert_eq!(expire::by_ticks::<Off<1>>(&load()), Err(Wrong));
    assert_eq!(steady::cancel::<Off<1>>(&load()), Err(Wrong));
    assert_eq!(churn::run::<Off<1>>(&load()), Err(Wrong));
}

#[test]
fn a_queue_that_fires_late_is_wrong() {
    assert_eq!(expire::by_ticks::<Off<-1>>(&load()), Err(Wrong));
    assert_eq!(expire::by_jumps::<Off<-1>>(&load()), Err(Wrong));
}

#[test]
fn a_queue_that_fires_what_was_cancelled_is_wrong() {
    assert_eq!(steady::cancel::<Deaf>(&load()), Err(Wrong));
    assert_eq!(steady::cancel_many::<Deaf>(&load()), Err(Wrong));
    assert_eq!(churn::run::<Deaf>(&load()), Err(Wrong));
}

#[test]
fn every_metric_is_measured() {
    let figures = measure::<Tree>(&load());
    assert_eq!(figures.into_keys().collect::<Vec<_>>(), Metric::ALL);
}
