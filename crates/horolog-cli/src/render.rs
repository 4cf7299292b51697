//! Numbers for people, and tables.

use std::io::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::error::Trouble;

/// Writes the answer of a command.
pub(crate) fn say(text: &str) -> Result<(), Trouble> {
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(Trouble::Output)
}

/// Writes a line about something that happened. Nobody may be listening, and that stops nothing.
pub(crate) fn note(who: &str, what: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{who}: {what}");
}

/// Rows of a label and a value, aligned.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    rows: Vec<(String, String)>,
}

impl Facts {
    pub(crate) fn row(&mut self, label: impl Into<String>, value: impl Into<String>) {
        self.rows.push((label.into(), value.into()));
    }

    pub(crate) fn render(&self) -> String {
        let width = self.rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        self.rows.iter().map(|(label, value)| format!("{label:<width$}  {value}\n")).collect()
    }
}

/// A table with a heading. Columns of numbers are aligned right.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let heading: Vec<String> = heading.iter().map(|&cell| cell.to_owned()).collect();
    let widths: Vec<usize> = (0..heading.len())
        .map(|column| {
            let cells = std::iter::once(&heading).chain(rows).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let numbers: Vec<bool> = (0..heading.len())
        .map(|column| rows.iter().filter_map(|row| row.get(column)).all(|cell| is_number(cell)))
        .collect();
    let line = |row: &Vec<String>| -> String {
        let cells =
            row.iter().zip(widths.iter().zip(&numbers)).map(|(cell, (&width, number))| match number {
                false => format!("{cell:<width$}"),
                true => format!("{cell:>width$}"),
            });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    std::iter::once(&heading).chain(rows).map(line).collect()
}

/// A count, a fraction or a size; nothing at all is written as a dash.
fn is_number(cell: &str) -> bool {
    cell.ends_with('B') || cell.chars().all(|c| c.is_ascii_digit() || matches!(c, ' ' | '.' | '-'))
}

/// 1234567 as `1 234 567`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Three digits that matter, in the unit that suits.
pub(crate) fn duration(time: Duration) -> String {
    let ns = time.as_nanos();
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (time.as_secs_f64() * 1e6, "µs"),
        1_000_000..1_000_000_000 => (time.as_secs_f64() * 1e3, "ms"),
        _ if time < Duration::from_secs(120) => (time.as_secs_f64(), "s"),
        _ if time < Duration::from_secs(2 * 3600) => (time.as_secs_f64() / 60.0, "min"),
        _ if time < Duration::from_secs(48 * 3600) => (time.as_secs_f64() / 3600.0, "h"),
        _ => (time.as_secs_f64() / 86400.0, "d"),
    };
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.decimals$} {unit}")
}

pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n;
    let mut unit = "B";
    for name in UNITS {
        if value < 10 * 1024 && unit != "B" {
            break;
        }
        (value, unit) = (value / 1024, name);
    }
    format!("{} {unit}", count(value))
}

/// An instant in this machine's time zone, to the millisecond.
pub(crate) fn instant(unix_ns: u128) -> String {
    let Some(stamp) = i128::try_from(unix_ns).ok().and_then(|ns| Timestamp::from_nanosecond(ns).ok()) else {
        return "the end of time".to_owned();
    };
    stamp.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S%.3f %Z").to_string()
}

/// Bytes as text if they are, else in hexadecimal.
pub(crate) fn payload(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') => format!("{text:?}"),
        _ => format!("0x{}", hex(bytes)),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            [count(0), count(999), count(1_000), count(1_234_567)],
            ["0", "999", "1 000", "1 234 567"]
        );
    }

    #[test]
    fn durations_keep_three_digits() {
        let shown = [15, 1_500, 15_000_000, 1_500_000_000].map(|ns| duration(Duration::from_nanos(ns)));
        assert_eq!(shown, ["15 ns", "1.50 µs", "15.0 ms", "1.50 s"]);
    }

    #[test]
    fn sizes_have_the_unit_that_suits() {
        assert_eq!(
            [bytes(12), bytes(4096), bytes(1 << 20), bytes(64 << 20)],
            ["12 B", "4 KiB", "1 024 KiB", "64 MiB"]
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_hexadecimal() {
        assert_eq!(payload(b"order 42"), "\"order 42\"");
        assert_eq!(payload(&[0, 255]), "0x00ff");
    }
}
