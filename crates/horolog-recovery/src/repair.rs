//! The only way past the verdict that a directory is damaged: what can be kept of it, written to a new one.
//!
//! [`salvage`] reads a directory as far as its log goes without a gap, from the first record on or on top of a snapshot, and
//! folds that into a state. [`Salvaged::write`] puts those records, or a snapshot of what they made, into an empty directory,
//! under their own LSNs, so that every id that was kept stays valid. Nothing is ever written to the damaged directory.
//!
//! # Why an id that was lost never comes again
//!
//! An opening may forget one life of a slot, and raises the floors of generations by one (`horolog_wheel`, `slab/floors.rs`). A
//! repair forgets as many lives as were lost. So the new log ends with an `Epoch` record whose `generation_floor` is above
//! every generation that can have been handed out:
//!
//! 1. Let M be the highest generation or floor of the kept state and records, and of every record that can be read behind. A
//!    record raises the highest generation by one at most: a `Put` takes the next one of a slot, an `Epoch` puts the floors
//!    one above the highest. So the lost records of which anything is known, last - kept of them, lead to M + (last - kept)
//!    at most; and an id whose record was never written is one above that at most. The `Epoch` record of the repair
//!    itself raises by that one.
//! 2. Records may be lost that left no trace: a whole segment may be gone, and META with it. For each further generation a
//!    slot needs a batch of its own, since it is free again only when the end of its last life is durable. A margin of 2^24
//!    generations is for 2^24 such batches, 64 GiB of log at least, all of them about one slot.
//! 3. A number below 2^24 is drawn at random on top. Two repairs of one directory then hand out different ids, and an id of
//!    one is most likely unknown in the other, as with any two directories.
//!
//! One record can raise generations by more than one: the `Epoch` of an earlier repair. Should that be lost, and nothing
//! behind it be readable, the random part alone keeps the ids apart.
//!
//! Margin and random part become smaller when generations run short, after six repairs of the same timers or more: together
//! they take no more than half of what is left. A directory in which the certain part leaves too few is not repaired.

use std::path::PathBuf;
use std::sync::Arc;

use horolog_state::codec::{self, RecordFault};
use horolog_state::snapshot::{Replay, SnapshotLoader, SnapshotWalk};
use horolog_state::{Epoch, Lsn, Record, State, TickLen};
use horolog_storage::{Storage, StorageError};
use horolog_wal::{
    Damage, LogCopy, LogError, LogOptions, Salvage, SnapshotFile, SnapshotOnDisk, VisitError,
    read_until_believed,
};

use crate::error::RecoveryError;
use crate::replay::{SKIPPABLE_KIND_MIN, apply};

/// The highest generation there is.
const GENERATION_MAX: u64 = horolog_state::GENERATION_MAX as u64;

/// Generations kept free for records that were lost without a trace; and as many again for the random part.
const MARGIN: u64 = 1 << 24;

/// A new directory is not begun with fewer generations than this.
const GENERATIONS_MIN: u64 = 1 << 20;

/// What can be kept of a directory.
#[derive(Debug)]
pub struct Salvaged<'a> {
    /// The log as far as it can be read.
    pub log: Salvage<'a>,
    /// The fold of the kept records.
    pub state: State,
    /// The last record that is kept: the last one of the log without a gap, or one before it if a record means nothing.
    pub kept: Lsn,
    /// The last record that anything shows. What lies between is lost.
    pub last: Lsn,
    /// Why less is kept than can be read: a record that is intact and means nothing, or does not fit.
    pub misfit: Option<RecoveryError>,
    /// The snapshot on which the kept records stand, if the log alone gives less.
    pub snapshot: Option<u64>,
    bounds: Bounds,
}

/// A directory that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repaired {
    /// The identity of the new log.
    pub uuid: u128,
    /// The record of the repair itself, an `Epoch`: the last one.
    pub epoch_lsn: Lsn,
    /// New ids have generations above this.
    pub generation_floor: u32,
}

/// Why nothing was repaired.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// More would be lost than was agreed to.
    #[error(
        "records can be kept up to LSN {kept} only, and only the loss of those after LSN {accepted} was accepted"
    )]
    KeepsLess {
        /// The last record that can be kept.
        kept: Lsn,
        /// The last record that must be kept.
        accepted: Lsn,
    },
    /// Not one record can be kept.
    #[error("nothing can be kept")]
    NothingKept,
    /// A new log could not promise that no id comes again.
    #[error("too few generations are left for new ids")]
    GenerationsUsedUp,
    /// The new directory could not be written, or the old one not be read again.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Above what can have been handed out.
