//! Making a segment: zeros, header, sync, name, directory, in that order.

use std::sync::Arc;

use horolog_storage::{File, Storage};

use crate::error::LogError;
use crate::format::segment::SegmentHeader;
use crate::format::{BLOCK_LEN, block_offset};
use crate::read::{segment_name, temporary_name};

/// Zeros are written in pieces of this size.
const PIECE_LEN: usize = 1 << 20;

/// A segment to be prepared, by any thread, without any lock.
///
/// Dropping the plan, or the spare it gives, makes the writer want another one.
#[derive(Debug)]
pub struct SparePlan {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) uuid: u128,
    pub(super) epoch: u64,
    pub(super) id: u64,
    pub(super) blocks: u32,
    /// Held by the plan and by its spare: the writer wants no second one while this lives.
    pub(super) token: Arc<()>,
}

/// A segment that is ready to be used: zeroed to its full size, named, durable.
#[derive(Debug)]
pub struct Spare {
    pub(super) header: SegmentHeader,
    pub(super) file: Arc<dyn File>,
    _token: Arc<()>,
}

impl SparePlan {
    /// How many bytes preparing will write.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        block_offset(self.blocks)
    }

    /// Writes the zeros and the header, syncs them, and gives the file its name.
    ///
    /// # Errors
    ///
    /// Nothing of the log has changed; the half-made file is removed if that is possible, else by the next opening.
    pub fn prepare(self) -> Result<Spare, LogError> {
        let header = self.header()?;
        match self.make(&header) {
            Ok(file) => Ok(Spare { header, file, _token: self.token }),
            Err(error) => {
                // The first error is the one to tell; a file that stays is found as a leftover.
                let _ = self.storage.remove(&temporary_name(self.id));
                Err(error)
            }
        }
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
        })
    }

    /// The name comes last. A crash before it leaves a temporary file; a crash after it, a complete and blank segment.
    /// So a damaged header in a named segment is never a crash's work.
    fn make(&self, header: &SegmentHeader) -> Result<Arc<dyn File>, LogError> {
        let (temporary, name) = (temporary_name(self.id), segment_name(self.id));
        let file = self.storage.create(&temporary)?;
        write_zeros(&*file, self.bytes())?;
        file.write_at(&header.encode(), 0)?;
        file.sync()?;
        self.storage.rename(&temporary, &name)?;
        self.storage.sync_dir()?;
        Ok(self.storage.open(&name)?)
    }
}

/// Real zeros, not a hole: a block that was never written costs the file system a journal commit at its first sync.
fn write_zeros(file: &dyn File, bytes: u64) -> Result<(), LogError> {
    let zeros = vec![0; PIECE_LEN.min(usize::try_from(bytes).unwrap_or(PIECE_LEN))];
    let mut offset = 0;
    while offset < bytes {
        let piece = zeros.get(..usize::try_from(bytes - offset).unwrap_or(PIECE_LEN)).unwrap_or(&zeros);
        file.write_at(piece, offset)?;
        offset += piece.len() as u64;
    }
    Ok(())
}

impl Spare {
    /// The size of the segment.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::from(self.header.capacity_blocks) * u64::from(BLOCK_LEN)
    }
}
