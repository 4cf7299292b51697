//! Little-endian numbers, read with a look at how many bytes are left.

use super::SnapshotFault;

/// What is left of a section.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(section: &'a [u8]) -> Self {
        Self { rest: section, len: section.len() }
    }

    /// How many bytes were read.
    pub(super) fn used(&self) -> usize {
        self.len - self.rest.len()
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], SnapshotFault> {
        let (bytes, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(SnapshotFault::CutShort { at: self.used(), wanted: len })?;
        self.rest = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SnapshotFault> {
        let (bytes, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(SnapshotFault::CutShort { at: self.used(), wanted: N })?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub(super) fn u8(&mut self) -> Result<u8, SnapshotFault> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Result<u32, SnapshotFault> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, SnapshotFault> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn u128(&mut self) -> Result<u128, SnapshotFault> {
        self.array().map(u128::from_le_bytes)
    }

    /// What is left, for a decoder that says how much of it it used.
    pub(super) fn with_rest<T>(
        &mut self,
        decode: impl FnOnce(&'a [u8]) -> Option<(T, usize)>,
    ) -> Result<T, SnapshotFault> {
        let at = self.used();
        let (value, used) = decode(self.rest).ok_or(SnapshotFault::Malformed { at })?;
        self.bytes(used)?;
        Ok(value)
    }

    /// Every byte was read.
    pub(super) fn end(&self) -> Result<(), SnapshotFault> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(SnapshotFault::TrailingBytes { used: self.used(), len: self.len })
    }
}
