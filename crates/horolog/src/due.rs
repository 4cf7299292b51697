//! An occurrence in the hands of its consumer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use horolog_state::{FailCause, StaleToken, TimerId, Token};

use crate::error::{OutcomeError, split};
use crate::machine::{Accepted, Begun, MissedSlots, Refused};
use crate::services::Core;
use crate::ticket::Ticket;
use crate::timer::Durability;

/// Which occurrence of which timer: the same on every delivery and after every restart, so it is the key by which a
/// handler can tell that it did this before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Occurrence {
    /// The timer. Its id is never used again.
    pub timer: TimerId,
    /// 0 for a one-shot; the place on its grid for a recurring timer.
    pub index: u64,
}

impl fmt::Display for Occurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.timer, self.index)
    }
}

/// An occurrence that is due, delivered at least once.
///
/// **Owning it is the lease**: it does not run out while the value lives in this process. Say [`Due::complete`] when it
/// is done and [`Due::fail`] when it is to be tried again. Dropping it, also by a panic, is a failure. A crash of the
/// process counts as a delivery, and the occurrence is delivered again after the restart.
#[must_use = "dropping an occurrence is a failure: complete it"]
pub struct Due {
    begun: Begun,
    core: Arc<Core>,
    /// Its outcome is known.
    settled: bool,
}

impl Due {
    pub(crate) fn new(begun: Begun, core: &Arc<Core>) -> Self {
        Self { begun, core: Arc::clone(core), settled: false }
    }

    /// The timer.
    #[must_use]
    pub fn id(&self) -> TimerId {
        self.begun.token.id
    }

    /// The occurrence: an idempotency key.
    #[must_use]
    pub fn occurrence(&self) -> Occurrence {
        Occurrence { timer: self.begun.token.id, index: self.begun.token.occurrence }
    }

    /// The bytes that were scheduled with the timer.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.begun.payload
    }

    /// The value that was scheduled with [`Timer::payload_as`](crate::Timer::payload_as).
    ///
    /// # Errors
    ///
    /// What serde says of bytes that are not such a value.
    #[cfg(feature = "serde")]
    pub fn payload_as<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.payload())
    }

    /// The timer's key; empty if it has none.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.begun.key
    }

    /// Which delivery of this occurrence it is: 1, 2, …. Deliveries that a crash cut short count.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.begun.token.number
    }

    /// When it was due: its deadline, or for a one-shot that is tried again the end of the wait.
    #[must_use]
    pub fn deadline(&self) -> SystemTime {
        self.begun.deadline
    }

    /// How long after that it was handed over. Never early.
    #[must_use]
    pub fn lateness(&self) -> Duration {
        self.begun.lateness
    }

    /// The occurrences that passed while nothing ran and that this one stands for, itself included; `None` if it is in
    /// time.
    #[must_use]
    pub fn missed(&self) -> Option<MissedSlots> {
        self.begun.missed
    }

    /// It is done, and will not be delivered again. Does not wait: the ticket says when that is durable.
    ///
    /// # Errors
    ///
    /// [`OutcomeError`] hands the occurrence back, for example after a shutdown.
    pub fn complete(self) -> Result<Ticket<()>, OutcomeError> {
        self.complete_as(Durability::Synced)
    }

    /// [`Due::complete`], as safe as asked.
    ///
    /// # Errors
    ///
    /// As [`Due::complete`].
    pub fn complete_as(self, durability: Durability) -> Result<Ticket<()>, OutcomeError> {
        let token = self.begun.token;
        let outcome = self.core.hold(|machine, now| machine.complete(token, durability, &now));
        self.conclude(outcome)
    }

    /// It is not done: it is tried again after a wait, or given up if its policy says so.
    ///
    /// `message` is kept with it, cut at 512 bytes. Does not wait.
    ///
    /// # Errors
    ///
    /// As [`Due::complete`].
    pub fn fail(self, message: impl fmt::Display) -> Result<Ticket<()>, OutcomeError> {
        let (token, message) = (self.begun.token, message.to_string());
        let outcome =
            self.core.hold(|machine, now| machine.fail_delivery(token, FailCause::Reported, &message, &now));
        self.conclude(outcome)
    }

    fn conclude(
        mut self,
        outcome: Result<Accepted<()>, Refused<StaleToken>>,
    ) -> Result<Ticket<()>, OutcomeError> {
        match outcome {
            Ok(accepted) => {
                self.settled = true;
                self.core.outside().consumed();
                Ok(Ticket::new(accepted, &self.core))
            }
            Err(refused) => Err(OutcomeError { fault: split(refused), due: Box::new(self) }),
        }
    }

    pub(crate) fn token(&self) -> Token {
        self.begun.token
    }

    /// Whether this engine handed it out.
    pub(crate) fn is_of(&self, core: &Arc<Core>) -> bool {
        Arc::ptr_eq(&self.core, core)
    }

    /// Its outcome is known by another way, or does not matter any more: dropping it means nothing.
    pub(crate) fn settle(mut self) {
        self.settled = true;
    }
}

impl Drop for Due {
    fn drop(&mut self) {
        if !self.settled {
            let cause = if std::thread::panicking() { FailCause::Panicked } else { FailCause::Dropped };
            self.core.hold(|machine, now| machine.drop_delivery(self.begun.token, cause, &now));
            self.core.outside().consumed();
        }
    }
}

impl fmt::Debug for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Due")
            .field("occurrence", &self.occurrence())
            .field("attempt", &self.attempt())
            .field("lateness", &self.lateness())
            .field("payload_bytes", &self.payload().len())
            .finish_non_exhaustive()
    }
}

/// Awaits the next occurrence: see [`Engine::next_due`](crate::Engine::next_due).
#[must_use = "futures do nothing unless awaited"]
pub struct NextDue<'a> {
    core: &'a Core,
    /// Its place among those who wait.
    place: Option<u64>,
}

impl<'a> NextDue<'a> {
    pub(crate) fn new(core: &'a Core) -> Self {
        Self { core, place: None }
    }
}

impl Drop for NextDue<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.core.outside().unfile_consumer(place);
        }
    }
}

impl Future for NextDue<'_> {
    type Output = Option<Due>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let services = self.core.outside();
        let look = || match services.due_receiver().try_recv() {
            Ok(due) => Poll::Ready(Some(due)),
            Err(_) if services.has_ended() => Poll::Ready(None),
            Err(_) => Poll::Pending,
        };
        match look() {
            Poll::Pending => {
                self.place = Some(services.file_consumer(self.place, context.waker()));
                // One may have come between the look and the filing.
                look()
            }
            ready => ready,
        }
    }
}

impl fmt::Debug for NextDue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NextDue")
    }
}
