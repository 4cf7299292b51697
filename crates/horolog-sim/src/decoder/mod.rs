//! A decoder of directories as anybody would write it from `docs/format.md`, in any language: it knows no type of the
//! log's and none of its code. The words are those of that page, and so is the order of the steps under "Reading".
//!
//! What two readers agree on, one of them written without the other, is what the page says: the tests of the log hold its reader
//! to this one, and the simulation does with every damaged directory.
#![expect(clippy::cast_possible_truncation, reason = "numbers are cut to size that were checked before")]

mod batches;
mod bytes;
mod meta;
mod pieces;
mod segments;
mod snapshot;

use std::collections::BTreeMap;

use batches::{CLEAN, LinkBody, Walk};
use meta::{Meta, read_meta};
pub use pieces::{SegmentFile, listed, witnesses};
use segments::{Segment, Segments, check_list, find_head, follow_links, read_headers};
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
const ID_END: u64 = 1 << 48;

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
    let (mut head, first) = find_head(&meta, &segments, codec)?;
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
