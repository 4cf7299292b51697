//! Writing META: one update at a time, two slots at a time.
//!
//! # Invariants
//!
//! Held by every slot that is ever written; `Meta::decode` refuses one that breaks the first four.
//!
//! 1. Listed ids ascend and are below `next_segment`, which never falls.
//! 2. An active META lists its head first: a segment whose first batch is durable.
//! 3. The first segment is not newer than the head.
//! 4. Update n stands in slots 2·(n mod 2) and 2·(n mod 2) + 1. A crash in the midst of it leaves update n − 1.
//! 5. A segment of an active log is listed when its zeros, its header and its name are durable, and before its first batch
//!    is written.
//! 6. A segment leaves the list when the LINK of a later one is durable, or when it was never used.
//! 7. No file is removed before both pairs of slots say that it is not needed.
//! 8. A snapshot is listed when it is whole, its name is durable, and so is the log as far as it has seen it.

use std::sync::Arc;

use horolog_storage::{File, Storage, StorageError};

use crate::error::{LogError, Misuse};
use crate::format::meta::{Listed, META_LEN, META_SLOT_LEN, Meta, MetaState};
use crate::format::snapshot::SnapshotRef;
use crate::lsn::Lsn;
use crate::planted::{Bug, is_planted};
use crate::read::{META_FILE, META_TEMPORARY, segment_name};

/// The one hand that writes META. After an error it is not used again: what is on the medium is unknown.
#[derive(Debug)]
pub(super) struct MetaWriter {
    storage: Arc<dyn Storage>,
    file: Arc<dyn File>,
    meta: Meta,
    /// Segments that were listed and never used, with the update that listed them last.
    dropped: Vec<(u64, u64)>,
}

impl MetaWriter {
    /// Makes META for a log that is about to be made. It gets its name when it is complete.
    pub(super) fn create(storage: Arc<dyn Storage>, uuid: u128) -> Result<Self, StorageError> {
        let blank = Meta {
            uuid,
            seq: 0,
            epoch: 0,
            durable_lsn: Lsn::ZERO,
            first_segment: 0,
            head_segment: 0,
            next_segment: 1,
            compat: 0,
            ro_compat: 0,
            state: MetaState::Initialising,
            listed: Vec::new(),
            snapshots: [None; 2],
        };
        Self::place(storage, blank)
    }

    /// Puts a file that says `meta`, and nothing else, in the place of META. The old one is not written any more: after a
    /// failed sync nobody knows what is in it.
    pub(super) fn place(storage: Arc<dyn Storage>, meta: Meta) -> Result<Self, StorageError> {
        NewMeta::write(storage, meta)?.put_in_place()
    }

    /// What the last update says.
    pub(super) fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Writes and syncs the next update.
    pub(super) fn update(&mut self, change: impl FnOnce(&mut Meta)) -> Result<(), StorageError> {
        let mut meta = self.meta.clone();
        change(&mut meta);
        meta.seq += 1;
        let slot = meta.encode();
        let pair = [slot.as_slice(), slot.as_slice()].concat();
        self.file.write_at(&pair, meta.seq % 2 * 2 * META_SLOT_LEN as u64)?;
        self.file.sync()?;
        self.meta = meta;
        self.remove_dropped();
        Ok(())
    }

    /// Says the same again, so that both pairs of slots do.
    pub(super) fn confirm(&mut self) -> Result<(), StorageError> {
        self.update(|_| {})
    }

    /// Lists a segment that is complete. `head` is the newest one whose first batch is durable.
    ///
    /// While the log is being made none counts, listed or not, and the update that ends this lists what is needed.
    pub(super) fn list(&mut self, segment: Listed, head: u64) -> Result<(), LogError> {
        if self.meta.state == MetaState::Initialising {
            return Ok(());
        }
        if !self.meta.has_room() {
            return Err(LogError::Misuse(Misuse::TooManySpares));
        }
        self.settle(head, |meta| {
            let at = meta.listed.partition_point(|listed| listed.segment_id < segment.segment_id);
            meta.listed.insert(at, segment);
            meta.next_segment = meta.next_segment.max(segment.segment_id + 1);
        })?;
        Ok(())
    }

