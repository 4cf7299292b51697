//! The two numbers that decide: what is proven durable, and what can be read.

use crate::error::{Corruption, Evidence, EvidenceKind, LogFile, Lost};
use crate::format::{BLOCK_LEN, Fault};
use crate::lsn::Lsn;
use crate::planted::{Bug, is_planted};
use crate::read::meta::MetaFound;
use crate::read::scan::Scan;

/// The strongest proof found so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Proof(Option<Evidence>);

impl Proof {
    /// D.
    pub(crate) fn durable(&self) -> Lsn {
        self.0.map_or(Lsn::ZERO, |evidence| evidence.durable)
    }

    pub(crate) fn evidence(&self) -> Option<Evidence> {
        self.0
    }

    pub(crate) fn weigh(&mut self, evidence: Evidence) {
        if evidence.durable > self.durable() {
            self.0 = Some(evidence);
        }
    }

    /// Weighs the stamps of all headers behind the point where a scan stopped.
    pub(crate) fn weigh_strays(&mut self, segment: u64, scan: &Scan<'_>) {
        for (offset, header) in scan.stray_headers() {
            self.weigh(stamp_evidence(segment, offset, header.durable_lsn));
            if is_planted(Bug::GapRefused) {
                self.weigh(stamp_evidence(segment, offset, Lsn(header.first_lsn.0 - 1)));
            }
        }
    }

    /// The verdict: `valid` reaches all that was proven, or the log is corrupt where reading stopped.
    pub(crate) fn judge(&self, valid: Lsn, stop: StopAt) -> Result<(), Corruption> {
        let is_torn = !matches!(stop.why, Fault::Blank | Fault::End);
        match self.0 {
            Some(_) if is_planted(Bug::EvidenceIgnored) => Ok(()),
            Some(evidence) if valid < evidence.durable || (is_torn && is_planted(Bug::TornTailRefused)) => {
                Err(Corruption {
                    segment: stop.segment,
                    offset: stop.offset,
                    lost: Lost { first: Some(valid.next()), last: Some(evidence.durable) },
                    evidence,
                    why: stop.why,
                })
            }
            _ => Ok(()),
        }
    }
}

/// Where reading stopped, and why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StopAt {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) why: Fault,
}

/// What a LINK proves: a log is continued only from a place that is durable.
pub(crate) fn link_evidence(segment: u64, durable: Lsn) -> Evidence {
    let file = LogFile::Segment(segment);
    Evidence { file, offset: u64::from(BLOCK_LEN), kind: EvidenceKind::Link, durable }
}

/// What a stamp proves.
pub(crate) fn stamp_evidence(segment: u64, offset: u64, durable: Lsn) -> Evidence {
    Evidence { file: LogFile::Segment(segment), offset, kind: EvidenceKind::Stamp, durable }
}

/// What META proves.
pub(crate) fn meta_evidence(found: &MetaFound) -> Evidence {
    let durable = found.meta.durable_lsn;
    Evidence { file: LogFile::Meta, offset: found.offset(), kind: EvidenceKind::Meta, durable }
}

/// A segment is not what META or the protocol says, so that what it held cannot be known.
pub(crate) fn not_as_listed(segment: u64, offset: u64, evidence: Evidence, why: Fault) -> Corruption {
    let last = (evidence.durable > Lsn::ZERO).then_some(evidence.durable);
    Corruption { segment, offset, lost: Lost { first: None, last }, evidence, why }
}
