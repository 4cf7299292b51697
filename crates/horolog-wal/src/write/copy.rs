//! Writing what was salvaged of a log into an empty directory, as a log of its own.
//!
//! The copy has an identity of its own and the records of the old log, byte for byte, under their old LSNs. While it is
//! written META says that the log is being made, and so it does after a crash: nothing of a copy that was not finished is ever
//! taken for a log. The last two updates of META, when every record is durable, make it one.

use std::sync::Arc;

use horolog_storage::Storage;

use super::meta::MetaWriter;
use super::open::{begin, new_identity};
use super::snapshot::{SealedSnapshot, SnapshotPlan};
use super::spare::BlankSegment;
use super::sync::Syncer;
use super::writer::{Stamp, Writer, push_link};
use crate::batch_buf::BatchBuf;
use crate::error::{LogError, Misuse, VisitError};
use crate::format::batch::BatchFlags;
use crate::format::internal::LinkReason;
use crate::format::meta::{Listed, Meta, MetaState};
use crate::format::snapshot::SnapshotRef;
use crate::lsn::Lsn;
use crate::options::LogOptions;
use crate::read::{Boundary, LogState, LogView, Salvage, read_log};

/// Whole batches are put together up to about this part of a segment.
const BATCHES_A_SEGMENT: u64 = 8;

/// The first segment of a copy.
const FIRST_SEGMENT: u64 = 1;

/// A log that is being copied.
#[derive(Debug)]
pub struct LogCopy {
    writer: Writer,
    syncer: Syncer,
    batch: BatchBuf,
    batch_bytes: u64,
    engine_tick: u64,
    snapshot: Option<SnapshotRef>,
}

impl LogCopy {
    /// Begins a log in an empty directory, whose lock the caller holds. Its first record comes behind `base`: what those before
    /// it made, if there are any, goes into a snapshot ([`LogCopy::plan_snapshot`]).
    ///
    /// # Errors
    ///
    /// [`Misuse::NotEmpty`] if there is anything but the lock, even a log that was never finished; nothing was written then.
    pub fn begin(storage: Arc<dyn Storage>, options: &LogOptions, base: Lsn) -> Result<Self, LogError> {
        // A batch was as large as it had to be: it is not refused for that now.
        let options = LogOptions { batch_bytes_max: u64::from(u32::MAX), ..options.clone() };
        let view = read_empty(&*storage, &options)?;
        let uuid = new_identity(&*storage)?;
        let meta = MetaWriter::create(Arc::clone(&storage), uuid)?;
        let blocks = options.segment_blocks(options.segment_bytes_min, 0);
        let blocks = blocks.ok_or(LogError::Misuse(Misuse::SegmentSize))?;
        let blank = BlankSegment {
            storage: Arc::clone(&storage),
            uuid,
            epoch: 1,
            id: FIRST_SEGMENT,
            blocks,
            recycled: None,
        };
        let made = blank.make(LogError::from)?;
        let mut writer = begin(Arc::clone(&storage), &view, &options, &made, meta, 0);
        (writer.tail, writer.durable) = (base, base);
        let mut first = BatchBuf::new();
        push_link(&mut first, Boundary { last_lsn: base, ..Boundary::ORIGIN }, 1, LinkReason::Created);
        writer.write(&mut first, BatchFlags::LINK)?;
        let syncer = Syncer { shared: Arc::clone(&writer.shared) };
        let batch_bytes = options.segment_bytes_min / BATCHES_A_SEGMENT;
        let (batch, snapshot) = (BatchBuf::new(), None);
        Ok(Self { writer, syncer, batch, batch_bytes, engine_tick: 0, snapshot })
    }

