//! Durations as people write them: `90s`, `1h 30m`, `7d`.

use std::time::Duration;

const UNITS: [(&str, u64); 6] = [
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
];

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadDuration {
    #[error(
        "`{text}` is not a duration; write for example \"90s\", \"1h 30m\" or \"7d\" (ms, s, m, h, d, w)"
    )]
    NotOne { text: String },
    #[error("`{text}` is zero, and has to be longer")]
    Zero { text: String },
    #[error("`{text}` is longer than 584 years")]
    TooLong { text: String },
}

pub(crate) fn parse(text: &str) -> Result<Duration, BadDuration> {
    let not_one = || BadDuration::NotOne { text: text.to_owned() };
    let too_long = || BadDuration::TooLong { text: text.to_owned() };
    let mut ns: u64 = 0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (number, after) = split(rest, |c| c.is_ascii_digit());
        let (unit, after) = split(after, |c| c.is_ascii_alphabetic());
        let number: u64 = number.parse().map_err(|_| not_one())?;
        let unit_ns = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, ns)| *ns).ok_or_else(not_one)?;
        let part = number.checked_mul(unit_ns).ok_or_else(too_long)?;
        ns = ns.checked_add(part).ok_or_else(too_long)?;
        rest = after.trim_start();
    }
    match ns {
        0 if text.trim().is_empty() => Err(not_one()),
        0 => Err(BadDuration::Zero { text: text.to_owned() }),
        ns => Ok(Duration::from_nanos(ns)),
    }
}

/// What `belongs`, and what comes after it.
fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// The shortest way to write it with whole numbers.
pub(super) fn show(time: Duration) -> String {
    let mut ns = time.as_nanos();
    let mut parts = Vec::new();
    for (name, unit_ns) in UNITS.iter().rev() {
        let whole = ns / u128::from(*unit_ns);
        ns %= u128::from(*unit_ns);
        if whole > 0 {
            parts.push(format!("{whole}{name}"));
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_units_are_durations() {
        let seconds = |text| parse(text).map(|time| time.as_secs());
        assert_eq!(seconds("7d"), Ok(7 * 86_400));
        assert_eq!(seconds("1h 30m"), Ok(5_400));
        assert_eq!(seconds(" 2w1s "), Ok(1_209_601));
        assert_eq!(parse("200ms"), Ok(Duration::from_millis(200)));
    }

    #[test]
    fn what_is_no_duration_is_told_apart() {
        for text in ["", "7", "d", "7 days", "-1s", "1.5h", "7d!"] {
            assert!(matches!(parse(text), Err(BadDuration::NotOne { .. })), "{text}");
        }
        assert!(matches!(parse("0s"), Err(BadDuration::Zero { .. })));
        assert!(matches!(parse("99999999w"), Err(BadDuration::TooLong { .. })));
    }

    #[test]
    fn what_is_shown_can_be_typed() {
        for text in ["200ms", "1h 30m", "1w", "584w 1d"] {
            assert_eq!(show(parse(text).expect("a duration")), text);
        }
    }
}
