//! Opening a log for writing: a fresh segment, linked where the durable part ends.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use horolog_storage::Storage;

use super::meta::MetaWriter;
use super::retire::Linked;
use super::spare::{BlankSegment, Made};
use super::sync::{Shared, Syncer};
use super::writer::{Segment, Writer, push_link};
use crate::batch_buf::BatchBuf;
use crate::error::{LogError, LogFile, Misuse, Unknown, VisitError};
use crate::format::batch::BatchFlags;
use crate::format::internal::LinkReason;
use crate::format::meta::{Meta, MetaState};
use crate::lsn::Lsn;
use crate::options::LogOptions;
use crate::planted::{Bug, is_planted};
use crate::read::{LogState, LogView, Part, SegmentReport, read_meta, segment_name};

/// Opens the log that `view` describes for writing. The caller holds the lock of the directory since before it read the
/// view.
///
/// A fresh segment is made and listed, and its first batch, one atomic write, is a LINK to a place in the durable part and
/// a copy of the records behind that, up to `view.valid`. It is synced, and META calls it the head: when this returns, all
/// of `view.valid` is durable. No older file is written. A crash at any step before META says so leaves what was there
/// before; after it, the new segment, which says the same. Files that no LINK names any more are then removed.
///
/// # Errors
///
/// Nothing of the log has changed. [`Misuse::StaleView`] if the directory is no longer the one that was read;
/// [`LogError::Unknown`] if a later program wrote it that lets this one read and not write.
pub fn open_writer(
    storage: Arc<dyn Storage>,
    view: &LogView<'_>,
    options: &LogOptions,
    now_ms: u64,
) -> Result<(Writer, Syncer), LogError> {
    check_view(&*storage, view, options)?;
    if is_planted(Bug::TidiedFirst) {
        tidy(&*storage, view);
    }
    let epoch = view.epoch.saturating_add(1);
    let reason = if view.state == LogState::Empty { LinkReason::Created } else { LinkReason::Opened };
    let mut first = BatchBuf::new();
    push_link(&mut first, view.cut, epoch, reason);
    copy_undurable(view, &mut first)?;

    let blocks = blocks_for(&first, options)?;
    let before = meta_before(&storage, view)?;
    let (uuid, id) = (before.uuid, view.next_id);
    let blank = BlankSegment { storage: Arc::clone(&storage), uuid, epoch, id, blocks, recycled: None };
    // Listed beside those that the old truth needs: the head that was read, and what leads to it. Those that are newer were
    // judged.
    let (made, meta) = blank.make_announced(before, view.head_id())?;

    let mut writer = begin(storage, view, options, &made, meta, now_ms);
    let syncer = Syncer { shared: Arc::clone(&writer.shared) };
    writer.write(&mut first, BatchFlags::LINK)?;
    if !is_planted(Bug::HeadNotSynced) {
        syncer.sync()?;
    }
    writer.learn(writer.tail);
    writer.durable_end = writer.end();
    writer.shared.update_meta(|meta| {
        meta.update(|meta| enthrone(meta, view, &made, writer.tail))?;
        // Both pairs of slots say so before anything is removed.
        meta.confirm()
    })?;
    tidy(&*writer.storage, view);
    Ok((writer, syncer))
}

/// A view that was made before another writer opened would lead to a second segment of the same id.
fn check_view(storage: &dyn Storage, view: &LogView<'_>, options: &LogOptions) -> Result<(), LogError> {
    let names = storage.list()?;
    let complete = view.segments.iter().all(|segment| names.contains(&segment.name));
    let meta = read_meta(storage)?.map(|found| found.meta);
    if !complete
        || names.contains(&segment_name(view.next_id))
        || meta != view.meta
        || view.codec != options.codec
    {
        return Err(LogError::Misuse(Misuse::StaleView));
    }
    match meta {
        Some(Meta { ro_compat: bits, .. }) if bits != 0 => {
            Err(LogError::Unknown { file: LogFile::Meta, offset: 0, what: Unknown::ReadOnly(bits) })
        }
        _ => Ok(()),
    }
}