#[derive(Debug, Default, Clone, Copy)]
struct Bounds {
    generation: u64,
    epoch: u64,
}

impl Bounds {
    /// The highest generation rises by one at most, and is at least what the record says.
    fn note(&mut self, record: &Record<'_>) {
        if let Some(id) = record.timer() {
            self.generation = self.generation.max(id.generation().into());
        }
        if let Record::Epoch(epoch) = record {
            self.generation = self.generation.max(epoch.generation_floor.into()) + 1;
            self.epoch = self.epoch.max(epoch.epoch);
        }
    }
}

/// Reads what can be kept of a directory, damaged or not. Takes no lock and writes nothing.
///
/// Damage and loss are believed when they are found twice, the same both times: a writer that lets go of a file
/// meanwhile, or uses it again, damages nothing.
///
/// The log is taken from its first record on if that gives everything. If something is missing, each snapshot that is whole is
/// tried as well, listed or not; what keeps the most is taken. A snapshot is proof, too: what it has seen was durable.
///
/// # Errors
///
/// [`RecoveryError::Log`] for what keeps it from being read, [`RecoveryError::Record`] for a record that a later version wrote.
/// Damage is no error here.
pub fn salvage<'a>(storage: &'a dyn Storage, options: &LogOptions) -> Result<Salvaged<'a>, RecoveryError> {
    read_until_believed(|| salvage_once(storage, options), Doubt::of)
}

/// What a directory that is being written can look like for a moment.
#[derive(PartialEq)]
enum Doubt {
    Damaged {
        kept: Lsn,
        last: Lsn,
        damage: Vec<Damage>,
    },
    /// What was there is not, or is something else.
    Gone(PathBuf),
    Changed(u64),
}

impl Doubt {
    fn of(found: &Result<Salvaged<'_>, RecoveryError>) -> Option<Self> {
        match found {
            Ok(Salvaged { kept, last, log, .. }) if kept < last || !log.damage.is_empty() => {
                Some(Self::Damaged { kept: *kept, last: *last, damage: log.damage.clone() })
            }
            Err(RecoveryError::Log(LogError::Storage(StorageError::NotFound { path }))) => {
                Some(Self::Gone(path.clone()))
            }
            Err(RecoveryError::Log(LogError::ChangedMeanwhile { segment })) => Some(Self::Changed(*segment)),
            _ => None,
        }
    }
}

fn salvage_once<'a>(storage: &'a dyn Storage, options: &LogOptions) -> Result<Salvaged<'a>, RecoveryError> {
    let whole = horolog_wal::salvage(storage, options)?;
    let uuid = whole.uuid;
    let mut best = keep(whole, &Base::Nothing)?.ok_or(RecoveryError::NoEpoch)?;
    let (mut bases, mut last) = (Vec::new(), best.last);
    for snapshot in horolog_wal::snapshots_on_disk(storage, uuid)? {
        let base = Base::Snapshot { storage, snapshot };
        if let Some(replay) = base.replay()? {
            // It counted, or was about to: all that it has seen was durable then.
            last = last.max(replay.end());
            bases.push((base, snapshot.begin));
        }
    }
    for (base, begin) in bases {
        if best.kept >= last {
            break;
        }
        match keep(horolog_wal::salvage_behind(storage, options, begin)?, &base)? {
            Some(based) if based.kept > best.kept => best = based,
            _ => {}
        }
    }
    // Somebody may go on writing: what was read last has seen the most.
    Ok(Salvaged { last: last.max(best.last), ..best })
}

/// What the kept records stand on.
enum Base<'a> {
    /// They begin with the first.
    Nothing,
    Snapshot {
        storage: &'a dyn Storage,
        snapshot: SnapshotOnDisk,
    },
}

