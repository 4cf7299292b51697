//! From the newest segment that META lists back to the first, along the LINKs.

use horolog_storage::{Contents, Storage};

use crate::error::{Corruption, LogError, LogFile, Lost};
use crate::format::internal::{Link, LinkReason};
use crate::format::meta::{Listed, MetaState};
use crate::format::segment::SegmentHeader;
use crate::format::{Fault, block_offset};
use crate::lsn::Lsn;
use crate::planted::{Bug, is_planted};
use crate::read::directory::{Directory, Found};
use crate::read::filled::{Filled, read_beginning};
use crate::read::meta::MetaFound;
use crate::read::scan::{Batch, Scan, Stop};
use crate::read::verdict::{Proof, StopAt, link_evidence, meta_evidence, not_as_listed, stamp_evidence};

/// A place where the log can be continued: the end of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Boundary {
    pub(crate) segment: u64,
    pub(crate) last_lsn: Lsn,
    pub(crate) chain: u64,
}

impl Boundary {
    /// Before the first record of a log.
    pub(crate) const ORIGIN: Self = Self { segment: 0, last_lsn: Lsn::ZERO, chain: 0 };

    pub(crate) fn named_by(link: &Link) -> Self {
        Self { segment: link.prev_segment, last_lsn: link.prev_last_lsn, chain: link.prev_chain }
    }
}

/// A segment of the chain, with the part of it that counts.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) found: Found,
    pub(crate) header: SegmentHeader,
    pub(crate) link: Link,
    /// The last LSN that counts here.
    pub(crate) last_lsn: Lsn,
    pub(crate) batches: u64,
    pub(crate) end_offset: u64,
    pub(crate) sealed: bool,
    pub(crate) is_head: bool,
    /// Nobody writes it as long as it is read.
    pub(crate) has_lock: bool,
}

impl Part {
    /// The bytes of the segment, up to where it counts at least.
    pub(crate) fn load(&self, storage: &dyn Storage) -> Result<Contents, LogError> {
        if self.is_head {
            return Ok(read_beginning(storage, &self.found.name, self.end_offset)?.into());
        }
        self.found.load(storage, self.has_lock)
    }
}

/// A listed segment that is newer than the head.
#[derive(Debug)]
pub(crate) struct Unused {
    pub(crate) id: u64,
    pub(crate) blank: bool,
}

/// The newest listed segment that continues the log, and all that reading it gave.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) part: Part,
    /// The first end of each LSN that ends a batch, in order. The first, because batches without LSNs behind it may
    /// never have been synced, and a LINK may name only what is durable. Not that of the first batch, unless META calls
    /// the segment the head: a rotation may have taken along what a sync of the segment before made durable *there*.
    pub(crate) ends: Vec<Boundary>,
    /// What META and this segment prove. Only they speak of places in it: what a newer segment proves may be durable there
    /// alone, if it went along. (That it does not count all the same takes damage of its first batch.)
    pub(crate) durable_here: Lsn,
    pub(crate) torn_bytes: u64,
    pub(crate) clean: bool,
    pub(crate) engine_tick: u64,
    pub(crate) stop: StopAt,
}

/// Finds the head: the newest listed segment that continues the log. Weighs what META and newer segments prove.
///
/// `None` if the log has not begun: there is no META, or it says that the log was still being made.
pub(crate) fn find_head(
    storage: &dyn Storage,
    directory: &Directory,
    codec: u16,
    proof: &mut Proof,
) -> Result<Option<(Head, Vec<Unused>)>, LogError> {
    let Some(meta) = directory.meta.as_ref().filter(|found| found.meta.state == MetaState::Active) else {
        return Ok(None);
    };
    proof.weigh(meta_evidence(meta));
    refuse_unlisted(storage, directory, meta, codec)?;
    let mut unused = Vec::new();
    for listed in meta.meta.listed.iter().rev() {
        let (found, header) = find_listed(directory, meta, listed)?;
        // Not mapped: another process may be writing it.
        let file = match found.read_filled(storage) {
            Err(_) if is_planted(Bug::ReadErrorIsEnd) => Filled { bytes: Vec::new(), filled: 0 },
            read => read?,
        };
        let mut scan = Scan::of(&file, &header, codec);
        let is_known_head = found.id == meta.meta.head_segment;
        match first_batch(&mut scan) {
            Ok((first, link)) if is_known_head || link.reason == LinkReason::Rotated => {
                let head = read_head(found, header, scan, (&first, link), meta, proof)?;
                refuse_old_meta(&head, &unused, meta)?;
                return Ok(Some((head, unused)));
            }
            Err(Stop::Fault(why)) if is_known_head => {
                return Err(not_as_listed(found.id, block_offset(1), meta_evidence(meta), why).into());
            }
            // Ordinary: a spare that was never used; a crash before the first batch of a rotation was durable, or before
            // an opening was complete, which shows nothing to anybody before META calls its segment the head.
            Ok(_) | Err(Stop::Fault(_)) => {
                // From its first block on: a first batch that does not count was written by one who knew what is durable.
                proof.weigh_strays(found.id, &Scan::of(&file, &header, codec));
                unused.push(Unused { id: found.id, blank: scan.is_untouched() });
            }
            Err(Stop::Unknown(what)) => return Err(unknown(found.id, scan.offset(), what)),
        }
    }
    // A valid META lists its own head, so the loop does not end here.
    Ok(None)
}

