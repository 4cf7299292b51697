//! Writing a snapshot of what the owner makes of the log, and making it count.
//!
//! The owner gives sections of bytes; what is in them is its own affair. They go to a temporary file, paced by the owner and
//! synced on the way, so that no sync has much to do. Then the file is read back, as a whole and in steps, and compared.
//! Only when the log is durable up to the last record that the sections have seen, it gets its name, and META says so in
//! both pairs of slots.
//!
//! Two snapshots count: the newest, and the one before it. Should the newest rot, the other one and a longer part of the log
//! take its place; so the log is kept from where the older one began.
//!
//! # After a crash, or an error
//!
//! Before META says so, the two that counted count. A file that META does not list is removed by the next opening, or when the
//! snapshot is dropped. An error of the file itself ends the snapshot and nothing else. An error of the directory or of META
//! ends the log, as always: nobody knows what is on the medium.

use std::sync::Arc;

use crc32fast::Hasher;
use horolog_storage::{File, Storage, StorageError};

use super::read_back::UnreadSnapshot;
use super::sync::Shared;
use super::writer::Writer;
use crate::error::{LogError, Misuse};
use crate::format::SEGMENT_ID_END;
use crate::format::snapshot::{FRAME_LEN, Frame, SnapshotHeader, SnapshotRef};
use crate::lsn::Lsn;
use crate::planted::{Bug, is_planted};
use crate::read::{snapshot_name, snapshot_temporary_name};

/// So many bytes are written before they are synced: a sync at the end would have all of them to do, and whoever waits for
/// the log would wait for it.
pub(super) const SYNC_EVERY_BYTES: u64 = 4 << 20;

/// A snapshot to be begun, by any thread, without any lock.
#[derive(Debug)]
pub struct SnapshotPlan {
    storage: Arc<dyn Storage>,
    shared: Arc<Shared>,
    uuid: u128,
    id: u64,
    begin: Lsn,
}

/// A snapshot that is being written. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct SnapshotFile {
    temporary: Temporary,
    shared: Arc<Shared>,
    file: Arc<dyn File>,
    header: SnapshotHeader,
    bytes: u64,
    unsynced_bytes: u64,
    /// A write or a sync of it failed: no later sync answers for that.
    has_failed: bool,
    sections: u32,
    digest: Hasher,
}

/// A snapshot that is whole, durable and read back. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct SealedSnapshot {
    temporary: Temporary,
    shared: Arc<Shared>,
    reference: SnapshotRef,
}

/// A file that is removed when it is dropped, unless it has got its name.
#[derive(Debug)]
pub(super) struct Temporary {
    storage: Arc<dyn Storage>,
    name: Option<String>,
}

impl Temporary {
    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // What stays is removed by the next opening.
            let _ = self.storage.remove(name);
        }
    }
}

impl Writer {
    /// A plan for a snapshot to which the records behind `begin` are to be added.
    #[must_use]
    pub fn plan_snapshot(&mut self, begin: Lsn) -> SnapshotPlan {
        let id = self.next_snapshot;
        self.next_snapshot += 1;
        let (storage, shared) = (Arc::clone(&self.storage), Arc::clone(&self.shared));
        SnapshotPlan { storage, shared, uuid: self.uuid, id, begin }
    }
}

impl SnapshotPlan {
    /// Begins the file.
    ///
    /// # Errors
    ///
    /// Nothing of the log has changed.
    pub fn create(self) -> Result<SnapshotFile, LogError> {
        self.shared.check()?;
        if self.id >= SEGMENT_ID_END {
            return Err(LogError::Misuse(Misuse::NoSegmentIdLeft));
        }
        let mut salt = [0; 8];
        self.storage.entropy(&mut salt)?;
        let salt = u64::from_le_bytes(salt);
        let header = SnapshotHeader { uuid: self.uuid, id: self.id, begin: self.begin, salt };
        let name = snapshot_temporary_name(self.id);
        let file = self.storage.create(&name)?;
        let temporary = Temporary { storage: self.storage, name: Some(name) };
        let block = header.encode();
        file.write_at(&block, 0)?;
        let bytes = block.len() as u64;
        Ok(SnapshotFile {
            temporary,
            shared: self.shared,
            file,
            header,
            bytes,
            unsynced_bytes: bytes,
            has_failed: false,
            sections: 0,
            digest: Hasher::new(),
        })
    }
}

impl SnapshotFile {
    /// Bytes that a section's buffer begins with: room for its frame.
    pub const FRAME_LEN: usize = FRAME_LEN;

