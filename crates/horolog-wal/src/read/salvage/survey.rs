//! One segment file by itself: what can be read of it, and what that proves.

use horolog_storage::Storage;

use crate::error::LogError;
use crate::format::Fault;
use crate::format::batch::{BatchHeader, Context};
use crate::format::internal::{LINK_KIND, Link, LinkReason};
use crate::format::meta::Meta;
use crate::format::record::RecordView;
use crate::format::segment::{SegmentFault, SegmentHeader};
use crate::format::{BATCH_HEADER_LEN, BLOCK_LEN};
use crate::lsn::Lsn;
use crate::read::chain::unknown;
use crate::read::directory::Found;
use crate::read::scan::{Batch, Scan, Stop};
use crate::read::verdict::{Proof, link_evidence};

/// A segment file, and what looking at all of it gave.
#[derive(Debug)]
pub(super) struct Survey {
    /// With the header by which it is read: its own, or one put together from what META says of it.
    pub(super) found: Found,
    /// What is wrong with header or length, whether it can be read in spite of that or not.
    pub(super) fault: Option<Fault>,
    /// Of its first batch, if that is valid.
    pub(super) link: Option<Link>,
    /// Whether any batch of it is valid.
    pub(super) has_batches: bool,
    /// Whether something was written here after an opening or a healing was complete: it was the log's newest segment once.
    /// A rotation needs no more than its first batch.
    pub(super) is_confirmed: bool,
    /// The highest of all its batches.
    pub(super) engine_tick: u64,
}

impl Survey {
    /// Finds a header to read the file by; batches are looked at later.
    pub(super) fn begin(
        storage: &dyn Storage,
        id: u64,
        name: String,
        meta: Option<&Meta>,
    ) -> Result<Self, LogError> {
        let mut found = Found::read(storage, id, name)?;
        found.check_known()?;
        let fault = found.header.err();
        if let Some(fault) = fault
            && let Some(header) = mend(storage, &found, fault, meta)?
        {
            found.header = Ok(header);
        }
        let (link, has_batches, is_confirmed, engine_tick) = (None, false, false, 0);
        Ok(Self { found, fault, link, has_batches, is_confirmed, engine_tick })
    }

    /// Reads every batch there is, and weighs what all of them prove.
    pub(super) fn look(
        &mut self,
        storage: &dyn Storage,
        codec: u16,
        proof: &mut Proof,
    ) -> Result<(), LogError> {
        let Ok(header) = self.found.header else { return Ok(()) };
        let bytes = self.found.read_whole(storage)?;
        let mut stamp_max = Lsn::ZERO;
        let scan = scan_of(&bytes, &header, codec);
        proof.weigh_strays(self.found.id, &scan);
        for (_, header) in scan.stray_headers() {
            self.engine_tick = self.engine_tick.max(header.engine_tick);
            stamp_max = stamp_max.max(header.durable_lsn);
        }
        let mut batches = 0_u64;
        let mut pieces = Pieces::new(self.found.id, scan);
        while let Some(piece) = pieces.next()? {
            if let Piece::Batch(batch) = piece {
                self.link = self.link.or(batch.link);
                batches += 1;
            }
        }
        self.has_batches = batches > 0;
        self.is_confirmed =
            self.has_batches && self.link.is_none_or(|link| confirms(&link, batches, stamp_max));
        if let Some(link) = self.link {
            proof.weigh(link_evidence(self.found.id, link.prev_last_lsn));
        }
        Ok(())
    }
}

/// An opening writes nothing but its first batch before it is complete. A healing writes all its batches with the stamp of
/// its LINK before it is.
fn confirms(link: &Link, batches: u64, stamp_max: Lsn) -> bool {
    match link.reason {
        LinkReason::Rotated => true,
        LinkReason::Created | LinkReason::Opened => batches > 1,
        LinkReason::Healed => stamp_max > link.prev_last_lsn,
    }
}

