//! What a service says instead of an id.

use core::fmt;

/// A timer was not taken. The value comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused<T> {
    /// As it was given.
    pub value: T,
    /// Why.
    pub reason: RefusedBecause,
}

/// Why a [`TimerService`](crate::TimerService) refuses a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusedBecause {
    /// No room was found, as in [`Full`](crate::Full).
    Full {
        /// How many timers may be pending.
        timers_max: u32,
    },
    /// The service was stopped or dropped.
    Stopped,
}

impl<T> fmt::Debug for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            RefusedBecause::Full { timers_max } => {
                write!(f, "no room for another timer: at most {timers_max} may be pending")
            }
            RefusedBecause::Stopped => f.write_str("the timer service was stopped"),
        }
    }
}

impl<T> core::error::Error for Refused<T> {}
