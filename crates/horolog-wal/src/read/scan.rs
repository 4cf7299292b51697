//! Walking the batches of one segment, from the first to the first that is not valid.

use crc32fast::Hasher;

use crate::error::Unknown;
use crate::format::batch::{BatchFlags, BatchHeader, Context};
use crate::format::internal::{LINK_KIND, Link, SEAL_KIND, Seal};
use crate::format::record::RecordView;
use crate::format::segment::SegmentHeader;
use crate::format::{BATCH_HEADER_LEN, Fault, block_offset};
use crate::lsn::Lsn;
use crate::planted::{Bug, is_planted};
use crate::read::filled::Filled;

/// In the place of a block at which a batch began that was never seen: no batch begins at the segment header.
const UNSEEN: u32 = 0;

/// A walk over the valid batches of a segment. It remembers what the next batch must continue.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    bytes: &'a [u8],
    /// Behind this there are zeros.
    filled: usize,
    segment: SegmentHeader,
    context: Context,
    codec: u16,
    /// Where the next batch begins.
    pub(crate) block: u32,
    /// Where the batches so far began.
    pub(crate) blocks: Vec<u32>,
    /// The last LSN so far.
    pub(crate) last_lsn: Lsn,
    chain: u64,
    pub(crate) sealed: bool,
}

/// A valid batch.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    pub(crate) header: BatchHeader,
    pub(crate) block: u32,
    pub(crate) last_lsn: Lsn,
    pub(crate) chain: u64,
    /// There is one in the first batch of a segment and in no other.
    pub(crate) link: Option<Link>,
    body: &'a [u8],
}

/// Why there is no next batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The bytes are not a valid batch. Whether that is a torn tail or corruption is not decided here.
    Fault(Fault),
    /// The bytes are intact and mean something this program does not know.
    Unknown(Unknown),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Unknown> for Stop {
    fn from(what: Unknown) -> Self {
        Self::Unknown(what)
    }
}

/// What the records of a batch add up to.
#[derive(Debug, Default)]
struct Tally {
    records: u32,
    lsns: u64,
    link: Option<Link>,
    seal: Option<Seal>,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(bytes: &'a [u8], segment: &SegmentHeader, codec: u16) -> Self {
        Self {
            bytes,
            filled: bytes.len(),
            segment: *segment,
            context: Context::of(segment),
            codec,
            block: 1,
            blocks: Vec::new(),
            last_lsn: Lsn::ZERO,
            chain: 0,
            sealed: false,
        }
    }

    /// The same, of a segment that may end in zeros.
    pub(crate) fn of(file: &'a Filled, segment: &SegmentHeader, codec: u16) -> Self {
        Self { filled: file.filled, ..Self::new(&file.bytes, segment, codec) }
    }

