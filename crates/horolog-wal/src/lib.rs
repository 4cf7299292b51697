//! An append-only log of opaque payloads that tells a torn tail from rot.
//!
//! The log knows no timers. It gives each record a number, the [`Lsn`], keeps records in batches that are written
//! whole or not at all, and reads them back after any crash. `docs/format.md` specifies every byte.
//!
//! # One directory, one truth
//!
//! A log is a chain of segment files. The first batch of each segment is a LINK that names the segment before it, the
//! last LSN that counts there, and the chain value at that place. The file META lists the newest of them; the newest listed
//! one that continues the log is the head, and following its LINKs gives the log.
//!
//! # Torn tail or corruption
//!
//! Each batch header carries the highest LSN its writer knew to be durable. Reading computes two numbers:
//!
//! - **D**, the highest LSN that anything in the directory proves durable;
//! - **V**, the last LSN of the longest valid prefix.
//!
//! With V ≥ D whatever lies behind V was never promised to anybody: a torn tail, ordinary after a crash, reported as
//! [`LogView::torn_bytes`]. With V < D acknowledged records are gone: [`LogError::Corruption`] says which ones, where
//! they should be, and where the proof is. Nothing is ever truncated or repaired in place.
//!
//! # Order of life
//!
//! ```text
//! Storage::lock  ->  read_log  ->  LogView  ->  open_writer  ->  Writer + Syncer
//! ```
//!
//! [`read_log`] takes no lock and writes nothing; verify, inspect and dump stop there. [`open_writer`] starts a fresh
//! segment, copies the records D+1..=V into it and syncs it, before anything is shown to anybody.
//!
//! A log that is refused can be salvaged: [`salvage`] says what can be read of it, and [`LogCopy`] writes that to another
//! directory.

mod batch_buf;
mod error;
mod format;
mod lsn;
mod options;
#[doc(hidden)]
pub mod planted;
mod read;
mod write;

pub use batch_buf::BatchBuf;
pub use error::{
    Corruption, Evidence, EvidenceKind, LogError, LogFile, Lost, MetaDamage, Misuse, Unknown, VisitError,
};
pub use format::batch::{BatchFlags, BatchHeader, Context};
pub use format::internal::{Link, LinkReason, Seal};
pub use format::meta::{Listed, Meta, MetaFault, MetaState};
pub use format::record::{RecordFault, RecordView};
pub use format::segment::{SegmentFault, SegmentHeader};
pub use format::snapshot::{SnapshotDamage, SnapshotRef};
pub use format::{BATCH_HEADER_LEN, BLOCK_LEN, Fault, INTERNAL_KIND_MIN, RECORD_HEADER_LEN};
pub use lsn::Lsn;
pub use options::LogOptions;
pub use read::{
    Damage, DamageKind, LogState, LogView, Record, Salvage, SalvageRole, SalvagedSegment, SegmentReport,
    SegmentRole, SnapshotOnDisk, read_anew, read_log, read_log_watched, read_until_believed, salvage,
    salvage_behind, snapshots_on_disk, visit_log,
};
#[doc(hidden)]
pub use write::SlowSync;
pub use write::{
    Appended, LogCopy, RetirePlan, Retired, SealedSnapshot, SnapshotFile, SnapshotPlan, Spare, SparePlan,
    Stamp, Syncer, UnreadSnapshot, Writer, open_writer,
};
