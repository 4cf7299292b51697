//! What an enumeration found, for people.

use std::fmt;

use super::super::anatomy::Must;
use super::ledger::Breach;
use super::operation::{Operation, typed};
use super::table::{ROWS, TABLE};

/// Crashes in a row at most: the first, one in the opening after it, one in the opening after that.
pub const DEPTH_MAX: usize = 3;

/// What came of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// Opened, with everything that was promised.
    Right,
    Refused,
    /// Opened, with less or with something else.
    Wrong,
}

/// What has to come of a state, a row each, against what came of it: opened right, refused, opened wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Matrix([[u64; 3]; 3]);

impl Matrix {
    pub(super) fn count(&mut self, must: Must, came: Came) {
        let row = self.0.get_mut(must as usize);
        row.and_then(|row| row.get_mut(came as usize)).into_iter().for_each(|cell| *cell += 1);
    }

    /// The rows, by what has to come of a state.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, [u64; 3])> {
        ["must open", "either", "must be refused"].into_iter().zip(self.0)
    }

    /// What must open, and was refused.
    #[must_use]
    pub fn false_alarms(&self) -> u64 {
        let [[_, refused, _], _, _] = self.0;
        refused
    }

    /// What must be refused, and was opened; and whatever was opened with less than was promised, or with something else.
    #[must_use]
    pub fn false_accepts(&self) -> u64 {
        let [[_, _, less], [_, _, doubtful], [opened, _, wrong]] = self.0;
        less + doubtful + opened + wrong
    }

    fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(row, other)| add_all(row, other));
    }
}

/// What was counted over some sequences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Sequences that are done.
    pub sequences: u64,
    /// Operations of the disk after which the machine was stopped, by crashes in a row.
    pub moments: [u64; DEPTH_MAX],
    /// States after a crash, by crashes in a row.
    pub tried: [u64; DEPTH_MAX],
    /// Those of them that were another image than all before in their sequence.
    pub distinct: [u64; DEPTH_MAX],
    /// Openings that were carried out and crashed in their turn.
    pub opened: u64,
    /// Moments at which not all subsets were tried.
    pub sampled: u64,
    /// The most choices that a crash had.
    pub choices_max: usize,
    /// Crashes only.
    pub crashes: Matrix,
    /// Damage.
    pub damage: Matrix,
    /// How often each row of the crash table was reached.
    pub rows: [u64; ROWS],
}

impl Default for Tally {
    fn default() -> Self {
        let (zeros, none) = ([0; DEPTH_MAX], Matrix::default());
        Self {
            sequences: 0,
            moments: zeros,
            tried: zeros,
            distinct: zeros,
            opened: 0,
            sampled: 0,
            choices_max: 0,
            crashes: none,
            damage: none,
            rows: [0; ROWS],
        }
    }
}

impl Tally {
    /// Counts what another one has counted.
    pub fn add(&mut self, other: &Self) {
        self.sequences += other.sequences;
        add_all(&mut self.moments, &other.moments);
        add_all(&mut self.tried, &other.tried);
        add_all(&mut self.distinct, &other.distinct);
        add_all(&mut self.rows, &other.rows);
        self.opened += other.opened;
        self.sampled += other.sampled;
        self.choices_max = self.choices_max.max(other.choices_max);
        self.crashes.add(&other.crashes);
        self.damage.add(&other.damage);
    }

    /// All states after a crash.
    #[must_use]
    pub fn states(&self) -> u64 {
        self.tried.iter().sum()
    }

    /// The rows of the crash table that were not reached.
    pub fn rows_missed(&self) -> impl Iterator<Item = &'static str> {
        self.table().filter(|(_, count)| *count == 0).map(|(row, _)| row)
    }

    /// The rows of the crash table, each with how often it was reached.
    pub fn table(&self) -> impl Iterator<Item = (&'static str, u64)> {
        TABLE.iter().zip(&self.rows).map(|((row, _), count)| (*row, *count))
    }
}

fn add_all(to: &mut [u64], from: &[u64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

/// A promise that was broken, and the shortest way there.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The sequence. All shorter ones, and those of its length before it, keep every promise.
    pub sequence: Vec<Operation>,
    /// What happened to the disk, in order: each crash with its moment and with what arrived.
    pub trail: Vec<String>,
    /// What was broken.
    pub breach: Breach,
}

impl Violation {
    pub(super) fn of(breach: Breach) -> Box<Self> {
        Box::new(Self { sequence: Vec::new(), trail: Vec::new(), breach })
    }

    /// What came before, told from the inside to the outside.
    pub(super) fn before(mut self: Box<Self>, what: impl FnOnce() -> String) -> Box<Self> {
        self.trail.insert(0, what());
        self
    }
}

impl From<Breach> for Box<Violation> {
    fn from(breach: Breach) -> Self {
        Violation::of(breach)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "sequence: {:?}", typed(&self.sequence))?;
        for line in &self.trail {
            writeln!(f, "  {line}")?;
        }
        write!(f, "broken: {}", self.breach)
    }
}
