//! Reading the segments of the log one after the other, over damage and on.

use horolog_storage::Storage;

use super::survey::{Piece, Pieces, Survey, scan_of};
use super::trunk::Step;
use super::{Damage, DamageKind, Salvage, SalvageRole, SalvagedSegment};
use crate::error::{LogError, LogFile, VisitError};
use crate::format::meta::{Meta, MetaState};
use crate::format::segment::SegmentHeader;
use crate::format::{BLOCK_LEN, Fault};
use crate::lsn::Lsn;
use crate::read::chain::{Boundary, Part};
use crate::read::directory::Found;
use crate::read::meta::{MetaFound, MetaSlots};
use crate::read::scan::Batch;
use crate::read::verdict::{Proof, meta_evidence};
use crate::read::view::gone;

/// The log as far as it was read.
pub(super) struct Reading<'a> {
    storage: &'a dyn Storage,
    codec: u16,
    pub(super) proof: Proof,
    damage: Vec<Damage>,
    parts: Vec<Part>,
    behind: Vec<Behind>,
    /// No gap was met yet. A segment of the trunk continues the one before it where its LINK says.
    is_whole: bool,
    /// Where the newest segment ends. It is damage if anything is lost.
    stop: Option<(u64, u64, Fault)>,
}

/// A segment that is read behind a gap.
#[derive(Debug)]
pub(super) struct Behind {
    pub(super) found: Found,
    header: SegmentHeader,
    /// Where its successor continues it.
    end: Option<Boundary>,
    /// The first and the last record read there.
    range: Option<(Lsn, Lsn)>,
}

impl Behind {
    /// Visits the whole batches that count, over gaps.
    pub(super) fn walk<E>(
        &self,
        storage: &dyn Storage,
        codec: u16,
        visit: &mut dyn FnMut(&Batch<'_>) -> Result<(), E>,
    ) -> Result<(), VisitError<E>> {
        let bytes = self.found.read_whole(storage).map_err(|error| gone(self.found.id, error))?;
        let mut pieces = Pieces::new(self.found.id, scan_of(&bytes, &self.header, codec));
        while let Some(piece) = pieces.next()? {
            match piece {
                Piece::Batch(batch) if is_beyond(&batch, self.end) => break,
                Piece::Batch(batch) => visit(&batch).map_err(VisitError::Visitor)?,
                Piece::Bad { .. } => {}
            }
        }
        Ok(())
    }
}

/// Whether a batch lies behind the place where the next segment continues the log: it was copied forward, or never counted.
fn is_beyond(batch: &Batch<'_>, end: Option<Boundary>) -> bool {
    end.is_some_and(|end| batch.last_lsn > end.last_lsn)
}

impl<'a> Reading<'a> {
    pub(super) fn new(storage: &'a dyn Storage, codec: u16) -> Self {
        Self {
            storage,
            codec,
            proof: Proof::default(),
            damage: Vec::new(),
            parts: Vec::new(),
            behind: Vec::new(),
            is_whole: true,
            stop: None,
        }
    }

    fn note(&mut self, segment: u64, offset: u64, why: DamageKind) {
        self.damage.push(Damage { file: LogFile::Segment(segment), offset, why });
    }

    /// What META proves, and what is wrong with it.
    pub(super) fn meta(&mut self, slots: Option<&MetaSlots>, found: Option<&MetaFound>, is_empty: bool) {
        if let Some(found) = found {
            self.proof.weigh(meta_evidence(found));
        }
        let why = match slots {
            Some(slots) if slots.is_damaged() => DamageKind::Meta(Box::new(slots.damage())),
            None if !is_empty => DamageKind::MetaMissing,
            _ => return,
        };
        self.damage.push(Damage { file: LogFile::Meta, offset: 0, why });
    }

    /// Segments of another log prove nothing about this one.
    pub(super) fn put_aside_foreign(&mut self, surveys: &mut Vec<Survey>, uuid: u128) {
        surveys.retain(|survey| match survey.found.header {
            Ok(header) if header.uuid != uuid => {
                self.note(survey.found.id, 0, DamageKind::Foreign(header.uuid));
                false
            }
            _ => true,
        });
    }

    /// Reads the next segment of the log, if it is there.
    pub(super) fn step(&mut self, step: &Step, surveys: &[Survey]) -> Result<(), LogError> {
        let Some(survey) = step.at.and_then(|at| surveys.get(at)) else {
            self.gap(step.id, 0, Fault::Missing);
            return Ok(());
        };
        if let Some(fault) = survey.fault {
            self.note(step.id, 0, DamageKind::Segment(fault));
        }
        match survey.found.header {
            Ok(header) => self.segment(survey, &header, step.end),
            Err(_) => {
                self.is_whole = false;
                Ok(())
            }
        }
    }

    /// From here on nothing continues what is kept.
    fn gap(&mut self, segment: u64, offset: u64, why: Fault) {
        self.note(segment, offset, DamageKind::Segment(why));
        self.is_whole = false;
    }

