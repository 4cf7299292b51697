//! `pingora-timeout`: buckets of ten milliseconds, which all timers of a thread that end there share. Time is real, and a
//! thread of its own, the same for the whole process, fires what is due.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use pingora_timeout::sleep;

use super::sleep::{TABLE_SHARED, take_woken, waker};
use crate::clock;
use crate::queue::{Producer, SharedQueue};

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(crate) struct Buckets {
    start: Instant,
}

pub(crate) struct BucketProducer;

impl SharedQueue for Buckets {
    type Producer = BucketProducer;

    const HAS_OWN_TIME: bool = true;

    fn with<R>(work: impl FnOnce(&mut Self) -> R) -> R {
        take_woken();
        work(&mut Self { start: clock::now() })
    }

    fn producer(&self) -> BucketProducer {
        BucketProducer
    }

    fn start(&self) -> Instant {
        self.start
    }

    fn advance(&mut self, _now: u64, fired: &mut Vec<u64>) {
        fired.append(&mut take_woken());
    }
}

fn poll(sleep: &mut Sleep, waker: &Waker) -> bool {
    sleep.as_mut().poll(&mut Context::from_waker(waker)).is_ready()
}

impl Producer for BucketProducer {
    type Handle = Sleep;

    /// It counts from now, and so is late by how long the run has taken so far: to ask for less would cost a look at the
    /// clock beside its own.
    #[inline]
    fn insert(&mut self, deadline: u64, payload: u64) -> Sleep {
        let waker = waker(payload, &TABLE_SHARED);
        let mut sleep: Sleep = Box::pin(sleep(Duration::from_millis(deadline)));
        if poll(&mut sleep, &waker) {
            waker.wake();
        }
        sleep
    }

    /// Nobody says whether it was pending.
    #[inline]
    fn cancel(&mut self, handle: Sleep) -> bool {
        drop(handle);
        true
    }

    fn release(&mut self, mut handle: Sleep) -> bool {
        !poll(&mut handle, Waker::noop())
    }
}
