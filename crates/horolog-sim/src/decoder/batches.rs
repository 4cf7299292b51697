//! Batches, as rules 1 to 9 under "Batches" have them.

use super::bytes::{u16_at, u32_at, u64_at};
use super::segments::Segment;
use super::{BLOCK, End, Lost, Record, Refusal};

const LINK: u16 = 1;
const SEAL: u16 = 2;
const MARK: u16 = 4;
pub(super) const CLEAN: u16 = 8;
const LINK_KIND: u8 = 0xF0;
const SEAL_KIND: u8 = 0xF1;
pub(super) const ROTATED: u8 = 2;

#[derive(Clone, Copy)]
pub(super) struct LinkBody {
    pub(super) segment: u64,
    pub(super) last_lsn: u64,
    pub(super) chain: u64,
    epoch: u64,
    pub(super) reason: u8,
}

pub(super) struct BatchHeader {
    crc: u32,
    first_lsn: u64,
    pub(super) stamp: u64,
    prev_chain: u64,
    ordinal: u32,
    body_len: u32,
    record_count: u32,
    digest: u32,
    flags: u16,
    codec: u16,
}

impl BatchHeader {
    fn blocks(&self) -> u32 {
        (64 + u64::from(self.body_len)).div_ceil(BLOCK as u64) as u32
    }
}

pub(super) struct Batch {
    block: u32,
    pub(super) flags: u16,
    pub(super) stamp: u64,
    pub(super) link: Option<LinkBody>,
    records: Vec<Record>,
}

/// A record of any kind, and where it begins in its batch.
struct Part<'a> {
    kind: u8,
    flags: u8,
    at: usize,
    body: &'a [u8],
}

/// The valid batches of a segment so far.
pub(super) struct Walk<'a, 's> {
    pub(super) segment: &'s Segment<'a>,
    pub(super) codec: u16,
    /// Where the next batch would begin.
    pub(super) block: u32,
    pub(super) batches: Vec<Batch>,
    pub(super) last_lsn: u64,
    chain: u64,
    pub(super) sealed: bool,
}

impl<'a, 's> Walk<'a, 's> {
    pub(super) fn new(segment: &'s Segment<'a>, codec: u16) -> Self {
        Self { segment, codec, block: 1, batches: Vec::new(), last_lsn: 0, chain: 0, sealed: false }
    }

    /// A walk that has read the first batch; `None` if that is not valid.
    pub(super) fn begun(segment: &'s Segment<'a>, codec: u16) -> Result<Option<Self>, End> {
        let mut walk = Self::new(segment, codec);
        Ok(walk.step()?.then_some(walk))
    }

    /// Reads up to the batch that ends with `last_lsn` and has the chain value `chain`; if there is none, what is lost. Nobody
    /// knows where that begins if there is no batch at all.
    pub(super) fn read_to(&mut self, last_lsn: u64, chain: u64) -> Result<Result<(), Option<Lost>>, End> {
        loop {
            let (offset, first) = (u64::from(self.block) * BLOCK as u64, self.last_lsn + 1);
            let lost = (!self.batches.is_empty()).then_some(Lost { offset, first, last: last_lsn });
            if !self.step()? || self.last_lsn > last_lsn {
                return Ok(Err(lost));
            }
            if (self.last_lsn, self.chain) == (last_lsn, chain) {
                return Ok(Ok(()));
            }
        }
    }

    /// Reads the next batch; `false` if there is no valid one.
    pub(super) fn step(&mut self) -> Result<bool, End> {
        let Some(header) = self.header_at(self.block).filter(|_| !self.sealed) else { return Ok(false) };
        if header.flags & !(LINK | SEAL | MARK | CLEAN) != 0 || header.codec != self.codec {
            return Err(Refusal::Unknown.into());
        }
        let blocks = header.blocks() as usize;
        let begin = self.block as usize * BLOCK;
        let Some(bytes) = self.segment.bytes.get(begin..begin + blocks * BLOCK) else { return Ok(false) };
        let (body, padding) = bytes[64..].split_at(header.body_len as usize);
        let Some(parts) = parts_of(body, padding, &header) else { return Ok(false) };
        let Some(link) = self.placed(&header, &parts) else { return Ok(false) };
        if parts.iter().any(|part| part.kind > SEAL_KIND) {
            return Err(Refusal::Unknown.into());
        }
        self.take(&header, &parts, link, blocks as u32);
        Ok(true)
    }

    /// Rule 1.
    pub(super) fn header_at(&self, block: u32) -> Option<BatchHeader> {
        let begin = block as usize * BLOCK;
        let bytes = self.segment.bytes.get(begin..begin + 64)?;
        let context = [&self.segment.context[..], &block.to_le_bytes()].concat();
        let crc = crc32fast::hash(&[&context, &bytes[8..]].concat());
        let is_header = bytes[..4] == *b"HBAT" && u32_at(bytes, 4) == crc && u32_at(bytes, 60) == 0;
        is_header.then(|| BatchHeader {
            crc,
            first_lsn: u64_at(bytes, 8),
            stamp: u64_at(bytes, 16),
            prev_chain: u64_at(bytes, 24),
            ordinal: u32_at(bytes, 40),
            body_len: u32_at(bytes, 44),
            record_count: u32_at(bytes, 48),
            digest: u32_at(bytes, 52),
            flags: u16_at(bytes, 56),
            codec: u16_at(bytes, 58),
        })
    }

