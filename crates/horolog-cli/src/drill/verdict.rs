//! The promises, checked against what the child wrote down. Pure: entries in, violations out.
//!
//! 1. A timer whose schedule was acknowledged is delivered at least once, unless it was cancelled.
//! 2. After an acknowledged completion it is never delivered again.
//! 3. After a cancel that answered `Cancelled` it is never delivered.
//! 4. Nothing is delivered before its deadline, or before the later one it was moved to.
//! 5. What was never submitted never appears, and a payload comes back as it was.
//! 6. A delivery that was received is counted: the next one has a higher number, across any crash.
//! 7. A batch is carried out whole or not at all.
//! 8. What is given back comes again, and what is completed does not, within one life too.
//! 9. In the end the directory is sound and empty.
//!
//! Between an intent and its acknowledgement a kill leaves the outcome open; both outcomes are right then.

use std::collections::{HashMap, HashSet};
use std::fmt;

use horolog::CancelOutcome;

use super::ledger::{Alien, Entry, Oddity};
use super::plan::Treatment;

/// Violations that are kept in full; the rest is counted.
const KEPT_MAX: usize = 1_000;

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Violation {
    Lost {
        serial: u64,
    },
    NotDeliveredAgain {
        serial: u64,
    },
    Early {
        serial: u64,
        by_ns: u64,
        life: u32,
    },
    CompletedDelivered {
        serial: u64,
        attempt: u32,
        life: u32,
    },
    CancelledDelivered {
        serial: u64,
        attempt: u32,
        life: u32,
    },
    DeliveredTwice {
        serial: u64,
        life: u32,
    },
    NeverSubmitted {
        serial: u64,
        life: u32,
    },
    Foreign {
        id: u64,
        len: u64,
        what: Alien,
        life: u32,
    },
    NotCounted {
        serial: u64,
        attempt: u32,
        before: u32,
        life: u32,
    },
    TornBatch {
        serial: u64,
        count: u32,
        delivered: u32,
    },
    TornFollow {
        serial: u64,
        after: u64,
    },
    Forgotten {
        serial: u64,
        answer: CancelOutcome,
        life: u32,
    },
    Odd {
        serial: u64,
        what: Oddity,
        life: u32,
    },
    /// The child ended by itself, with these last words.
    Died {
        life: u32,
        words: String,
    },
    /// The child did nothing for this long.
    Stalled {
        life: u32,
        seconds: u64,
    },
    /// The directory cannot be read or opened in the end.
    Unsound {
        words: String,
    },
    /// Timers are left when there should be none.
    Left {
        timers: u64,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { serial } => write!(f, "lost: timer {serial} was acknowledged and never delivered"),
            Self::NotDeliveredAgain { serial } => {
                write!(f, "lost: timer {serial} was given back and never delivered again")
            }
            Self::Early { serial, by_ns, life } => {
                write!(f, "early: timer {serial} came {by_ns} ns before its deadline in life {life}")
            }
            Self::CompletedDelivered { serial, attempt, life } => {
                write!(f, "completed and delivered again: timer {serial} as attempt {attempt} in life {life}")
            }
            Self::CancelledDelivered { serial, attempt, life } => {
                write!(f, "cancelled and delivered: timer {serial} as attempt {attempt} in life {life}")
            }
            Self::DeliveredTwice { serial, life } => {
                write!(f, "delivered twice: timer {serial} came again in life {life}, where it was completed")
            }
            Self::NeverSubmitted { serial, life } => {
                write!(f, "from nowhere: timer {serial} was delivered in life {life} and never submitted")
            }
            Self::Foreign { id, len, what, life } => {
                write!(f, "altered: {what:?} of id {id:#x} ({len} bytes of payload) in life {life}")
            }
            Self::NotCounted { serial, attempt, before, life } => write!(
                f,
                "not counted: timer {serial} came as attempt {attempt} in life {life}, after attempt {before}"
            ),
            Self::TornBatch { serial, count, delivered } => {
                write!(f, "torn batch: {delivered} of {count} timers from {serial} on exist")
            }
            Self::TornFollow { serial, after } => write!(
                f,
                "torn batch: timer {serial} exists, and timer {after} that was completed with it came again"
            ),
            Self::Forgotten { serial, answer, life } => {
                write!(f, "forgotten: a cancel of timer {serial} answered {answer:?} in life {life}")
            }
            Self::Odd { serial, what, life } => {
                write!(f, "wrong answer: {what:?} for timer {serial} in life {life}")
            }
            Self::Died { life, words } => write!(f, "died: life {life} ended by itself: {words}"),
            Self::Stalled { life, seconds } => {
                write!(f, "stalled: nothing happened in life {life} for {seconds} s")
            }
            Self::Unsound { words } => write!(f, "unsound: {words}"),
            Self::Left { timers } => write!(f, "left over: {timers} timers after everything had ended"),
        }
    }
}

