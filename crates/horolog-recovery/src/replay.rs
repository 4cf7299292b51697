//! Records to state.

use horolog_state::snapshot::Replay;
use horolog_state::{Lsn, State, codec};
use horolog_storage::Storage;
use horolog_wal::planted::{Bug, is_planted};
use horolog_wal::{LogError, LogOptions, LogState, LogView, VisitError, read_anew, read_log_watched};

use crate::error::RecoveryError;
use crate::progress::{Progress, RecoveryStep, Watched};
use crate::report::Report;
use crate::snapshot::{Base, RottenSnapshot, SnapshotTrouble, base};

/// Record kinds from here on may be passed over by a version that does not know them.
pub(crate) const SKIPPABLE_KIND_MIN: u8 = 0x80;

/// After so many records it is told how far a replay is.
const TOLD_EVERY: u64 = 1 << 14;

/// What a directory holds.
#[derive(Debug)]
pub struct Recovered<'a> {
    /// The fold of all records.
    pub state: State,
    /// The log they were read from, ready to be opened for writing.
    pub log: LogView<'a>,
    /// What was found, kept and cut.
    pub report: Report,
    /// Snapshots that cannot be used. What stood in them was had from another one, or from more of the log.
    pub rotten: Vec<RottenSnapshot>,
}

/// Reads a directory: log, snapshot, and the records behind it, into a state. Takes no lock and writes nothing.
///
/// # Errors
///
/// [`RecoveryError`]: nothing is skipped, guessed or repaired.
pub fn recover<'a>(storage: &'a dyn Storage, options: &LogOptions) -> Result<Recovered<'a>, RecoveryError> {
    recover_watched(storage, options, &mut |_| ())
}

/// As [`recover`], and tells `watch` how far it is: often enough for a bar, and seldom enough to cost nothing.
///
/// # Errors
///
/// As there.
pub fn recover_watched<'a>(
    storage: &'a dyn Storage,
    options: &LogOptions,
    watch: &mut dyn FnMut(Progress),
) -> Result<Recovered<'a>, RecoveryError> {
    // Only without the lock: a writer uses a file again, or has removed it, that was just read.
    let mut gone = Vec::new();
    read_anew(
        || recover_once(storage, options, watch),
        |found| !options.has_lock && has_changed(found, &mut gone),
    )
}

/// Whether a writer may have changed the directory while it was read. A snapshot that is gone is believed to be when the
/// next reading misses it as well: META has forgotten it before a writer removes it. `gone_before` are those of the last one.
fn has_changed(found: &Result<Recovered<'_>, RecoveryError>, gone_before: &mut Vec<u64>) -> bool {
    match found {
        Ok(Recovered { rotten, .. }) | Err(RecoveryError::Incomplete { rotten, .. }) => {
            let gone = rotten.iter().filter(|it| is_gone(it)).map(|it| it.snapshot).collect();
            let before = std::mem::replace(gone_before, gone);
            !gone_before.is_empty() && *gone_before != before
        }
        Err(RecoveryError::Log(LogError::ChangedMeanwhile { .. })) => true,
        Err(_) => false,
    }
}

/// A writer removes a snapshot that does not count any more, and another file may get its name.
fn is_gone(rotten: &RottenSnapshot) -> bool {
    use horolog_wal::SnapshotDamage::{Header, Length, Missing};
    matches!(
        &rotten.why,
        SnapshotTrouble::File(LogError::SnapshotDamaged { damage: Missing | Header | Length { .. }, .. })
    )
}

fn recover_once<'a>(
    storage: &'a dyn Storage,
    options: &LogOptions,
    watch: &mut dyn FnMut(Progress),
) -> Result<Recovered<'a>, RecoveryError> {
    let mut log = check(storage, options, watch)?;
    let Base { replay, snapshot, rotten } = base(&mut log, watch)?;
    let state = replay_behind(replay, &log, watch)?;
    let report = Report { snapshot, snapshots_rotten: rotten.len(), ..Report::new(&log, &state) };
    Ok(Recovered { state, log, report, rotten })
}

fn check<'a>(
    storage: &'a dyn Storage,
    options: &LogOptions,
    watch: &mut dyn FnMut(Progress),
) -> Result<LogView<'a>, LogError> {
    let step = RecoveryStep::Check;
    let mut now = Progress { step, done: 0, total: 0 };
    watch(now);
    let log = read_log_watched(storage, options, &mut |done, total| {
        now = Progress { step, done, total };
        watch(now);
    })?;
    // Segments that are no part of the log have only their headers checked.
    watch(Progress { done: now.total, ..now });
    Ok(log)
}

/// Reads a directory as an opening would, and says what was found. An empty directory is sound.
///
/// # Errors
///
/// As [`recover`]: exactly when an opening would be refused for what is on disk.
pub fn verify(storage: &dyn Storage, options: &LogOptions) -> Result<Report, RecoveryError> {
    recover(storage, options).map(|recovered| recovered.report)
}

/// Puts the records of a log that are behind a replay's last one into its state.
fn replay_behind(
    mut replay: Replay,
    log: &LogView<'_>,
    watch: &mut dyn FnMut(Progress),
) -> Result<State, RecoveryError> {
    let applied = replay.state().applied().0;
    let total = log.valid.0.saturating_sub(applied);
    let mut watched = Watched::begin(watch, RecoveryStep::Replay, total);
    let visited = log.for_each_record(horolog_wal::Lsn(applied).next(), &mut |record| {
        if record.lsn.0.is_multiple_of(TOLD_EVERY) {
            watched.advance(TOLD_EVERY);
        }
        apply(&mut replay, &record)
    });
    match visited {
        Ok(()) => watched.end(),
        Err(VisitError::Log(error)) => return Err(error.into()),
        Err(VisitError::Visitor(error)) => return Err(error),
    }
    let state = replay.into_state();
    if log.state == LogState::Log && state.applied() > Lsn::ZERO && state.tick_len().is_none() {
        return Err(RecoveryError::NoEpoch);
    }
    Ok(state)
}

/// Decodes a record and applies it, granting at once what it gives.
pub(crate) fn apply(replay: &mut Replay, record: &horolog_wal::Record<'_>) -> Result<(), RecoveryError> {
    let lsn = match replay.state().applied() {
        applied if is_planted(Bug::HoleSkipped) => Lsn(applied.0 + 1),
        _ => Lsn(record.lsn.0),
    };
    let (segment, offset) = (record.segment, record.offset);
    let decoded = match codec::decode(record.kind, record.body) {
        Ok(decoded) => decoded,
        Err(codec::RecordFault::UnknownKind { code }) if code >= SKIPPABLE_KIND_MIN => {
            return replay.pass_over(lsn).map_err(|source| RecoveryError::Rules { segment, offset, source });
        }
        Err(fault) => return Err(RecoveryError::Record { lsn, segment, offset, fault }),
    };
    let effect =
        replay.apply(lsn, &decoded).map_err(|source| RecoveryError::Rules { segment, offset, source })?;
    // What was read is as durable as it will ever be: everything a record gives is granted at once.
    if effect.free
        && let Some(id) = decoded.timer()
    {
        replay.free(id);
    }
    replay.drop_discarded();
    Ok(())
}
