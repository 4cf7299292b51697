//! A decoder of directories as anybody would write it from `docs/format.md`, in any language: it knows no type of the
//! log's and none of its code. The words are those of that page, and so is the order of the steps under "Reading".
//!
//! What two readers agree on, one of them written without the other, is what the page says: the tests of the log hold its reader
//! to this one, and the simulation does with every damaged directory.
#![expect(
    clippy::expect_used,
    clippy::cast_possible_truncation,
    reason = "it is a part of tests, which cut numbers to size that were checked before"
)]

mod bytes;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet};

use bytes::{is_framed, u16_at, u32_at, u64_at, u128_at};
use snapshot::{Entry, snapshot_id_in};
pub use snapshot::{Extras, Globals, Recurrence, Sections, Slot, Snapshot, Terms, Timer};

/// The names and the bytes of all files.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What a directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// No log was ever begun here, or one that never showed anything.
    Empty,
    /// A log that would be opened.
    Log(Box<Log>),
    /// Acknowledged records are damaged or gone.
    Corruption(Corruption),
    /// It is refused for another reason.
    Refused(Refusal),
}

/// A log that would be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Its identity.
    pub uuid: u128,
    /// The last opening of it.
    pub epoch: u64,
    /// Slots of META that are not valid.
    pub bad_slots: u32,
    /// D.
    pub durable: u64,
    /// V.
    pub valid: u64,
    /// The first LSN that can be read.
    pub first: u64,
    /// Bytes behind V that are not blank.
    pub torn_bytes: u64,
    /// It was closed in order.
    pub clean: bool,
    /// What each file with the name of a segment is, by id.
    pub roles: Vec<(u64, Role)>,
    /// The snapshots that META lists, newest first.
    pub snapshots: Vec<Snapshot>,
    /// The records of the owner.
    pub records: Vec<Record>,
}

/// Where the state of a log comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// A snapshot, and the records behind it.
    Snapshot(u64),
    /// All records, from the first on.
    Beginning,
    /// The beginning was let go, and no snapshot is used: the directory is refused.
    Nothing,
}

impl Log {
    /// Which snapshot is used, if any.
    #[must_use]
    pub fn base(&self) -> Base {
        let used = self.snapshots.iter().find(|it| {
            let sections = it.sections.as_deref().and_then(Sections::decode);
            self.first <= it.begin + 1
                && it.end <= self.valid
                && sections.is_some_and(|sections| sections.globals.end == it.end)
        });
        match used {
            Some(snapshot) => Base::Snapshot(snapshot.id),
            None if self.first <= 1 => Base::Beginning,
            None => Base::Nothing,
        }
    }
}

/// What a segment is to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The newest that continues it.
    Head,
    /// A LINK leads to it.
    Linked,
    /// Listed, newer than the head, and unused.
    Blank,
    /// Listed, newer than the head, and begun in vain.
    Burnt,
    /// It says nothing.
    Unlisted,
}

/// A record of the owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub lsn: u64,
    /// Its kind.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its body.
    pub body: Vec<u8>,
    /// The segment in which it lies.
    pub segment: u64,
    /// Where it begins there.
    pub offset: u64,
}

/// Where acknowledged records are gone, and which, as far as numbers can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corruption {
    /// The segment.
    pub segment: u64,
    /// There, if V is below D.
    pub lost: Option<Lost>,
}

/// Records that are proven durable and cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Where in the segment they should have begun.
    pub offset: u64,
    /// V + 1.
    pub first: u64,
    /// D.
    pub last: u64,
}

/// Why a directory is refused, if no record is damaged or gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Somebody's files.
    NotALog,
    /// A log, and no META.
    MetaMissing,
    /// No valid slot, or another length.
    MetaDamaged,
    /// A later version.
    Newer,
    /// A segment of another log.
    Foreign,
    /// A bit, a kind or a number that this version does not know.
    Unknown,
    /// D lies inside a batch.
    NotABoundary,
}

/// Reading ended early, with this.
struct End(Verdict);

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self(Verdict::Refused(refusal))
    }
}

impl From<Corruption> for End {
    fn from(corruption: Corruption) -> Self {
        Self(Verdict::Corruption(corruption))
    }
}

