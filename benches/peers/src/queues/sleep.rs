//! `tokio::time::Sleep`: one boxed future for each timer, on a runtime of one thread whose clock is paused.
#![expect(unsafe_code, reason = "a waker that allocates nothing for each timer is made of a raw table")]

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::ptr;
use std::task::{Context, RawWaker, RawWakerVTable, Waker};

use tokio::time::{Sleep, sleep_until};

use super::delay_queue::PausedTime;
use crate::queue::{TimerQueue, place};

thread_local! {
    /// Payloads of the timers that were woken.
    static WOKEN: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

static TABLE: RawWakerVTable = RawWakerVTable::new(|data| RawWaker::new(data, &TABLE), wake, wake, |_| {});

fn wake(data: *const ()) {
    WOKEN.with_borrow_mut(|woken| woken.push(data.addr() as u64));
}

fn waker(payload: u64) -> Waker {
    // SAFETY: the data is a number and nothing is read through it; no function of the table frees anything or panics, and
    // a waker of another thread would find a list of its own.
    unsafe { Waker::from_raw(RawWaker::new(ptr::without_provenance(place(payload)), &TABLE)) }
}

pub(crate) struct Sleeps {
    time: PausedTime,
}

impl TimerQueue for Sleeps {
    type Handle = Pin<Box<Sleep>>;

    const RELEASES: bool = true;
    const SLOW_TICKS: bool = true;

    fn with<R>(work: impl FnOnce(&mut Self) -> R) -> R {
        PausedTime::with(|time| work(&mut Self { time }))
    }

    #[inline]
    fn insert(&mut self, deadline: u64, payload: u64) -> Pin<Box<Sleep>> {
        let mut sleep = Box::pin(sleep_until(self.time.instant(deadline)));
        let waker = waker(payload);
        if sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            waker.wake();
        }
        sleep
    }

    #[inline]
    fn cancel(&mut self, handle: Pin<Box<Sleep>>) -> bool {
        !handle.is_elapsed()
    }

    #[inline]
    fn reschedule(&mut self, mut handle: Pin<Box<Sleep>>, deadline: u64) -> Pin<Box<Sleep>> {
        handle.as_mut().reset(self.time.instant(deadline));
        handle
    }

    #[inline]
    fn advance(&mut self, now: u64, fired: &mut Vec<u64>) {
        self.time.advance(now);
        WOKEN.with_borrow_mut(|woken| fired.append(woken));
    }
}
