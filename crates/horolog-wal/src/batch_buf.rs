//! The open buffer: records encoded in place, behind room for the batch header.
//!
//! # Invariants
//!
//! 1. Records lie back to back behind the room for the header, each with its length, kind and flags.
//! 2. Those before `sealed_end` have their checksums, and the digest runs over them. The others get theirs from
//!    [`BatchBuf::seal`], which the hand that writes calls: whoever fills a buffer may hold a lock, and a checksum and the
//!    copy of a large body need none (`docs/decisions/0004-sealed-by-the-hand-that-writes.md`).
//! 3. Tails are in the order of their places, none before `sealed_end`; their bytes are counted and not yet in `bytes`.

use std::sync::Arc;

use crc32fast::Hasher;

use crate::format::record::{RECORD_HEADER_LEN, begin_record, seal_record, split_begun};
use crate::format::{BATCH_HEADER_LEN, BLOCK_LEN, INTERNAL_KIND_MIN};

/// Records on their way into one batch.
///
/// They lie where they will be written from: behind 64 bytes for the header, back to back. Appending the batch takes in
/// the tails, checksums the records, and fills the header and the padding.
#[derive(Debug, Clone)]
pub struct BatchBuf {
    bytes: Vec<u8>,
    tails: Vec<Tail>,
    tail_bytes: usize,
    /// Over the checksum words of the records before `sealed_end`; the padding joins when the batch is finished.
    digest: Hasher,
    sealed_end: usize,
    /// How many records lie before `sealed_end`.
    sealed: u32,
    records: u32,
    internal: u32,
    spoiled: bool,
}

/// The shared end of a body, to be put in at a place of `bytes`.
#[derive(Debug, Clone)]
struct Tail {
    at: usize,
    bytes: Arc<[u8]>,
}