const BLOCK: usize = 4096;
const LINK: u16 = 1;
const SEAL: u16 = 2;
const MARK: u16 = 4;
const CLEAN: u16 = 8;
const ID_END: u64 = 1 << 48;
const LINK_KIND: u8 = 0xF0;
const SEAL_KIND: u8 = 0xF1;
const ROTATED: u8 = 2;

/// Reads a directory whose owner encodes bodies with `codec`.
#[must_use]
pub fn decode(files: &Files, codec: u16) -> Verdict {
    match read(files, codec) {
        Ok(log) => Verdict::Log(Box::new(log)),
        Err(End(verdict)) => verdict,
    }
}

fn read(files: &Files, codec: u16) -> Result<Log, End> {
    let (meta, bad_slots) = read_meta(files)?;
    let segments = read_headers(files, &meta)?;
    if !meta.active {
        return Err(End(Verdict::Empty));
    }
    check_list(&meta, &segments, codec)?;
    let mut head = find_head(&meta, &segments, codec)?;
    let first = head.batches.first().and_then(|batch| batch.link).expect("a head begins with a LINK");
    while head.step()? {}
    let newer: Vec<_> = meta.listed.iter().filter(|listed| listed.id > head.segment.id).collect();
    if head.sealed && newer.is_empty() {
        return Err(Corruption { segment: head.segment.id, lost: None }.into());
    }
    let (durable, valid) = (durable(&meta, &segments, &head, first), head.last_lsn);
    if valid < durable {
        // A sealed head is whole: what is missing should have been in the segment that follows.
        let (segment, block) = if head.sealed { (newer[0].id, 1) } else { (head.segment.id, head.block) };
        let offset = u64::from(block) * BLOCK as u64;
        return Err(
            Corruption { segment, lost: Some(Lost { offset, first: valid + 1, last: durable }) }.into()
        );
    }
    if durable != first.last_lsn && !head.batches.iter().any(|batch| batch.last_lsn == durable) {
        return Err(Refusal::NotABoundary.into());
    }
    let torn_bytes = head.torn_bytes();
    let clean = torn_bytes == 0 && head.batches.last().is_some_and(|batch| batch.flags & CLEAN != 0);
    let chain = follow_links(head, first, &meta, &segments, codec)?;
    let epochs = segments.values().flatten().map(|segment| segment.epoch);
    Ok(Log {
        uuid: meta.uuid,
        epoch: epochs.fold(meta.epoch, u64::max),
        bad_slots,
        durable,
        valid,
        first: chain[chain.len() - 1].batches[0].link.map_or(0, |link| link.last_lsn) + 1,
        torn_bytes,
        clean,
        roles: segments.iter().map(|(id, found)| (*id, role(*id, found.as_ref(), &meta, &chain))).collect(),
        snapshots: meta
            .snapshots
            .iter()
            .map(|entry| entry.read(files, meta.uuid))
            .collect::<Result<_, _>>()?,
        records: chain.iter().rev().flat_map(Walk::records).collect(),
    })
}

/// What a file with the name of a segment is to the log whose chain this is, head first.
fn role(id: u64, found: Option<&Segment<'_>>, meta: &Meta, chain: &[Walk<'_, '_>]) -> Role {
    let is_listed = meta.listed.iter().any(|listed| listed.id == id);
    let is_blank = || found.is_some_and(|found| Walk::new(found, chain[0].codec).torn_bytes() == 0);
    match chain.iter().position(|walk| walk.segment.id == id) {
        Some(0) => Role::Head,
        Some(_) => Role::Linked,
        None if !is_listed || id < chain[0].segment.id => Role::Unlisted,
        None if is_blank() => Role::Blank,
        None => Role::Burnt,
    }
}

// META

struct Meta {
    uuid: u128,
    seq: u64,
    epoch: u64,
    witness: u64,
    first_segment: u64,
    head_segment: u64,
    active: bool,
    listed: Vec<Listed>,
    /// Newest first.
    snapshots: Vec<Entry>,
}

struct Listed {
    id: u64,
    salt: u64,
    blocks: u32,
}

