//! Timers that fire by themselves: [`SharedTimers`], a clock and a thread.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;
use core::time::Duration;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use crate::sync::{AtomicBool, Bell, Ordering};
use crate::{Expired, Progress, SharedOptions, SharedTimers, Tick};
use clock::TickClock;
pub use handle::TimerHandle;
pub use refused::{Refused, RefusedBecause};
use values::Values;

mod clock;
mod handle;
#[cfg(all(test, loom))]
mod models;
mod refused;
#[cfg(all(test, not(loom)))]
mod tests;
mod values;

/// Timers of a process: hand over a value, and get it back when its time has come.
///
/// Any thread arms, moves and cancels timers, through `&self` or a [`TimerHandle`]; a thread of the service's own waits for
/// them and hands them on, to a callback ([`start`](Self::start)) or into a channel ([`with_channel`](Self::with_channel)). It
/// sleeps until the earliest is due, and is woken only if an earlier one is made. (If that is far, the thread wakes on the way to
/// move it closer: once a level of the wheel, seven times at most, and a few times more for thousands that are due together.)
///
/// ```
/// use horolog_wheel::TimerService;
/// use std::time::Duration;
///
/// let (timers, due) = TimerService::with_channel(Duration::from_millis(1))?;
/// let tea = timers.after(Duration::from_secs(180), "tea")?;
/// timers.after(Duration::from_millis(5), "egg")?;
/// assert_eq!(due.recv(), Ok("egg"));
/// assert_eq!(timers.cancel(tea), Some("tea"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A timer fires at its time or later, never before; timers fire in order of time, to the tick, and those of one tick in any
/// order. Time is [`Instant`](std::time::Instant)'s. Up to 32 that are due are taken out of the queue at a time: while the first
/// of them is handed on, the others are no longer pending and cannot be cancelled.
///
/// When the service is dropped nothing fires any more, and what was pending is dropped with it; [`stop`](Self::stop) gives it
/// back. Both wait for the callback at work, so that must not wait for whoever drops the service: a `fire` that sends into a
/// bounded channel tries to ([`with_channel`](Self::with_channel) shows how), or the receiver is dropped first.
///
/// Nothing here outlives the process: that is what the crate `horolog` is for.
pub struct TimerService<T> {
    handle: TimerHandle<T>,
    thread: Option<JoinHandle<()>>,
}

/// A service is its handle, and the thread.
impl<T> Deref for TimerService<T> {
    type Target = TimerHandle<T>;

    fn deref(&self) -> &TimerHandle<T> {
        &self.handle
    }
}

struct Inner<T> {
    timers: SharedTimers,
    values: Values<T>,
    clock: TickClock,
    bell: Arc<Bell>,
    is_stopping: AtomicBool,
}

/// Items come across in one look at the queue. Those that are due are out of reach until they are handed on.
const BUDGET: u32 = 32;

impl<T: Send + 'static> TimerService<T> {
    /// Starts a service whose timers are handed to `fire`, one by one, on its thread, with a handle to arm others. A tick is
    /// the grain of time: deadlines are rounded up to it. (One of zero length counts as a nanosecond.)
    ///
    /// ```
    /// use horolog_wheel::TimerService;
    /// use std::time::Duration;
    ///
    /// let every = Duration::from_millis(1);
    /// let (sender, beats) = std::sync::mpsc::channel();
    /// let heart = TimerService::start(every, move |timers, beat: u32| {
    ///     let _ = (sender.send(beat), timers.after(every, beat + 1));
    /// })?;
    /// heart.after(every, 1)?;
    /// assert!(beats.iter().take(3).eq([1, 2, 3]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// While `fire` is at work the timers that become due wait, and so does whoever stops or drops the service. A panic in
    /// it is caught, where panics unwind, and the next timer is handed on.
    ///
    /// # Errors
    ///
    /// If no thread can be made.
    pub fn start(
        tick_len: Duration,
        fire: impl FnMut(&TimerHandle<T>, T) + Send + 'static,
    ) -> io::Result<Self> {
        Self::start_with(SharedOptions::new(), tick_len, fire)
    }

    /// As [`start`](Self::start), with other options than the defaults. (Their ring is not used: the service has its own.)
    ///
    /// ```
    /// use horolog_wheel::{RefusedBecause, SharedOptions, TimerService};
    /// use std::time::Duration;
    ///
    /// let options = SharedOptions::new().timers_max(1);
    /// let timers = TimerService::start_with(options, Duration::from_millis(1), |_, _: &str| {})?;
    /// timers.after(Duration::from_secs(180), "tea")?;
    /// let refused = timers.after(Duration::from_secs(300), "egg").expect_err("and for no other");
    /// assert_eq!((refused.value, refused.reason), ("egg", RefusedBecause::Full { timers_max: 1 }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If no thread can be made.
    pub fn start_with(
        options: SharedOptions,
        tick_len: Duration,
        fire: impl FnMut(&TimerHandle<T>, T) + Send + 'static,
    ) -> io::Result<Self> {
        let mut service = Self::without_thread(options, tick_len);
        let own = service.handle();
        let thread = thread::Builder::new().name("horolog-wheel".into()).spawn(move || own.run(fire))?;
        service.thread = Some(thread);
        Ok(service)
    }

    /// Starts a service whose timers go into a channel, and gives its receiving end. What nobody receives any more is dropped.
    ///
    /// This channel is the one queue here without a limit: what has fired and was not received yet is no longer pending, and
    /// `timers_max` does not count it. For a limit, hand over a `fire` that tries to send into a bounded channel.
    ///
    /// ```
    /// use horolog_wheel::TimerService;
    /// use std::sync::mpsc::{TrySendError, sync_channel};
    /// use std::time::Duration;
    ///
    /// let tick = Duration::from_millis(1);
    /// let (sender, due) = sync_channel(16);
    /// let timers = TimerService::start(tick, move |timers, value| {
    ///     if let Err(TrySendError::Full(value)) = sender.try_send(value) {
    ///         // It comes again in a tick. (Refused by then, it is dropped.)
    ///         let _ = timers.after(tick, value);
    ///     }
    /// })?;
    /// timers.after(Duration::from_millis(5), "egg")?;
    /// assert_eq!(due.recv(), Ok("egg"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// One that waits for room with `send` holds up all other timers, and, once nobody receives, whoever drops the service:
    /// unless the receiver is dropped before, which ends the wait.
    ///
    /// # Errors
    ///
    /// If no thread can be made.
    pub fn with_channel(tick_len: Duration) -> io::Result<(Self, mpsc::Receiver<T>)> {
        let (sender, receiver) = mpsc::channel();
        let service = Self::start(tick_len, move |_, value| drop(sender.send(value)))?;
        Ok((service, receiver))
    }
}