    /// Rules 3, 4, 5, 8 and 9: the LINK, if there is one, of a batch that belongs here; `None` if it does not.
    fn placed(&self, header: &BatchHeader, parts: &[Part<'_>]) -> Option<Option<LinkBody>> {
        let is_first = self.batches.is_empty();
        let has = |flag| header.flags & flag != 0;
        let link = match parts.first() {
            Some(part) if part.kind == LINK_KIND => Some(link_of(part.body)?),
            _ => None,
        };
        let seal = matches!(parts, [only] if only.kind == SEAL_KIND);
        let stray = |(at, part): (usize, &Part<'_>)| match part.kind {
            LINK_KIND => at > 0,
            SEAL_KIND => parts.len() > 1,
            _ => false,
        };
        let shape = has(LINK) == (is_first && link.is_some())
            && is_first == link.is_some()
            && has(SEAL) == seal
            && has(MARK) == parts.is_empty()
            && (has(MARK) || !has(CLEAN))
            && !parts.iter().enumerate().any(stray);
        let (last_lsn, chain) = link.map_or((self.last_lsn, self.chain), |it| (it.last_lsn, it.chain));
        let place = header.ordinal as usize == self.batches.len()
            && last_lsn.checked_add(1) == Some(header.first_lsn)
            && header.prev_chain == chain
            && header.stamp < header.first_lsn;
        let link_fits = link.is_none_or(|it| {
            it.segment < self.segment.id
                && it.epoch == self.segment.epoch
                && (it.segment != 0 || it.chain == 0)
        });
        let seal_fits = !seal || parts[0].body == self.seal();
        (shape && place && link_fits && seal_fits).then_some(link)
    }

    /// The body of a SEAL at this place.
    fn seal(&self) -> Vec<u8> {
        let mut body = (self.batches.len() as u32).to_le_bytes().to_vec();
        body.extend(self.last_lsn.to_le_bytes());
        body.extend(self.chain.to_le_bytes());
        self.batches.iter().for_each(|batch| body.extend(batch.block.to_le_bytes()));
        body
    }

    fn take(&mut self, header: &BatchHeader, parts: &[Part<'_>], link: Option<LinkBody>, blocks: u32) {
        let begin = u64::from(self.block) * BLOCK as u64 + 64;
        let owners = parts.iter().filter(|part| part.kind < LINK_KIND);
        let records: Vec<_> = (header.first_lsn..)
            .zip(owners)
            .map(|(lsn, part)| Record {
                lsn,
                kind: part.kind,
                flags: part.flags,
                body: part.body.to_vec(),
                segment: self.segment.id,
                offset: begin + part.at as u64,
            })
            .collect();
        self.last_lsn = header.first_lsn - 1 + records.len() as u64;
        self.chain = u64::from(header.crc) | u64::from(header.digest) << 32;
        self.sealed = header.flags & SEAL != 0;
        let Self { block, .. } = *self;
        self.batches.push(Batch { block, flags: header.flags, stamp: header.stamp, link, records });
        self.block += blocks;
    }

    pub(super) fn records(&self) -> impl Iterator<Item = Record> {
        self.batches.iter().flat_map(|batch| batch.records.clone())
    }

    /// The stray headers from here to the end of the segment, each with its block.
    pub(super) fn strays(&self) -> impl Iterator<Item = (u32, BatchHeader)> {
        let headers = (self.block..self.segment.blocks)
            .filter_map(|block| self.header_at(block).map(|header| (block, header)));
        headers.filter(|(block, header)| {
            header.ordinal as usize >= self.batches.len()
                && header.ordinal < *block
                && header.first_lsn > self.last_lsn
                && header.stamp < header.first_lsn
        })
    }

    pub(super) fn torn_bytes(&self) -> u64 {
        if self.sealed {
            return 0;
        }
        if self.segment.recycled {
            let end = |(block, header): (u32, BatchHeader)| block + header.blocks();
            let end = self.strays().map(end).max().map_or(self.block, |end| end.min(self.segment.blocks));
            return u64::from(end - self.block) * BLOCK as u64;
        }
        let blocks = self.segment.bytes[self.block as usize * BLOCK..].chunks(BLOCK);
        let mut used = blocks.enumerate().filter(|(_, block)| block.iter().any(|byte| *byte != 0));
        used.next_back().map_or(0, |(at, _)| (at as u64 + 1) * BLOCK as u64)
    }
}

/// Rules 6 and 7: the records of a batch; `None` if one is damaged or they are not what the header says.
fn parts_of<'a>(body: &'a [u8], padding: &[u8], header: &BatchHeader) -> Option<Vec<Part<'a>>> {
    let (mut parts, mut digested, mut at) = (Vec::new(), Vec::new(), 0);
    while at < body.len() {
        let head = body.get(at..at + 12)?;
        let end = at + 12 + u32_at(head, 0) as usize;
        let record = body.get(at + 12..end)?;
        let crc = crc32fast::hash(&[&head[..8], record].concat());
        if u32_at(head, 8) != crc || u16_at(head, 6) != 0 {
            return None;
        }
        digested.extend(crc.to_le_bytes());
        parts.push(Part { kind: head[4], flags: head[5], at, body: record });
        at = end;
    }
    digested.extend_from_slice(padding);
    let fits = parts.len() == header.record_count as usize && crc32fast::hash(&digested) == header.digest;
    fits.then_some(parts)
}

fn link_of(body: &[u8]) -> Option<LinkBody> {
    let link = |body: &[u8]| LinkBody {
        segment: u64_at(body, 0),
        last_lsn: u64_at(body, 8),
        chain: u64_at(body, 16),
        epoch: u64_at(body, 24),
        reason: body[32],
    };
    (body.len() == 33 && body[32] <= 3).then(|| link(body))
}
