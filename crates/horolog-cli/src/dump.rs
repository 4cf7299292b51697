//! `horolog dump`: the log, one record a line.
//!
//! A damaged log has no view to walk; then every segment is read by itself up to its first fault ([`salvage`]), so that a
//! person sees what is still there. Nothing of that is ever used to open anything.

mod fields;
mod salvage;

use std::io::{BufWriter, Write};
use std::path::Path;

use horolog::RecoveryError;
use horolog_wal::{LogError, LogOptions, Lsn, VisitError, read_log};
use serde_json::{Map, Value};

use crate::error::Trouble;
use crate::read_only::{at, storage};

pub(crate) fn dump(dir: &Path, json: bool) -> Result<u8, Trouble> {
    let storage = storage(dir)?;
    let mut printer = Printer { out: BufWriter::new(std::io::stdout().lock()), json };
    let damage = match read_log(&storage, &LogOptions::default()) {
        Ok(log) => match log.for_each_record(Lsn(1), &mut |record| printer.record(&record)) {
            Ok(()) => None,
            Err(VisitError::Visitor(trouble)) => return Err(trouble),
            Err(VisitError::Log(error)) => Some(error),
        },
        Err(error @ (LogError::Corruption(_) | LogError::MetaMissing { .. } | LogError::MetaDamaged(_))) => {
            salvage::salvage(&storage, &mut |record| printer.record(record))?;
            Some(error)
        }
        Err(error) => Some(error),
    };
    printer.out.flush().map_err(Trouble::Output)?;
    damage.map_or(Ok(0), |error| Err(at(dir, RecoveryError::Log(error))))
}

/// Where records go.
struct Printer<W> {
    out: W,
    json: bool,
}

impl<W: Write> Printer<W> {
    fn record(&mut self, record: &horolog_wal::Record<'_>) -> Result<(), Trouble> {
        let fields = fields::of(record);
        let line = if self.json { json_line(record, fields) } else { text_line(record, &fields) };
        writeln!(self.out, "{line}").map_err(Trouble::Output)
    }
}

fn json_line(record: &horolog_wal::Record<'_>, fields: fields::Fields) -> String {
    let mut object = Map::new();
    object.insert("lsn".to_owned(), record.lsn.0.into());
    object.insert("kind".to_owned(), fields::kind_name(record.kind).into());
    object.insert("segment".to_owned(), record.segment.into());
    object.insert("offset".to_owned(), record.offset.into());
    object.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Value::Object(object).to_string()
}

fn text_line(record: &horolog_wal::Record<'_>, fields: &fields::Fields) -> String {
    let mut line = format!("{:>8} {:<10}", record.lsn, fields::kind_name(record.kind));
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        line.push_str(&format!(" {name}={value}"));
    }
    line
}
