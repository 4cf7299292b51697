//! Making a segment: zeros (or the file of a retired one), header, sync, name, directory, META, in that order.

use std::sync::Arc;

use horolog_storage::{File, Storage, StorageError};

use super::meta::{MetaWriter, NewMeta};
use super::snapshot::SYNC_EVERY_BYTES;
use super::sync::Shared;
use super::turn::Current;
use crate::error::{LogError, Misuse};
use crate::format::meta::{Listed, Meta};
use crate::format::segment::SegmentHeader;
use crate::format::{SEGMENT_ID_END, block_offset};
use crate::planted::{Bug, is_planted};
use crate::read::{segment_name, temporary_name};

/// Zeros are written in pieces of this size.
const PIECE_LEN: usize = 1 << 20;

/// A segment to be prepared, by any thread, without any lock.
///
/// Dropping the plan, or the spare it gives, makes the writer want another one.
#[derive(Debug)]
pub struct SparePlan {
    pub(super) blank: BlankSegment,
    pub(super) shared: Arc<Shared>,
    /// Held by the plan and by its spare: the writer wants no second one while this lives.
    pub(super) token: Arc<()>,
}

/// A segment that is ready to be used: zeroed to its full size, named, listed, durable.
#[derive(Debug)]
pub struct Spare {
    pub(super) segment: Made,
    _token: Arc<()>,
}

/// A segment that is to be made.
#[derive(Debug)]
pub(super) struct BlankSegment {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) uuid: u128,
    pub(super) epoch: u64,
    pub(super) id: u64,
    pub(super) blocks: u32,
    /// The retired segment whose file is used again; it has as many blocks.
    pub(super) recycled: Option<u64>,
}

/// A segment that was made: zeroed to its full size, named, durable. Nobody knows of it before META lists it.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) header: SegmentHeader,
    pub(super) file: Arc<dyn File>,
}

impl SparePlan {
    /// How many bytes preparing will write.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        block_offset(self.blank.blocks)
    }

    /// Writes the zeros and the header, syncs them, gives the file its name, and lists it in META.
    ///
    /// # Errors
    ///
    /// Nothing of the log has changed; the half-made file is removed if that is possible, else by the next opening. An
    /// error of META or of the directory poisons the log: what is on the medium is unknown.
    pub fn prepare(self) -> Result<Spare, LogError> {
        self.shared.check()?;
        let segment = self.shared.noting_room(self.blank.make(|error| self.shared.fail(error)))?;
        self.shared.list(Listed::of(&segment.header))?;
        Ok(Spare { segment, _token: self.token })
    }
}

impl BlankSegment {
    /// Makes the file. `poison` is told of an error after which the directory cannot be relied on.
    pub(super) fn make(&self, poison: impl Fn(StorageError) -> LogError) -> Result<Made, LogError> {
        if self.id >= SEGMENT_ID_END {
            return Err(LogError::Misuse(Misuse::NoSegmentIdLeft));
        }
        let header = self.header()?;
        if let Err(error) = self.fill(&header, &poison) {
            // The first error is the one to tell; a file that stays is found as a leftover.
            let _ = self.storage.remove(&temporary_name(self.id));
            return Err(error);
        }
        // A name that may or may not be durable cannot be made so by a later sync.
        if !is_planted(Bug::NameNotSynced) {
            self.storage.sync_dir().map_err(poison)?;
        }
        let file = self.storage.open(&segment_name(self.id))?;
        Ok(Made { header, file })
    }

    /// Makes the segment, and then a new META: what `before` says, with the segment listed behind those up to
    /// `newest_kept`. Newer ones are forgotten, they have lower ids than this one.
    ///
    /// META is a new file: in this life or one before it a sync may have failed that was to make the old one or its name
    /// durable, and no later sync answers for that.
    pub(super) fn make_announced(
        &self,
        before: Meta,
        newest_kept: u64,
    ) -> Result<(Made, MetaWriter), LogError> {
        let made = self.make(LogError::from)?;
        let mut meta = Meta { seq: before.seq + 1, epoch: self.epoch, next_segment: self.id + 1, ..before };
        meta.listed.retain(|listed| listed.segment_id <= newest_kept);
        meta.listed.push(Listed::of(&made.header));
        match NewMeta::write(Arc::clone(&self.storage), meta) {
            Ok(meta) => Ok((made, meta.put_in_place()?)),
            Err(error) => {
                // Nobody knows of the segment, and on a full disk its room is wanted.
                let _ = self.storage.remove(&segment_name(self.id));
                Err(error.into())
            }
        }
    }

    /// The old name is gone for good before the header changes, so that no name ever contradicts its header.
    fn reuse(
        &self,
        retired: &str,
        temporary: &str,
        poison: impl Fn(StorageError) -> LogError,
    ) -> Result<Arc<dyn File>, LogError> {
        self.storage.rename(retired, temporary)?;
        self.storage.sync_dir().map_err(poison)?;
        Ok(self.storage.open(temporary)?)
    }

    fn header(&self) -> Result<SegmentHeader, LogError> {
        let mut salt = [0; 8];
        self.storage.entropy(&mut salt)?;
        Ok(SegmentHeader {
            uuid: self.uuid,
            segment_id: self.id,
            epoch: self.epoch,
            salt: u64::from_le_bytes(salt),
            capacity_blocks: self.blocks,
            is_recycled: self.recycled.is_some(),
        })
    }

    /// The name comes last. A crash before it leaves a temporary file; a crash after it, a complete and blank segment.
    /// So a damaged header in a named segment is never a crash's work.
    fn fill(
        &self,
        header: &SegmentHeader,
        poison: impl Fn(StorageError) -> LogError,
    ) -> Result<(), LogError> {
        let temporary = temporary_name(self.id);
        let file = match self.recycled {
            Some(retired) => self.reuse(&segment_name(retired), &temporary, poison)?,
            None => {
                let file = self.storage.create(&temporary)?;
                write_zeros(&*file, block_offset(self.blocks))?;
                file
            }
        };
        file.write_at(&header.encode(), 0)?;
        if !is_planted(Bug::SegmentNotSynced) {
            file.sync()?;
        }
        Ok(self.storage.rename(&temporary, &segment_name(self.id))?)
    }
}

/// Real zeros, not a hole: a block that was never written costs the file system a journal commit at its first sync. The last of
/// them are left to the sync that comes next.
fn write_zeros(file: &dyn File, bytes: u64) -> Result<(), StorageError> {
    let zeros = vec![0; PIECE_LEN.min(usize::try_from(bytes).unwrap_or(PIECE_LEN))];
    let mut offset = 0;
    while offset < bytes {
        let piece = zeros.get(..usize::try_from(bytes - offset).unwrap_or(PIECE_LEN)).unwrap_or(&zeros);
        if offset > 0 && offset.is_multiple_of(SYNC_EVERY_BYTES) {
            file.sync()?;
        }
        file.write_at(piece, offset)?;
        offset += piece.len() as u64;
    }
    Ok(())
}

impl Made {
    /// As what is written from now on.
    pub(super) fn current(&self) -> Current {
        Current { id: self.header.segment_id, file: Arc::clone(&self.file) }
    }
}

impl Spare {
    /// The size of the segment.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segment.header.capacity_bytes()
    }
}