/// What is known of one timer.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    submitted: bool,
    scheduled: bool,
    completed: bool,
    cancelled: bool,
    /// A cancel of it was asked for and nothing says that it did not happen.
    cancels_asked: u8,
    /// It is part of a batch, whose wholeness is judged by its deliveries.
    bound: bool,
    attempt: u32,
    /// The life in which it was last received; 0 for never.
    received_in: u32,
    treatment: Option<Treatment>,
    complete_asked: bool,
    /// It was completed together with the scheduling of another, and came again: that other one must not exist.
    must_not_exist: bool,
}

impl Fate {
    fn received(&self) -> bool {
        self.received_in > 0
    }
}

/// How often what happened.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub(super) struct Counts {
    pub(super) submitted: u64,
    pub(super) scheduled: u64,
    pub(super) deliveries: u64,
    pub(super) redeliveries: u64,
    pub(super) completed: u64,
    pub(super) cancelled: u64,
    pub(super) cancels_too_late: u64,
    pub(super) rescheduled: u64,
    pub(super) given_back: u64,
    pub(super) batches: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Verdict {
    fates: Vec<Fate>,
    batches: Vec<(u64, u32)>,
    /// The timer that was scheduled together with the completion of another, and that other one.
    follows: HashMap<u64, u64>,
    /// The other way round: the latest attempt to complete it so.
    followed_by: HashMap<u64, u64>,
    /// Deadlines that timers were moved to.
    moved_to: HashMap<u64, u64>,
    life: u32,
    violations: Vec<Violation>,
    violations_total: u64,
    pub(super) counts: Counts,
}

impl Verdict {
    pub(super) fn new(timers: u64) -> Self {
        let len = usize::try_from(timers).unwrap_or(usize::MAX);
        Self {
            fates: vec![Fate::default(); len],
            batches: Vec::new(),
            follows: HashMap::new(),
            followed_by: HashMap::new(),
            moved_to: HashMap::new(),
            life: 0,
            violations: Vec::new(),
            violations_total: 0,
            counts: Counts::default(),
        }
    }

    pub(super) fn violations(&self) -> &[Violation] {
        &self.violations
    }

    pub(super) fn violations_total(&self) -> u64 {
        self.violations_total
    }

    pub(super) fn charge(&mut self, violation: Violation) {
        self.violations_total += 1;
        if self.violations.len() < KEPT_MAX {
            self.violations.push(violation);
        }
    }

    /// Takes in the ledger of the next life.
    pub(super) fn life(&mut self, entries: &[Entry]) {
        self.life += 1;
        for entry in entries {
            self.entry(entry);
        }
    }

    /// The first serial number that no life has announced.
    pub(super) fn next_serial(&self) -> u64 {
        let used = self.fates.iter().rposition(|fate| fate.submitted);
        used.map_or(0, |last| last as u64 + 1)
    }

    fn entry(&mut self, entry: &Entry) {
        let life = self.life;
        match *entry {
            Entry::Opened { .. } | Entry::AllSubmitted { .. } | Entry::Drained { .. } => {}
            Entry::Submitting { serial, count } => self.submitted(serial, count, false),
            Entry::Batching { serial, count } => {
                self.submitted(serial, count, true);
                self.batches.push((serial, count));
                self.counts.batches += 1;
            }
            Entry::Following { serial, after } => {
                self.submitted(serial, 1, true);
                self.follows.insert(serial, after);
                self.followed_by.insert(after, serial);
                self.counts.batches += 1;
            }
            Entry::Scheduled { serial, .. } => {
                self.counts.scheduled += 1;
                self.with(serial, |fate| fate.scheduled = true);
            }
            Entry::Rescheduling { .. } => {}
            Entry::Rescheduled { serial, deadline_ns } => {
                self.counts.rescheduled += 1;
                self.moved_to.insert(serial, deadline_ns);
            }
            Entry::Cancelling { serial } => {
                self.with(serial, |fate| fate.cancels_asked = fate.cancels_asked.saturating_add(1));
            }
            Entry::CancelAnswered { serial, outcome } => self.cancel_answered(serial, outcome),
            Entry::Received { serial, attempt, treatment, deadline_ns, now_ns, .. } => {
                self.received(serial, attempt, treatment);
                self.in_time(serial, deadline_ns, now_ns);
            }
            Entry::Completed { serial } => {
                self.counts.completed += 1;
                self.with(serial, |fate| fate.completed = true);
            }
            Entry::Foreign { id, len, what } => self.charge(Violation::Foreign { id, len, what, life }),
            Entry::Odd { serial, what } => self.charge(Violation::Odd { serial, what, life }),
        }
    }

    fn with(&mut self, serial: u64, change: impl FnOnce(&mut Fate)) {
        if let Some(fate) = usize::try_from(serial).ok().and_then(|at| self.fates.get_mut(at)) {
            change(fate);
        }
    }

