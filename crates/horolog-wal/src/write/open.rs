//! Opening a log for writing: a fresh segment, linked where the durable part ends.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use horolog_storage::Storage;

use super::spare::{Spare, SparePlan};
use super::sync::{Shared, Syncer};
use super::writer::{Segment, Writer, push_link};
use crate::batch_buf::BatchBuf;
use crate::error::{LogError, Misuse, VisitError};
use crate::format::batch::BatchFlags;
use crate::format::internal::LinkReason;
use crate::options::LogOptions;
use crate::read::{Boundary, LogState, LogView, segment_name};

/// Opens the log that `view` describes for writing. The caller holds the lock of the directory since before it read the
/// view.
///
/// A fresh segment is made, and its first batch, one atomic write, is a LINK to the end of the durable part and a copy of
/// the records `view.durable + 1 ..= view.valid`. It is synced: when this returns, all of `view.valid` is durable.
/// No older file is written. A crash at any step before that sync leaves what was there before; after it, the new
/// segment, which says the same. Files that no LINK names any more are then removed.
///
/// # Errors
///
/// Nothing of the log has changed. [`Misuse::StaleView`] if the directory is no longer the one that was read.
pub fn open_writer(
    storage: Arc<dyn Storage>,
    view: &LogView,
    options: &LogOptions,
    now_ms: u64,
) -> Result<(Writer, Syncer), LogError> {
    check_view(&*storage, view, options)?;
    let epoch = view.epoch.saturating_add(1);
    let reason = if view.state == LogState::Empty { LinkReason::Created } else { LinkReason::Opened };
    let mut first = BatchBuf::new();
    push_link(&mut first, view.cut, epoch, reason);
    copy_undurable(view, &mut first)?;

    let token = Arc::new(());
    let spare = SparePlan {
        storage: Arc::clone(&storage),
        uuid: identity(&*storage, view)?,
        epoch,
        id: view.next_id,
        blocks: blocks_for(&first, options)?,
        token: Arc::clone(&token),
    }
    .prepare()?;
    let mut writer = begin(storage, view, options, &spare, token, now_ms);
    let syncer = Syncer { shared: Arc::clone(&writer.shared) };
    writer.write(&mut first, BatchFlags::LINK)?;
    syncer.sync()?;
    writer.learn(writer.tail);
    tidy(&*writer.storage, view);
    Ok((writer, syncer))
}

/// A view that was made before another writer opened would lead to a second segment of the same id.
fn check_view(storage: &dyn Storage, view: &LogView, options: &LogOptions) -> Result<(), LogError> {
    let names = storage.list()?;
    let complete = view.segments.iter().all(|segment| names.contains(&segment.name));
    if complete && !names.contains(&segment_name(view.next_id)) && view.codec == options.codec {
        Ok(())
    } else {
        Err(LogError::Misuse(Misuse::StaleView))
    }
}

/// A log that was never begun gets its identity now.
fn identity(storage: &dyn Storage, view: &LogView) -> Result<u128, LogError> {
    if view.uuid != 0 {
        return Ok(view.uuid);
    }
    let mut uuid = [0; 16];
    storage.entropy(&mut uuid)?;
    // Zero means that there is none.
    Ok(u128::from_le_bytes(uuid).max(1))
}

/// What a dead process wrote and nobody proved durable is written again, to fresh blocks: the page cache may show
/// bytes that a failed sync has lost.
fn copy_undurable(view: &LogView, batch: &mut BatchBuf) -> Result<(), LogError> {
    let copied = view.walk::<Infallible>(view.durable.next(), &mut |placed| {
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

fn begin(
    storage: Arc<dyn Storage>,
    view: &LogView,
    options: &LogOptions,
    spare: &Spare,
    token: Arc<()>,
    now_ms: u64,
) -> Writer {
    let Boundary { chain, .. } = view.cut;
    Writer {
        storage,
        options: options.clone(),
        shared: Arc::new(Shared::new(Arc::clone(&spare.file))),
        uuid: spare.header.uuid,
        epoch: spare.header.epoch,
        next_id: AtomicU64::new(spare.header.segment_id.saturating_add(1)),
        segment: Segment::new(spare, now_ms),
        tail: view.durable,
        chain,
        durable: view.durable,
        ends: VecDeque::new(),
        engine_tick: view.engine_tick,
        now_ms,
        spare: None,
        token,
    }
}

/// Removes what the new head does not lead to: half-made files, spares, burnt segments, and a head that was replaced. All
/// of it was judged by the view, and what it held is durable in the new segment. What cannot be removed now is
/// found again by the next opening.
fn tidy(storage: &dyn Storage, view: &LogView) {
    let leads_to = |id: u64| id <= view.cut.segment && view.parts.iter().any(|part| part.found.id == id);
    let orphans = view.segments.iter().filter(|segment| !leads_to(segment.id)).map(|segment| &segment.name);
    for name in view.leftovers.iter().chain(orphans) {
        let _ = storage.remove(name);
    }
}