/// META lists a segment only when its zeros, its header and its name are durable.
fn find_listed<'a>(
    directory: &'a Directory,
    meta: &MetaFound,
    listed: &Listed,
) -> Result<(&'a Found, SegmentHeader), Corruption> {
    let corrupt = |why| not_as_listed(listed.segment_id, 0, meta_evidence(meta), why);
    let found = directory.find(listed.segment_id).ok_or_else(|| corrupt(Fault::Missing))?;
    let header = found.header.map_err(corrupt)?;
    if Listed::of(&header) == *listed { Ok((found, header)) } else { Err(corrupt(Fault::OtherLife)) }
}

/// A segment is listed before its first batch is written. One that is newer than all that are listed, and has such a
/// batch, shows that the last updates of META are lost: no crash does that.
fn refuse_unlisted(
    storage: &dyn Storage,
    directory: &Directory,
    meta: &MetaFound,
    codec: u16,
) -> Result<(), LogError> {
    let newest_listed = meta.meta.listed.last().map_or(0, |listed| listed.segment_id);
    for found in directory.segments.iter().rev().take_while(|found| found.id > newest_listed) {
        let Ok(header) = found.header else { continue };
        let file = found.read_filled(storage)?;
        let mut scan = Scan::of(&file, &header, codec);
        match first_batch(&mut scan) {
            Ok((_, link)) => {
                let evidence = link_evidence(found.id, link.prev_last_lsn);
                return Err(not_as_listed(found.id, 0, evidence, Fault::Unlisted).into());
            }
            Err(Stop::Unknown(what)) => return Err(unknown(found.id, scan.offset(), what)),
            Err(Stop::Fault(_)) => {}
        }
    }
    Ok(())
}

/// A segment is sealed only when its successor is listed.
fn refuse_old_meta(head: &Head, unused: &[Unused], meta: &MetaFound) -> Result<(), Corruption> {
    if !head.part.sealed || !unused.is_empty() {
        return Ok(());
    }
    let StopAt { segment, offset, .. } = head.stop;
    Err(not_as_listed(segment, offset, meta_evidence(meta), Fault::NoSuccessor))
}

/// The first batch and its LINK; a first batch without one is not valid.
fn first_batch<'a>(scan: &mut Scan<'a>) -> Result<(Batch<'a>, Link), Stop> {
    let first = scan.next()?;
    let link = first.link.ok_or(Fault::Shape)?;
    Ok((first, link))
}

pub(crate) fn unknown(segment: u64, offset: u64, what: crate::error::Unknown) -> LogError {
    LogError::Unknown { file: LogFile::Segment(segment), offset, what }
}

/// Reads the head to the end of its valid part, and what lies behind it for evidence.
fn read_head(
    found: &Found,
    header: SegmentHeader,
    mut scan: Scan<'_>,
    (first, link): (&Batch<'_>, Link),
    meta: &MetaFound,
    proof: &mut Proof,
) -> Result<Head, LogError> {
    let mut ends: Vec<Boundary> = Vec::new();
    let is_durable = found.id == meta.meta.head_segment;
    let begun = if is_durable { link.prev_last_lsn } else { first.last_lsn };
    let mut here = Proof::default();
    here.weigh(meta_evidence(meta));
    let (mut clean, mut engine_tick) = (false, 0);
    let mut take = |batch: &Batch<'_>| {
        clean = batch.is_clean();
        engine_tick = batch.header.engine_tick.max(engine_tick);
        let offset = block_offset(batch.block);
        here.weigh(stamp_evidence(found.id, offset, batch.header.durable_lsn));
        if ends.last().map_or(begun, |end| end.last_lsn) < batch.last_lsn {
            ends.push(Boundary { segment: found.id, last_lsn: batch.last_lsn, chain: batch.chain });
        }
    };
    take(first);
    let why = loop {
        if scan.sealed {
            break Fault::End;
        }
        match scan.next() {
            Ok(batch) => take(&batch),
            Err(Stop::Fault(why)) => break why,
            Err(Stop::Unknown(what)) => return Err(unknown(found.id, scan.offset(), what)),
        }
    };
    here.weigh(link_evidence(found.id, link.prev_last_lsn));
    if !scan.sealed {
        here.weigh_strays(found.id, &scan);
    }
    here.evidence().into_iter().for_each(|evidence| proof.weigh(evidence));
    let torn_bytes = if scan.sealed { 0 } else { scan.torn_bytes() };
    let stop = StopAt { segment: found.id, offset: scan.offset(), why };
    let part = Part { is_head: true, ..part_of(found, header, link, &scan) };
    let durable_here = here.durable();
    Ok(Head { part, ends, durable_here, torn_bytes, clean: clean && torn_bytes == 0, engine_tick, stop })
}

