//! What lies behind the kept records: which numbers, which records, which timers.

use std::collections::BTreeMap;
use std::path::Path;

use horolog_recovery::Salvaged;
use horolog_state::{Lsn, TimerId, codec};
use horolog_wal::{Record, VisitError};

use crate::dump::kind_name;
use crate::error::Trouble;
use crate::read_only::at;

/// One entry of the list of what is lost.
pub(super) enum Lost<'a> {
    /// Records of which only the numbers are known, first and last.
    Unreadable(Lsn, Lsn),
    /// A record that can be read behind the gap.
    Record(&'a Record<'a>),
}

/// What the list comes to.
#[derive(Default)]
pub(super) struct Sum {
    /// How many records cannot be read.
    pub(super) unreadable: u64,
    /// The timers that lost records name, with those records.
    pub(super) timers: BTreeMap<TimerId, Vec<(Lsn, String)>>,
}

/// Goes through everything that is lost, in the order of the numbers.
pub(super) fn for_each(
    dir: &Path,
    found: &Salvaged<'_>,
    say: &mut dyn FnMut(Lost<'_>) -> Result<(), Trouble>,
) -> Result<Sum, Trouble> {
    let mut sum = Sum::default();
    let mut next = found.kept.next();
    let walked = found.log.for_each_readable(horolog_wal::Lsn(found.kept.0), &mut |record| {
        sum.gap(next, record.lsn.0, say)?;
        next = Lsn(record.lsn.0).next();
        sum.note(&record);
        say(Lost::Record(&record))
    });
    match walked {
        Ok(()) => sum.gap(next, found.last.next().0, say).map(|()| sum),
        Err(VisitError::Visitor(trouble)) => Err(trouble),
        Err(VisitError::Log(error)) => Err(at(dir, error.into())),
    }
}

impl Sum {
    /// The records from `first` on and before `end` cannot be read.
    fn gap(
        &mut self,
        first: Lsn,
        end: u64,
        say: &mut dyn FnMut(Lost<'_>) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        if end <= first.0 {
            return Ok(());
        }
        self.unreadable += end - first.0;
        say(Lost::Unreadable(first, Lsn(end - 1)))
    }

    fn note(&mut self, record: &Record<'_>) {
        // A record that is intact and means nothing names nobody.
        if let Some(id) = codec::decode(record.kind, record.body).ok().and_then(|decoded| decoded.timer()) {
            self.timers.entry(id).or_default().push((Lsn(record.lsn.0), kind_name(record.kind)));
        }
    }
}
