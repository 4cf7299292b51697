//! A durable timer engine: schedule millions of timers; they survive crashes and power loss.
//!
//! ```no_run
//! use std::time::Duration;
//! use horolog::{Engine, Timer};
//!
//! let engine = Engine::open("timers")?; // recovers; missed timers are on their way
//! engine.schedule(Timer::after(Duration::from_secs(30)).payload(b"retry order 42"))?; // on disk when it returns
//! for due in engine.due() {
//!     println!("{}", String::from_utf8_lossy(due.payload()));
//!     due.complete()?; // never again
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The types
//!
//! | type | is |
//! | --- | --- |
//! | [`Engine`] | an open directory: `schedule`, `submit`, `cancel`, `reschedule`, `apply`, `due` |
//! | [`Options`] | limits, tick length, buffer sizes, the clock |
//! | [`Timer`] | a request: when, payload, key, misfire policy, retries, durability |
//! | [`Ticket`] | an answer that is held back until its record is safe; blocks or is awaited |
//! | [`Due`] | an occurrence in the hands of its consumer; owning it is the lease |
//! | [`Batch`] | operations that happen together or not at all |
//! | [`Clock`] | the source of time, to be replaced in tests |
//!
//! # Threads
//!
//! An engine has four: one for time, two for the log, one that keeps it tidy. Calls may come from any thread. A blocking
//! call writes and syncs on its own thread when nobody else does.
//!
//! # Errors
//!
//! Every refusal says which limit, and hands the input back. [`Indeterminate`] is not a refusal: the record was applied, and
//! whether it is on the medium is unknown.
//!
//! # Features
//!
//! `serde` (default): typed payloads as JSON, serializable [`Stats`].
#![forbid(unsafe_code)]

mod batch;
mod clock;
mod due;
mod engine;
mod error;
mod journal;
mod machine;
mod opening;
mod options;
mod services;
mod shell;
#[cfg(any(test, feature = "simulation"))]
#[doc(hidden)]
pub mod simulation;
mod stats;
mod sync;
mod ticket;
mod timer;

pub use batch::Batch;
pub use clock::{Clock, ClockTimes, SystemClock};
pub use due::{Due, NextDue, Occurrence};
pub use engine::{ApplyBatchError, DueAt, Engine};
pub use error::{
    BackupError, BatchError, BatchFault, CancelError, CompactError, HealError, Indeterminate, NotScheduled,
    OpenError, OutcomeError, OutcomeFault, RescheduleError, ScheduleError, ScheduleFault, ShutdownError,
    Unavailable,
};
pub use horolog_recovery::{
    Progress, RecoveryError, RecoveryStep, RepairError, Report, RottenSnapshot, SnapshotTrouble,
};
pub use horolog_state::{
    CancelOutcome, DeadReason, IfExists, Lsn, Misfire, Payload, Phase, RescheduleRefusal, ScheduleRefusal,
    StaleToken, TimerId, Token,
};
pub use horolog_storage::StorageError;
pub use horolog_wal::{Corruption, LogError};
pub use machine::{Applied, BatchRefusal, Failure, MissedSlots};
pub use opening::OpeningTimes;
pub use options::{BadOption, Options};
pub use stats::{DeadInfo, Stats, TimerInfo};
pub use ticket::{Pending, Ticket};
pub use timer::{BadTime, Durability, Timer};

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
