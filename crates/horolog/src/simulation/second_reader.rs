//! What a second reader says of an image: [`horolog_sim::decoder`], which was written from `docs/format.md` alone.
//!
//! It is the oracle for what the format decides: whether a directory is opened, and how far it is read; or with what, in which
//! segment, at which offset and for which LSNs it is refused. It reads files that are at rest: what a disk does while it is read
//! (F8, F11) it does not see.

use std::collections::BTreeSet;

use horolog_recovery::{Recovered, RecoveryError};
use horolog_sim::SimDisk;
use horolog_sim::decoder::{Base, Corruption, Log, Lost, Refusal, Role, Verdict, decode};
use horolog_wal::{LogError, LogState, Lsn, SegmentRole};

/// Whether there is one place at most that can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// One file has changed, and it is not META, whose list contradicts many.
    One,
    /// Which of several is told first is nobody's business.
    Any,
}

impl Place {
    pub(crate) fn of(before: &SimDisk, after: &SimDisk) -> Self {
        let (before, after) = (before.image(), after.image());
        let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let mut changed = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
        match (changed.next(), changed.next()) {
            (Some(name), None) if name != "META" => Self::One,
            _ => Self::Any,
        }
    }
}

/// That both say the same, or what they say.
pub(crate) fn agrees(
    disk: &SimDisk,
    read: &Result<Recovered<'_>, RecoveryError>,
    place: Place,
) -> Result<(), String> {
    let decoded = decode(&disk.image(), 0);
    let same = match (read, &decoded) {
        (Ok(found), Verdict::Empty) => found.log.state == LogState::Empty,
        (Ok(found), Verdict::Log(log)) => same_log(found, log),
        (Err(RecoveryError::Incomplete { first, rotten }), Verdict::Log(log)) => {
            (first.0, rotten.len(), Base::Nothing) == (log.first, log.snapshots.len(), log.base())
        }
        (Err(RecoveryError::Log(LogError::Corruption(it))), Verdict::Corruption(decoded)) => {
            let lost = it.lost.first.zip(it.lost.last);
            let lost = lost.map(|(first, last)| Lost { offset: it.offset, first: first.0, last: last.0 });
            // What is lost at the end of the log is one place, whatever has changed.
            (place == Place::Any && decoded.lost.is_none())
                || Corruption { segment: it.segment, lost } == *decoded
        }
        (Err(RecoveryError::Log(error)), Verdict::Refused(refusal)) => refusal_of(error) == Some(*refusal),
        _ => false,
    };
    if same {
        return Ok(());
    }
    let told = match read {
        Ok(found) => format!("{:?}, and from LSN {}", found.report, found.log.first_lsn),
        Err(error) => error.to_string(),
    };
    let decoded = match decoded {
        Verdict::Log(log) => format!("{:?}", Log { records: Vec::new(), ..*log }),
        other => format!("{other:?}"),
    };
    Err(format!("read: {told}; a second reader: {decoded}"))
}

fn same_log(found: &Recovered<'_>, log: &Log) -> bool {
    let Recovered { report, log: view, .. } = found;
    let base = match report.snapshot {
        Some(snapshot) => Base::Snapshot(snapshot.id),
        None => Base::Beginning,
    };
    let unused = log.snapshots.iter().take_while(|it| base != Base::Snapshot(it.id)).count();
    let roles = view.segments.iter().map(|it| (it.id, role_of(it.role)));
    (base, report.snapshots_rotten) == (log.base(), unused)
        && (view.uuid, view.epoch, report.meta_bad_slots) == (log.uuid, log.epoch, log.bad_slots)
        && (report.durable.0, report.valid.0, view.first_lsn.0) == (log.durable, log.valid, log.first)
        && (report.torn_bytes, report.clean) == (log.torn_bytes, log.clean)
        && roles.eq(log.roles.iter().map(|(id, role)| (*id, Some(*role))))
        && same_records(found, log)
}

fn same_records(found: &Recovered<'_>, log: &Log) -> bool {
    let mut records = log.records.iter();
    let visited = found.log.for_each_record(Lsn(1), &mut |it| {
        let same = records.next().is_some_and(|record| {
            (record.lsn, record.kind, record.segment, record.offset)
                == (it.lsn.0, it.kind, it.segment, it.offset)
                && record.body == it.body
        });
        if same { Ok(()) } else { Err(()) }
    });
    visited.is_ok() && records.next().is_none()
}

fn role_of(role: SegmentRole) -> Option<Role> {
    match role {
        SegmentRole::Head => Some(Role::Head),
        SegmentRole::Linked => Some(Role::Linked),
        SegmentRole::Blank => Some(Role::Blank),
        SegmentRole::Burnt => Some(Role::Burnt),
        SegmentRole::Unlisted => Some(Role::Unlisted),
        _ => None,
    }
}

fn refusal_of(error: &LogError) -> Option<Refusal> {
    match error {
        LogError::NotALog { .. } => Some(Refusal::NotALog),
        LogError::MetaMissing { .. } => Some(Refusal::MetaMissing),
        LogError::MetaDamaged(_) => Some(Refusal::MetaDamaged),
        LogError::NewerVersion { .. } => Some(Refusal::Newer),
        LogError::ForeignSegment { .. } => Some(Refusal::Foreign),
        LogError::Unknown { .. } => Some(Refusal::Unknown),
        _ => None,
    }
}