    fn fate(&self, serial: u64) -> Fate {
        usize::try_from(serial).ok().and_then(|at| self.fates.get(at)).copied().unwrap_or_default()
    }

    fn submitted(&mut self, first: u64, count: u32, bound: bool) {
        self.counts.submitted += u64::from(count);
        for serial in first..first.saturating_add(count.into()) {
            self.with(serial, |fate| (fate.submitted, fate.bound) = (true, bound));
        }
    }

    /// `AlreadyDone` needs an end, and `NotFound` cannot be: every timer that is cancelled here had an id.
    fn cancel_answered(&mut self, serial: u64, answer: CancelOutcome) {
        let (fate, life) = (self.fate(serial), self.life);
        match answer {
            CancelOutcome::Cancelled => {
                self.counts.cancelled += 1;
                self.with(serial, |fate| fate.cancelled = true);
            }
            CancelOutcome::InFlight => self.counts.cancels_too_late += 1,
            CancelOutcome::AlreadyDone if fate.complete_asked || fate.cancels_asked > 1 => {
                self.counts.cancels_too_late += 1;
            }
            CancelOutcome::AlreadyDone | CancelOutcome::NotFound => {
                self.charge(Violation::Forgotten { serial, answer, life });
            }
        }
    }

    fn received(&mut self, serial: u64, attempt: u32, treatment: Treatment) {
        let (fate, life) = (self.fate(serial), self.life);
        self.counts.deliveries += 1;
        self.counts.redeliveries += u64::from(fate.received());
        self.counts.given_back += u64::from(treatment != Treatment::Complete);
        if !fate.submitted {
            self.charge(Violation::NeverSubmitted { serial, life });
        }
        if fate.completed {
            self.charge(Violation::CompletedDelivered { serial, attempt, life });
        } else if fate.received_in == life && fate.treatment == Some(Treatment::Complete) {
            self.charge(Violation::DeliveredTwice { serial, life });
        }
        if fate.cancelled {
            self.charge(Violation::CancelledDelivered { serial, attempt, life });
        }
        if fate.received() && attempt <= fate.attempt {
            self.charge(Violation::NotCounted { serial, attempt, before: fate.attempt, life });
        }
        self.completed_in_vain(serial);
        if fate.must_not_exist {
            let after = self.follows.get(&serial).copied().unwrap_or_default();
            self.charge(Violation::TornFollow { serial, after });
        }
        self.with(serial, |fate| {
            fate.attempt = attempt;
            fate.received_in = life;
            fate.treatment = Some(treatment);
            fate.complete_asked |= treatment == Treatment::Complete;
        });
    }

    /// It came again although it was to be completed together with the scheduling of another one: so neither happened.
    fn completed_in_vain(&mut self, after: u64) {
        let Some(serial) = self.followed_by.remove(&after) else { return };
        if self.fate(serial).received() {
            self.charge(Violation::TornFollow { serial, after });
        }
        self.with(serial, |fate| fate.must_not_exist = true);
    }

    fn in_time(&mut self, serial: u64, deadline_ns: u64, now_ns: u64) {
        let moved_to = self.moved_to.get(&serial).copied().unwrap_or(0);
        let by_ns = deadline_ns.max(moved_to).saturating_sub(now_ns);
        if by_ns > 0 {
            self.charge(Violation::Early { serial, by_ns, life: self.life });
        }
    }

    /// Timers that are meant to be cancelled and have not been, as far as is known: for the next life to try.
    pub(super) fn may_be_cancelled(&self, serial: u64) -> bool {
        let fate = self.fate(serial);
        fate.scheduled && !fate.bound && !fate.cancelled && !fate.completed
    }

    /// Whether the timer was moved: its lateness cannot be told from its payload.
    pub(super) fn was_moved(&self, serial: u64) -> bool {
        self.moved_to.contains_key(&serial)
    }

    /// The last life is over: what was promised has been kept, or never will be. Timers that were given up after too
    /// many deliveries are listed by the engine and not lost.
    pub(super) fn finish(&mut self, dead: &HashSet<u64>) {
        for serial in 0..self.fates.len() as u64 {
            let fate = self.fate(serial);
            if !fate.scheduled || fate.cancels_asked > 0 || dead.contains(&serial) {
                continue;
            }
            if !fate.received() {
                self.charge(Violation::Lost { serial });
            } else if !fate.complete_asked {
                self.charge(Violation::NotDeliveredAgain { serial });
            }
        }
        for (serial, count) in std::mem::take(&mut self.batches) {
            let timers = serial..serial + u64::from(count);
            let delivered = timers.filter(|&serial| self.fate(serial).received()).count();
            let delivered = u32::try_from(delivered).unwrap_or(u32::MAX);
            if delivered != 0 && delivered != count {
                self.charge(Violation::TornBatch { serial, count, delivered });
            }
        }
    }
}

#[cfg(test)]
mod tests;