    /// The next batch, if it is valid in every respect.
    pub(crate) fn next(&mut self) -> Result<Batch<'a>, Stop> {
        let (header, header_crc, bytes) = self.framed()?;
        let (body, padding) = bytes
            .get(BATCH_HEADER_LEN..)
            .and_then(|rest| rest.split_at_checked(header.body_len as usize))
            .ok_or(Fault::Length)?;
        let tally = tally(&header, body, padding)?;
        let link = self.placed(&header, &tally)?;
        let batch = Batch {
            block: self.block,
            last_lsn: Lsn(header.first_lsn.0 - 1 + tally.lsns),
            chain: header.chain(header_crc),
            link,
            header,
            body,
        };
        self.advance(&batch);
        Ok(batch)
    }

    /// The header at the current block and the bytes of its batch.
    fn framed(&self) -> Result<(BatchHeader, u32, &'a [u8]), Stop> {
        let rest = self.rest();
        let (header, crc) = BatchHeader::decode(rest, &self.context, self.block)?;
        if header.flags.unknown() != 0 {
            return Err(Unknown::BatchFlags(header.flags.unknown()).into());
        }
        if header.codec != self.codec {
            return Err(Unknown::Codec(header.codec).into());
        }
        if header.blocks() > 1 && is_planted(Bug::LimitReadOnly) {
            return Err(Fault::Length.into());
        }
        let len = header.blocks().checked_mul(u64::from(crate::format::BLOCK_LEN)).ok_or(Fault::Length)?;
        let bytes = usize::try_from(len).ok().and_then(|len| rest.get(..len)).ok_or(Fault::Length)?;
        Ok((header, crc, bytes))
    }

    /// Whether the batch belongs here: behind the one before it, with the records its flags promise.
    fn placed(&self, header: &BatchHeader, tally: &Tally) -> Result<Option<Link>, Fault> {
        if header.durable_lsn >= header.first_lsn || header.first_lsn.0.checked_add(tally.lsns).is_none() {
            return Err(Fault::Stamp);
        }
        if u64::from(header.ordinal) != self.blocks.len() as u64 {
            return Err(Fault::Ordinal);
        }
        check_shape(header, tally)?;
        match tally.link {
            Some(link) => self.begins(header, &link)?,
            None if header.prev_chain != self.chain => return Err(Fault::Chain),
            None if header.first_lsn != self.last_lsn.next() => return Err(Fault::FirstLsn),
            None => {}
        }
        match &tally.seal {
            Some(seal)
                if seal.chain != self.chain
                    || seal.last_lsn != self.last_lsn
                    || !self.began_at(&seal.blocks) =>
            {
                Err(Fault::Contradiction)
            }
            _ => Ok(tally.link),
        }
    }

    /// Whether the batches so far began at these blocks, as far as they were seen.
    fn began_at(&self, blocks: &[u32]) -> bool {
        let fits = |(seen, block): (&u32, &u32)| *seen == UNSEEN || seen == block;
        self.blocks.len() == blocks.len() && self.blocks.iter().zip(blocks).all(fits)
    }

    /// Whether a LINK fits its batch and its segment.
    fn begins(&self, header: &BatchHeader, link: &Link) -> Result<(), Fault> {
        let fits = link.epoch == self.segment.epoch
            && link.prev_segment < self.segment.segment_id
            && (link.prev_segment != 0 || link.prev_chain == 0)
            && link.prev_chain == header.prev_chain
            && link.prev_last_lsn.next() == header.first_lsn;
        if fits { Ok(()) } else { Err(Fault::Contradiction) }
    }

    fn advance(&mut self, batch: &Batch<'_>) {
        self.blocks.push(self.block);
        // The batch lies inside the segment, whose blocks are counted by a u32.
        self.block = self.block.saturating_add(u32::try_from(batch.header.blocks()).unwrap_or(u32::MAX));
        self.last_lsn = batch.last_lsn;
        self.chain = batch.chain;
        self.sealed = batch.header.flags.contains(BatchFlags::SEAL);
    }

    fn rest(&self) -> &'a [u8] {
        usize::try_from(self.offset()).ok().and_then(|offset| self.bytes.get(offset..)).unwrap_or_default()
    }

    /// The same, as far as there is anything but zeros.
    fn rest_filled(&self) -> &'a [u8] {
        usize::try_from(self.offset())
            .ok()
            .and_then(|offset| self.bytes.get(offset..self.filled))
            .unwrap_or_default()
    }

    /// Where the next batch begins, in bytes.
    pub(crate) fn offset(&self) -> u64 {
        block_offset(self.block)
    }

    /// The bytes from here that a crash cut short: to the end of the last block that is not blank. In a file that was used
    /// before, where blocks of the earlier life say nothing, to the end of the last batch of which the header is left.
    pub(crate) fn torn_bytes(&self) -> u64 {
        if self.segment.is_recycled {
            let ends = self.stray_headers().map(|(offset, header)| {
                offset.saturating_add(header.blocks().saturating_mul(u64::from(crate::format::BLOCK_LEN)))
            });
            let file_end = self.bytes.len() as u64;
            return ends.max().map_or(0, |end| end.min(file_end).saturating_sub(self.offset()));
        }
        const BLANK: [u8; crate::format::BLOCK_LEN as usize] = [0; crate::format::BLOCK_LEN as usize];
        let blocks = self.rest_filled().chunks(BLANK.len());
        let used =
            blocks.clone().rposition(|block| BLANK.get(..block.len()) != Some(block)).map_or(0, |at| at + 1);
        used as u64 * BLANK.len() as u64
    }

    /// Whether nothing was ever written behind the segment header.
    pub(crate) fn is_untouched(&self) -> bool {
        self.block == 1 && self.torn_bytes() == 0
    }

    /// Goes on behind a batch that is not valid, at the next header that is, as if everything up to there had been read;
    /// `false` if there is none. What is found then is whole, and does not follow what was read before.
    pub(crate) fn resume(&mut self) -> bool {
        let here = self.offset();
        let Some((offset, header)) = self.stray_headers().find(|(offset, _)| *offset > here) else {
            return false;
        };
        // Both fit: the block lies inside the segment, and the ordinal is below it.
        self.block = u32::try_from(offset / u64::from(crate::format::BLOCK_LEN)).unwrap_or(u32::MAX);
        self.blocks.resize(header.ordinal as usize, UNSEEN);
        self.last_lsn = Lsn(header.first_lsn.0 - 1);
        self.chain = header.prev_chain;
        true
    }

    /// The headers from here to the end of the segment that are valid in their place and say something plausible, each
    /// with its offset. They prove nothing about their own batches, and everything their writer knew.
    pub(crate) fn stray_headers(&self) -> impl Iterator<Item = (u64, BatchHeader)> + '_ {
        let ordinal_min = self.blocks.len() as u64;
        let blocks = (self.block..).zip(self.rest_filled().chunks(crate::format::BLOCK_LEN as usize));
        blocks
            .filter_map(|(block, bytes)| {
                let (header, _) = BatchHeader::decode(bytes, &self.context, block).ok()?;
                Some((block_offset(block), header))
            })
            .filter(move |(offset, header)| {
                u64::from(header.ordinal) >= ordinal_min
                    // Each batch before it takes a block, and so does the segment header.
                    && u64::from(header.ordinal) < offset / u64::from(crate::format::BLOCK_LEN)
                    && header.first_lsn > self.last_lsn
                    && header.durable_lsn < header.first_lsn
            })
    }
}

