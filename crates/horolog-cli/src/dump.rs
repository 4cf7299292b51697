//! `horolog dump`: the log, one record a line.
//!
//! The directory may be in use. Printed are the records from `--from` to the last that can be read when the command begins,
//! each in the moment its batch was found whole, so no line is wrong. If the writer retires a segment before it was
//! printed, the log is read anew and the next line is the one behind the last that was printed: none comes twice. Records
//! that are gone by then are named on standard error (`horolog_wal::visit_log`).
//!
//! A damaged log has no view to walk; then what can be read without a gap is printed (`horolog_wal::salvage`), or, from a
//! record on that lies behind a gap, what can be read there.

mod fields;

use std::io::{BufWriter, Write};
use std::path::Path;

use horolog::RecoveryError;
use horolog_wal::{LogError, LogOptions, Lsn, Record, Salvage, VisitError, salvage, visit_log};
use serde_json::{Map, Value};

pub(crate) use self::fields::{bytes, due, kind_name};
use crate::error::Trouble;
use crate::read_only::{at, storage};

pub(crate) fn dump(dir: &Path, json: bool, from: Lsn) -> Result<u8, Trouble> {
    let storage = storage(dir)?;
    let mut printer =
        Printer { out: BufWriter::new(std::io::stdout().lock()), json, begun: false, next: from };
    let options = LogOptions::default();
    let damage = match damage_of(visit_log(&storage, &options, from, &mut |record| printer.record(&record)))?
    {
        Some(error @ (LogError::Corruption(_) | LogError::MetaMissing { .. } | LogError::MetaDamaged(_))) => {
            let found = salvage(&storage, &options).map_err(|error| at(dir, error.into()))?;
            Some(salvaged(&found, from, &mut printer)?.unwrap_or(error))
        }
        damage => damage,
    };
    printer.out.flush().map_err(Trouble::Output)?;
    damage.map_or(Ok(0), |error| Err(at(dir, RecoveryError::Log(error))))
}

/// What can be read of a damaged log, behind what was printed before the damage was met.
fn salvaged<W: Write>(
    found: &Salvage<'_>,
    from: Lsn,
    printer: &mut Printer<W>,
) -> Result<Option<LogError>, Trouble> {
    let next = printer.next;
    let mut print = |record: Record<'_>| printer.record(&record);
    damage_of(match from > found.kept {
        true => found.for_each_readable(Lsn(next.0.saturating_sub(1)), &mut print),
        false => found.for_each_record(next, &mut print),
    })
}

/// Why a walk over the log ended early, if it was for the log.
fn damage_of(walked: Result<(), VisitError<Trouble>>) -> Result<Option<LogError>, Trouble> {
    match walked {
        Ok(()) => Ok(None),
        Err(VisitError::Log(error)) => Ok(Some(error)),
        Err(VisitError::Visitor(trouble)) => Err(trouble),
    }
}

/// Where records go.
struct Printer<W> {
    out: W,
    json: bool,
    /// Whether a record was printed.
    begun: bool,
    /// The one that is to come next.
    next: Lsn,
}

impl<W: Write> Printer<W> {
    fn record(&mut self, record: &Record<'_>) -> Result<(), Trouble> {
        if self.begun && record.lsn > self.next {
            self.out.flush().map_err(Trouble::Output)?;
            let _ =
                writeln!(std::io::stderr(), "records {} to {} are not there", self.next, record.lsn.0 - 1);
        }
        (self.begun, self.next) = (true, record.lsn.next());
        let line = if self.json { Value::Object(object(record)).to_string() } else { text_line(record) };
        writeln!(self.out, "{line}").map_err(Trouble::Output)
    }
}

/// A record as a JSON object.
pub(crate) fn object(record: &Record<'_>) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("lsn".to_owned(), record.lsn.0.into());
    object.insert("kind".to_owned(), kind_name(record.kind).into());
    object.insert("segment".to_owned(), record.segment.into());
    object.insert("offset".to_owned(), record.offset.into());
    object.extend(fields::of(record).into_iter().map(|(name, value)| (name.to_owned(), value)));
    object
}

/// A record on a line.
pub(crate) fn text_line(record: &Record<'_>) -> String {
    let mut line = format!("{:>8} {:<10}", record.lsn, kind_name(record.kind));
    for (name, value) in fields::of(record).iter().filter(|(_, value)| !value.is_null()) {
        line.push_str(&format!(" {name}={value}"));
    }
    line
}
