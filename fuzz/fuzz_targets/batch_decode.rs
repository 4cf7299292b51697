//! The byte decoders of the log take any bytes: they never panic, and what they accept is what would be written again,
//! byte for byte.
//!
//! Random bytes never have the right checksum. So each input is tried twice: as it is, and *sealed*, with magic numbers
//! and checksums put right by this file, which computes them from `docs/format.md` and not with the log's own code.
#![no_main]

use arbitrary::Arbitrary;
use crc32fast::Hasher;
use horolog_wal::{
    BATCH_HEADER_LEN, BLOCK_LEN, BatchHeader, Context, Fault, Link, RECORD_HEADER_LEN, RecordView, Seal,
    SegmentFault, SegmentHeader,
};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    what: What,
    uuid: u128,
    segment_id: u64,
    salt: u64,
    block: u32,
    other_block: u32,
    bytes: &'a [u8],
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum What {
    Batch,
    Record,
    Link,
    Seal,
    Segment,
}

fuzz_target!(|input: Input<'_>| match input.what {
    What::Batch => batch(&input),
    What::Record => record(input.bytes),
    What::Link => link(input.bytes),
    What::Seal => seal(input.bytes),
    What::Segment => segment(input.bytes),
});

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

fn batch(input: &Input<'_>) {
    let context = Context::new(input.uuid, input.segment_id, input.salt);
    check_batch(input.bytes, &context, input.block);

    let Some(head) = input.bytes.first_chunk::<BATCH_HEADER_LEN>() else { return };
    let mut sealed = *head;
    put(&mut sealed, 0, *b"HBAT");
    let mut crc = Hasher::new();
    crc.update(&input.uuid.to_le_bytes());
    crc.update(&input.segment_id.to_le_bytes());
    crc.update(&input.salt.to_le_bytes());
    crc.update(&input.block.to_le_bytes());
    crc.update(&sealed[8..]);
    put(&mut sealed, 4, crc.finalize().to_le_bytes());

    let decoded = check_batch(&sealed, &context, input.block);
    assert_eq!(decoded, sealed[60..] == [0; 4], "a sealed header is refused for its reserved bytes only");
    if input.other_block != input.block {
        let elsewhere = BatchHeader::decode(&sealed, &context, input.other_block);
        assert_eq!(elsewhere, Err(Fault::HeaderChecksum), "a header is valid in one place only");
    }
}

/// Says whether the header was accepted.
fn check_batch(bytes: &[u8], context: &Context, block: u32) -> bool {
    let Ok((header, crc)) = BatchHeader::decode(bytes, context, block) else { return false };
    let mut again = [0; BATCH_HEADER_LEN];
    assert_eq!(header.encode(&mut again, context, block), crc);
    assert_eq!(again, bytes[..BATCH_HEADER_LEN]);
    assert!(header.blocks() >= 1 && header.blocks() * u64::from(BLOCK_LEN) > u64::from(header.body_len));
    assert_eq!(header.chain(crc), u64::from(crc) | u64::from(header.body_digest) << 32);
    true
}

fn record(bytes: &[u8]) {
    check_record(bytes);
    if bytes.len() < RECORD_HEADER_LEN {
        return;
    }
    // A length that leaves some bytes over, so that what follows a record is looked at too.
    let mut sealed = bytes.to_vec();
    let room = bytes.len() - RECORD_HEADER_LEN;
    let len = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize % (room + 1);
    put(&mut sealed, 0, u32::try_from(len).unwrap().to_le_bytes());
    let mut crc = Hasher::new();
    crc.update(&sealed[..8]);
    crc.update(&sealed[RECORD_HEADER_LEN..RECORD_HEADER_LEN + len]);
    put(&mut sealed, 8, crc.finalize().to_le_bytes());
    let decoded = check_record(&sealed);
    assert_eq!(decoded, sealed[6..8] == [0; 2], "a sealed record is refused for its reserved bytes only");
}

/// Says whether the record was accepted.
fn check_record(bytes: &[u8]) -> bool {
    let Ok((view, rest)) = RecordView::decode(bytes) else { return false };
    assert_eq!([view.bytes, rest].concat(), bytes, "a record and what follows it are the whole");
    assert_eq!(&view.bytes[RECORD_HEADER_LEN..], view.body);
    assert_eq!([view.kind, view.flags], bytes[4..6]);
    assert_eq!(view.is_internal(), view.kind >= horolog_wal::INTERNAL_KIND_MIN);
    true
}

fn link(bytes: &[u8]) {
    if let Some(link) = Link::decode(bytes) {
        let mut again = Vec::new();
        link.encode(&mut again);
        assert_eq!(again, bytes);
    }
}

fn seal(bytes: &[u8]) {
    let check = |bytes: &[u8]| {
        let Some(seal) = Seal::decode(bytes) else { return false };
        let mut again = Vec::new();
        seal.encode(&mut again);
        assert_eq!(again, bytes);
        true
    };
    check(bytes);
    if let Some(table) = bytes.len().checked_sub(20) {
        let mut sealed = bytes.to_vec();
        put(&mut sealed, 0, u32::try_from(table / 4).unwrap().to_le_bytes());
        assert_eq!(check(&sealed), table % 4 == 0, "a table of whole blocks, as many as it says");
    }
}

fn segment(bytes: &[u8]) {
    check_segment(bytes);
    let mut sealed = [0; BLOCK_LEN as usize];
    let len = bytes.len().min(sealed.len());
    sealed[..len].copy_from_slice(&bytes[..len]);
    put(&mut sealed, 0, *b"HOROLOG\0");
    let crc = crc32fast::hash(&sealed[..4088]);
    put(&mut sealed, 4088, crc.to_le_bytes());
    put(&mut sealed, 4092, (!crc).to_le_bytes());
    let fault = SegmentHeader::decode(&sealed).err();
    assert!(
        !matches!(fault, Some(SegmentFault::Short | SegmentFault::Magic | SegmentFault::Checksum)),
        "{fault:?} of a sealed header"
    );
    check_segment(&sealed);
}

fn check_segment(bytes: &[u8]) {
    if let Ok(header) = SegmentHeader::decode(bytes) {
        assert_eq!(header.encode(), bytes[..BLOCK_LEN as usize]);
        assert_eq!(header.capacity_bytes(), u64::from(header.capacity_blocks) * u64::from(BLOCK_LEN));
    }
}