fn read_meta(files: &Files) -> Result<(Meta, u32), End> {
    let Some(bytes) = files.get("META") else { return Err(without_meta(files)) };
    let mut slots: Vec<Meta> = Vec::new();
    for (place, slot) in bytes.chunks_exact(BLOCK).take(4).enumerate() {
        if is_framed(slot, b"HOROMETA") {
            if u16_at(slot, 8) > 0 {
                return Err(Refusal::Newer.into());
            }
            if u16_at(slot, 10) != 0 || slot[105] != 1 || u64_at(slot, 96) != 0 {
                return Err(Refusal::Unknown.into());
            }
            slots.extend(slot_of(slot, place as u64));
        }
    }
    let bad_slots = 4 - slots.len() as u32;
    let newest = slots.into_iter().max_by_key(|slot| slot.seq).filter(|_| bytes.len() == 4 * BLOCK);
    newest.map(|meta| (meta, bad_slots)).ok_or(Refusal::MetaDamaged.into())
}

fn is_of_a_log(name: &str) -> bool {
    id_in(name).or(snapshot_id_in(name)).is_some()
}

fn without_meta(files: &Files) -> End {
    let is_expected = |name: &str| {
        name == "LOCK" || name == "META.tmp" || name.strip_suffix(".tmp").is_some_and(is_of_a_log)
    };
    if files.keys().any(|name| is_of_a_log(name)) {
        Refusal::MetaMissing.into()
    } else if files.keys().all(|name| is_expected(name)) {
        End(Verdict::Empty)
    } else {
        Refusal::NotALog.into()
    }
}

/// A slot that has the right frame and is of this version: what it says, if it is valid in its place.
fn slot_of(slot: &[u8], place: u64) -> Option<Meta> {
    let count = u32_at(slot, 108) as usize;
    let rows_end = 128 + 24 * count;
    let is_blank = |from: usize, to: usize| slot[from..to].iter().all(|byte| *byte == 0);
    if count > 16 || u32_at(slot, 12) != 4096 {
        return None;
    }
    let rows = slot[128..rows_end].chunks(24);
    let listed: Vec<_> = rows
        .clone()
        .map(|row| Listed { id: u64_at(row, 0), salt: u64_at(row, 8), blocks: u32_at(row, 16) })
        .collect();
    let reserved = is_blank(106, 108) && is_blank(112, 128) && is_blank(rows_end, 512) && is_blank(592, 4088);
    let reserved = reserved && rows.clone().all(|row| u32_at(row, 20) == 0);
    let meta = Meta {
        uuid: u128_at(slot, 16),
        seq: u64_at(slot, 32),
        epoch: u64_at(slot, 40),
        witness: u64_at(slot, 48),
        first_segment: u64_at(slot, 56),
        head_segment: u64_at(slot, 64),
        active: slot[104] == 2,
        listed,
        snapshots: [512, 552].iter().filter_map(|at| Entry::of(&slot[*at..at + 40])).collect(),
    };
    let next_segment = u64_at(slot, 72);
    let ids: Vec<u64> = meta.listed.iter().map(|listed| listed.id).collect();
    let ascends = ids.windows(2).all(|pair| pair[0] < pair[1]);
    let in_bounds = ids.iter().all(|id| (1..next_segment).contains(id)) && next_segment <= ID_END;
    let fits = match slot[104] {
        1 => meta.head_segment == 0 && meta.first_segment == 0,
        2 => ids.first() == Some(&meta.head_segment) && (1..=meta.head_segment).contains(&meta.first_segment),
        _ => false,
    };
    let fits = fits && snapshots_agree(slot, meta.witness);
    let valid = reserved && meta.uuid != 0 && place / 2 == meta.seq % 2 && ascends && in_bounds && fits;
    valid.then_some(meta)
}

/// Newest first; a number of 0 says that there is none, and then all of the entry is zero.
fn snapshots_agree(slot: &[u8], witness: u64) -> bool {
    let [newest, older] = [&slot[512..552], &slot[552..592]];
    let fits = |row: &[u8]| {
        let (id, begin, end) = (u64_at(row, 0), u64_at(row, 8), u64_at(row, 16));
        if id == 0 {
            row.iter().all(|byte| *byte == 0)
        } else {
            id < ID_END && begin <= end && end <= witness
        }
    };
    let in_order = u64_at(older, 0) == 0
        || (u64_at(older, 0) < u64_at(newest, 0) && u64_at(older, 8) <= u64_at(newest, 8));
    fits(newest) && fits(older) && in_order
}

