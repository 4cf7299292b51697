//! What a life of the child saw, kept outside the engine: an append-only file of 40-byte entries.
//!
//! An entry is written with write(2) into the page cache, which survives SIGKILL. An *intent* is written before the call
//! it announces, an *acknowledgement* after it: a kill in between leaves the intent alone, and the outcome is open.
//! So the ledger never claims an acknowledgement that the engine did not give.
//!
//! One mutex orders all writers. A kill can cut a write short; its thread never gives the mutex back, so nothing is
//! written after the cut and only the last entry can be half there. The order of the file agrees with cause and effect:
//! what one thread wrote before it acted stands before what another wrote after it saw the act.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the ledger is the witness against the engine, so it uses nothing of the engine, its storage included"
)]

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use horolog::CancelOutcome;

use super::plan::{Axis, Treatment, mix};

pub(super) const ENTRY_LEN: usize = 40;

/// One thing the child meant to do, or saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// The engine was opened in this time. The clocks tell what was missed while nothing ran.
    Opened { open_us: u32, wall_ns: u64, boot_ns: u64, torn_bytes: u64 },
    /// Intent: `count` timers from `serial` on, one by one.
    Submitting { serial: u64, count: u32 },
    /// Intent: `count` timers from `serial` on, all or none.
    Batching { serial: u64, count: u32 },
    /// Intent: complete `after` and schedule `serial`, both or neither.
    Following { serial: u64, after: u64 },
    /// The timer is durable.
    Scheduled { serial: u64, id: u64, boot_ns: u64 },
    /// Intent: move the timer.
    Rescheduling { serial: u64, deadline_ns: u64 },
    /// The timer was moved, and that is durable.
    Rescheduled { serial: u64, deadline_ns: u64 },
    /// Intent: cancel the timer.
    Cancelling { serial: u64 },
    /// The cancel's answer, durable.
    CancelAnswered { serial: u64, outcome: CancelOutcome },
    /// A delivery, and intent: what is done with it next.
    Received { serial: u64, attempt: u32, treatment: Treatment, axis: Axis, deadline_ns: u64, now_ns: u64 },
    /// The completion is durable.
    Completed { serial: u64 },
    /// A delivery whose payload or key is not what was scheduled.
    Foreign { id: u64, len: u64, what: Alien },
    /// The engine answered a call as it never should.
    Odd { serial: u64, what: Oddity },
    /// No serial number is left.
    AllSubmitted { boot_ns: u64 },
    /// No timer is left, and the engine was shut down in order.
    Drained { boot_ns: u64 },
}

/// What is wrong with a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Alien {
    Payload = 0,
    Key = 1,
}

/// What no call should answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Oddity {
    /// `IfExists::Keep` answered with another timer than the one that has the key.
    KeptAnother = 0,
    /// An occurrence in flight could not be completed or failed.
    OutcomeRefused = 1,
    /// A ticket came back without an answer.
    Indeterminate = 2,
    /// A good timer was refused.
    Refused = 3,
}

