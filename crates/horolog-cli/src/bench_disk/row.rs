//! From samples to rows.

use std::io;

use serde::Serialize;

use super::Subject;
use super::raw::Kind;
use crate::spread::Spread;

/// What one row gave in one round.
pub(super) enum Outcome {
    Measured(Round),
    Refused(Refused),
}

pub(super) struct Round {
    /// How long each call took; none if the calls do not wait.
    pub(super) samples_ns: Vec<u64>,
    pub(super) calls: u64,
    pub(super) bytes: u64,
    pub(super) took_ns: u64,
}

/// What cannot be had from this file system or this system.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Refused {
    errno: Option<i32>,
    pub(super) words: String,
}

/// What is shown. The names are those of the JSON output.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    #[serde(skip)]
    pub(super) subject: Subject,
    row: &'static str,
    write_bytes: Option<usize>,
    pub(super) calls: u64,
    pub(super) p50_ns: Option<u64>,
    pub(super) p99_ns: Option<u64>,
    pub(super) max_ns: Option<u64>,
    pub(super) calls_per_s: Option<u64>,
    pub(super) bytes_per_s: Option<u64>,
    pub(super) p50_to_zeroed_4k: Option<f64>,
    pub(super) refused: Option<Refused>,
}

impl Round {
    /// Calls by one thread; what was done between them does not count.
    pub(super) fn one_by_one(samples_ns: Vec<u64>, bytes: u64) -> Self {
        Self { calls: samples_ns.len() as u64, bytes, took_ns: samples_ns.iter().sum(), samples_ns }
    }

    fn per_s(&self, what: u64) -> u64 {
        let per_s = u128::from(what) * 1_000_000_000 / u128::from(self.took_ns.max(1));
        u64::try_from(per_s).unwrap_or(u64::MAX)
    }
}

impl From<&io::Error> for Refused {
    fn from(error: &io::Error) -> Self {
        Self { errno: error.raw_os_error(), words: error.to_string() }
    }
}

/// A row for each subject, with the ratio that says what the engine adds.
pub(super) fn rows(outcomes: Vec<(Subject, Vec<Outcome>)>) -> Vec<Row> {
    let mut rows: Vec<Row> =
        outcomes.into_iter().map(|(subject, outcomes)| Row::new(subject, outcomes)).collect();
    let p50_ns = |wanted| rows.iter().find(|row| row.subject == wanted).and_then(|row| row.p50_ns);
    let ratio = match (p50_ns(Subject::Schedule), p50_ns(Subject::BARE)) {
        (Some(engine_ns), Some(raw_ns)) if raw_ns > 0 => Some(engine_ns as f64 / raw_ns as f64),
        _ => None,
    };
    for row in rows.iter_mut().filter(|row| row.subject == Subject::Schedule) {
        row.p50_to_zeroed_4k = ratio;
    }
    rows
}

impl Row {
    /// Percentiles over all samples, rates as medians over the rounds.
    pub(super) fn new(subject: Subject, outcomes: Vec<Outcome>) -> Self {
        let (mut rounds, mut refused) = (Vec::new(), None);
        for outcome in outcomes {
            match outcome {
                Outcome::Measured(round) => rounds.push(round),
                Outcome::Refused(words) => refused = Some(words),
            }
        }
        let mut samples_ns: Vec<u64> =
            rounds.iter().flat_map(|round| round.samples_ns.iter().copied()).collect();
        let spread = Some(Spread::of(&mut samples_ns)).filter(|spread| spread.count > 0);
        Self {
            subject,
            row: subject.name(),
            write_bytes: subject.write_bytes(),
            calls: rounds.iter().map(|round| round.calls).sum(),
            p50_ns: spread.map(|spread| spread.p50_ns),
            p99_ns: spread.map(|spread| spread.p99_ns),
            max_ns: spread.map(|spread| spread.max_ns),
            calls_per_s: median(rounds.iter().map(|round| round.per_s(round.calls))),
            bytes_per_s: median(rounds.iter().map(|round| round.per_s(round.bytes))),
            p50_to_zeroed_4k: None,
            refused,
        }
    }
}

fn median(rates: impl Iterator<Item = u64>) -> Option<u64> {
    let mut rates: Vec<u64> = rates.collect();
    rates.sort_unstable();
    rates.get(rates.len() / 2).copied()
}

impl Subject {
    fn name(self) -> &'static str {
        match self {
            Self::Raw(Kind::Growing, _) => "growing",
            Self::Raw(Kind::Unwritten, _) => "unwritten",
            Self::Raw(Kind::Zeroed, _) => "zeroed",
            Self::Raw(Kind::Direct, _) => "zeroed_direct",
            Self::Schedule => "schedule",
            Self::Blocked => "schedule_8_threads",
            Self::Submit => "submit",
        }
    }

    fn write_bytes(self) -> Option<usize> {
        match self {
            Self::Raw(_, size) => Some(size.bytes()),
            Self::Schedule | Self::Blocked | Self::Submit => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(samples_ns: &[u64]) -> Outcome {
        Outcome::Measured(Round::one_by_one(samples_ns.to_vec(), 1_000 * samples_ns.len() as u64))
    }

    #[test]
    fn percentiles_are_of_all_samples_and_rates_of_the_middle_round() {
        let rounds = vec![round(&[1_000, 1_000]), round(&[4_000]), round(&[2_000, 2_000])];
        let row = Row::new(Subject::Schedule, rounds);
        assert_eq!((row.p50_ns, row.max_ns, row.calls), (Some(2_000), Some(4_000), 5));
        assert_eq!((row.calls_per_s, row.bytes_per_s), (Some(500_000), Some(500_000_000)));
    }

    #[test]
    fn the_ratio_is_of_the_middles_of_the_two_neighbours() {
        let both = vec![(Subject::BARE, vec![round(&[2_000])]), (Subject::Schedule, vec![round(&[3_000])])];
        let ratios: Vec<_> = rows(both).iter().map(|row| row.p50_to_zeroed_4k).collect();
        assert_eq!(ratios, [None, Some(1.5)]);
    }
}
