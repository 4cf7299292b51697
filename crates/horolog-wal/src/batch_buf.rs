//! The open buffer: records encoded in place, behind room for the batch header.

use crc32fast::Hasher;

use crate::format::record::{RECORD_HEADER_LEN, seal_record};
use crate::format::{BATCH_HEADER_LEN, BLOCK_LEN, INTERNAL_KIND_MIN};

/// Records on their way into one batch.
///
/// They lie where they will be written from: behind 64 bytes for the header, back to back. Appending the batch fills the
/// header and the padding; no record is moved or checksummed twice.
#[derive(Debug, Clone)]
pub struct BatchBuf {
    bytes: Vec<u8>,
    /// Over the checksum words of the records so far; the padding joins when the batch is finished.
    digest: Hasher,
    records: u32,
    internal: u32,
    spoiled: bool,
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
        Self { bytes: buf, digest: Hasher::new(), records: 0, internal: 0, spoiled: false }
    }

    /// Adds a record whose body is what `body` appends, and returns how many bytes it took.
    ///
    /// `body` may only append. Kinds from [`INTERNAL_KIND_MIN`] on belong to the log. A batch in which either rule was
    /// broken is refused as [`crate::Misuse::SpoiledBatch`] when it is appended, and nothing of it is written.
    pub fn push(&mut self, kind: u8, flags: u8, body: impl FnOnce(&mut Vec<u8>)) -> usize {
        self.spoiled |= kind >= INTERNAL_KIND_MIN;
        self.encode(kind, flags, body)
    }

    /// Adds a record of the log's own; it takes no LSN.
    pub(crate) fn push_internal(&mut self, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
        self.internal += 1;
        self.encode(kind, 0, body);
    }

    fn encode(&mut self, kind: u8, flags: u8, body: impl FnOnce(&mut Vec<u8>)) -> usize {
        let start = self.bytes.len();
        self.bytes.resize(start + RECORD_HEADER_LEN, 0);
        body(&mut self.bytes);
        if self.bytes.len() < start + RECORD_HEADER_LEN {
            self.spoiled = true;
            self.bytes.resize(start + RECORD_HEADER_LEN, 0);
        }
        let record = self.bytes.get_mut(start..).unwrap_or_default();
        match seal_record(record, kind, flags) {
            Some(crc) => self.digest.update(&crc.to_le_bytes()),
            None => self.spoiled = true,
        }
        self.count();
        self.bytes.len() - start
    }

    /// Adds a record that was read from a valid batch, byte for byte.
    pub(crate) fn copy(&mut self, record: &[u8], crc: u32) {
        self.bytes.extend_from_slice(record);
        self.digest.update(&crc.to_le_bytes());
        self.count();
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
        self.bytes.len() - BATCH_HEADER_LEN
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Empties the buffer and keeps its allocation.
    pub fn clear(&mut self) {
        self.bytes.truncate(BATCH_HEADER_LEN);
        self.digest.reset();
        self.records = 0;
        self.internal = 0;
        self.spoiled = false;
    }

    /// How many bytes the batch takes on disk: header, records and padding to whole blocks.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        (self.bytes.len() as u64).next_multiple_of(u64::from(BLOCK_LEN))
    }

    pub(crate) fn is_spoiled(&self) -> bool {
        self.spoiled
    }

    pub(crate) fn record_count_u32(&self) -> u32 {
        self.records
    }

    /// Pads the batch to whole blocks and lends it, with its digest, to `write`; then takes the padding off again, so
    /// that the buffer holds its records whatever became of the write.
    pub(crate) fn finished<T>(&mut self, write: impl FnOnce(&mut [u8], u32) -> T) -> T {
        let len = self.bytes.len();
        self.bytes.resize(len.next_multiple_of(BLOCK_LEN as usize), 0);
        let mut digest = self.digest.clone();
        digest.update(self.bytes.get(len..).unwrap_or_default());
        let result = write(&mut self.bytes, digest.finalize());
        self.bytes.truncate(len);
        result
    }
}
