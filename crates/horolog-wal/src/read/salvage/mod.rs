//! What can still be read of a damaged log.
//!
//! [`read_log`](super::read_log) refuses a log of which acknowledged records are gone. Salvage looks at the same files, asks
//! for no promise to be kept, and says three things: how far the log can be read without a gap ([`Salvage::kept`]), what is
//! lost behind that, and what of the lost part can be read in spite of the gap. It takes no lock and writes nothing.
//!
//! # What is believed
//!
//! 1. A batch is believed if it is valid in every respect that a reader checks. Between the first record and `kept` it also
//!    continues the one before it, over all segments.
//! 2. Which segments the log consists of is found without META, from LINKs and from what was written after an opening was
//!    complete; META helps as long as a slot of it is valid (the order of belief is in `trunk`).
//! 3. Where a LINK ends a segment, nothing behind that place is shown: it was copied forward, or it never happened.
//! 4. A damaged segment header is put together again from META, if that lists the segment. Else the segment is not read.
//!
//! A file that cannot be read is an error and not damage, as everywhere.

mod reading;
mod survey;
mod trunk;

use std::convert::Infallible;
use std::fmt;

use horolog_storage::Storage;

use self::reading::{Behind, Reading};
use self::survey::Survey;
use self::trunk::{behind, trunk};
use super::chain::Part;
use super::directory::{is_of_a_log, segment_id};
use super::meta::{MetaSlots, read_slots};
use super::scan::Batch;
use super::view::{Placed, Record, walk_batches};
use crate::error::{Evidence, LogError, LogFile, MetaDamage, VisitError};
use crate::format::Fault;
use crate::format::meta::{Meta, MetaState};
use crate::lsn::Lsn;
use crate::options::LogOptions;

/// What can still be read of a log, and what is lost.
///
/// It keeps no file open: its records are read from the directory again.
#[derive(Debug)]
#[non_exhaustive]
pub struct Salvage<'a> {
    /// The identity of the log; 0 if nothing says it.
    pub uuid: u128,
    /// The highest epoch of META or of any segment.
    pub epoch: u64,
    /// The last record of the log that can be read without a gap before it.
    pub kept: Lsn,
    /// The last record that anything proves to have been durable, or that can be read behind a gap: what lies between
    /// `kept` and this is lost. Not below `kept`. There may have been more that left no trace.
    pub last: Lsn,
    /// The strongest proof of what was durable.
    pub evidence: Option<Evidence>,
    /// What is wrong with the files, in the order of the log.
    pub damage: Vec<Damage>,
    /// All segment files, oldest first.
    pub segments: Vec<SalvagedSegment>,
    /// The highest engine tick of any batch.
    pub engine_tick: u64,

    storage: &'a dyn Storage,
    /// What is kept, oldest first.
    parts: Vec<Part>,
    /// From the first damage on, oldest first.
    behind: Vec<Behind>,
    codec: u16,
}

/// Something that is wrong with a file of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: LogFile,
    /// Where in it.
    pub offset: u64,
    /// What is wrong.
    pub why: DamageKind,
}

/// What can be wrong with a file of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DamageKind {
    /// META is missing.
    MetaMissing,
    /// META is damaged, as a whole or in part.
    Meta(Box<MetaDamage>),
    /// A segment is.
    Segment(Fault),
    /// A segment is one of another log.
    Foreign(u128),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, why } = self;
        match why {
            DamageKind::MetaMissing => f.write_str("META is missing"),
            DamageKind::Meta(damage) => damage.fmt(f),
            DamageKind::Segment(fault) => write!(f, "{file} at {offset}: {fault}"),
            DamageKind::Foreign(theirs) => write!(f, "{file} belongs to log {theirs:032x}"),
        }
    }
}

/// What a segment file gave.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvagedSegment {
    /// Its number.
    pub id: u64,
    /// Its file name.
    pub name: String,
    /// What it is to the log.
    pub role: SalvageRole,
    /// The records of it that are kept, first and last.
    pub kept: Option<(Lsn, Lsn)>,
    /// The records of it that can be read behind a gap, first and last; there may be gaps between them.
    pub behind: Option<(Lsn, Lsn)>,
}

/// What a segment file is to a log that is salvaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SalvageRole {
    /// A part of the log.
    Log,
    /// Not a part of it, or not any more: what counted was copied forward.
    Aside,
    /// Prepared and never used.
    Blank,
    /// Nothing of it can be read.
    Unreadable,
}

/// Reads what can be read of a log, damaged or not, from its first record on.
///
/// # Errors
///
/// As [`read_log`](super::read_log), but for damage: a file that cannot be read, a directory that is not a log's, one that
/// a later program wrote. [`LogError::ForeignSegment`] if nothing says which of two logs is meant.
pub fn salvage<'a>(storage: &'a dyn Storage, options: &LogOptions) -> Result<Salvage<'a>, LogError> {
    salvage_behind(storage, options, Lsn::ZERO)
}

