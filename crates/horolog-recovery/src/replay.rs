//! Records to state.

use horolog_state::{Lsn, State, codec};
use horolog_storage::Storage;
use horolog_wal::{LogError, LogOptions, LogState, LogView, VisitError, read_log};

use crate::error::RecoveryError;
use crate::report::Report;

/// How often a log is read again that changes while it is read.
const TRIES: u32 = 5;

/// Record kinds from here on may be passed over by a version that does not know them.
pub(crate) const SKIPPABLE_KIND_MIN: u8 = 0x80;

/// What a directory holds.
#[derive(Debug)]
pub struct Recovered {
    /// The fold of all records.
    pub state: State,
    /// The log they were read from, ready to be opened for writing.
    pub log: LogView,
    /// What was found, kept and cut.
    pub report: Report,
}

/// Reads a directory: log, then state. Takes no lock and writes nothing.
///
/// # Errors
///
/// [`RecoveryError`]: nothing is skipped, guessed or repaired.
pub fn recover(storage: &dyn Storage, options: &LogOptions) -> Result<Recovered, RecoveryError> {
    let mut tries_left = TRIES;
    loop {
        tries_left -= 1;
        let log = read_log(storage, options)?;
        match replay(&log) {
            Ok(state) => return Ok(Recovered { report: Report::new(&log, &state), state, log }),
            // Only without the lock: a writer uses a file again that was just read.
            Err(RecoveryError::Log(LogError::ChangedMeanwhile { .. })) if tries_left > 0 => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads a directory as an opening would, and says what was found. An empty directory is sound.
///
/// # Errors
///
/// As [`recover`]: exactly when an opening would be refused for what is on disk.
pub fn verify(storage: &dyn Storage, options: &LogOptions) -> Result<Report, RecoveryError> {
    recover(storage, options).map(|recovered| recovered.report)
}

/// Folds all records of a log into a state.
///
/// # Errors
///
/// [`RecoveryError`] with the place of the first record that cannot be read, decoded or applied.
pub fn replay(log: &LogView) -> Result<State, RecoveryError> {
    if log.first_lsn > horolog_wal::Lsn(1) {
        return Err(RecoveryError::Incomplete { first: Lsn(log.first_lsn.0) });
    }
    let mut state = State::new();
    let visited = log.for_each_record(horolog_wal::Lsn(1), &mut |record| apply(&mut state, &record));
    match visited {
        Ok(()) => {}
        Err(VisitError::Log(error)) => return Err(error.into()),
        Err(VisitError::Visitor(error)) => return Err(error),
    }
    if log.state == LogState::Log && state.applied() > Lsn::ZERO && state.tick_len().is_none() {
        return Err(RecoveryError::NoEpoch);
    }
    Ok(state)
}

/// Decodes a record and applies it, granting at once what it gives.
pub(crate) fn apply(state: &mut State, record: &horolog_wal::Record<'_>) -> Result<(), RecoveryError> {
    let lsn = Lsn(record.lsn.0);
    let (segment, offset) = (record.segment, record.offset);
    let decoded = match codec::decode(record.kind, record.body) {
        Ok(decoded) => decoded,
        Err(codec::RecordFault::UnknownKind { code }) if code >= SKIPPABLE_KIND_MIN => {
            return state.pass_over(lsn).map_err(|source| RecoveryError::Rules { segment, offset, source });
        }
        Err(fault) => return Err(RecoveryError::Record { lsn, segment, offset, fault }),
    };
    let effect =
        state.apply(lsn, &decoded).map_err(|source| RecoveryError::Rules { segment, offset, source })?;
    // What was read is as durable as it will ever be: everything a record gives is granted at once.
    if effect.free
        && let Some(id) = decoded.timer()
    {
        state.free(id);
    }
    drop(state.take_discarded());
    Ok(())
}