    /// Notes what is durable.
    pub(super) fn witness(&mut self, durable: Lsn, head: u64) -> Result<(), StorageError> {
        self.settle(head, |meta| meta.durable_lsn = meta.durable_lsn.max(durable))
    }

    /// A snapshot counts, and of those before it the newest that is not among `rotten`. Says which that is, and which ones do
    /// not count any more. Both pairs of slots say so when this returns.
    pub(super) fn publish(
        &mut self,
        newest: SnapshotRef,
        durable: Lsn,
        rotten: &[u64],
        head: u64,
    ) -> Result<(Option<SnapshotRef>, Vec<u64>), StorageError> {
        let before = self.meta.snapshots.into_iter().flatten();
        let kept = before.clone().find(|it| !rotten.contains(&it.id));
        let dropped = before.map(|it| it.id).filter(|id| kept.is_none_or(|kept| kept.id != *id)).collect();
        self.settle(head, |meta| {
            meta.snapshots = [Some(newest), kept];
            // Not its `end`, which may lie inside a batch; but that is not above `durable`, if nobody has planted a bug.
            meta.durable_lsn = meta.durable_lsn.max(durable).max(newest.end);
        })?;
        self.confirm()?;
        Ok((kept, dropped))
    }

    /// The log begins at `first` from now on. Both pairs of slots say so when this returns.
    pub(super) fn retire(&mut self, first: u64, head: u64) -> Result<(), StorageError> {
        self.settle(head, |meta| meta.first_segment = meta.first_segment.max(first))?;
        self.confirm()
    }

    /// An update that forgets besides what is not needed any more: what `head` leads to by LINKs, and what will never be
    /// used.
    fn settle(&mut self, head: u64, change: impl FnOnce(&mut Meta)) -> Result<(), StorageError> {
        let dropped: Vec<_> = self.dropped.iter().map(|(id, _)| *id).collect();
        self.update(|meta| {
            meta.head_segment = meta.head_segment.max(head);
            let head = meta.head_segment;
            meta.listed.retain(|listed| listed.segment_id >= head && !dropped.contains(&listed.segment_id));
            change(meta);
        })
    }

    /// A listed segment will never be used. Its file goes when both pairs of slots have forgotten it.
    pub(super) fn drop_segment(&mut self, id: u64) {
        self.dropped.push((id, self.meta.seq));
    }

    /// A file that cannot be removed now is found unlisted by the next opening.
    fn remove_dropped(&mut self) {
        let (storage, seq) = (&self.storage, self.meta.seq);
        self.dropped.retain(|(id, listed_last)| {
            let forgotten = seq >= listed_last + 2;
            if forgotten {
                let _ = storage.remove(&segment_name(*id));
            }
            !forgotten
        });
    }
}

/// A file that is complete and has not yet the name of META.
#[derive(Debug)]
pub(super) struct NewMeta {
    storage: Arc<dyn Storage>,
    meta: Meta,
}

impl NewMeta {
    /// Writes the file. After an error META is what it was.
    pub(super) fn write(storage: Arc<dyn Storage>, meta: Meta) -> Result<Self, StorageError> {
        let next = Meta { seq: meta.seq + 1, ..meta.clone() };
        let (first, second) = if meta.seq.is_multiple_of(2) { (&meta, &next) } else { (&next, &meta) };
        let mut bytes = Vec::with_capacity(META_LEN);
        for slot in [first, first, second, second] {
            bytes.extend_from_slice(&slot.encode());
        }
        match storage.remove(META_TEMPORARY) {
            Ok(()) | Err(StorageError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let file = storage.create(META_TEMPORARY)?;
        file.write_at(&bytes, 0)?;
        if !is_planted(Bug::MetaNotSynced) {
            file.sync()?;
        }
        Ok(Self { storage, meta: next })
    }

    /// Gives it the name. After an error nobody knows which of the two files is META.
    pub(super) fn put_in_place(self) -> Result<MetaWriter, StorageError> {
        self.storage.rename(META_TEMPORARY, META_FILE)?;
        self.storage.sync_dir()?;
        let file = self.storage.open(META_FILE)?;
        Ok(MetaWriter { storage: self.storage, file, meta: self.meta, dropped: Vec::new() })
    }
}