    fn segment(
        &mut self,
        survey: &Survey,
        header: &SegmentHeader,
        end: Option<Boundary>,
    ) -> Result<(), LogError> {
        let id = survey.found.id;
        let bytes = survey.found.read_whole(self.storage)?;
        let mut pieces = Pieces::new(id, scan_of(&bytes, header, self.codec));
        let mut behind = Behind { found: survey.found.clone(), header: *header, end, range: None };
        let (mut part, mut is_reached) = (None, false);
        while !is_reached && let Some(piece) = pieces.next()? {
            match piece {
                Piece::Batch(batch) if is_beyond(&batch, end) => break,
                Piece::Batch(batch) => {
                    if self.is_whole {
                        extend(&mut part, &survey.found, header, &batch, &pieces);
                    } else {
                        behind.widen(&batch);
                    }
                    is_reached = end.is_some_and(|end| self.reaches(&batch, end));
                }
                Piece::Bad { offset, why, is_last: true } if end.is_none() => {
                    self.stop = Some((id, offset, why));
                }
                Piece::Bad { offset, why, .. } => self.gap(id, offset, why),
            }
        }
        self.parts.extend(part);
        if end.is_some() && !is_reached && self.is_whole {
            self.gap(id, pieces.offset(), Fault::LinkMismatch);
        }
        self.behind.extend(behind.range.is_some().then_some(behind));
        Ok(())
    }

    /// Whether a batch ends where the next segment continues the log. Behind a gap the batch that the LINK means may be the
    /// one that is gone.
    fn reaches(&self, batch: &Batch<'_>, end: Boundary) -> bool {
        batch.last_lsn == end.last_lsn && (batch.chain == end.chain || !self.is_whole)
    }

    /// What META lists is there, and the head holds something.
    pub(super) fn note_listed(&mut self, meta: &Meta, surveys: &[Survey], steps: &[Step]) {
        if meta.state != MetaState::Active {
            return;
        }
        for listed in
            meta.listed.iter().filter(|listed| !steps.iter().any(|step| step.id == listed.segment_id))
        {
            let id = listed.segment_id;
            match surveys.iter().find(|survey| survey.found.id == id) {
                None => self.note(id, 0, DamageKind::Segment(Fault::Missing)),
                Some(Survey { fault: Some(fault), .. }) => self.note(id, 0, DamageKind::Segment(*fault)),
                Some(survey) if id == meta.head_segment && !survey.has_batches => {
                    self.note(id, u64::from(BLOCK_LEN), DamageKind::Segment(Fault::Blank));
                }
                Some(_) => {}
            }
        }
    }

    pub(super) fn finish(
        mut self,
        surveys: &[Survey],
        steps: &[Step],
        uuid: u128,
        meta: Option<&Meta>,
    ) -> Salvage<'a> {
        let kept = self.parts.last().map_or(Lsn::ZERO, |part| part.last_lsn);
        let seen = self.behind.iter().filter_map(|behind| Some(behind.range?.1)).max();
        let last = kept.max(self.proof.durable()).max(seen.unwrap_or_default());
        if let Some((segment, offset, why)) = self.stop
            && last > kept
            && !self.damage.iter().any(|damage| matches!(damage.file, LogFile::Segment(_)))
        {
            self.note(segment, offset, DamageKind::Segment(why));
        }
        let headers = surveys.iter().filter_map(|survey| survey.found.header.ok());
        Salvage {
            uuid,
            epoch: headers.fold(meta.map_or(0, |meta| meta.epoch), |epoch, header| epoch.max(header.epoch)),
            kept,
            last,
            evidence: self.proof.evidence(),
            segments: surveys.iter().map(|survey| self.report(survey, steps)).collect(),
            engine_tick: surveys.iter().map(|survey| survey.engine_tick).max().unwrap_or(0),
            damage: self.damage,
            storage: self.storage,
            parts: self.parts,
            behind: self.behind,
            codec: self.codec,
        }
    }

    fn report(&self, survey: &Survey, steps: &[Step]) -> SalvagedSegment {
        let id = survey.found.id;
        let is_of_the_log = steps.iter().any(|step| step.id == id);
        let part = self.parts.iter().find(|part| part.found.id == id);
        SalvagedSegment {
            id,
            name: survey.found.name.clone(),
            role: match survey.has_batches {
                true if is_of_the_log => SalvageRole::Log,
                true => SalvageRole::Aside,
                false if is_of_the_log || survey.found.header.is_err() => SalvageRole::Unreadable,
                false => SalvageRole::Blank,
            },
            kept: part
                .filter(|part| part.last_lsn > part.link.prev_last_lsn)
                .map(|part| (part.link.prev_last_lsn.next(), part.last_lsn)),
            behind: self.behind.iter().find(|behind| behind.found.id == id).and_then(|behind| behind.range),
        }
    }
}

impl Behind {
    fn widen(&mut self, batch: &Batch<'_>) {
        if batch.last_lsn >= batch.header.first_lsn {
            let first = self.range.map_or(batch.header.first_lsn, |(first, _)| first);
            self.range = Some((first, batch.last_lsn));
        }
    }
}

/// Takes one more batch of a segment. The first one has the LINK: without it there would have been a gap.
fn extend(
    part: &mut Option<Part>,
    found: &Found,
    header: &SegmentHeader,
    batch: &Batch<'_>,
    pieces: &Pieces<'_>,
) {
    if let (None, Some(link)) = (&part, batch.link) {
        *part = Some(Part {
            found: found.clone(),
            header: *header,
            link,
            last_lsn: batch.last_lsn,
            batches: 0,
            end_offset: 0,
            sealed: false,
            // A file of a damaged log is read and not mapped: nobody knows who else has it.
            is_head: true,
            has_lock: false,
        });
    }
    if let Some(part) = part {
        part.last_lsn = batch.last_lsn;
        part.batches += 1;
        part.end_offset = pieces.offset();
        part.sealed = pieces.is_sealed();
    }
}