    /// Whether a log can be begun in a directory: as [`LogCopy::begin`], and nothing is written.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn check(storage: &dyn Storage, options: &LogOptions) -> Result<(), LogError> {
        read_empty(storage, options).map(drop)
    }

    /// A snapshot of what the records before the first one of the copy made, to be given back with
    /// [`LogCopy::add_snapshot`].
    pub fn plan_snapshot(&mut self) -> SnapshotPlan {
        self.writer.plan_snapshot(self.writer.tail())
    }

    /// The snapshot counts when the copy is finished.
    ///
    /// # Errors
    ///
    /// [`LogError::Storage`] if it cannot get its name.
    pub fn add_snapshot(&mut self, sealed: SealedSnapshot) -> Result<(), LogError> {
        self.snapshot = Some(sealed.name()?);
        Ok(())
    }

    /// Copies the kept records up to `upto`, which ends a batch of theirs. What was written in one batch stays in one.
    ///
    /// # Errors
    ///
    /// [`LogError::Corruption`] if what was kept can no longer be read; [`LogError::Storage`] if it cannot be written.
    pub fn copy(&mut self, salvage: &Salvage<'_>, upto: Lsn) -> Result<(), LogError> {
        self.engine_tick = self.engine_tick.max(salvage.engine_tick);
        let copied = salvage.walk_kept(Lsn::ZERO, &mut |_, batch| {
            if batch.last_lsn > upto {
                return Ok(());
            }
            for (_, _, record) in batch.records() {
                self.batch.copy(record.bytes, record.crc);
            }
            if self.batch.disk_bytes() < self.batch_bytes { Ok(()) } else { self.flush() }
        });
        match copied {
            Ok(()) => self.flush(),
            Err(VisitError::Log(error) | VisitError::Visitor(error)) => Err(error),
        }
    }

    /// Appends one record of the owner, in a batch of its own.
    ///
    /// # Errors
    ///
    /// As [`Writer::append`].
    pub fn push(&mut self, kind: u8, body: impl FnOnce(&mut Vec<u8>)) -> Result<Lsn, LogError> {
        self.flush()?;
        self.batch.push(kind, 0, body);
        self.flush()?;
        Ok(self.writer.tail())
    }

    fn flush(&mut self) -> Result<(), LogError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let first_lsn = self.writer.tail().next();
        let stamp = Stamp { first_lsn, durable_lsn: Lsn::ZERO, engine_tick: self.engine_tick, flags: 0 };
        self.writer.append(&mut self.batch, stamp, 0)?;
        self.batch.clear();
        Ok(())
    }

    /// Makes everything durable and then, by META, a log. Returns its identity.
    ///
    /// # Errors
    ///
    /// The copy is not finished, and is no log.
    pub fn finish(mut self) -> Result<u128, LogError> {
        self.flush()?;
        self.syncer.sync()?;
        self.writer.mark(self.writer.tail(), self.engine_tick, true)?;
        self.syncer.sync()?;
        let (head, tail) = (self.writer.segment.listed(), self.writer.tail());
        self.writer.shared.update_meta(|meta| {
            meta.update(|meta| activate(meta, head, tail, self.snapshot))?;
            meta.confirm()
        })?;
        Ok(self.writer.uuid())
    }
}

fn read_empty<'a>(storage: &'a dyn Storage, options: &LogOptions) -> Result<LogView<'a>, LogError> {
    let view = read_log(storage, options)?;
    if view.state != LogState::Empty || view.meta.is_some() || !view.leftovers.is_empty() {
        return Err(LogError::Misuse(Misuse::NotEmpty));
    }
    Ok(view)
}

/// The copy is a log, and this is its newest segment.
fn activate(meta: &mut Meta, head: Listed, tail: Lsn, snapshot: Option<SnapshotRef>) {
    meta.epoch = 1;
    meta.state = MetaState::Active;
    meta.durable_lsn = tail;
    meta.first_segment = FIRST_SEGMENT;
    meta.head_segment = head.segment_id;
    meta.next_segment = head.segment_id + 1;
    meta.listed = vec![head];
    meta.snapshots = [snapshot, None];
}