impl Base<'_> {
    /// `None` if the sections mean nothing.
    fn replay(&self) -> Result<Option<Replay>, LogError> {
        let Self::Snapshot { storage, snapshot } = self else { return Ok(Some(Replay::new())) };
        let mut loader = SnapshotLoader::new(Lsn(snapshot.begin.0));
        match snapshot.for_each_section(*storage, &mut |section| loader.section(section)) {
            Ok(()) => Ok(loader.finish().ok()),
            Err(VisitError::Log(error)) => Err(error),
            Err(VisitError::Visitor(_)) => Ok(None),
        }
    }

    fn snapshot(&self) -> Option<u64> {
        if let Self::Snapshot { snapshot, .. } = self { Some(snapshot.id) } else { None }
    }
}

/// What can be kept on top of a base; `None` if the records that the base needs are not there.
fn keep<'a>(log: Salvage<'a>, base: &Base<'_>) -> Result<Option<Salvaged<'a>>, RecoveryError> {
    let Some(replay) = base.replay()? else { return Ok(None) };
    // Of a snapshot that has seen nothing behind its begin no log is needed.
    let (begin, end) = (horolog_wal::Lsn(replay.state().applied().0), replay.end());
    let (mut state, misfit) = fold(&log, replay, log.kept)?;
    let mut kept = log.kept.max(begin);
    match misfit {
        Some(misfit) if is_of_a_later_version(&misfit) => return Err(misfit),
        Some(_) => {
            // What was written in one batch is kept or lost as a whole.
            kept = log.batch_end_before(horolog_wal::Lsn(state.applied().next().0))?.max(begin);
            let Some(replay) = base.replay()? else { return Ok(None) };
            state = fold(&log, replay, kept)?.0;
        }
        None => {}
    }
    // A snapshot is a patchwork of moments up to the last record that it has seen.
    if Lsn(kept.0) < end {
        return Ok(None);
    }
    let bounds = bounds(&log, &state)?;
    let (kept, last) = (Lsn(kept.0), Lsn(log.last.max(kept).0));
    Ok(Some(Salvaged { kept, last, log, state, misfit, snapshot: base.snapshot(), bounds }))
}

/// Puts the kept records up to `upto` on top of a base, or up to the first that does not fit.
fn fold(
    log: &Salvage<'_>,
    mut replay: Replay,
    upto: horolog_wal::Lsn,
) -> Result<(State, Option<RecoveryError>), RecoveryError> {
    let first = horolog_wal::Lsn(replay.state().applied().0).next();
    let visited = log.for_each_record(first, &mut |record| {
        // Without an `Epoch` nothing that follows has a meaning.
        let is_epoch = record.kind == horolog_state::Kind::Epoch.code();
        match record.lsn <= upto {
            true if replay.state().tick_len().is_none() && !is_epoch => Err(RecoveryError::NoEpoch),
            true => apply(&mut replay, &record),
            false => Ok(()),
        }
    });
    let state = replay.into_state();
    match visited {
        Ok(()) => Ok((state, None)),
        Err(VisitError::Visitor(misfit)) => Ok((state, Some(misfit))),
        Err(VisitError::Log(error)) => Err(error.into()),
    }
}

fn bounds(log: &Salvage<'_>, state: &State) -> Result<Bounds, RecoveryError> {
    let generation = state.slab().generation_max().into();
    let mut bounds = Bounds { generation, epoch: log.epoch.max(state.epoch()) };
    let visited = log.for_each_readable::<RecoveryError>(horolog_wal::Lsn::ZERO, &mut |record| {
        match codec::decode(record.kind, record.body) {
            Ok(record) => bounds.note(&record),
            // Whatever it is, it is one record.
            Err(_) => bounds.generation += 1,
        }
        Ok(())
    });
    match visited {
        Ok(()) => Ok(bounds),
        Err(VisitError::Log(error)) => Err(error.into()),
        Err(VisitError::Visitor(error)) => Err(error),
    }
}

