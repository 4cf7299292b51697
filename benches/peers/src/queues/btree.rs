//! `std::collections::BTreeMap`, ordered by deadline and a sequence number.

use std::collections::BTreeMap;

use super::locked::Lockable;
use crate::queue::TimerQueue;

#[derive(Default)]
pub(crate) struct Tree {
    timers: BTreeMap<(u64, u64), u64>,
    sequence: u64,
}

impl Lockable for Tree {}

impl TimerQueue for Tree {
    type Handle = (u64, u64);

    fn with<R>(work: impl FnOnce(Self) -> R) -> R {
        work(Self::default())
    }

    #[inline]
    fn insert(&mut self, deadline: u64, payload: u64) -> (u64, u64) {
        self.sequence += 1;
        let handle = (deadline, self.sequence);
        self.timers.insert(handle, payload);
        handle
    }

    #[inline]
    fn cancel(&mut self, handle: (u64, u64)) -> bool {
        self.timers.remove(&handle).is_some()
    }

    #[inline]
    fn reschedule(&mut self, handle: (u64, u64), deadline: u64) -> (u64, u64) {
        let payload = self.timers.remove(&handle);
        let handle = (deadline, handle.1);
        self.timers.extend(payload.map(|payload| (handle, payload)));
        handle
    }

    #[inline]
    fn advance(&mut self, now: u64, fired: &mut Vec<u64>) {
        while let Some(first) = self.timers.first_entry().filter(|first| first.key().0 <= now) {
            fired.push(first.remove());
        }
    }
}