// Segments

struct Segment<'a> {
    id: u64,
    epoch: u64,
    salt: u64,
    blocks: u32,
    recycled: bool,
    /// uuid, segment_id and salt: the part of the context that is the same in all of the segment.
    context: Vec<u8>,
    bytes: &'a [u8],
}

/// All files with the name of a segment, by id; `None` for one whose header is damaged or contradicts its name or size.
type Segments<'a> = BTreeMap<u64, Option<Segment<'a>>>;

fn id_in(name: &str) -> Option<u64> {
    id_of(name.strip_prefix("seg-")?.strip_suffix(".wal")?)
}

fn id_of(digits: &str) -> Option<u64> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let id = (digits.len() == 16 && digits.bytes().all(is_digit)).then(|| u64::from_str_radix(digits, 16));
    id?.ok().filter(|id| (1..ID_END).contains(id))
}

fn read_headers<'a>(files: &'a Files, meta: &Meta) -> Result<Segments<'a>, End> {
    let mut segments = Segments::new();
    let mut uuids = BTreeSet::new();
    for (name, bytes) in files {
        let Some(id) = id_in(name) else { continue };
        let block = bytes.get(..BLOCK).filter(|block| is_framed(block, b"HOROLOG\0"));
        if let Some(block) = block {
            if u16_at(block, 8) > 0 {
                return Err(Refusal::Newer.into());
            }
            let is_known = u16_at(block, 10) == 0 && u32_at(block, 56) == 4096 && block[64] == 1;
            if !is_known || u64_at(block, 96) != 0 {
                return Err(Refusal::Unknown.into());
            }
        }
        let found = block.and_then(|block| segment_of(id, block, bytes));
        uuids.extend(found.as_ref().map(|found| u128_at(found.bytes, 16)));
        segments.insert(id, found);
    }
    if uuids.iter().any(|uuid| *uuid != meta.uuid) { Err(Refusal::Foreign.into()) } else { Ok(segments) }
}

/// A segment whose header has the right frame and is of this version: what it says, if all of that is right.
fn segment_of<'a>(id: u64, block: &[u8], bytes: &'a [u8]) -> Option<Segment<'a>> {
    let blocks = u32_at(block, 60);
    let is_blank = |from: usize, to: usize| block[from..to].iter().all(|byte| *byte == 0);
    let fits = u32_at(block, 12) == 4096
        && u64_at(block, 32) == id
        && u64::from(blocks) * BLOCK as u64 == bytes.len() as u64
        && block[65] <= 1
        && is_blank(66, 4088);
    let context = [&block[16..40], &block[48..56]].concat();
    let (epoch, salt) = (u64_at(block, 40), u64_at(block, 48));
    fits.then(|| Segment { id, epoch, salt, blocks, recycled: block[65] == 1, context, bytes })
}

/// What META lists is there, and nothing newer has begun without it.
fn check_list(meta: &Meta, segments: &Segments<'_>, codec: u16) -> Result<(), End> {
    for Listed { id, salt, blocks } in &meta.listed {
        match segments.get(id) {
            Some(Some(found)) if (found.salt, found.blocks) == (*salt, *blocks) => {}
            _ => return Err(Corruption { segment: *id, lost: None }.into()),
        }
    }
    let newest = meta.listed.last().map_or(0, |listed| listed.id);
    for found in segments.values().flatten().filter(|found| found.id > newest) {
        if Walk::begun(found, codec)?.is_some() {
            return Err(Corruption { segment: found.id, lost: None }.into());
        }
    }
    Ok(())
}

fn find_head<'a, 's>(meta: &Meta, segments: &'s Segments<'a>, codec: u16) -> Result<Walk<'a, 's>, End> {
    for listed in meta.listed.iter().rev() {
        let Some(Some(found)) = segments.get(&listed.id) else { continue };
        let is_called_head = listed.id == meta.head_segment;
        match Walk::begun(found, codec)? {
            Some(walk) if is_called_head => return Ok(walk),
            Some(walk) if walk.batches[0].link.is_some_and(|link| link.reason == ROTATED) => return Ok(walk),
            None if is_called_head => return Err(Corruption { segment: listed.id, lost: None }.into()),
            _ => {}
        }
    }
    unreachable!("an active META lists its head")
}

