//! What an image of the directory proves, found without the log's own reading: the oracle for damage.
//!
//! Of every block of every segment that holds an intact batch header the stamp counts, wherever it stands, and of META the
//! witness of every intact slot. All of these were true when they were written, so no opening may show less.

use horolog_sim::SimDisk;
use horolog_wal::{BatchHeader, Context, Meta, SegmentHeader};

const BLOCK: usize = 4096;

/// The highest LSN that the image proves durable; files that `doubtful` names do not count.
pub(crate) fn proven(disk: &SimDisk, doubtful: &dyn Fn(&str) -> bool) -> u64 {
    let names = disk.files().into_iter().map(|(name, _)| name).filter(|name| !doubtful(name));
    let proofs = names.map(|name| {
        let bytes = disk.bytes(&name).unwrap_or_default();
        if name == "META" { witness(&bytes) } else { stamps(&name, &bytes) }
    });
    proofs.max().unwrap_or(0)
}

fn witness(bytes: &[u8]) -> u64 {
    let slots = bytes.chunks(BLOCK).enumerate();
    slots
        .filter_map(|(at, slot)| Meta::decode(slot, at).ok())
        .map(|meta| meta.durable_lsn.0)
        .max()
        .unwrap_or(0)
}

fn stamps(name: &str, bytes: &[u8]) -> u64 {
    let Some(header) = bytes.get(..BLOCK).and_then(|block| SegmentHeader::decode(block).ok()) else {
        return 0;
    };
    if name != format!("seg-{:016x}.wal", header.segment_id) || header.capacity_bytes() != bytes.len() as u64
    {
        return 0;
    }
    let context = Context::of(&header);
    let blocks = (0..).zip(bytes.chunks(BLOCK)).skip(1);
    let headers = blocks.filter_map(|(at, block)| BatchHeader::decode(block, &context, at).ok());
    headers.map(|(header, _)| header.durable_lsn.0).max().unwrap_or(0)
}