fn part_of(found: &Found, header: SegmentHeader, link: Link, scan: &Scan<'_>) -> Part {
    Part {
        found: found.clone(),
        header,
        link,
        last_lsn: scan.last_lsn,
        batches: scan.blocks.len() as u64,
        end_offset: scan.offset(),
        sealed: scan.sealed,
        is_head: false,
        has_lock: false,
    }
}

/// The segments before the head, newest first, each valid exactly up to where its successor was linked. `first` is the
/// oldest: what its LINK names is gone, or never was.
pub(crate) fn follow_links(
    storage: &dyn Storage,
    directory: &Directory,
    head: &Part,
    first: u64,
    codec: u16,
    note: &mut dyn FnMut(&Part),
) -> Result<Vec<Part>, LogError> {
    let listed = directory.meta.as_ref().map_or(&[][..], |found| &found.meta.listed);
    let mut parts = Vec::new();
    let mut link = head.link;
    let mut linked_by = head.found.id;
    // Each LINK names a lower id than its own, so this ends.
    while link.prev_segment >= first {
        let entry = listed.iter().find(|it| it.segment_id == link.prev_segment);
        let part = read_linked(storage, directory, Boundary::named_by(&link), linked_by, entry, codec)?;
        link = part.link;
        linked_by = part.found.id;
        note(&part);
        parts.push(part);
    }
    Ok(parts)
}

/// Reads a segment up to the batch that ends at `end`. What lies behind is ignored for ever: it was copied forward, or
/// it was never promised. A segment that META lists as well is the one that it lists.
fn read_linked(
    storage: &dyn Storage,
    directory: &Directory,
    end: Boundary,
    linked_by: u64,
    listed: Option<&Listed>,
    codec: u16,
) -> Result<Part, LogError> {
    let corrupt = |offset, first, why| Corruption {
        segment: end.segment,
        offset,
        lost: Lost { first, last: Some(end.last_lsn) },
        evidence: link_evidence(linked_by, end.last_lsn),
        why,
    };
    let found = directory.find(end.segment).ok_or_else(|| corrupt(0, None, Fault::Missing))?;
    let header = found.header.map_err(|why| corrupt(0, None, why))?;
    if listed.is_some_and(|listed| *listed != Listed::of(&header)) {
        return Err(corrupt(0, None, Fault::OtherLife).into());
    }
    let has_lock = directory.has_lock;
    let bytes = found.load(storage, has_lock)?;
    let mut scan = Scan::new(&bytes, &header, codec);
    let mut link = None;
    loop {
        let (offset, first_lost) = (scan.offset(), link.map(|_| scan.last_lsn.next()));
        let next = if scan.sealed { Err(Fault::LinkMismatch.into()) } else { scan.next() };
        let why = match next {
            Ok(batch) => {
                link = link.or(batch.link);
                match link {
                    Some(link) if batch.last_lsn == end.last_lsn && batch.chain == end.chain => {
                        return Ok(Part { has_lock, ..part_of(found, header, link, &scan) });
                    }
                    _ if batch.last_lsn > end.last_lsn => Fault::LinkMismatch,
                    _ => continue,
                }
            }
            Err(Stop::Fault(why)) => why,
            Err(Stop::Unknown(what)) => return Err(unknown(found.id, offset, what)),
        };
        return match link.filter(|_| is_overlooked(why)) {
            Some(link) => Ok(Part { has_lock, ..part_of(found, header, link, &scan) }),
            None => Err(corrupt(offset, first_lost, why).into()),
        };
    }
}

/// Whether a planted bug takes this for the end of a segment.
fn is_overlooked(why: Fault) -> bool {
    is_planted(if why == Fault::LinkMismatch { Bug::LinkUnchecked } else { Bug::HoleSkipped })
}
