//! Reading a snapshot back before it counts, in steps: what is found wrong now has cost nothing but time.
//!
//! The system was asked to forget what it holds of the file, so what is read comes from the medium as far as the system lets go
//! of its pages ([`File::evict`]). A step reads [`STEP_BYTES`] at most, however large a section is; checksums go on over steps.

use std::sync::Arc;

use crc32fast::Hasher;
use horolog_storage::File;

use super::snapshot::{SealedSnapshot, Temporary};
use super::sync::Shared;
use crate::error::{LogError, Misuse};
use crate::format::snapshot::{
    FRAME_LEN, Frame, SNAPSHOT_HEADER_LEN, SnapshotDamage, SnapshotHeader, SnapshotRef,
};

/// Bytes of a section that one step reads, at most.
const STEP_BYTES: usize = 1 << 20;

/// A snapshot that is whole and durable, and is being read back. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct UnreadSnapshot {
    temporary: Temporary,
    shared: Arc<Shared>,
    file: Arc<dyn File>,
    header: SnapshotHeader,
    reference: SnapshotRef,
    /// How far it was read.
    at: u64,
    /// Whole sections that were read.
    sections: u32,
    digest: Hasher,
    /// The section in which the last step has stopped.
    body: Option<Body>,
    buffer: Vec<u8>,
}

/// The rest of a section.
#[derive(Debug)]
struct Body {
    begins_at: u64,
    left: usize,
    crc: Hasher,
    /// What its frame says.
    body_crc: u32,
}

impl UnreadSnapshot {
    pub(super) fn new(
        temporary: Temporary,
        shared: Arc<Shared>,
        file: Arc<dyn File>,
        header: SnapshotHeader,
        reference: SnapshotRef,
    ) -> Self {
        let (digest, buffer) = (Hasher::new(), Vec::new());
        Self { temporary, shared, file, header, reference, at: 0, sections: 0, digest, body: None, buffer }
    }

    /// Reads on, a mebibyte and a few kilobytes at most. Says how many bytes it read: none once all was read.
    ///
    /// # Errors
    ///
    /// [`LogError::SnapshotDamaged`] if what is read is not what was written; [`LogError::Storage`] if it cannot be read;
    /// [`LogError::Poisoned`] if the log has ended. The snapshot is finished, and nothing of the log has changed.
    pub fn read_on(&mut self) -> Result<u64, LogError> {
        self.shared.check()?;
        let from = self.at;
        if self.at == 0 {
            self.read_header()?;
        }
        let body = match self.body.take() {
            None if self.is_read() => None,
            None => Some(self.read_frame()?),
            body => body,
        };
        if let Some(body) = body {
            self.read_body(body)?;
        }
        Ok(self.at - from)
    }

    /// The snapshot, once all of it was read.
    ///
    /// # Errors
    ///
    /// [`Misuse::NoSnapshot`] if it was not.
    pub fn into_sealed(self) -> Result<SealedSnapshot, LogError> {
        if !self.is_read() {
            return Err(LogError::Misuse(Misuse::NoSnapshot));
        }
        Ok(SealedSnapshot::new(self.temporary, self.shared, self.reference))
    }

    fn is_read(&self) -> bool {
        self.sections == self.reference.sections
    }

    fn damaged(&self, damage: SnapshotDamage) -> LogError {
        LogError::SnapshotDamaged { snapshot: self.reference.id, damage }
    }

    /// Reads `len` bytes into the buffer.
    fn read(&mut self, len: usize) -> Result<(), LogError> {
        self.buffer.resize(len, 0);
        self.file.read_at(&mut self.buffer, self.at)?;
        self.at += len as u64;
        Ok(())
    }

    fn read_header(&mut self) -> Result<(), LogError> {
        let (expected, found) = (self.reference.bytes, self.file.len()?);
        if found != expected {
            return Err(self.damaged(SnapshotDamage::Length { expected, found }));
        }
        self.read(SNAPSHOT_HEADER_LEN)?;
        match SnapshotHeader::decode(&self.buffer) {
            Some(header) if header == self.header => Ok(()),
            _ => Err(self.damaged(SnapshotDamage::Header)),
        }
    }

    fn read_frame(&mut self) -> Result<Body, LogError> {
        let offset = self.at;
        self.read(FRAME_LEN)?;
        let left = self.reference.bytes - self.at;
        let frame = Frame::decode_nth(self.sections, &self.header, &self.reference, &self.buffer)
            .filter(|frame| u64::from(frame.body_len) <= left)
            .ok_or_else(|| self.damaged(SnapshotDamage::Frame { offset }))?;
        let (crc, left) = (Hasher::new(), frame.body_len as usize);
        Ok(Body { begins_at: self.at, left, crc, body_crc: frame.body_crc })
    }

    fn read_body(&mut self, mut body: Body) -> Result<(), LogError> {
        let len = body.left.min(STEP_BYTES);
        self.read(len)?;
        body.crc.update(&self.buffer);
        body.left -= len;
        if body.left == 0 {
            self.section_read(body)
        } else {
            self.body = Some(body);
            Ok(())
        }
    }

    fn section_read(&mut self, body: Body) -> Result<(), LogError> {
        if body.crc.finalize() != body.body_crc {
            return Err(self.damaged(SnapshotDamage::Body { offset: body.begins_at }));
        }
        self.digest.update(&body.body_crc.to_le_bytes());
        self.sections += 1;
        let is_whole =
            self.at == self.reference.bytes && self.digest.clone().finalize() == self.reference.digest;
        if self.is_read() && !is_whole { Err(self.damaged(SnapshotDamage::Digest)) } else { Ok(()) }
    }
}
