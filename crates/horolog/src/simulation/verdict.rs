//! What must hold, what did not, and how much was looked at.

use std::collections::BTreeMap;
use std::fmt;

/// What must hold, whatever happens. The table in the documentation of the module says where each is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invariant {
    /// What was acknowledged is there, or the opening is refused.
    I1,
    /// What is there is the fold of a prefix, batches whole.
    I2,
    /// Cancelled and completed ones never come again, all others come, and the backlog in order.
    I3,
    /// Reading again and opening again give the same.
    I4,
    /// LSNs are dense, and rise over lives.
    I5,
    /// No durable block is written over.
    I6,
    /// What was never written decides nothing.
    I7,
    /// No read asks for more memory than twice the largest file.
    I8,
    /// After a sync that failed nothing is reported as done before the log is healed or opened anew.
    I9,
    /// On a full disk queries are right, new work is refused as such, and service resumes by itself.
    I10,
    /// Who only reads changes nothing.
    I11,
    /// A snapshot and the records behind it give what all records give.
    I12,
    /// Files are bounded, and none stays open.
    I13,
    /// A crash is never refused, and damage of what is proven durable always.
    I14,
    /// `verify` and an opening agree.
    I15,
    /// The machine's own invariants hold, and it fails for a cause only.
    Machine,
    /// The simulated disk's own invariants hold.
    Disk,
    /// The same steps give the same run.
    Determinism,
}

impl Invariant {
    fn name(self) -> &'static str {
        match self {
            Self::I1 => "I1 acknowledged is recovered",
            Self::I2 => "I2 a prefix, batches whole",
            Self::I3 => "I3 deliveries",
            Self::I4 => "I4 the same again",
            Self::I5 => "I5 dense LSNs",
            Self::I6 => "I6 no durable block rewritten",
            Self::I7 => "I7 garbage decides nothing",
            Self::I8 => "I8 bounded memory",
            Self::I9 => "I9 no Ok after a failed sync",
            Self::I10 => "I10 full disk",
            Self::I11 => "I11 reading changes nothing",
            Self::I12 => "I12 a snapshot gives what all records give",
            Self::I13 => "I13 bounded files, no leak",
            Self::I14 => "I14 no false alarm, no false accept",
            Self::I15 => "I15 verify agrees with open",
            Self::Machine => "the machine's own invariants",
            Self::Disk => "the disk's own invariants",
            Self::Determinism => "determinism",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that must hold did not.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) invariant: Invariant,
    pub(crate) what: String,
    /// The index of the step; that of the last one and more if it was found in the end.
    pub(crate) step: usize,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (in step {})", self.invariant, self.what, self.step)
    }
}

/// The outcome of whatever may find a violation.
pub(crate) type Checked<T = ()> = Result<T, Box<Violation>>;

/// How much was done, reached and looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Runs.
    pub runs: u64,
    /// Steps.
    pub steps: u64,
    /// Lives that ended, in order or not.
    pub crashes: u64,
    /// Images of the directory that were judged.
    pub states: u64,
    /// Openings that went well.
    pub openings: u64,
    /// Failed logs that were healed.
    pub heals: u64,
    /// Deliveries that consumers had.
    pub deliveries: u64,
    /// Faults that took effect, by class; and ends of lives.
    pub faults: BTreeMap<&'static str, u64>,
    /// Invariants, by how often each was checked.
    pub checks: BTreeMap<&'static str, u64>,
    /// Rows of the crash table, by how often each was found.
    pub rows: BTreeMap<&'static str, u64>,
    /// Crashes and damages, by what became of them.
    pub matrix: BTreeMap<&'static str, u64>,
}

impl Counts {
    pub(crate) fn fault(&mut self, class: &'static str) {
        *self.faults.entry(class).or_default() += 1;
    }

    pub(crate) fn check(&mut self, invariant: Invariant) {
        *self.checks.entry(invariant.name()).or_default() += 1;
    }

    pub(crate) fn row(&mut self, row: &'static str) {
        *self.rows.entry(row).or_default() += 1;
    }

    pub(crate) fn verdict(&mut self, verdict: &'static str) {
        *self.matrix.entry(verdict).or_default() += 1;
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.steps += other.steps;
        self.crashes += other.crashes;
        self.states += other.states;
        self.openings += other.openings;
        self.heals += other.heals;
        self.deliveries += other.deliveries;
        let tables = [&mut self.faults, &mut self.checks, &mut self.rows, &mut self.matrix];
        let others = [&other.faults, &other.checks, &other.rows, &other.matrix];
        for (table, other) in tables.into_iter().zip(others) {
            for (name, count) in other {
                *table.entry(name).or_default() += count;
            }
        }
    }
}