impl Default for BatchBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuf {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// An empty buffer with room for `bytes` of records.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        let mut buf = Vec::with_capacity(BATCH_HEADER_LEN.saturating_add(bytes));
        buf.resize(BATCH_HEADER_LEN, 0);
        Self {
            bytes: buf,
            tails: Vec::new(),
            tail_bytes: 0,
            digest: Hasher::new(),
            sealed_end: BATCH_HEADER_LEN,
            sealed: 0,
            records: 0,
            internal: 0,
            spoiled: false,
        }
    }

    /// Adds a record whose body is what `body` appends, and returns how many bytes it took.
    ///
    /// `body` may only append: what it does to the bytes before its own it does to other records. Kinds from
    /// [`INTERNAL_KIND_MIN`] on belong to the log. A batch that breaks the second rule, or whose records do not lie back
    /// to back any more, is refused as [`crate::Misuse::SpoiledBatch`] when it is appended, and nothing of it is written.
    pub fn push(&mut self, kind: u8, flags: u8, body: impl FnOnce(&mut Vec<u8>)) -> usize {
        self.push_with_tail(kind, flags, |out| {
            body(out);
            None
        })
    }

    /// Adds a record whose body is what `head` appends and, behind it, the shared bytes that it returns. They are copied
    /// when the batch is written, not here: adding a record takes as long as its head.
    ///
    /// The rules of [`BatchBuf::push`] hold.
    pub fn push_with_tail(
        &mut self,
        kind: u8,
        flags: u8,
        head: impl FnOnce(&mut Vec<u8>) -> Option<Arc<[u8]>>,
    ) -> usize {
        self.spoiled |= kind >= INTERNAL_KIND_MIN;
        self.encode(kind, flags, head)
    }

    /// Adds a record of the log's own; it takes no LSN.
    pub(crate) fn push_internal(&mut self, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
        self.internal += 1;
        self.encode(kind, 0, |out| {
            body(out);
            None
        });
    }

    fn encode(&mut self, kind: u8, flags: u8, head: impl FnOnce(&mut Vec<u8>) -> Option<Arc<[u8]>>) -> usize {
        let start = self.bytes.len();
        let body_start = start + RECORD_HEADER_LEN;
        self.bytes.resize(body_start, 0);
        let tail = head(&mut self.bytes);
        if self.bytes.len() < body_start {
            self.spoiled = true;
            self.bytes.resize(body_start, 0);
        }
        let tail_len = tail.as_ref().map_or(0, |tail| tail.len());
        let body_len = self.bytes.len() - body_start + tail_len;
        let header = self.bytes.get_mut(start..).unwrap_or_default();
        self.spoiled |= !begin_record(header, kind, flags, body_len);
        if let Some(bytes) = tail {
            self.tails.push(Tail { at: self.bytes.len(), bytes });
            self.tail_bytes += tail_len;
        }
        self.count();
        RECORD_HEADER_LEN + body_len
    }

    /// Adds a record that was read from a valid batch, byte for byte, with the checksum it had there.
    pub(crate) fn copy(&mut self, record: &[u8], crc: u32) {
        self.seal();
        self.bytes.extend_from_slice(record);
        self.digest.update(&crc.to_le_bytes());
        self.sealed_end = self.bytes.len();
        self.sealed += 1;
        self.count();
    }

    /// Makes room for so many bytes of records, and for the padding behind them.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve_exact(bytes + BLOCK_LEN as usize);
    }

    /// Adds the records of a batch that was written, with the checksums they have. Of one that was not, nothing is added.
    pub(crate) fn copy_all(&mut self, written: &Self) -> bool {
        if written.sealed != written.records || !written.tails.is_empty() || written.internal > 0 {
            return false;
        }
        self.seal();
        self.bytes.extend_from_slice(written.bytes.get(BATCH_HEADER_LEN..).unwrap_or_default());
        self.digest.combine(&written.digest);
        self.sealed_end = self.bytes.len();
        self.sealed += written.sealed;
        self.records += written.records;
        true
    }

    /// Takes the tails in and checksums the records that have no checksum yet.
    pub(crate) fn seal(&mut self) {
        self.take_in_tails();
        let mut rest = self.bytes.get_mut(self.sealed_end..).unwrap_or_default();
        while let Some((head, body, behind)) = split_begun(rest) {
            self.digest.update(&seal_record(head, body).to_le_bytes());
            self.sealed += 1;
            self.sealed_end += RECORD_HEADER_LEN + body.len();
            rest = behind;
        }
        self.spoiled |= self.sealed_end != self.bytes.len() || self.sealed != self.records;
        self.sealed_end = self.bytes.len();
    }

    fn take_in_tails(&mut self) {
        if self.tails.is_empty() {
            return;
        }
        // With room for the padding, and not smaller than before: a buffer is used again.
        let padded = (self.bytes.len() + self.tail_bytes).next_multiple_of(BLOCK_LEN as usize);
        let mut whole = Vec::with_capacity(padded.max(self.bytes.capacity()));
        let mut taken = 0;
        for Tail { at, bytes } in self.tails.drain(..) {
            whole.extend_from_slice(self.bytes.get(taken..at).unwrap_or_default());
            whole.extend_from_slice(&bytes);
            taken = at;
        }
        whole.extend_from_slice(self.bytes.get(taken..).unwrap_or_default());
        self.bytes = whole;
        self.tail_bytes = 0;
    }

    fn count(&mut self) {
        match self.records.checked_add(1) {
            Some(records) => self.records = records,
            None => self.spoiled = true,
        }
    }

    /// How many records the buffer holds.
    #[must_use]
    pub fn record_count(&self) -> usize {
        self.records as usize
    }

    /// How many LSNs the batch will take.
    #[must_use]
    pub fn lsn_count(&self) -> u64 {
        u64::from(self.records - self.internal)
    }

    /// How many bytes the records take, without header and padding.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.bytes.len() - BATCH_HEADER_LEN + self.tail_bytes
    }

    /// How many bytes of records there is room for.
    #[must_use]
    pub fn capacity_bytes(&self) -> usize {
        self.bytes.capacity() - BATCH_HEADER_LEN
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Empties the buffer and keeps its allocation.
    pub fn clear(&mut self) {
        self.bytes.truncate(BATCH_HEADER_LEN);
        self.tails.clear();
        self.tail_bytes = 0;
        self.digest.reset();
        self.sealed_end = BATCH_HEADER_LEN;
        self.sealed = 0;
        self.records = 0;
        self.internal = 0;
        self.spoiled = false;
    }

    /// How many bytes the batch takes on disk: header, records and padding to whole blocks.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.disk_bytes_with(0)
    }

    /// The same with so many bytes of records more.
    pub(crate) fn disk_bytes_with(&self, more: usize) -> u64 {
        ((BATCH_HEADER_LEN + self.len_bytes() + more) as u64).next_multiple_of(u64::from(BLOCK_LEN))
    }

    pub(crate) fn is_spoiled(&self) -> bool {
        self.spoiled
    }

    pub(crate) fn record_count_u32(&self) -> u32 {
        self.records
    }

    /// Seals the batch, pads it to whole blocks and lends it, with its digest, to `write`; then takes the padding off
    /// again, so that the buffer holds its records whatever became of the write.
    pub(crate) fn finished<T>(&mut self, write: impl FnOnce(&mut [u8], u32) -> T) -> T {
        self.seal();
        let len = self.bytes.len();
        self.bytes.resize(len.next_multiple_of(BLOCK_LEN as usize), 0);
        let mut digest = self.digest.clone();
        digest.update(self.bytes.get(len..).unwrap_or_default());
        let result = write(&mut self.bytes, digest.finalize());
        self.bytes.truncate(len);
        result
    }
}

#[cfg(test)]
mod tests;