    /// Writes a section. `buffer` begins with [`SnapshotFile::FRAME_LEN`] bytes that are overwritten, and the section stands
    /// behind them. Says how many bytes the file has now.
    ///
    /// # Errors
    ///
    /// The snapshot is finished, and nothing of the log has changed. A section of 2^32 bytes is refused.
    pub fn append(&mut self, buffer: &mut [u8], is_last: bool) -> Result<u64, LogError> {
        let body = buffer.get(FRAME_LEN..).unwrap_or_default();
        let Ok(body_len) = u32::try_from(body.len()) else {
            return Err(LogError::TooLarge { bytes: body.len() as u64, max: u64::from(u32::MAX) });
        };
        let body_crc = crc32fast::hash(body);
        self.digest.update(&body_crc.to_le_bytes());
        let digest = self.digest.clone().finalize();
        let frame = Frame { index: self.sections, body_len, body_crc, is_last, digest };
        frame.encode(&self.header, buffer);
        self.check()?;
        self.has_failed = true;
        self.file.write_at(buffer, self.bytes)?;
        self.has_failed = false;
        self.sections += 1;
        self.bytes += buffer.len() as u64;
        self.unsynced_bytes += buffer.len() as u64;
        if self.unsynced_bytes >= SYNC_EVERY_BYTES {
            self.sync()?;
        }
        Ok(self.bytes)
    }

    fn check(&self) -> Result<(), LogError> {
        if self.has_failed { Err(LogError::Misuse(Misuse::NoSnapshot)) } else { self.shared.check() }
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.has_failed = true;
        self.file.sync()?;
        // It will be read back, from the medium and not from memory if the system lets it go.
        self.file.evict();
        (self.has_failed, self.unsynced_bytes) = (false, 0);
        Ok(())
    }

    /// Makes the file durable. `end` is the last record that any section has seen.
    ///
    /// # Errors
    ///
    /// As [`SnapshotFile::append`].
    pub fn finish(mut self, end: Lsn) -> Result<UnreadSnapshot, LogError> {
        self.check()?;
        if !is_planted(Bug::SnapshotNotSynced) {
            self.sync()?;
        }
        let reference = SnapshotRef {
            id: self.header.id,
            begin: self.header.begin,
            end,
            bytes: self.bytes,
            sections: self.sections,
            digest: self.digest.finalize(),
        };
        Ok(UnreadSnapshot::new(self.temporary, self.shared, self.file, self.header, reference))
    }

    /// Makes the file durable and reads all of it back: [`SnapshotFile::finish`] and [`UnreadSnapshot::read_on`] to the end.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn seal(self, end: Lsn) -> Result<SealedSnapshot, LogError> {
        let mut unread = self.finish(end)?;
        while unread.read_on()? > 0 {}
        unread.into_sealed()
    }
}

impl SealedSnapshot {
    pub(super) fn new(temporary: Temporary, shared: Arc<Shared>, reference: SnapshotRef) -> Self {
        Self { temporary, shared, reference }
    }

    /// What META will say of it.
    #[must_use]
    pub fn reference(&self) -> SnapshotRef {
        self.reference
    }

    /// Makes the snapshot count, in the place of the newest; that one stays, and the one before it goes. `durable` is
    /// the last record that is durable, which ends a batch, and reaches [`SnapshotRef::end`]. Durable when this returns,
    /// which says up to where the log is needed no more ([`Writer::retire_below`]).
    ///
    /// # Errors
    ///
    /// [`Misuse::SnapshotAhead`] if the log is not durable that far, [`Misuse::SnapshotOrder`] if a later one counts already, or
    /// it ends before it begins: nothing has changed. An error of the directory or of META ends the log.
    pub fn publish(self, durable: Lsn) -> Result<Lsn, LogError> {
        self.shared.check()?;
        if durable < self.reference.end && !is_planted(Bug::SnapshotAhead) {
            return Err(LogError::Misuse(Misuse::SnapshotAhead));
        }
        let newest = self.shared.last_meta().snapshots[0];
        let follows = newest.is_none_or(|it| it.id < self.reference.id && it.begin <= self.reference.begin);
        if !follows || self.reference.end < self.reference.begin {
            return Err(LogError::Misuse(Misuse::SnapshotOrder));
        }
        let (storage, shared) = (Arc::clone(&self.temporary.storage), Arc::clone(&self.shared));
        let (kept, dropped) = shared.publish(self.name()?, durable)?;
        for id in dropped {
            let _ = storage.remove(&snapshot_name(id));
        }
        Ok(kept.map_or(Lsn::ZERO, |kept| kept.begin.next()))
    }

    /// Gives the file its name. Nothing counts yet.
    pub(super) fn name(mut self) -> Result<SnapshotRef, LogError> {
        let storage = Arc::clone(&self.temporary.storage);
        storage.rename(self.temporary.name(), &snapshot_name(self.reference.id))?;
        self.temporary.name = None;
        // A name that may or may not be durable cannot be made so by a later sync.
        storage.sync_dir().map_err(|error| self.shared.fail(error))?;
        Ok(self.reference)
    }
}
