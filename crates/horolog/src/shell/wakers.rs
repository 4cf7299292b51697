//! Wakers of futures, in the order of the records they wait for.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use super::{Failed, Positions};
use crate::machine::Level;
use crate::sync::Mutex;

type Queue = VecDeque<(u64, Waker)>;

#[derive(Debug, Default)]
pub(super) struct Wakers {
    queues: Mutex<Queues>,
}

#[derive(Debug, Default)]
struct Queues {
    written: Queue,
    durable: Queue,
}

impl Wakers {
    /// Files a waker, unless `look` has an answer by now: positions are stored before wakers are looked at, so an answer
    /// that is not there under this lock will find the waker.
    pub(super) fn file<R>(
        &self,
        lsn: u64,
        level: Level,
        waker: &Waker,
        look: impl Fn() -> Option<Result<R, Failed>>,
    ) -> Option<Result<R, Failed>> {
        let mut queues = self.queues.lock();
        if let Some(answer) = look() {
            return Some(answer);
        }
        let queue = match level {
            Level::Written => &mut queues.written,
            Level::Durable => &mut queues.durable,
        };
        insert(queue, lsn, waker);
        None
    }

    /// Wakes all whose record has come far enough; after a failure, all. Wakers run without any lock.
    pub(super) fn wake_up_to(&self, positions: Positions) {
        let (written, durable) =
            if positions.failed { (u64::MAX, u64::MAX) } else { (positions.written, positions.durable) };
        let mut ripe = Vec::new();
        {
            let mut queues = self.queues.lock();
            take(&mut queues.written, written, &mut ripe);
            take(&mut queues.durable, durable, &mut ripe);
        }
        for waker in ripe {
            wake(waker);
        }
    }
}

/// A waker is user code: one that panics must not keep the others asleep.
pub(crate) fn wake(waker: Waker) {
    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
}

/// Tickets are mostly polled in the order in which they were made, so the place is mostly the end. A ticket that is
/// polled again with the same waker is filed once.
fn insert(queue: &mut Queue, lsn: u64, waker: &Waker) {
    let place = queue.partition_point(|(other, _)| *other <= lsn);
    let before = place.checked_sub(1).and_then(|index| queue.get(index));
    let filed = before.is_some_and(|(other, filed)| *other == lsn && filed.will_wake(waker));
    if !filed {
        queue.insert(place, (lsn, waker.clone()));
    }
}

fn take(queue: &mut Queue, position: u64, ripe: &mut Vec<Waker>) {
    while queue.front().is_some_and(|(lsn, _)| *lsn <= position)
        && let Some((_, waker)) = queue.pop_front()
    {
        ripe.push(waker);
    }
}