impl Salvaged<'_> {
    /// Whether all records up to `accepted` can be kept, and a new directory can be made of them. Gives its tick length.
    ///
    /// # Errors
    ///
    /// As [`Salvaged::write`], before anything is written.
    pub fn check(&self, accepted: Lsn) -> Result<TickLen, RepairError> {
        let tick_len = self.state.tick_len().ok_or(RepairError::NothingKept)?;
        if self.kept < accepted {
            return Err(RepairError::KeepsLess { kept: self.kept, accepted });
        }
        self.floor(0).ok_or(RepairError::GenerationsUsedUp)?;
        Ok(tick_len)
    }

    /// Writes what is kept to an empty directory, whose lock the caller holds, if that is all up to `accepted` at least. It is
    /// durable when this returns, and no log before that.
    ///
    /// # Errors
    ///
    /// [`RepairError`]. Only with [`RepairError::Log`] has anything been written, and it is not a log then.
    pub fn write(
        &self,
        storage: Arc<dyn Storage>,
        options: &LogOptions,
        accepted: Lsn,
    ) -> Result<Repaired, RepairError> {
        match self.snapshot {
            None => self.write_as(storage, options, accepted, Self::copy_records),
            Some(_) => self.write_as(storage, options, accepted, Self::copy_state),
        }
    }

    /// As [`Salvaged::write`], but what the kept records made, and not the records: nothing is read again of the directory they
    /// were read from, which somebody may go on writing.
    ///
    /// # Errors
    ///
    /// As [`Salvaged::write`].
    pub fn write_state(
        &self,
        storage: Arc<dyn Storage>,
        options: &LogOptions,
        accepted: Lsn,
    ) -> Result<Repaired, RepairError> {
        self.write_as(storage, options, accepted, Self::copy_state)
    }

    fn write_as(
        &self,
        storage: Arc<dyn Storage>,
        options: &LogOptions,
        accepted: Lsn,
        copy: impl FnOnce(&Self, Arc<dyn Storage>, &LogOptions) -> Result<LogCopy, LogError>,
    ) -> Result<Repaired, RepairError> {
        let tick_len = self.check(accepted)?;
        let random = draw(&*storage).map_err(LogError::from)?;
        let generation_floor = self.floor(random).ok_or(RepairError::GenerationsUsedUp)?;
        let epoch = Epoch {
            epoch: self.bounds.epoch.max(self.state.epoch()).saturating_add(1),
            tick_len,
            generation_floor,
            // The elapsed timeline goes on from here as if the repair had not been.
            reading: self.state.reading(),
        };
        let mut copy = copy(self, storage, options)?;
        let record = Record::Epoch(epoch);
        let lsn = copy.push(record.kind().code(), |out| codec::encode(&record, out))?;
        let uuid = copy.finish()?;
        Ok(Repaired { uuid, epoch_lsn: Lsn(lsn.0), generation_floor })
    }

    /// The records as they are.
    fn copy_records(&self, storage: Arc<dyn Storage>, options: &LogOptions) -> Result<LogCopy, LogError> {
        let mut copy = LogCopy::begin(storage, options, horolog_wal::Lsn::ZERO)?;
        copy.copy(&self.log, horolog_wal::Lsn(self.kept.0))?;
        Ok(copy)
    }

    /// What they made, as a snapshot: those from the first on are not all there.
    fn copy_state(&self, storage: Arc<dyn Storage>, options: &LogOptions) -> Result<LogCopy, LogError> {
        let mut copy = LogCopy::begin(storage, options, horolog_wal::Lsn(self.kept.0))?;
        let mut file = copy.plan_snapshot().create()?;
        let mut walk = SnapshotWalk::new(&self.state);
        let mut buffer = vec![0; SnapshotFile::FRAME_LEN];
        while walk.step(&self.state, &mut buffer) {
            file.append(&mut buffer, walk.end().is_some())?;
            buffer.truncate(SnapshotFile::FRAME_LEN);
        }
        copy.add_snapshot(file.seal(horolog_wal::Lsn(self.kept.0))?)?;
        Ok(copy)
    }

    /// A floor above every generation that can have been handed out, `None` if too few are left.
    fn floor(&self, random: u64) -> Option<u32> {
        let lost = self.last.0 - self.kept.0;
        let certain = self.bounds.generation.saturating_add(lost);
        let left = GENERATION_MAX.checked_sub(certain).filter(|left| *left >= GENERATIONS_MIN)?;
        let margin = MARGIN.min(left / 4);
        u32::try_from(certain + margin + random % margin).ok()
    }
}

fn draw(storage: &dyn Storage) -> Result<u64, StorageError> {
    let mut bytes = [0; 8];
    storage.entropy(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Whether a record does not decode because a later version wrote it: that version loses nothing.
fn is_of_a_later_version(misfit: &RecoveryError) -> bool {
    match misfit {
        RecoveryError::Record { fault: RecordFault::UnknownKind { code }, .. } => *code < SKIPPABLE_KIND_MIN,
        _ => false,
    }
}
