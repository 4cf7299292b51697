//! From the files of a directory to the state of the engine, and what has been missed meanwhile.
//!
//! Recovery contains no rule of its own about timers: it reads the log, decodes each record and applies it with the same
//! [`apply`](horolog_state::State::apply) as live traffic, granting at once what the record gives. It reads and never
//! writes; opening the log for writing is the log's own affair (`horolog_wal::open_writer`), with the view that came out of
//! here.
//!
//! ```text
//! files --read_log--> LogView --snapshot--> Replay --records behind it--> State --place--> wheels, backlog, suspects
//! ```
//!
//! [`verify`] takes the same way and stops there, so that `verify` and an opening always agree.
//!
//! [`salvage`] is for a directory that is refused: it says what can be kept, and writes that to a new one.
#![forbid(unsafe_code)]

mod error;
mod missed;
mod progress;
mod repair;
mod replay;
mod report;
mod snapshot;

pub use error::RecoveryError;
pub use missed::{Missed, place};
pub use progress::{Progress, RecoveryStep};
pub use repair::{RepairError, Repaired, Salvaged, salvage};
pub use replay::{Recovered, recover, recover_watched, verify};
pub use report::Report;
pub use snapshot::{RottenSnapshot, SnapshotTrouble};