/// As [`salvage`], of a log whose records up to `base` are not needed, because a snapshot holds what they made: that they are
/// gone is no gap. What is kept may begin before `base`.
///
/// # Errors
///
/// As [`salvage`].
pub fn salvage_behind<'a>(
    storage: &'a dyn Storage,
    options: &LogOptions,
    base: Lsn,
) -> Result<Salvage<'a>, LogError> {
    let slots = read_slots(storage)?;
    let found = slots.as_ref().and_then(MetaSlots::best);
    let meta = found.as_ref().map(|found| &found.meta);
    let mut surveys = segments(storage, meta, slots.is_none())?;
    let uuid = identity(&surveys, meta)?;
    let mut reading = Reading::new(storage, options.codec);
    reading.meta(slots.as_ref(), found.as_ref(), surveys.is_empty());
    reading.put_aside_foreign(&mut surveys, uuid);
    for survey in &mut surveys {
        survey.look(storage, options.codec, &mut reading.proof)?;
    }
    // A log that was being made has never held anything for anybody.
    let is_begun = meta.is_none_or(|meta| meta.state == MetaState::Active);
    let steps = if is_begun { behind(trunk(&surveys, meta), &surveys, base) } else { Vec::new() };
    for step in &steps {
        reading.step(step, &surveys)?;
    }
    if let Some(meta) = meta {
        reading.note_listed(meta, &surveys, &steps);
    }
    Ok(reading.finish(&surveys, &steps, uuid, meta))
}

/// All files with the name of a segment, oldest first.
fn segments(storage: &dyn Storage, meta: Option<&Meta>, has_no_meta: bool) -> Result<Vec<Survey>, LogError> {
    let (mut surveys, mut stranger) = (Vec::new(), None);
    for name in storage.list()? {
        match segment_id(&name) {
            Some(id) => surveys.push(Survey::begin(storage, id, name, meta)?),
            None if is_of_a_log(&name) => {}
            None => stranger = stranger.or(Some(name)),
        }
    }
    surveys.sort_unstable_by_key(|survey| survey.found.id);
    match stranger {
        Some(found) if has_no_meta && surveys.is_empty() => {
            Err(LogError::NotALog { path: storage.path().to_owned(), found })
        }
        _ => Ok(surveys),
    }
}

/// Without META all segments have to agree about whose they are.
fn identity(surveys: &[Survey], meta: Option<&Meta>) -> Result<u128, LogError> {
    if let Some(meta) = meta {
        return Ok(meta.uuid);
    }
    let headers = || surveys.iter().filter_map(|survey| survey.found.header.ok());
    let ours = headers().next().map_or(0, |header| header.uuid);
    match headers().find(|header| header.uuid != ours) {
        Some(other) => Err(LogError::ForeignSegment { segment: other.segment_id, ours, theirs: other.uuid }),
        None => Ok(ours),
    }
}

impl Salvage<'_> {
    /// Visits the kept records from `from` on, each once, in LSN order.
    ///
    /// # Errors
    ///
    /// As [`LogView::for_each_record`](super::LogView::for_each_record).
    pub fn for_each_record<E>(
        &self,
        from: Lsn,
        visit: &mut dyn FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<(), VisitError<E>> {
        self.walk_kept(from, &mut |segment, batch| {
            records(segment, batch).filter(|record| record.lsn >= from).try_for_each(&mut *visit)
        })
    }

    /// Visits every record after `after` that can be read, each once, in LSN order, over all gaps. Those up to
    /// [`Salvage::kept`] are among them.
    ///
    /// # Errors
    ///
    /// As [`Salvage::for_each_record`].
    pub fn for_each_readable<E>(
        &self,
        after: Lsn,
        visit: &mut dyn FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<(), VisitError<E>> {
        self.for_each_record(after.next(), visit)?;
        let mut before = after.max(self.kept);
        for behind in &self.behind {
            behind.walk(self.storage, self.codec, &mut |batch| {
                for record in records(behind.found.id, batch) {
                    // A later segment repeats what was not durable when it was begun.
                    if record.lsn > before {
                        before = record.lsn;
                        visit(record)?;
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The end of the last kept batch that lies wholly before `lsn`: what was written in one batch counts as a whole.
    ///
    /// # Errors
    ///
    /// As [`Salvage::for_each_record`].
    pub fn batch_end_before(&self, lsn: Lsn) -> Result<Lsn, LogError> {
        let mut end = Lsn::ZERO;
        let walked = self.walk_kept::<Infallible>(Lsn::ZERO, &mut |_, batch| {
            end = if batch.last_lsn < lsn { end.max(batch.last_lsn) } else { end };
            Ok(())
        });
        match walked {
            Ok(()) => Ok(end),
            Err(VisitError::Log(error)) => Err(error),
            Err(VisitError::Visitor(never)) => match never {},
        }
    }

    /// Visits the kept batches that reach `from`, and those of their segments, with their segments.
    pub(crate) fn walk_kept<E>(
        &self,
        from: Lsn,
        visit: &mut dyn FnMut(u64, &Batch<'_>) -> Result<(), E>,
    ) -> Result<(), VisitError<E>> {
        walk_batches(self.storage, &self.parts, self.codec, from, visit)
    }
}

fn records<'a>(segment: u64, batch: &Batch<'a>) -> impl Iterator<Item = Record<'a>> {
    batch.records().map(move |(lsn, offset, view)| Placed { segment, offset, lsn, view }.record())
}
