//! Reading a log that somebody may be writing.
//!
//! A reader without the lock sees META, names and files at different moments. A writer may meanwhile have updated META, linked
//! a segment, retired one, removed its file or used it again. So whatever looks as if something was missing or damaged is
//! looked at anew, from META on, before it is believed. That goes on a bounded number of times.

use std::cell::Cell;

use horolog_storage::Storage;

use super::{LogView, Record, read_log};
use crate::error::{LogError, VisitError};
use crate::lsn::Lsn;
use crate::options::LogOptions;

/// How often a directory is read that changes while it is read.
const TRIES: u32 = 10;

/// Reads a directory, and again as long as `has_changed` says of what was found that a writer has changed it meanwhile; ten
/// times at most. What was found last is given back, whatever it is.
pub fn read_anew<T>(mut read: impl FnMut() -> T, mut has_changed: impl FnMut(&T) -> bool) -> T {
    for _ in 1..TRIES {
        let found = read();
        if !has_changed(&found) {
            return found;
        }
    }
    read()
}

/// As [`read_anew`], for what looks like damage: it is believed when it is found twice in the same way. `doubt` says in
/// which; `None` for what a writer cannot have caused.
pub fn read_until_believed<T, D: PartialEq>(read: impl FnMut() -> T, doubt: impl Fn(&T) -> Option<D>) -> T {
    let mut before = None;
    read_anew(read, |found| {
        let doubt = doubt(found);
        let is_new = doubt.is_some() && doubt != before;
        before = doubt;
        is_new
    })
}

/// Visits the records of a log that may be in use, from `from` up to the last that can be read at the beginning, each once, in
/// LSN order.
///
/// Takes no lock and writes nothing. A record is visited when its batch was found whole, so what was visited holds whatever
/// follows. If a writer has retired a segment before it was visited, the log is read anew and the walk goes on behind the
/// last record visited; then, and only then, LSNs are missing between two records: those that are gone.
///
/// # Errors
///
/// [`VisitError::Visitor`] with what `visit` answered; [`VisitError::Log`] as [`read_log`] and
/// [`LogView::for_each_record`], with the records before it visited.
pub fn visit_log<E>(
    storage: &dyn Storage,
    options: &LogOptions,
    from: Lsn,
    visit: &mut dyn FnMut(Record<'_>) -> Result<(), E>,
) -> Result<(), VisitError<E>> {
    let (next, end) = (Cell::new(from), Cell::new(None));
    let mut walk = || {
        let log = read_log(storage, options)?;
        let last = end.get().unwrap_or(log.valid);
        end.set(Some(last));
        walk_up_to(&log, last, &next, visit)
    };
    loop {
        let begun_at = next.get();
        // Each walk that comes further counts as the first: there are only so many records up to the end.
        let walked = read_anew(&mut walk, |walked| has_changed(walked) && next.get() == begun_at);
        if !has_changed(&walked) || next.get() == begun_at {
            return walked;
        }
    }
}

/// Visits the records from `next` to `last`, and moves `next` along.
fn walk_up_to<E>(
    log: &LogView<'_>,
    last: Lsn,
    next: &Cell<Lsn>,
    visit: &mut dyn FnMut(Record<'_>) -> Result<(), E>,
) -> Result<(), VisitError<E>> {
    if next.get() > last {
        return Ok(());
    }
    log.for_each_record(next.get(), &mut |record| {
        if record.lsn > last {
            return Ok(());
        }
        visit(record)?;
        next.set(record.lsn.next());
        Ok(())
    })
}

fn has_changed<E>(walked: &Result<(), VisitError<E>>) -> bool {
    matches!(walked, Err(VisitError::Log(LogError::ChangedMeanwhile { .. })))
}
