//! What threads arm and cancel timers of a service with.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::time::Instant;

use super::{Inner, Refused, RefusedBecause};
use crate::shared::home_of_this_thread;
use crate::{Full, Tick, TimerId};

/// A way to the timers of a [`TimerService`](crate::TimerService). It can be cloned, and outlive the service: then timers are
/// refused, and nothing is pending any more.
///
/// While one thread stops the service, others may arm and cancel timers: what is refused comes back to them at once, and what is
/// taken is fired, cancelled or among what was pending, once.
pub struct TimerHandle<T>(pub(super) Arc<Inner<T>>);

impl<T> Clone for TimerHandle<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> TimerHandle<T> {
    /// Hands `value` on after `delay`: at the first tick that is not before its end. Any length of time will do. None at
    /// all waits for the next tick, for now lies in the middle of one; [`at`](Self::at) an instant that has passed does not
    /// wait.
    ///
    /// ```
    /// use horolog_wheel::TimerService;
    /// use std::time::Duration;
    ///
    /// let (timers, due) = TimerService::with_channel(Duration::from_millis(1))?;
    /// timers.after(Duration::from_millis(5), "egg")?;
    /// assert_eq!(due.recv(), Ok("egg"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Refused`], with the value, if there is no room, or the service was stopped.
    pub fn after(&self, delay: Duration, value: T) -> Result<TimerId, Refused<T>> {
        self.insert(self.0.clock.after(delay), value)
    }

    /// Hands `value` on at `instant`: at the first tick that is not before it; at once if it has passed.
    ///
    /// ```
    /// use horolog_wheel::TimerService;
    /// use std::time::{Duration, Instant};
    ///
    /// let (timers, due) = TimerService::with_channel(Duration::from_millis(1))?;
    /// timers.at(Instant::now(), "tea")?;
    /// timers.at(Instant::now() + Duration::from_millis(5), "egg")?;
    /// assert_eq!((due.recv(), due.recv()), (Ok("tea"), Ok("egg")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Refused`], with the value, if there is no room, or the service was stopped.
    pub fn at(&self, instant: Instant, value: T) -> Result<TimerId, Refused<T>> {
        self.insert(self.0.clock.at(instant), value)
    }

    fn insert(&self, deadline: Tick, value: T) -> Result<TimerId, Refused<T>> {
        let (inner, home) = (&*self.0, home_of_this_thread());
        let arm = |key| {
            // Under the lock that `take_all` takes: what comes after that is refused, and no key is given twice.
            if inner.is_stopping() {
                return Err(RefusedBecause::Stopped);
            }
            let armed = inner.timers.insert_unrung(home, deadline, key);
            armed.map_err(|Full { timers_max, .. }| RefusedBecause::Full { timers_max })
        };
        let armed = inner.values.put(home, value, arm);
        let id = armed.map_err(|(value, reason)| Refused { value, reason })?;
        inner.timers.ring_if_earlier(deadline);
        Ok(id)
    }

    /// Takes a timer back; `None` if it is not pending. Of a cancel and the firing of a timer, exactly one gets the value.
    ///
    /// ```
    /// use horolog_wheel::TimerService;
    /// use std::time::Duration;
    ///
    /// let (timers, _due) = TimerService::with_channel(Duration::from_millis(1))?;
    /// let tea = timers.after(Duration::from_secs(180), "tea")?;
    /// assert_eq!(timers.cancel(tea), Some("tea"));
    /// assert_eq!(timers.cancel(tea), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel(&self, id: TimerId) -> Option<T> {
        if self.0.is_stopping() {
            return None;
        }
        let key = self.0.timers.cancel(id)?;
        self.0.values.take(key)
    }

    /// Takes timers back, and appends for each of `ids`, in order, its value, or `None` if it is not pending. Neighbours of one
    /// shard leave the queue together, as in [`SharedTimers::cancel_many`](crate::SharedTimers::cancel_many).
    ///
    /// ```
    /// use horolog_wheel::TimerService;
    /// use std::time::Duration;
    ///
    /// let (timers, _due) = TimerService::with_channel(Duration::from_millis(1))?;
    /// let tea = timers.after(Duration::from_secs(180), "tea")?;
    /// let egg = timers.after(Duration::from_secs(300), "egg")?;
    /// let mut values = Vec::new();
    /// timers.cancel_many(&[egg, tea, egg], &mut values);
    /// assert_eq!(values, [Some("egg"), Some("tea"), None]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel_many(&self, ids: &[TimerId], values: &mut Vec<Option<T>>) {
        let mut keys = Vec::new();
        if self.0.is_stopping() {
            keys.resize(ids.len(), None);
        } else {
            self.0.timers.cancel_many(ids, &mut keys);
        }
        values.extend(keys.into_iter().map(|key| self.0.values.take(key?)));
    }

    /// Moves a pending timer: it is due after `delay` from now, rounded as by [`after`](Self::after); false if it is not pending.
    ///
    /// ```
    /// use horolog_wheel::TimerService;
    /// use std::time::Duration;
    ///
    /// let (timers, due) = TimerService::with_channel(Duration::from_millis(1))?;
    /// let tea = timers.after(Duration::from_secs(180), "tea")?;
    /// assert!(timers.reschedule(tea, Duration::from_millis(5)));
    /// assert_eq!(due.recv(), Ok("tea"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reschedule(&self, id: TimerId, delay: Duration) -> bool {
        !self.0.is_stopping() && self.0.timers.reschedule(id, self.0.clock.after(delay))
    }

    /// Moves a pending timer: it is due at `instant`, at once if that has passed; false if it is not pending.
    ///
    /// ```
    /// use horolog_wheel::TimerService;
    /// use std::time::{Duration, Instant};
    ///
    /// let (timers, due) = TimerService::with_channel(Duration::from_millis(1))?;
    /// let tea = timers.after(Duration::from_secs(180), "tea")?;
    /// assert!(timers.reschedule_at(tea, Instant::now()));
    /// assert_eq!(due.recv(), Ok("tea"));
    /// assert!(!timers.reschedule_at(tea, Instant::now()), "it has fired");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reschedule_at(&self, id: TimerId, instant: Instant) -> bool {
        !self.0.is_stopping() && self.0.timers.reschedule(id, self.0.clock.at(instant))
    }

    /// How many timers are pending; those that were taken out to be handed on are not. O(shards), each under its lock.
    ///
    /// ```
    /// use horolog_wheel::TimerService;
    /// use std::time::Duration;
    ///
    /// let (timers, _due) = TimerService::with_channel(Duration::from_millis(1))?;
    /// timers.after(Duration::from_secs(180), "tea")?;
    /// assert_eq!(timers.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        if self.0.is_stopping() { 0 } else { self.0.timers.len() }
    }

    /// Is nothing pending? O(shards).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_stopping() || self.0.timers.is_empty()
    }
}

impl<T> fmt::Debug for TimerHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerHandle").field("timers", &self.0.timers).finish_non_exhaustive()
    }
}
