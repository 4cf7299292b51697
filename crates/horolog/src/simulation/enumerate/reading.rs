//! What an opening sees in a directory, and everything that has to hold of it whatever it is.

use horolog_recovery::{Recovered, Report, recover, verify};
use horolog_sim::SimDisk;
use horolog_wal::{SegmentReport, SegmentRole};

use super::super::rows::{is_meta_between, is_recycled, unlisted_snapshots};
use super::ledger::{Breach, Ledger, fingerprint};
use super::process::log_options;

/// The outcome of an image: the same whenever it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) report: Report,
    pub(super) fingerprint: u64,
    pub(super) files: Files,
}

/// What lies there besides, or in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Files {
    /// What only snapshots hold is gone from the log.
    pub(super) log_begins_later: bool,
    /// A segment before its beginning is still there.
    pub(super) retired: bool,
    /// A segment that has no name yet.
    pub(super) half_made: bool,
    /// The head was another segment once.
    pub(super) second_life: bool,
    /// A snapshot newer than those that count.
    pub(super) unlisted_snapshot: bool,
    /// One older than those.
    pub(super) replaced_snapshot: bool,
    /// One slot of a pair of META has an update that the other has not.
    pub(super) meta_between: bool,
}

impl Files {
    fn of(disk: &SimDisk, found: &Recovered<'_>) -> Self {
        let segments = &found.log.segments;
        let first = segments.iter().find(|it| it.batches > 0).map_or(0, |first| first.id);
        let head = segments.iter().find(|it| it.role == SegmentRole::Head).map_or(0, |head| head.id);
        let log_begins_later = found.log.first_lsn.0 > 1;
        let is_retired = |it: &SegmentReport| it.role == SegmentRole::Unlisted && it.id < first;
        let names = disk.files();
        let unlisted = unlisted_snapshots(&names, found);
        Self {
            log_begins_later,
            retired: log_begins_later && segments.iter().any(is_retired),
            half_made: names.iter().any(|(name, _)| name.ends_with(".wal.tmp")),
            second_life: is_recycled(disk, head),
            unlisted_snapshot: unlisted.contains(&true),
            replaced_snapshot: unlisted.contains(&false),
            meta_between: is_meta_between(disk),
        }
    }
}

impl Reading {
    pub(super) fn valid(&self) -> u64 {
        self.report.valid.0
    }

    pub(super) fn proven(&self) -> u64 {
        self.report.durable.0
    }
}

/// How often a directory is read. The images of a third crash in a row are the many: they are read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    Once,
    Twice,
}

/// Reads a directory: I5, I11, I13, I14, I15 and, against the ledger, I3.
pub(super) fn read(disk: &SimDisk, ledger: &Ledger, times: Times) -> Result<Reading, Breach> {
    let before = disk.counts();
    let refused = |error| Breach::refused("I14", error);
    let found = recover(disk, &log_options()).map_err(refused)?;
    let files = Files::of(disk, &found);
    let Recovered { state, log, report, .. } = found;
    state.check().map_err(|invariant| Breach::of("state", invariant))?;
    if (report.records, report.valid) != (state.applied().0, state.applied()) || report.durable > report.valid
    {
        return Err(Breach::of("I5", format_args!("{report:?}")));
    }
    ledger.check_timers(&state)?;
    let reading = Reading { report, fingerprint: fingerprint(&state), files };
    drop(log);
    if times == Times::Twice {
        read_again(disk, &report)?;
    }
    let after = disk.counts();
    if after.mutations != before.mutations {
        return Err(Breach::of("I11", "reading changed something"));
    }
    if after.open_handles != before.open_handles {
        return Err(Breach::of("I13", "reading left files open"));
    }
    Ok(reading)
}

/// I4 and I15: reading again, as `verify` does, says the same.
fn read_again(disk: &SimDisk, report: &Report) -> Result<(), Breach> {
    let verified = verify(disk, &log_options()).map_err(|error| Breach::refused("I15", error))?;
    if verified == *report {
        return Ok(());
    }
    Err(Breach::of("I15", format_args!("{report:?}, then {verified:?}")))
}

/// What an opening that is over leaves behind: the log, and no file besides, but for those of segments that it has let go and
/// that wait to be used again.
pub(super) fn check_tidy(disk: &SimDisk) -> Result<(), Breach> {
    let found = recover(disk, &log_options()).map_err(|error| Breach::refused("I14", error))?;
    let is_part = |it: &&SegmentReport| matches!(it.role, SegmentRole::Head | SegmentRole::Linked);
    let first = found.log.segments.iter().find(is_part).map_or(0, |it| it.id);
    let strange = found.log.segments.iter().find(|it| !is_part(it) && it.id > first);
    if let Some(segment) = strange {
        return Err(Breach::of("I13", format_args!("{} is left behind: {:?}", segment.name, segment.role)));
    }
    let names = disk.files();
    if !unlisted_snapshots(&names, &found).is_empty() {
        return Err(Breach::of("I13", "a snapshot that does not count is left behind"));
    }
    match names.into_iter().find(|(name, _)| name.ends_with(".tmp")) {
        Some((name, _)) => Err(Breach::of("I13", format_args!("{name} is left behind"))),
        None => Ok(()),
    }
}

/// I6: nobody wrote over a durable block of a segment.
pub(super) fn check_rewrites(disk: &SimDisk) -> Result<(), Breach> {
    disk.violations().first().map_or(Ok(()), |rewrite| Err(Breach::of("I6", rewrite)))
}
