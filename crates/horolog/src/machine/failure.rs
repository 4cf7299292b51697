//! Why an engine stopped writing.

use std::sync::Arc;

use horolog_state::ApplyError;
use horolog_wal::LogError;

use super::Machine;

/// The first thing that went wrong. Every later call names it as its source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A write or a sync failed; what was in flight may or may not be on the medium.
    #[error("the log could not be written")]
    Log(#[source] LogError),
    /// A thread of the engine panicked.
    #[error("a thread of the engine panicked: {thread}")]
    Panicked {
        /// Which one.
        thread: &'static str,
    },
    /// The engine's own books do not agree: a defect of the engine.
    #[error("the engine has a defect: {what}")]
    Defect {
        /// What does not agree.
        what: &'static str,
    },
    /// A record did not fit the state it was decided on: a defect of the engine.
    #[error("the engine's rules contradict themselves")]
    Rules(#[source] ApplyError),
}

impl Machine {
    /// Stops all log jobs for good. Only the first failure is kept. Queries go on; so do armed timers, whose attempts
    /// are counted in memory.
    pub(crate) fn fail(&mut self, failure: Failure) {
        if self.failure.is_none() {
            self.failure = Some(Arc::new(failure));
        }
    }
}
