//! Reading a log: the directory, the head, the chain behind it, the verdict.

mod anew;
mod chain;
mod directory;
mod filled;
mod meta;
mod salvage;
mod scan;
mod snapshot;
mod verdict;
mod view;

use std::path::PathBuf;

use horolog_storage::{Storage, StorageError};

pub use self::anew::{read_anew, read_until_believed, visit_log};
pub(crate) use self::chain::{Boundary, Part};
use self::chain::{Head, Unused};
use self::directory::{Directory, Found};
pub(crate) use self::directory::{segment_name, temporary_name};
pub(crate) use self::meta::{META_FILE, META_TEMPORARY, read_meta};
pub use self::salvage::{Damage, DamageKind, Salvage, SalvageRole, SalvagedSegment, salvage, salvage_behind};
pub use self::snapshot::{SnapshotOnDisk, snapshots_on_disk};
pub(crate) use self::snapshot::{snapshot_name, snapshot_temporary_name};
use self::verdict::{Proof, StopAt};
pub use self::view::{LogState, LogView, Record, SegmentReport, SegmentRole};
use crate::error::{Corruption, LogError, MetaDamage};
use crate::format::{BLOCK_LEN, Fault};
use crate::lsn::Lsn;
use crate::options::LogOptions;
use crate::planted::{Bug, is_planted};

/// Reads the whole log: finds the head, checks every byte up to the end, and gives the verdict.
///
/// Takes no lock and writes nothing; opening, verifying and dumping all begin here. A log can be read while
/// another process writes it. Its later batches may then be seen without an earlier one, or its files without the update of
/// META that lists them, which looks like damage; so damage is believed when it is found twice in the same place.
///
/// # Errors
///
/// - [`LogError::Corruption`] acknowledged records are damaged or gone.
/// - [`LogError::Storage`] a file could not be read: never taken for the end of the log.
/// - [`LogError::MetaMissing`], [`LogError::MetaDamaged`]: nothing says which segments count.
/// - [`LogError::NotALog`], [`LogError::ForeignSegment`], [`LogError::NewerVersion`], [`LogError::Unknown`]: this is not
///   a log this program may touch.
pub fn read_log<'a>(storage: &'a dyn Storage, options: &LogOptions) -> Result<LogView<'a>, LogError> {
    read_log_watched(storage, options, &mut |_, _| ())
}

/// As [`read_log`], and tells `watch` after each segment how many bytes of segment files are checked, and how many there are.
///
/// # Errors
///
/// As there.
pub fn read_log_watched<'a>(
    storage: &'a dyn Storage,
    options: &LogOptions,
    watch: &mut dyn FnMut(u64, u64),
) -> Result<LogView<'a>, LogError> {
    read_until_believed(
        || read_once(storage, options, watch),
        |found| found.as_ref().err().and_then(Doubt::of),
    )
}

/// What a directory that is being written can look like for a moment.
#[derive(Debug, PartialEq, Eq)]
enum Doubt {
    Corrupt(Corruption),
    MetaDamaged(MetaDamage),
    MetaMissing,
    /// A segment that was there is gone: a writer has tidied up in between.
    Gone(PathBuf),
}

impl Doubt {
    fn of(error: &LogError) -> Option<Self> {
        match error {
            LogError::Corruption(found) => Some(Self::Corrupt((**found).clone())),
            LogError::MetaDamaged(found) => Some(Self::MetaDamaged((**found).clone())),
            LogError::MetaMissing { .. } => Some(Self::MetaMissing),
            LogError::Storage(StorageError::NotFound { path }) => Some(Self::Gone(path.clone())),
            _ => None,
        }
    }
}

fn read_once<'a>(
    storage: &'a dyn Storage,
    options: &LogOptions,
    watch: &mut dyn FnMut(u64, u64),
) -> Result<LogView<'a>, LogError> {
    let directory = Directory::list(storage, options.has_lock)?;
    let (mut done, total) = (0, directory.segment_bytes());
    let mut note = |part: &Part| {
        done += part.header.capacity_bytes();
        watch(done, total);
    };
    let mut proof = Proof::default();
    let Some((head, unused)) = chain::find_head(storage, &directory, options.codec, &mut proof)? else {
        return Ok(view_without_head(storage, directory, Vec::new(), &[], options.codec));
    };
    proof.judge(head.part.last_lsn, blame(&head, &unused))?;
    note(&head.part);
    let first = directory.meta.as_ref().map_or(0, |found| found.meta.first_segment);
    let mut parts =
        match chain::follow_links(storage, &directory, &head.part, first, options.codec, &mut note) {
            Err(_) if is_planted(Bug::DamagedBegunAnew) => {
                return Ok(view_without_head(storage, directory, Vec::new(), &[], options.codec));
            }
            linked => linked?,
        };
    parts.reverse();
    let proven = if is_planted(Bug::EvidenceIgnored) {
        proof.durable().min(head.part.last_lsn)
    } else {
        proof.durable()
    };
    Ok(view_of(storage, directory, head, parts, &unused, proven, options.codec))
}

