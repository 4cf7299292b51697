//! What can still be read of a damaged log: segment by segment, each up to its first fault.

use horolog_storage::Storage;
use horolog_wal::{
    BATCH_HEADER_LEN, BLOCK_LEN, BatchHeader, Context, Lsn, Record, RecordView, SegmentHeader,
};

use crate::error::Trouble;

/// Visits the readable records before the first damage in the order of their numbers. A later segment repeats what was
/// not yet durable when it was begun; each number is visited once.
pub(super) fn salvage(
    storage: &dyn Storage,
    visit: &mut dyn FnMut(&Record<'_>) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let mut next = Lsn(1);
    for name in storage.list()?.iter().filter(|name| name.ends_with(".wal")) {
        let bytes = storage.open_read_only(name)?.read_whole()?;
        let Ok(header) = SegmentHeader::decode(&bytes) else { return Ok(()) };
        walk(&header, &bytes, &mut next, visit)?;
    }
    Ok(())
}

fn walk(
    segment: &SegmentHeader,
    bytes: &[u8],
    next: &mut Lsn,
    visit: &mut dyn FnMut(&Record<'_>) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let context = Context::of(segment);
    let mut block = 1;
    loop {
        let at = block as usize * BLOCK_LEN as usize;
        let rest = bytes.get(at..).unwrap_or_default();
        let Ok((header, _)) = BatchHeader::decode(rest, &context, block) else { return Ok(()) };
        let Some(body) = rest.get(BATCH_HEADER_LEN..BATCH_HEADER_LEN + header.body_len as usize) else {
            return Ok(());
        };
        if !batch(segment.segment_id, (at + BATCH_HEADER_LEN) as u64, &header, body, next, visit)? {
            return Ok(());
        }
        let blocks = u32::try_from(header.blocks()).ok().and_then(|blocks| block.checked_add(blocks));
        let Some(after) = blocks else { return Ok(()) };
        block = after;
    }
}

/// Whether the batch was whole.
fn batch(
    segment: u64,
    mut offset: u64,
    header: &BatchHeader,
    mut body: &[u8],
    next: &mut Lsn,
    visit: &mut dyn FnMut(&Record<'_>) -> Result<(), Trouble>,
) -> Result<bool, Trouble> {
    let mut lsn = header.first_lsn;
    while !body.is_empty() {
        let Ok((view, rest)) = RecordView::decode(body) else { return Ok(false) };
        if !view.is_internal() {
            // A gap means that records before this one are lost: what follows is not shown as if it followed.
            if lsn > *next {
                return Ok(false);
            }
            if lsn == *next {
                let RecordView { kind, flags, body, .. } = view;
                visit(&Record { lsn, kind, flags, body, segment, offset })?;
                *next = lsn.next();
            }
            lsn = lsn.next();
        }
        offset += view.bytes.len() as u64;
        body = rest;
    }
    Ok(true)
}
