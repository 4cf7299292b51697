//! One record: length, kind, flags, checksum, body.
//!
//! ```text
//! 0  len u32      bytes of the body
//! 4  kind u8      below 0xF0 the owner's, from 0xF0 on the log's
//! 5  flags u8     the owner's
//! 6  reserved u16 zero
//! 8  crc u32      CRC-32 over bytes 0..8 and the body
//! 12 body
//! ```
//!
//! A record does not say where it belongs; the batch header around it does, through its digest over the checksums.

use std::fmt;

use crc32fast::Hasher;

use super::INTERNAL_KIND_MIN;
use super::bytes::{put, u16_at, u32_at};
use crate::planted::{Bug, is_planted};

/// The length of a record's header.
pub const RECORD_HEADER_LEN: usize = 12;

/// A record that was checked, borrowed from the bytes it was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// What the record means to its owner.
    pub kind: u8,
    /// The owner's flags.
    pub flags: u8,
    /// Its checksum, which the digest of the batch runs over.
    pub crc: u32,
    /// The owner's bytes.
    pub body: &'a [u8],
    /// The whole record, header included.
    pub bytes: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// Checks the record at the start of `bytes` and returns it with what follows.
    ///
    /// # Errors
    ///
    /// The length is compared with the bytes that are there before anything else is done with it.
    pub fn decode(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), RecordFault> {
        let (view, rest) = Self::split(bytes)?;
        let head = view.bytes.first_chunk::<RECORD_HEADER_LEN>().ok_or(RecordFault::Header)?;
        if view.crc != checksum(head, view.body) && !is_planted(Bug::RecordUnchecked) {
            return Err(RecordFault::Checksum);
        }
        if u16_at(head, 6) != Some(0) {
            return Err(RecordFault::Reserved);
        }
        Ok((view, rest))
    }

    /// The record at the start of bytes whose checksum was compared before.
    pub(crate) fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), RecordFault> {
        let head = bytes.first_chunk::<RECORD_HEADER_LEN>().ok_or(RecordFault::Header)?;
        let len = u32_at(head, 0).ok_or(RecordFault::Header)?;
        let end = RECORD_HEADER_LEN.checked_add(len as usize).ok_or(RecordFault::Length)?;
        if is_planted(Bug::LengthBelieved) {
            assert!(end <= bytes.len(), "a planted bug");
        }
        let (record, rest) = bytes.split_at_checked(end).ok_or(RecordFault::Length)?;
        let body = record.get(RECORD_HEADER_LEN..).unwrap_or_default();
        let crc = u32_at(head, 8).ok_or(RecordFault::Header)?;
        let [_, _, _, _, kind, flags, ..] = *head;
        Ok((Self { kind, flags, crc, body, bytes: record }, rest))
    }

    /// Whether the record belongs to the log and takes no LSN.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.kind >= INTERNAL_KIND_MIN
    }
}

/// Puts length, kind and flags of a record in its place; `false` if the body is too long.
pub(crate) fn begin_record(head: &mut [u8], kind: u8, flags: u8, body_len: usize) -> bool {
    let Ok(len) = u32::try_from(body_len) else { return false };
    put(head, 0, len.to_le_bytes());
    put(head, 4, [kind, flags, 0, 0]);
    true
}

/// A record that [`begin_record`] began: its header, its body, and what follows.
pub(crate) type Begun<'a> = (&'a mut [u8; RECORD_HEADER_LEN], &'a mut [u8], &'a mut [u8]);

/// Takes the record at the start of `bytes` apart; `None` at their end.
pub(crate) fn split_begun(bytes: &mut [u8]) -> Option<Begun<'_>> {
    let (head, rest) = bytes.split_first_chunk_mut::<RECORD_HEADER_LEN>()?;
    let len = u32_at(head, 0)? as usize;
    let (body, behind) = rest.split_at_mut_checked(len)?;
    Some((head, body, behind))
}

/// Puts the checksum of a record whose body is whole in its place, and returns it.
pub(crate) fn seal_record(head: &mut [u8; RECORD_HEADER_LEN], body: &[u8]) -> u32 {
    let crc = checksum(head, body);
    put(head, 8, crc.to_le_bytes());
    crc
}

fn checksum(head: &[u8; RECORD_HEADER_LEN], body: &[u8]) -> u32 {
    let mut crc = Hasher::new();
    crc.update(head.first_chunk::<8>().map_or(&[], |covered| covered));
    crc.update(body);
    crc.finalize()
}

/// Why bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordFault {
    /// There are not enough bytes for a header.
    Header,
    /// The body is longer than the bytes that are left.
    Length,
    /// The checksum does not fit.
    Checksum,
    /// The reserved bytes are not zero.
    Reserved,
}

impl fmt::Display for RecordFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header cut short",
            Self::Length => "longer than its batch",
            Self::Checksum => "checksum",
            Self::Reserved => "reserved bytes are not zero",
        })
    }
}
