//! A promise that a record is as safe as was asked for, to be waited for or awaited.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use horolog_state::TimerId;

use crate::error::Indeterminate;
use crate::machine::{Accepted, Level};
use crate::services::Core;
use crate::shell::Failed;

/// The answer to a call, held back until its record is as safe as was asked for.
///
/// Waiting costs no thread and needs no runtime: [`Ticket::wait`] blocks, and a ticket can be awaited (`ticket.await`).
/// It may be ignored: dropping it changes nothing about the record. After [`Indeterminate`] it can be waited for again.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let engine = horolog::Engine::open(dir.path())?;
/// use std::time::Duration;
/// use horolog::Timer;
///
/// let ticket = engine.submit(Timer::after(Duration::from_secs(60)))?;
/// let id = ticket.id();   // known at once
/// ticket.wait()?;         // on disk from here on
/// assert!(engine.get(id).is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Ticket<T> {
    value: T,
    lsn: u64,
    level: Level,
    core: Arc<Core>,
}

impl<T: Clone> Ticket<T> {
    pub(crate) fn new(accepted: Accepted<T>, core: &Arc<Core>) -> Self {
        let Accepted { value, lsn, level } = accepted;
        Self { value, lsn: lsn.0, level, core: Arc::clone(core) }
    }

    /// Blocks until the record is as safe as was asked for.
    ///
    /// # Errors
    ///
    /// [`Indeterminate`] if a write or a sync failed before.
    pub fn wait(&self) -> Result<T, Indeterminate> {
        let outcome = self.core.wait(self.lsn, self.level, None).unwrap_or(Ok(()));
        self.answer(outcome)
    }

    /// As [`Ticket::wait`], at most for `timeout`; `None` if the record is still on its way then.
    ///
    /// # Errors
    ///
    /// As [`Ticket::wait`].
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Result<T, Indeterminate>> {
        self.core.wait(self.lsn, self.level, Some(timeout)).map(|outcome| self.answer(outcome))
    }

    /// Blocks like [`Ticket::wait`], and does the writing and syncing on this thread while nobody else does.
    pub(crate) fn lead(&self) -> Result<T, Indeterminate> {
        let outcome = self.core.lead(self.lsn, self.level);
        self.answer(outcome)
    }

    fn answer(&self, outcome: Result<(), Failed>) -> Result<T, Indeterminate> {
        match outcome {
            Ok(()) => Ok(self.value.clone()),
            Err(Failed) => Err(self.core.indeterminate()),
        }
    }
}

impl Ticket<TimerId> {
    /// The id of the timer, known before it is safe.
    #[must_use]
    pub fn id(&self) -> TimerId {
        self.value
    }
}

impl<T: Clone + Unpin> IntoFuture for Ticket<T> {
    type Output = Result<T, Indeterminate>;
    type IntoFuture = Pending<T>;

    fn into_future(self) -> Pending<T> {
        Pending { ticket: self }
    }
}

/// A [`Ticket`] that is awaited.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Pending<T> {
    ticket: Ticket<T>,
}

impl<T: Clone + Unpin> Future for Pending<T> {
    type Output = Result<T, Indeterminate>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ticket = &self.ticket;
        match ticket.core.poll(ticket.lsn, ticket.level, context.waker()) {
            Some(outcome) => Poll::Ready(ticket.answer(outcome)),
            None => Poll::Pending,
        }
    }
}

impl<T> fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("lsn", &self.lsn).field("level", &self.level).finish_non_exhaustive()
    }
}