impl<T> TimerService<T> {
    fn without_thread(options: SharedOptions, tick_len: Duration) -> Self {
        let bell = Arc::new(Bell::new());
        let ringer = Arc::clone(&bell);
        let timers = options.ring(move || ringer.ring()).build(Tick::ZERO);
        let values = Values::new(timers.shards());
        let clock = TickClock::start(tick_len);
        let is_stopping = AtomicBool::new(false);
        let inner = Inner { timers, values, clock, bell, is_stopping };
        Self { handle: TimerHandle(Arc::new(inner)), thread: None }
    }

    /// What threads that outlive this value, or do not know of it, arm and cancel timers with.
    ///
    /// ```
    /// use horolog_wheel::TimerService;
    /// use std::time::Duration;
    ///
    /// let (timers, due) = TimerService::with_channel(Duration::from_millis(1))?;
    /// let handle = timers.handle();
    /// std::thread::spawn(move || handle.after(Duration::from_millis(5), "egg"));
    /// assert_eq!(due.recv(), Ok("egg"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn handle(&self) -> TimerHandle<T> {
        self.handle.clone()
    }

    /// Stops the service: nothing fires any more when this returns. Gives back what was pending, in no order.
    ///
    /// It waits for the callback at work. If that is the caller, it does not: then that callback is the last. O(pending timers).
    ///
    /// ```
    /// use horolog_wheel::TimerService;
    /// use std::time::Duration;
    ///
    /// let (timers, due) = TimerService::with_channel(Duration::from_millis(1))?;
    /// timers.after(Duration::from_secs(180), "tea")?;
    /// assert_eq!(timers.stop(), ["tea"]);
    /// assert!(due.recv().is_err(), "nothing is sent any more");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "what was pending is in it"]
    pub fn stop(mut self) -> Vec<T> {
        self.halt();
        self.handle.0.values.take_all()
    }

    /// Ends the thread. It may be this one, if a callback drops the service; then it ends after that callback.
    fn halt(&mut self) {
        let inner = &self.handle.0;
        inner.is_stopping.store(true, Ordering::Release);
        inner.bell.ring();
        let thread = self.thread.take().filter(|thread| thread.thread().id() != thread::current().id());
        if let Some(thread) = thread {
            // It catches what callbacks throw, and what they hold, and has nothing to say.
            drop(thread.join());
        }
    }
}

/// Stops the service, and drops what was pending; what those values throw when they are dropped is thrown on. It waits for the
/// callback at work, if that is not the caller.
impl<T> Drop for TimerService<T> {
    fn drop(&mut self) {
        self.halt();
        // Values that hold a handle would keep each other.
        drop(self.handle.0.values.take_all());
    }
}

impl<T> TimerHandle<T> {
    fn run(&self, mut fire: impl FnMut(&Self, T)) {
        self.hand_on(&mut fire);
        // What it holds may throw as well.
        caught(|| drop(fire));
    }

    fn hand_on(&self, fire: &mut impl FnMut(&Self, T)) {
        let inner = &*self.0;
        let mut expired = Vec::new();
        while !inner.is_stopping() {
            let progress = inner.timers.advance(inner.clock.now(), BUDGET, &mut expired);
            for Expired { word, .. } in expired.drain(..) {
                if inner.is_stopping() {
                    // What is not handed on is with the others that were pending.
                    return;
                }
                if let Some(value) = inner.values.take(word) {
                    caught(|| fire(self, value));
                }
            }
            if progress == Progress::Done {
                inner.sleep();
            }
        }
    }
}

impl<T> Inner<T> {
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
    let mut thrown = catch_unwind(AssertUnwindSafe(call));
    // To drop what was thrown may throw again, and so on; what does not come to an end is forgotten.
    for _ in 0..8 {
        let Err(payload) = thrown else { return };
        thrown = catch_unwind(AssertUnwindSafe(|| drop(payload)));
    }
    core::mem::forget(thrown);
}

impl<T> fmt::Debug for TimerService<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerService").field("timers", &self.handle.0.timers).finish_non_exhaustive()
    }
}
