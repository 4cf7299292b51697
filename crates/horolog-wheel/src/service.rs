//! Timers that fire by themselves: [`SharedTimers`], a clock and a thread.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::shared::home_of_this_thread;
use crate::sync::{AtomicBool, Bell, Ordering};
use crate::{Expired, Full, Progress, SharedOptions, SharedTimers, Tick, TimerId};
use clock::TickClock;
use values::Values;

mod clock;
#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;
mod values;

/// Timers of a process: hand over a value, and get it back when its time has come.
///
/// Any thread arms, moves and cancels timers, through `&self`; a thread of the service's own waits for them and hands them
/// on, to a callback ([`start`](Self::start)) or into a channel ([`with_channel`](Self::with_channel)). It sleeps until the
/// earliest is due (but for a wake or two on the way there, if that is far), and is woken only if an earlier one is made.
///
/// ```
/// use horolog_wheel::TimerService;
/// use std::time::Duration;
///
/// let (timers, due) = TimerService::with_channel(Duration::from_millis(1))?;
/// let tea = timers.after(Duration::from_secs(180), "tea").expect("there is room");
/// timers.after(Duration::from_millis(5), "egg").expect("there is room");
/// assert_eq!(due.recv(), Ok("egg"));
/// assert_eq!(timers.cancel(tea), Some("tea"));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// A timer fires at its time or later, never before; timers fire in order of time, to the tick, and those of one tick in any
/// order. Time is [`Instant`]'s. Up to 32 that are due are taken out of the queue at a time: while the first of them is handed on,
/// the others are no longer pending and cannot be cancelled. What is pending when the service is dropped is dropped; [`stop`](Self::stop) gives it back.
/// Nothing here outlives the process: that is what the crate `horolog` is for.
pub struct TimerService<T> {
    inner: Arc<Inner<T>>,
    thread: Option<JoinHandle<()>>,
}

struct Inner<T> {
    timers: SharedTimers,
    values: Values<T>,
    clock: TickClock,
    bell: Arc<Bell>,
    is_stopping: AtomicBool,
}

/// There is no room for a timer: `timers_max` are pending, as [`Full`] has it. The value comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused<T> {
    /// As it was given.
    pub value: T,
    /// The limit.
    pub timers_max: u32,
}

impl<T> fmt::Debug for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("timers_max", &self.timers_max).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no room for another timer: at most {} may be pending", self.timers_max)
    }
}

impl<T> core::error::Error for Refused<T> {}

/// Items come across in one look at the queue. Those that are due are out of reach until they are handed on.
const BUDGET: u32 = 32;

impl<T: Send + 'static> TimerService<T> {
    /// Starts a service whose timers are handed to `fire`, one by one, on its thread. A tick is the grain of time:
    /// deadlines are rounded up to it. (One of zero length counts as a nanosecond.)
    ///
    /// While `fire` is at work the timers that become due wait. A panic in it is caught, where panics unwind, and the next
    /// timer is handed on.
    ///
    /// # Errors
    ///
    /// If no thread can be made.
    pub fn start(tick_len: Duration, fire: impl FnMut(T) + Send + 'static) -> io::Result<Self> {
        Self::start_with(SharedOptions::new(), tick_len, fire)
    }

    /// As [`start`](Self::start), with other options than the defaults. (Their ring is not used: the service has its own.)
    ///
    /// # Errors
    ///
    /// If no thread can be made.
    pub fn start_with(
        options: SharedOptions,
        tick_len: Duration,
        fire: impl FnMut(T) + Send + 'static,
    ) -> io::Result<Self> {
        let bell = Arc::new(Bell::new());
        let ringer = Arc::clone(&bell);
        let timers = options.ring(move || ringer.ring()).build(Tick::ZERO);
        let values = Values::new(timers.shards());
        let clock = TickClock::start(tick_len);
        let inner = Arc::new(Inner { timers, values, clock, bell, is_stopping: AtomicBool::new(false) });
        let service = Arc::clone(&inner);
        let thread = thread::Builder::new().name("horolog-wheel".into()).spawn(move || service.run(fire))?;
        Ok(Self { inner, thread: Some(thread) })
    }

    /// Starts a service whose timers go into a channel, and gives its receiving end. The channel has no limit: for one that
    /// has, hand over a `fire` that sends into it. What nobody receives any more is dropped.
    ///
    /// # Errors
    ///
    /// If no thread can be made.
    pub fn with_channel(tick_len: Duration) -> io::Result<(Self, mpsc::Receiver<T>)> {
        let (sender, receiver) = mpsc::channel();
        let service = Self::start(tick_len, move |value| drop(sender.send(value)))?;
        Ok((service, receiver))
    }
}