/// Where records are missing if something proves more than the head holds: in the head, unless that is sealed; then the
/// oldest segment after it should have continued the log.
fn blame(head: &Head, unused: &[Unused]) -> StopAt {
    match unused.last() {
        Some(next) if head.part.sealed => {
            StopAt { segment: next.id, offset: u64::from(BLOCK_LEN), why: Fault::Blank }
        }
        _ => head.stop,
    }
}

fn view_of<'a>(
    storage: &'a dyn Storage,
    directory: Directory,
    head: Head,
    mut parts: Vec<Part>,
    unused: &[Unused],
    durable: Lsn,
    codec: u16,
) -> LogView<'a> {
    let cut = cut_at(&head, durable.min(head.durable_here));
    let (valid, torn_bytes, clean, engine_tick) =
        (head.part.last_lsn, head.torn_bytes, head.clean, head.engine_tick);
    parts.push(Part { has_lock: directory.has_lock, ..head.part });
    let first_lsn = parts.first().map_or(Lsn::ZERO, |part| part.link.prev_last_lsn).next();
    LogView {
        state: LogState::Log,
        first_lsn,
        durable,
        valid,
        torn_bytes,
        clean,
        engine_tick,
        cut,
        ..view_without_head(storage, directory, parts, unused, codec)
    }
}

/// What the directory and META say. Of a log that has not begun there is no more.
fn view_without_head<'a>(
    storage: &'a dyn Storage,
    directory: Directory,
    parts: Vec<Part>,
    unused: &[Unused],
    codec: u16,
) -> LogView<'a> {
    let (uuid, epoch) = directory.identity();
    let meta_bad_slots = directory.meta.as_ref().map_or(0, |found| found.bad_slots);
    LogView {
        state: LogState::Empty,
        uuid,
        meta_bad_slots,
        epoch,
        segments: directory.segments.iter().map(|found| report(found, &parts, unused)).collect(),
        first_lsn: Lsn(1),
        durable: Lsn::ZERO,
        valid: Lsn::ZERO,
        torn_bytes: 0,
        clean: false,
        engine_tick: 0,
        storage,
        meta: directory.meta.map(|found| found.meta),
        parts,
        cut: Boundary::ORIGIN,
        next_id: directory.next_id,
        next_snapshot: directory.next_snapshot,
        rotten: Vec::new(),
        has_lock: directory.has_lock,
        leftovers: directory.leftovers,
        codec,
    }
}

/// The last place that is durable there for certain and at which a batch ends: the log is continued there, with a copy of what is
/// behind it. In front of all such places is what the head's LINK names; the new segment then takes the head's place.
fn cut_at(head: &Head, durable: Lsn) -> Boundary {
    let behind = head.ends.partition_point(|end| end.last_lsn <= durable);
    let end = behind.checked_sub(1).and_then(|last| head.ends.get(last));
    end.copied().unwrap_or(Boundary::named_by(&head.part.link))
}

fn report(found: &Found, parts: &[Part], unused: &[Unused]) -> SegmentReport {
    let part = parts.iter().find(|part| part.found.id == found.id);
    let unused = unused.iter().find(|unused| unused.id == found.id);
    let role = match (part, unused) {
        (Some(part), _) if part.is_head => SegmentRole::Head,
        (Some(_), _) => SegmentRole::Linked,
        (None, Some(unused)) if unused.blank => SegmentRole::Blank,
        (None, Some(_)) => SegmentRole::Burnt,
        (None, None) => SegmentRole::Unlisted,
    };
    let held = part.filter(|part| part.last_lsn > part.link.prev_last_lsn);
    SegmentReport {
        id: found.id,
        name: found.name.clone(),
        capacity_bytes: found.header.map_or(0, |header| header.capacity_bytes()),
        epoch: found.header.map_or(0, |header| header.epoch),
        role,
        batches: part.map_or(0, |part| part.batches),
        first_lsn: held.map(|part| part.link.prev_last_lsn.next()),
        last_lsn: held.map(|part| part.last_lsn),
        end_offset: part.map_or(u64::from(BLOCK_LEN), |part| part.end_offset),
        sealed: part.is_some_and(|part| part.sealed),
    }
}
