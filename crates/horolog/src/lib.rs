//! A durable timer engine: schedule millions of timers; they survive crashes and power loss.
//!
//! See [`Engine`] for a first program.
#![forbid(unsafe_code)]

mod batch;
mod clock;
mod due;
mod engine;
mod error;
mod journal;
mod machine;
mod options;
mod services;
mod shell;
mod stats;
mod sync;
mod ticket;
mod timer;

pub use batch::Batch;
pub use clock::{Clock, ClockTimes, SystemClock};
pub use due::{Due, NextDue, Occurrence};
pub use engine::{ApplyBatchError, DueAt, Engine};
pub use error::{
    BatchError, BatchFault, CancelError, Indeterminate, NotScheduled, OpenError, OutcomeError, OutcomeFault,
    RescheduleError, ScheduleError, ScheduleFault, ShutdownError, Unavailable,
};
pub use horolog_recovery::{RecoveryError, Report};
pub use horolog_state::{
    CancelOutcome, DeadReason, IfExists, Misfire, Phase, RescheduleRefusal, ScheduleRefusal, StaleToken,
    TimerId, Token,
};
pub use horolog_storage::StorageError;
pub use horolog_wal::{Corruption, LogError};
pub use machine::{Applied, BatchRefusal, Failure, MissedSlots};
pub use options::{BadOption, Options};
pub use stats::{DeadInfo, Stats, TimerInfo};
pub use ticket::Ticket;
pub use timer::{BadTime, Durability, Timer};
