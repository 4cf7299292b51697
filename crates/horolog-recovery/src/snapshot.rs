//! Where a replay begins: on top of a snapshot, or with the first record.
//!
//! The newest snapshot that is whole is taken. One that is not, for whatever reason, is passed over and told: the one before it
//! needs more of the log, and the log is kept for that. Without any, the log must begin with the first record.

use horolog_state::Lsn;
use horolog_state::snapshot::{Replay, SnapshotFault, SnapshotLoader};
use horolog_wal::{LogError, LogView, SnapshotRef, VisitError};

use crate::error::RecoveryError;
use crate::progress::{Progress, RecoveryStep, Watched};

/// A snapshot that was passed over.
#[derive(Debug, thiserror::Error)]
#[error("snapshot {snapshot} cannot be used")]
pub struct RottenSnapshot {
    /// Its number.
    pub snapshot: u64,
    /// Why.
    #[source]
    pub why: SnapshotTrouble,
}

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotTrouble {
    /// Its file is damaged, or the medium gives an error for it.
    #[error(transparent)]
    File(#[from] LogError),
    /// Its checksums hold, and its sections mean nothing.
    #[error(transparent)]
    Section(#[from] SnapshotFault),
    /// It has seen records up to another one than META says.
    #[error("it has seen the records up to {found}, and META says {meant}")]
    End {
        /// What its last section says.
        found: Lsn,
        /// What META says.
        meant: Lsn,
    },
    /// The records that it needs besides are not all there.
    #[error("the log has records {first} to {last}")]
    Records {
        /// The first record that is there.
        first: Lsn,
        /// The last one.
        last: Lsn,
    },
}

/// Whether this says something about the snapshot. That it cannot be opened or mapped for want of handles, memory or
/// rights does not, nor that a later version wrote it; that the medium gives an error for it does.
fn is_damage(error: &LogError) -> bool {
    match error {
        LogError::SnapshotDamaged { .. } => true,
        LogError::Storage(error) => error.is_of_the_medium(),
        _ => false,
    }
}

/// Where a replay begins.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) replay: Replay,
    /// The snapshot that it stands on.
    pub(crate) snapshot: Option<SnapshotRef>,
    /// Newer ones that cannot be used.
    pub(crate) rotten: Vec<RottenSnapshot>,
}

/// Finds where to begin. Snapshots that cannot be used are noted in `log`, so that the next one takes their place.
///
/// # Errors
///
/// [`RecoveryError::Incomplete`] if there is no snapshot to stand on, and the log does not begin with the first record.
pub(crate) fn base(log: &mut LogView<'_>, watch: &mut dyn FnMut(Progress)) -> Result<Base, RecoveryError> {
    let mut rotten = Vec::new();
    for snapshot in log.snapshots().collect::<Vec<_>>() {
        match load(log, &snapshot, watch) {
            Ok(replay) => return Ok(Base { replay, snapshot: Some(snapshot), rotten }),
            Err(SnapshotTrouble::File(error)) if !is_damage(&error) => return Err(error.into()),
            Err(why) => {
                log.distrust_snapshot(snapshot.id);
                rotten.push(RottenSnapshot { snapshot: snapshot.id, why });
            }
        }
    }
    if log.first_lsn > horolog_wal::Lsn(1) {
        return Err(RecoveryError::Incomplete { first: Lsn(log.first_lsn.0), rotten });
    }
    Ok(Base { replay: Replay::new(), snapshot: None, rotten })
}

fn load(
    log: &LogView<'_>,
    snapshot: &SnapshotRef,
    watch: &mut dyn FnMut(Progress),
) -> Result<Replay, SnapshotTrouble> {
    if snapshot.begin.next() < log.first_lsn || log.valid < snapshot.end {
        return Err(SnapshotTrouble::Records { first: Lsn(log.first_lsn.0), last: Lsn(log.valid.0) });
    }
    let mut loader = SnapshotLoader::new(Lsn(snapshot.begin.0));
    let mut watched = Watched::begin(watch, RecoveryStep::Snapshot, snapshot.bytes);
    let mut take = |section: &[u8]| {
        watched.advance(section.len() as u64);
        loader.section(section)
    };
    match log.for_each_section(snapshot, &mut take) {
        Ok(()) => watched.end(),
        Err(VisitError::Log(error)) => return Err(error.into()),
        Err(VisitError::Visitor(fault)) => return Err(fault.into()),
    }
    let replay = loader.finish()?;
    let (found, meant) = (replay.end(), Lsn(snapshot.end.0));
    if found == meant { Ok(replay) } else { Err(SnapshotTrouble::End { found, meant }) }
}
