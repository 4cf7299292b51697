//! `tokio::time::Sleep`: one boxed future for each timer, on a runtime of one thread whose clock is paused. For many threads
//! on a runtime of many, whose clock cannot be paused: time is real there, and one worker fires what is due.
#![expect(unsafe_code, reason = "a waker that allocates nothing for each timer is made of a raw table")]
#![expect(clippy::expect_used, reason = "a bench stops at the first error")]

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, RawWaker, RawWakerVTable, Waker};
use std::time::Duration;
use std::{mem, ptr};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::{Instant, Sleep, sleep_until};

use super::delay_queue::PausedTime;
use crate::queue::{Producer, SharedQueue, TimerQueue, place};

thread_local! {
    /// Payloads of the timers that were woken.
    static WOKEN: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

static TABLE: RawWakerVTable = RawWakerVTable::new(|data| RawWaker::new(data, &TABLE), wake, wake, |_| {});

fn wake(data: *const ()) {
    WOKEN.with_borrow_mut(|woken| woken.push(data.addr() as u64));
}

/// As `WOKEN`, of all threads.
static WOKEN_SHARED: Mutex<Vec<u64>> = Mutex::new(Vec::new());

pub(super) static TABLE_SHARED: RawWakerVTable =
    RawWakerVTable::new(|data| RawWaker::new(data, &TABLE_SHARED), wake_shared, wake_shared, |_| {});

fn wake_shared(data: *const ()) {
    WOKEN_SHARED.lock().unwrap_or_else(PoisonError::into_inner).push(data.addr() as u64);
}

pub(super) fn take_woken() -> Vec<u64> {
    mem::take(&mut WOKEN_SHARED.lock().unwrap_or_else(PoisonError::into_inner))
}

pub(super) fn waker(payload: u64, table: &'static RawWakerVTable) -> Waker {
    // SAFETY: the data is a number and nothing is read through it; no function of the tables frees anything or panics. Those
    // of one find a list of the thread's own, those of the other one under a lock.
    unsafe { Waker::from_raw(RawWaker::new(ptr::without_provenance(place(payload)), table)) }
}

#[inline]
fn start_sleep(deadline: Instant, waker: Waker) -> Pin<Box<Sleep>> {
    let mut sleep = Box::pin(sleep_until(deadline));
    if sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
        waker.wake();
    }
    sleep
}

pub(crate) struct Sleeps {
    time: PausedTime,
}

impl TimerQueue for Sleeps {
    type Handle = Pin<Box<Sleep>>;

    const RELEASES: bool = true;
    const SLOW_TICKS: bool = true;

    fn with<R>(work: impl FnOnce(Self) -> R) -> R {
        PausedTime::with(|time| work(Self { time }))
    }

    #[inline]
    fn insert(&mut self, deadline: u64, payload: u64) -> Pin<Box<Sleep>> {
        start_sleep(self.time.instant(deadline), waker(payload, &TABLE))
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

/// With `ALTERNATIVE`, tokio's other timer, in which each worker has a wheel of its own.
pub(crate) struct SharedSleeps<const ALTERNATIVE: bool> {
    runtime: Runtime,
    start: Instant,
}

/// A thread inside the runtime, but not a task of it: a task that polls many timers is made to yield.
pub(crate) struct SleepProducer {
    runtime: Handle,
    start: Instant,
}

impl<const ALTERNATIVE: bool> SharedQueue for SharedSleeps<ALTERNATIVE> {
    type Producer = SleepProducer;

    const HAS_OWN_TIME: bool = true;

    fn with<R>(work: impl FnOnce(&mut Self) -> R) -> R {
        take_woken();
        let mut builder = Builder::new_multi_thread();
        #[cfg(tokio_unstable)]
        if ALTERNATIVE {
            builder.enable_alt_timer();
        }
        let runtime = builder.worker_threads(1).enable_time().build();
        work(&mut Self { runtime: runtime.expect("there is room for a thread"), start: Instant::now() })
    }

    fn producer(&self) -> SleepProducer {
        SleepProducer { runtime: self.runtime.handle().clone(), start: self.start }
    }

    fn start(&self) -> std::time::Instant {
        self.start.into_std()
    }

    fn advance(&mut self, _now: u64, fired: &mut Vec<u64>) {
        fired.append(&mut take_woken());
    }
}

impl Producer for SleepProducer {
    type Handle = Pin<Box<Sleep>>;

    fn with<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
        let runtime = self.runtime.clone();
        let _inside = runtime.enter();
        work(self)
    }

    #[inline]
    fn insert(&mut self, deadline: u64, payload: u64) -> Pin<Box<Sleep>> {
        start_sleep(self.start + Duration::from_millis(deadline), waker(payload, &TABLE_SHARED))
    }

    #[inline]
    fn cancel(&mut self, handle: Pin<Box<Sleep>>) -> bool {
        !handle.is_elapsed()
    }

    fn release(&mut self, handle: Pin<Box<Sleep>>) -> bool {
        self.cancel(handle)
    }
}