/// Checks every record and the digest, and counts.
fn tally(header: &BatchHeader, body: &[u8], padding: &[u8]) -> Result<Tally, Stop> {
    let mut digest = Hasher::new();
    let mut tally = Tally::default();
    let mut unknown = None;
    let mut rest = body;
    while !rest.is_empty() {
        let (record, after) = RecordView::decode(rest).map_err(Fault::Record)?;
        digest.update(&record.crc.to_le_bytes());
        tally.records = tally.records.checked_add(1).ok_or(Fault::RecordCount)?;
        match record.kind {
            LINK_KIND if tally.records == 1 => {
                tally.link = Some(Link::decode(record.body).ok_or(Fault::Contradiction)?);
            }
            SEAL_KIND if tally.records == 1 => {
                tally.seal = Some(Seal::decode(record.body).ok_or(Fault::Contradiction)?);
            }
            LINK_KIND | SEAL_KIND => return Err(Fault::Shape.into()),
            kind if record.is_internal() => unknown = unknown.or(Some(kind)),
            _ => tally.lsns += 1,
        }
        rest = after;
    }
    digest.update(padding);
    if digest.finalize() != header.body_digest && !is_planted(Bug::DigestUnchecked) {
        return Err(Fault::Digest.into());
    }
    if tally.records != header.record_count {
        return Err(Fault::RecordCount.into());
    }
    // Only now is it certain that the kind was written so.
    unknown.map_or(Ok(tally), |kind| Err(Unknown::InternalRecord(kind).into()))
}

/// Whether flags, ordinal and records say the same.
fn check_shape(header: &BatchHeader, tally: &Tally) -> Result<(), Fault> {
    let is = |flag| header.flags.contains(flag);
    let fits = is(BatchFlags::LINK) == tally.link.is_some()
        && is(BatchFlags::LINK) == (header.ordinal == 0)
        && is(BatchFlags::SEAL) == tally.seal.is_some()
        && (!is(BatchFlags::SEAL) || tally.records == 1)
        && is(BatchFlags::MARK) == (tally.records == 0)
        && (!is(BatchFlags::CLEAN) || is(BatchFlags::MARK));
    if fits { Ok(()) } else { Err(Fault::Shape) }
}

impl<'a> Batch<'a> {
    /// The owner's records with their LSNs and their offsets in the segment. They were checked when the batch was.
    pub(crate) fn records(&self) -> impl Iterator<Item = (Lsn, u64, RecordView<'a>)> + use<'a> {
        let mut offset = block_offset(self.block) + BATCH_HEADER_LEN as u64;
        let mut next_lsn = self.header.first_lsn;
        let mut rest = self.body;
        std::iter::from_fn(move || {
            let (record, after) = RecordView::split(rest).ok()?;
            let at = offset;
            offset += record.bytes.len() as u64;
            rest = after;
            Some((at, record))
        })
        .filter(|(_, record)| !record.is_internal())
        .map(move |(at, record)| {
            let lsn = next_lsn;
            next_lsn = lsn.next();
            (lsn, at, record)
        })
    }

    /// Whether the batch says that the log was closed in order.
    pub(crate) fn is_clean(&self) -> bool {
        self.header.flags.contains(BatchFlags::CLEAN)
    }
}