impl Entry {
    fn encode(&self) -> [u8; ENTRY_LEN] {
        let (kind, detail, number, words) = self.parts();
        let mut bytes = [0; ENTRY_LEN];
        let fields = [
            u64::from(number) << 32 | u64::from(detail) << 8 | u64::from(kind),
            words[0],
            words[1],
            words[2],
        ];
        for (place, word) in bytes.chunks_exact_mut(8).zip(fields.into_iter().chain([seal(fields)])) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Kind, detail, a small number and three words.
    fn parts(&self) -> (u8, u8, u32, [u64; 3]) {
        match *self {
            Self::Opened { open_us, wall_ns, boot_ns, torn_bytes } => {
                (1, 0, open_us, [wall_ns, boot_ns, torn_bytes])
            }
            Self::Submitting { serial, count } => (2, 0, count, [serial, 0, 0]),
            Self::Batching { serial, count } => (3, 0, count, [serial, 0, 0]),
            Self::Following { serial, after } => (4, 0, 0, [serial, after, 0]),
            Self::Scheduled { serial, id, boot_ns } => (5, 0, 0, [serial, id, boot_ns]),
            Self::Rescheduling { serial, deadline_ns } => (6, 0, 0, [serial, deadline_ns, 0]),
            Self::Rescheduled { serial, deadline_ns } => (7, 0, 0, [serial, deadline_ns, 0]),
            Self::Cancelling { serial } => (8, 0, 0, [serial, 0, 0]),
            Self::CancelAnswered { serial, outcome } => (9, outcome_code(outcome), 0, [serial, 0, 0]),
            Self::Received { serial, attempt, treatment, axis, deadline_ns, now_ns } => {
                (10, treatment as u8 | (axis as u8) << 4, attempt, [serial, deadline_ns, now_ns])
            }
            Self::Completed { serial } => (11, 0, 0, [serial, 0, 0]),
            Self::Foreign { id, len, what } => (12, what as u8, 0, [id, len, 0]),
            Self::Odd { serial, what } => (13, what as u8, 0, [serial, 0, 0]),
            Self::AllSubmitted { boot_ns } => (14, 0, 0, [boot_ns, 0, 0]),
            Self::Drained { boot_ns } => (15, 0, 0, [boot_ns, 0, 0]),
        }
    }

    fn decode(bytes: &[u8; ENTRY_LEN]) -> Option<Self> {
        let mut words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        let fields = [words.next()?, words.next()?, words.next()?, words.next()?];
        if words.next()? != seal(fields) {
            return None;
        }
        let [head, x, y, z] = fields;
        let [kind, detail, _, _, number @ ..] = head.to_le_bytes();
        let number = u32::from_le_bytes(number);
        Some(match kind {
            1 => Self::Opened { open_us: number, wall_ns: x, boot_ns: y, torn_bytes: z },
            2 => Self::Submitting { serial: x, count: number },
            3 => Self::Batching { serial: x, count: number },
            4 => Self::Following { serial: x, after: y },
            5 => Self::Scheduled { serial: x, id: y, boot_ns: z },
            6 => Self::Rescheduling { serial: x, deadline_ns: y },
            7 => Self::Rescheduled { serial: x, deadline_ns: y },
            8 => Self::Cancelling { serial: x },
            9 => Self::CancelAnswered { serial: x, outcome: outcome(detail)? },
            10 => Self::Received {
                serial: x,
                attempt: number,
                treatment: Treatment::from_code(detail & 15)?,
                axis: Axis::from_code(detail >> 4)?,
                deadline_ns: y,
                now_ns: z,
            },
            11 => Self::Completed { serial: x },
            12 => Self::Foreign {
                id: x,
                len: y,
                what: [Alien::Payload, Alien::Key].into_iter().nth(detail.into())?,
            },
            13 => Self::Odd { serial: x, what: ODDITIES.into_iter().nth(detail.into())? },
            14 => Self::AllSubmitted { boot_ns: x },
            15 => Self::Drained { boot_ns: x },
            _ => return None,
        })
    }
}

const ODDITIES: [Oddity; 4] =
    [Oddity::KeptAnother, Oddity::OutcomeRefused, Oddity::Indeterminate, Oddity::Refused];

const OUTCOMES: [CancelOutcome; 4] =
    [CancelOutcome::Cancelled, CancelOutcome::InFlight, CancelOutcome::AlreadyDone, CancelOutcome::NotFound];

fn outcome(code: u8) -> Option<CancelOutcome> {
    OUTCOMES.into_iter().nth(code.into())
}

fn outcome_code(outcome: CancelOutcome) -> u8 {
    match outcome {
        CancelOutcome::Cancelled => 0,
        CancelOutcome::InFlight => 1,
        CancelOutcome::AlreadyDone => 2,
        CancelOutcome::NotFound => 3,
    }
}

fn seal(fields: [u64; 4]) -> u64 {
    fields.into_iter().fold(0x6865_6467_6572, |hash, word| mix(hash ^ word).wrapping_add(word))
}

/// The writing end. The first failure is kept: a ledger that cannot be written ends the life.
#[derive(Debug)]
pub(super) struct Ledger {
    file: Mutex<File>,
}

impl Ledger {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: Mutex::new(OpenOptions::new().append(true).create_new(true).open(path)?) })
    }

    /// Writes entries down, all in one write(2).
    pub(super) fn note(&self, entries: &[Entry]) -> io::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let bytes: Vec<u8> = entries.iter().flat_map(Entry::encode).collect();
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&bytes)
    }
}

/// Reads a ledger. A kill can leave the last entry half written; anything else that is no entry is an error.
pub(super) fn read(path: &Path) -> io::Result<Vec<Entry>> {
    let bytes = match std::fs::read(path) {
        // Killed before it was created.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let (entries, _half) = bytes.as_chunks::<ENTRY_LEN>();
    let decoded = entries.iter().map(Entry::decode).collect::<Option<Vec<_>>>();
    decoded.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an entry of the ledger is damaged"))
}

/// Timers of earlier lives that are to be cancelled: serial and id.
pub(super) fn write_carried(path: &Path, carried: &[(u64, u64)]) -> io::Result<()> {
    let bytes: Vec<u8> =
        carried.iter().flat_map(|(serial, id)| [serial.to_le_bytes(), id.to_le_bytes()]).flatten().collect();
    std::fs::write(path, bytes)
}

pub(super) fn read_carried(path: &Path) -> io::Result<Vec<(u64, u64)>> {
    let bytes = std::fs::read(path)?;
    let words: Vec<u64> = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
    Ok(words.as_chunks::<2>().0.iter().map(|[serial, id]| (*serial, *id)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_and_a_half_one_at_the_end_is_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ledger");
        let received = Entry::Received {
            serial: 7,
            attempt: 3,
            treatment: Treatment::Drop,
            axis: Axis::Boot,
            deadline_ns: 1,
            now_ns: u64::MAX,
        };
        let mut entries = vec![received, Entry::Submitting { serial: 1, count: 64 }];
        entries.extend(OUTCOMES.map(|outcome| Entry::CancelAnswered { serial: 2, outcome }));
        entries.extend(ODDITIES.map(|what| Entry::Odd { serial: 2, what }));
        let ledger = Ledger::create(&path).expect("a ledger");
        ledger.note(&entries).expect("noted");
        ledger.file.lock().expect("the file").write_all(&[1; 11]).expect("a half entry");
        assert_eq!(read(&path).expect("readable"), entries);
    }

    #[test]
    fn a_damaged_entry_is_an_error() {
        let mut bytes = Entry::Completed { serial: 5 }.encode();
        bytes[9] ^= 1;
        assert_eq!(Entry::decode(&bytes), None);
    }
}
