//! The rows for people.

use super::Subject;
use super::engine::THREADS;
use super::raw::{Kind, WriteSize};
use super::row::Row;
use crate::render::{count, table};

const AID: &str = "\
A disk that lies about syncs, or a memory file system, makes all of this meaningless.
Compare schedule with zeroed 4 KiB: the same write and sync without the engine; submit with zeroed 1 MiB.
";

/// What has no figure.
const NONE: &str = "-";

pub(super) fn text(rows: &[Row]) -> String {
    let raw: Vec<_> = rows.iter().filter_map(raw_row).collect();
    let engine: Vec<_> = rows.iter().filter_map(engine_row).collect();
    let raw_heading = ["raw disk, one thread", "write", "p50 µs", "p99 µs", "max µs", "syncs/s", "MB/s", ""];
    let engine_heading = [
        "horolog, 64-byte payloads",
        "p50 µs",
        "p99 µs",
        "max µs",
        "calls/s",
        "MB/s of log",
        "p50 to zeroed 4 KiB",
    ];
    format!("{}\n{}\n{AID}", table(&raw_heading, &raw), table(&engine_heading, &engine))
}

fn raw_row(row: &Row) -> Option<Vec<String>> {
    let Subject::Raw(kind, size) = row.subject else { return None };
    let mut cells = vec![kind_label(kind).to_owned(), size_label(size).to_owned()];
    cells.extend(figures(row));
    cells
        .push(row.refused.as_ref().map_or_else(String::new, |refused| format!("refused: {}", refused.words)));
    Some(cells)
}

fn engine_row(row: &Row) -> Option<Vec<String>> {
    let label = match row.subject {
        Subject::Raw(..) => return None,
        Subject::Schedule => "schedule, one thread".to_owned(),
        Subject::Blocked => format!("schedule, {THREADS} threads"),
        Subject::Submit => "submit, durable at the end".to_owned(),
    };
    let mut cells = vec![label];
    cells.extend(figures(row));
    cells.push(row.p50_to_zeroed_4k.map_or_else(|| NONE.to_owned(), |ratio| format!("{ratio:.2}")));
    Some(cells)
}

fn figures(row: &Row) -> [String; 5] {
    let micros = |ns: Option<u64>| ns.map_or_else(|| NONE.to_owned(), |ns| count(ns.div_ceil(1_000)));
    let calls_per_s = row.calls_per_s.map_or_else(|| NONE.to_owned(), count);
    let megabytes = row.bytes_per_s.map_or_else(|| NONE.to_owned(), megabytes);
    [micros(row.p50_ns), micros(row.p99_ns), micros(row.max_ns), calls_per_s, megabytes]
}

/// Millions, with a decimal while they are few.
fn megabytes(bytes: u64) -> String {
    if bytes < 10_000_000 { format!("{:.1}", bytes as f64 / 1e6) } else { count(bytes / 1_000_000) }
}

fn kind_label(kind: Kind) -> &'static str {
    match kind {
        Kind::Growing => "growing, fdatasync",
        Kind::Unwritten => "unwritten, fdatasync",
        Kind::Zeroed => "zeroed, fdatasync",
        Kind::Direct => "zeroed, O_DIRECT|O_DSYNC",
    }
}

fn size_label(size: WriteSize) -> &'static str {
    match size {
        WriteSize::KiB4 => "4 KiB",
        WriteSize::KiB64 => "64 KiB",
        WriteSize::MiB1 => "1 MiB",
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::super::row::{Outcome, Refused};
    use super::*;

    #[test]
    fn a_row_that_was_refused_says_so_with_the_number() {
        let error = io::Error::from_raw_os_error(22);
        let subject = Subject::Raw(Kind::Direct, WriteSize::KiB4);
        let row = Row::new(subject, vec![Outcome::Refused(Refused::from(&error))]);
        let said = text(std::slice::from_ref(&row));
        assert!(said.contains("zeroed, O_DIRECT|O_DSYNC  4 KiB") && said.contains("(os error 22)"), "{said}");
        let json = serde_json::to_value(&row).expect("JSON");
        assert_eq!((&json["refused"]["errno"], &json["p50_ns"]), (&22.into(), &serde_json::Value::Null));
    }
}
