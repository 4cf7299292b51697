//! What was promised and what was done: everything that a directory may say after a crash.
//!
//! 1. After each command the ledger has one line more: the fingerprint of the state as of the command's last record. Records
//!    of one command have one line between them, so a directory that holds a part of them matches no line.
//! 2. A line is never changed. What a later life writes stands behind what it has read.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};

use horolog_state::{Phase, State, TimerId, TimerView, Totals};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Which one, by its number in the module's text.
    pub invariant: &'static str,
    /// How.
    pub what: String,
    /// The directory was not opened at all.
    pub refused: bool,
}

impl Breach {
    pub(super) fn of(invariant: &'static str, what: impl fmt::Display) -> Self {
        Self { invariant, what: what.to_string(), refused: false }
    }

    pub(super) fn refused(invariant: &'static str, why: impl fmt::Display) -> Self {
        Self { invariant, what: why.to_string(), refused: true }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}{}", self.invariant, if self.refused { "refused: " } else { "" }, self.what)
    }
}

/// What happened to one timer, each with its record.
#[derive(Clone, Copy, Debug)]
struct Fact {
    id: TimerId,
    scheduled: u64,
    ended: Option<u64>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    /// By LSN.
    lines: Vec<Option<u64>>,
    facts: Vec<Fact>,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self { lines: vec![Some(fingerprint(&State::new()))], facts: Vec::new() }
    }

    /// Notes the state after a command.
    pub(super) fn note(&mut self, state: &State) {
        let at = index(state.applied().0);
        if at >= self.lines.len() {
            self.lines.resize(at, None);
            self.lines.push(Some(fingerprint(state)));
        }
    }

    /// The last record that there was.
    pub(super) fn last(&self) -> u64 {
        self.lines.len().saturating_sub(1) as u64
    }

    pub(super) fn scheduled(&mut self, id: TimerId, lsn: u64) {
        self.facts.push(Fact { id, scheduled: lsn, ended: None });
    }

    pub(super) fn ended(&mut self, id: TimerId, lsn: u64) {
        self.facts.iter_mut().filter(|fact| fact.id == id).for_each(|fact| fact.ended = Some(lsn));
    }

    /// The ledger as it was at `lsn`: what a life knows that reads so far.
    pub(super) fn up_to(&self, lsn: u64) -> Self {
        let lines = self.lines.iter().take(index(lsn) + 1).copied().collect();
        let known = self.facts.iter().filter(|fact| fact.scheduled <= lsn);
        let facts = known.map(|fact| Fact { ended: fact.ended.filter(|&ended| ended <= lsn), ..*fact });
        Self { lines, facts: facts.collect() }
    }

    /// Whether a state is one that there was: no part of a command, nothing changed.
    pub(super) fn check(&self, valid: u64, found: u64) -> Result<(), Breach> {
        match self.lines.get(index(valid)) {
            Some(Some(line)) if *line == found => Ok(()),
            Some(Some(_)) => Err(Breach::of("I2", format_args!("at LSN {valid} there was another state"))),
            Some(None) => Err(Breach::of("I2", format_args!("LSN {valid} is in the midst of a batch"))),
            None => Err(Breach::of("I2", format_args!("LSN {valid} was never written"))),
        }
    }

    /// I3, against what was asked for and not against what the machine made of it.
    pub(super) fn check_timers(&self, state: &State) -> Result<(), Breach> {
        let valid = state.applied().0;
        for Fact { id, scheduled, ended } in self.facts.iter().copied().filter(|it| it.scheduled <= valid) {
            let lives = state.view(id).is_some_and(|timer| timer.phase != Phase::Ended);
            match ended.filter(|&ended| ended <= valid) {
                Some(ended) if lives => {
                    return Err(Breach::of("I3", format_args!("{id} ended with {ended} and lives")));
                }
                None if !lives => {
                    return Err(Breach::of("I3", format_args!("{id} of record {scheduled} is gone")));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn index(lsn: u64) -> usize {
    usize::try_from(lsn).unwrap_or(usize::MAX)
}

/// All that can be seen of a state, as one number.
pub(super) fn fingerprint(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    let reading = state.reading();
    (state.applied().0, state.epoch(), state.leased()).hash(&mut hasher);
    (reading.wall_ns, reading.boottime_ns, reading.boot_id, reading.elapsed_ns).hash(&mut hasher);
    let Totals { scheduled, cancelled, finished, deliveries, completed, failures, .. } = state.totals();
    [scheduled, cancelled, finished, deliveries, completed, failures].hash(&mut hasher);
    for timer in state.timers() {
        let TimerView { id, phase, due, deliveries, failures, suspect, doomed, lsn, key, payload, .. } =
            timer;
        (id.slot(), id.generation(), phase, due, deliveries, failures).hash(&mut hasher);
        (suspect, doomed, lsn.0, key, payload).hash(&mut hasher);
    }
    hasher.finish()
}