/// META comes first. Until it says that the log is active, all that is made is made again by the next opening; META too, for its
/// name may never have become durable, and a segment without META would be refused.
fn meta_before(storage: &Arc<dyn Storage>, view: &LogView<'_>) -> Result<Meta, LogError> {
    let begun = match &view.meta {
        Some(meta) if meta.state == MetaState::Active => return Ok(meta.clone()),
        Some(meta) => MetaWriter::place(Arc::clone(storage), Meta { seq: meta.seq + 1, ..meta.clone() })?,
        None => MetaWriter::create(Arc::clone(storage), new_identity(&**storage)?)?,
    };
    Ok(begun.meta().clone())
}

/// The new segment is the truth.
fn enthrone(meta: &mut Meta, view: &LogView<'_>, made: &Made, tail: Lsn) {
    let id = made.header.segment_id;
    let goes_on = meta.state == MetaState::Active && view.cut.segment >= meta.first_segment;
    meta.first_segment = if goes_on { meta.first_segment } else { id };
    meta.state = MetaState::Active;
    meta.head_segment = id;
    meta.listed.retain(|listed| listed.segment_id == id);
    meta.durable_lsn = tail;
}

pub(super) fn new_identity(storage: &dyn Storage) -> Result<u128, LogError> {
    let mut uuid = [0; 16];
    storage.entropy(&mut uuid)?;
    // Zero means that there is none.
    Ok(u128::from_le_bytes(uuid).max(1))
}

/// What a dead process wrote and nobody proved durable is written again, to fresh blocks: the page cache may show
/// bytes that a failed sync has lost.
fn copy_undurable(view: &LogView<'_>, batch: &mut BatchBuf) -> Result<(), LogError> {
    if is_planted(Bug::NothingCopied) {
        return Ok(());
    }
    let copied = view.walk::<Infallible>(view.cut.last_lsn.next(), &mut |placed| {
        batch.copy(placed.view.bytes, placed.view.crc);
        Ok(())
    });
    match copied {
        Ok(()) => Ok(()),
        Err(VisitError::Log(error)) => Err(error),
        Err(VisitError::Visitor(never)) => match never {},
    }
}

fn blocks_for(first: &BatchBuf, options: &LogOptions) -> Result<u32, LogError> {
    let blocks = options.segment_blocks(options.segment_bytes_min, first.disk_bytes());
    match blocks {
        Some(blocks) if !first.is_spoiled() => Ok(blocks),
        _ => Err(LogError::Misuse(Misuse::SegmentSize)),
    }
}

pub(super) fn begin(
    storage: Arc<dyn Storage>,
    view: &LogView<'_>,
    options: &LogOptions,
    made: &Made,
    meta: MetaWriter,
    now_ms: u64,
) -> Writer {
    Writer {
        storage,
        options: options.clone(),
        shared: Arc::new(Shared::new(made.current(), meta, view.rotten.clone())),
        uuid: made.header.uuid,
        epoch: made.header.epoch,
        next_id: made.header.segment_id + 1,
        next_snapshot: view.next_snapshot,
        segment: Segment::new(made, now_ms),
        tail: view.cut.last_lsn,
        chain: view.cut.chain,
        durable: view.cut.last_lsn,
        durable_end: view.cut,
        ends: VecDeque::new(),
        engine_tick: view.engine_tick,
        now_ms,
        spares: VecDeque::new(),
        chain_before: view
            .parts
            .iter()
            .filter(|part| part.found.id <= view.cut.segment)
            .map(linked)
            .collect(),
        recycled: Vec::new(),
        token: Arc::new(()),
    }
}

fn linked(part: &Part) -> Linked {
    Linked { id: part.found.id, last_lsn: part.last_lsn, capacity_blocks: part.header.capacity_blocks }
}

/// Removes what the new head does not lead to: half-made files, spares, burnt segments, and a head that was replaced. All
/// of it was judged by the view, and what it held is durable in the new segment. A file with a damaged header is left
/// alone: nobody knows whose it is. What cannot be removed now is found again by the next opening.
fn tidy(storage: &dyn Storage, view: &LogView<'_>) {
    let leads_to = |id: u64| id <= view.cut.segment && view.parts.iter().any(|part| part.found.id == id);
    let orphans = view.segments.iter().filter(|segment| is_ours(segment) && !leads_to(segment.id));
    for name in view.leftovers.iter().chain(orphans.map(|segment| &segment.name)) {
        let _ = storage.remove(name);
    }
}

/// A damaged header says nothing about whose file it is.
fn is_ours(segment: &SegmentReport) -> bool {
    segment.capacity_bytes > 0
}
