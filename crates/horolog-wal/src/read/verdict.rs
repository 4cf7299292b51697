//! The two numbers that decide: what is proven durable, and what can be read.

use crate::error::{Corruption, Evidence, EvidenceKind, Lost};
use crate::format::{BLOCK_LEN, Fault};
use crate::lsn::Lsn;
use crate::read::scan::Scan;

/// The strongest proof found so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Proof(Option<Evidence>);

impl Proof {
    /// D.
    pub(crate) fn durable(&self) -> Lsn {
        self.0.map_or(Lsn::ZERO, |evidence| evidence.durable)
    }

    pub(crate) fn weigh(&mut self, evidence: Evidence) {
        if evidence.durable > self.durable() {
            self.0 = Some(evidence);
        }
    }

    /// Weighs the stamps of all headers behind the point where a scan stopped.
    pub(crate) fn weigh_strays(&mut self, segment: u64, scan: &Scan<'_>) {
        for (offset, header) in scan.stray_headers() {
            self.weigh(Evidence { segment, offset, kind: EvidenceKind::Stamp, durable: header.durable_lsn });
        }
    }

    /// The verdict: `valid` reaches all that was proven, or the log is corrupt where reading stopped.
    pub(crate) fn judge(&self, valid: Lsn, stop: StopAt) -> Result<(), Corruption> {
        match self.0 {
            Some(evidence) if valid < evidence.durable => Err(Corruption {
                segment: stop.segment,
                offset: stop.offset,
                lost: Lost { first: Some(valid.next()), last: Some(evidence.durable) },
                evidence,
                why: stop.why,
            }),
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
    Evidence { segment, offset: u64::from(BLOCK_LEN), kind: EvidenceKind::Link, durable }
}

/// A segment whose header is damaged, and no LINK to say what it held.
pub(crate) fn damaged_header(segment: u64, why: Fault) -> Corruption {
    Corruption {
        segment,
        offset: 0,
        lost: Lost { first: None, last: None },
        evidence: Evidence { segment, offset: 0, kind: EvidenceKind::Name, durable: Lsn::ZERO },
        why,
    }
}