impl<T> TimerService<T> {
    /// Hands `value` on after `delay`. Any length of time will do.
    ///
    /// # Errors
    ///
    /// [`Refused`], with the value, if `timers_max` are pending.
    pub fn after(&self, delay: Duration, value: T) -> Result<TimerId, Refused<T>> {
        self.insert(self.inner.clock.after(delay), value)
    }

    /// Hands `value` on at `instant`; at once if that has passed.
    ///
    /// # Errors
    ///
    /// [`Refused`], with the value, if `timers_max` are pending.
    pub fn at(&self, instant: Instant, value: T) -> Result<TimerId, Refused<T>> {
        self.insert(self.inner.clock.at(instant), value)
    }

    fn insert(&self, deadline: Tick, value: T) -> Result<TimerId, Refused<T>> {
        let Inner { timers, values, .. } = &*self.inner;
        let armed = values.put(home_of_this_thread(), value, |key| timers.insert(deadline, key));
        armed.map_err(|(value, Full { timers_max, .. })| Refused { value, timers_max })
    }

    /// Takes a timer back; `None` if it is not pending. Of a cancel and the firing of a timer, exactly one gets the value.
    pub fn cancel(&self, id: TimerId) -> Option<T> {
        let key = self.inner.timers.cancel(id)?;
        self.inner.values.take(key)
    }

    /// Moves a pending timer: it is due after `delay` from now; false if it is not pending.
    pub fn reschedule(&self, id: TimerId, delay: Duration) -> bool {
        self.inner.timers.reschedule(id, self.inner.clock.after(delay))
    }

    /// How many timers are pending.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.timers.len()
    }

    /// Is nothing pending?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inner.timers.is_empty()
    }

    /// Stops the service: nothing fires any more when this returns. Gives back what was pending, in no order.
    #[must_use = "what was pending is in it"]
    pub fn stop(mut self) -> Vec<T> {
        self.halt();
        self.inner.values.take_all()
    }

    /// Ends the thread. It may be this one, if a callback drops the service; then it ends after that callback.
    fn halt(&mut self) {
        self.inner.is_stopping.store(true, Ordering::Release);
        self.inner.bell.ring();
        let thread = self.thread.take().filter(|thread| thread.thread().id() != thread::current().id());
        if let Some(thread) = thread {
            // It catches what callbacks throw, and has nothing to say.
            drop(thread.join());
        }
    }
}

impl<T> Drop for TimerService<T> {
    fn drop(&mut self) {
        self.halt();
    }
}

impl<T> Inner<T> {
    fn run(&self, mut fire: impl FnMut(T)) {
        let mut expired = Vec::new();
        while !self.is_stopping() {
            let progress = self.timers.advance(self.clock.now(), BUDGET, &mut expired);
            for Expired { word, .. } in expired.drain(..) {
                if self.is_stopping() {
                    // What is not handed on is with the others that were pending.
                    return;
                }
                if let Some(value) = self.values.take(word) {
                    caught(|| fire(value));
                }
            }
            if progress == Progress::Done {
                self.sleep();
            }
        }
    }

    fn sleep(&self) {
        let timeout = self.timers.set_alarm().map(|tick| self.clock.until(tick));
        if timeout != Some(Duration::ZERO) {
            self.bell.wait(timeout);
        }
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }
}

/// Runs a caller's code, whatever it does. What it leaves half-done is its own affair; nothing of ours is seen by it.
fn caught(call: impl FnOnce()) {
    let Err(payload) = catch_unwind(AssertUnwindSafe(call)) else { return };
    // To drop what was thrown may throw again.
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        core::mem::forget(payload);
    }
}

impl<T> fmt::Debug for TimerService<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerService").field("timers", &self.inner.timers).finish_non_exhaustive()
    }
}