/// The header of a file whose length is wrong, or whose header is damaged and known from META.
fn mend(
    storage: &dyn Storage,
    found: &Found,
    fault: Fault,
    meta: Option<&Meta>,
) -> Result<Option<SegmentHeader>, LogError> {
    let bytes = match fault {
        // It is another segment's header.
        Fault::Segment(SegmentFault::Misplaced { .. }) => return Ok(None),
        _ => beginning(storage, found)?,
    };
    let own = SegmentHeader::decode(&bytes).ok().filter(|header| header.segment_id == found.id);
    Ok(own.or_else(|| listed(found.id, &bytes, meta?)))
}

/// The header's block and the next: a file of that name may be anybody's, and as large as it likes.
fn beginning(storage: &dyn Storage, found: &Found) -> Result<Vec<u8>, LogError> {
    const LEN: usize = 2 * BLOCK_LEN as usize;
    let file = storage.open_read_only(&found.name)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(LEN).min(LEN)];
    file.read_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// META has all of a header but the epoch, and that stands in the LINK as well.
fn listed(id: u64, bytes: &[u8], meta: &Meta) -> Option<SegmentHeader> {
    let listed = meta.listed.iter().find(|listed| listed.segment_id == id)?;
    let first = bytes.get(BLOCK_LEN as usize..)?;
    let context = Context::new(meta.uuid, id, listed.salt);
    BatchHeader::decode(first, &context, 1).ok()?;
    let (record, _) = RecordView::decode(first.get(BATCH_HEADER_LEN..)?).ok()?;
    let link = Link::decode(record.body).filter(|_| record.kind == LINK_KIND)?;
    Some(SegmentHeader {
        uuid: meta.uuid,
        segment_id: id,
        epoch: link.epoch,
        salt: listed.salt,
        capacity_blocks: listed.capacity_blocks,
        // What is behind the last batch says nothing in a damaged log, be it zeros or not.
        is_recycled: true,
    })
}

/// A scan of the bytes that belong to the segment: a file that is too long has others behind them.
pub(super) fn scan_of<'a>(bytes: &'a [u8], header: &SegmentHeader, codec: u16) -> Scan<'a> {
    let len = usize::try_from(header.capacity_bytes()).unwrap_or(usize::MAX).min(bytes.len());
    Scan::new(bytes.get(..len).unwrap_or_default(), header, codec)
}

/// What comes next in a segment that may be damaged.
#[derive(Debug)]
pub(super) enum Piece<'a> {
    /// A whole batch. It follows the piece before it, unless that was bad.
    Batch(Batch<'a>),
    /// Something that is no valid batch.
    Bad {
        /// Where it begins.
        offset: u64,
        /// What is wrong.
        why: Fault,
        /// Nothing follows that can be read.
        is_last: bool,
    },
}

/// A walk over all of a segment that can be read, over damage and on.
#[derive(Debug)]
pub(super) struct Pieces<'a> {
    segment: u64,
    scan: Scan<'a>,
    ended: bool,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(segment: u64, scan: Scan<'a>) -> Self {
        Self { segment, scan, ended: false }
    }

    /// Where the next one begins.
    pub(super) fn offset(&self) -> u64 {
        self.scan.offset()
    }

    /// Whether the last one was a SEAL.
    pub(super) fn is_sealed(&self) -> bool {
        self.scan.sealed
    }

    /// # Errors
    ///
    /// [`LogError::Unknown`]: what is intact and of a later version is not damage.
    pub(super) fn next(&mut self) -> Result<Option<Piece<'a>>, LogError> {
        if self.ended || self.scan.sealed {
            return Ok(None);
        }
        let why = match self.scan.next() {
            Ok(batch) => return Ok(Some(Piece::Batch(batch))),
            Err(Stop::Unknown(what)) => return Err(unknown(self.segment, self.scan.offset(), what)),
            Err(Stop::Fault(why)) => why,
        };
        let offset = self.scan.offset();
        self.ended = !self.scan.resume();
        Ok(Some(Piece::Bad { offset, why, is_last: self.ended }))
    }
}