fn follow_links<'a, 's>(
    head: Walk<'a, 's>,
    first: LinkBody,
    meta: &Meta,
    segments: &'s Segments<'a>,
    codec: u16,
) -> Result<Vec<Walk<'a, 's>>, End> {
    let (mut chain, mut link) = (vec![head], first);
    while link.segment >= meta.first_segment {
        let corrupt = |lost| Corruption { segment: link.segment, lost };
        let found = segments.get(&link.segment).and_then(Option::as_ref).ok_or_else(|| corrupt(None))?;
        let mut walk = Walk::new(found, codec);
        walk.read_to(link.last_lsn, link.chain)?.map_err(corrupt)?;
        link = walk.batches[0].link.ok_or_else(|| corrupt(None))?;
        chain.push(walk);
    }
    Ok(chain)
}

// Batches

#[derive(Clone, Copy)]
struct LinkBody {
    segment: u64,
    last_lsn: u64,
    chain: u64,
    epoch: u64,
    reason: u8,
}

struct BatchHeader {
    crc: u32,
    first_lsn: u64,
    stamp: u64,
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

struct Batch {
    block: u32,
    flags: u16,
    stamp: u64,
    last_lsn: u64,
    link: Option<LinkBody>,
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
struct Walk<'a, 's> {
    segment: &'s Segment<'a>,
    codec: u16,
    /// Where the next batch would begin.
    block: u32,
    batches: Vec<Batch>,
    last_lsn: u64,
    chain: u64,
    sealed: bool,
}

impl<'a, 's> Walk<'a, 's> {
    fn new(segment: &'s Segment<'a>, codec: u16) -> Self {
        Self { segment, codec, block: 1, batches: Vec::new(), last_lsn: 0, chain: 0, sealed: false }
    }

    /// A walk that has read the first batch; `None` if that is not valid.
    fn begun(segment: &'s Segment<'a>, codec: u16) -> Result<Option<Self>, End> {
        let mut walk = Self::new(segment, codec);
        Ok(walk.step()?.then_some(walk))
    }

    /// Reads up to the batch that ends with `last_lsn` and has the chain value `chain`; if there is none, what is lost. Nobody
    /// knows where that begins if there is no batch at all.
    fn read_to(&mut self, last_lsn: u64, chain: u64) -> Result<Result<(), Option<Lost>>, End> {
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
    fn step(&mut self) -> Result<bool, End> {
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
    fn header_at(&self, block: u32) -> Option<BatchHeader> {
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
        let (block, last_lsn) = (self.block, self.last_lsn);
        self.batches.push(Batch { block, flags: header.flags, stamp: header.stamp, last_lsn, link, records });
        self.block += blocks;
    }

    fn records(&self) -> impl Iterator<Item = Record> {
        self.batches.iter().flat_map(|batch| batch.records.clone())
    }

    /// The stray headers from here to the end of the segment, each with its block.
    fn strays(&self) -> impl Iterator<Item = (u32, BatchHeader)> {
        let headers = (self.block..self.segment.blocks)
            .filter_map(|block| self.header_at(block).map(|header| (block, header)));
        headers.filter(|(block, header)| {
            header.ordinal as usize >= self.batches.len()
                && header.ordinal < *block
                && header.first_lsn > self.last_lsn
                && header.stamp < header.first_lsn
        })
    }

    fn torn_bytes(&self) -> u64 {
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

/// D.
fn durable(meta: &Meta, segments: &Segments<'_>, head: &Walk<'_, '_>, link: LinkBody) -> u64 {
    let mut proofs = vec![meta.witness, link.last_lsn];
    proofs.extend(head.batches.iter().map(|batch| batch.stamp));
    proofs.extend(head.strays().map(|(_, header)| header.stamp));
    for listed in meta.listed.iter().filter(|listed| listed.id > head.segment.id) {
        if let Some(Some(found)) = segments.get(&listed.id) {
            let strays = Walk::new(found, head.codec);
            proofs.extend(strays.strays().map(|(_, header)| header.stamp));
        }
    }
    proofs.into_iter().max().unwrap_or(0)
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
