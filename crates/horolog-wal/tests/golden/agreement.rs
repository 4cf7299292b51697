//! Whether the log's reader and the decoder from the specification say the same of a directory.

use horolog_sim::SimDisk;
use horolog_sim::decoder::{Corruption, Log, Lost, Record, Refusal, Role, Snapshot, Verdict, decode};
use horolog_wal::{LogError, LogState, LogView, Lsn, SegmentRole, VisitError, read_log};

use crate::hex::Files;
use crate::owner::options;

/// A fresh disk that holds these files and nothing else.
pub(crate) fn disk_of(files: &Files) -> SimDisk {
    let disk = SimDisk::new(0);
    files.iter().for_each(|(name, bytes)| disk.put(name, bytes));
    disk
}

/// What both say; it is an error if they differ.
pub(crate) fn agreed(files: &Files, codec: u16) -> Result<Verdict, String> {
    let decoded = decode(files, codec);
    let disk = disk_of(files);
    let read = read_log(&disk, &options(codec)).and_then(|view| Ok((snapshots_of(&view)?, view)));
    let told = match &read {
        Ok((_, view)) => format!("{view:?}"),
        Err(error) => error.to_string(),
    };
    let verdict = verdict_of(read);
    let same = match (&verdict, &decoded) {
        // Which of several damaged places is told first is nobody's business; what is lost at the end of the log is.
        (Verdict::Corruption(read), Verdict::Corruption(decoded)) => {
            decoded.lost.is_none() || read == decoded
        }
        (read, decoded) => read == decoded,
    };
    if same { Ok(decoded) } else { Err(format!("the log reads {told}\nthe decoder {decoded:?}")) }
}

/// What the log's reader said, in the words of the decoder.
fn verdict_of(read: Result<(Vec<Snapshot>, LogView<'_>), LogError>) -> Verdict {
    match read {
        Ok((_, view)) if view.state == LogState::Empty => Verdict::Empty,
        Ok((snapshots, view)) => Verdict::Log(Box::new(log_of(&view, snapshots))),
        Err(LogError::Corruption(it)) => {
            let offset = it.offset;
            let lost = it.lost.first.zip(it.lost.last);
            let lost = lost.map(|(first, last)| Lost { offset, first: first.0, last: last.0 });
            Verdict::Corruption(Corruption { segment: it.segment, lost })
        }
        Err(error) => Verdict::Refused(match error {
            LogError::NotALog { .. } => Refusal::NotALog,
            LogError::MetaMissing { .. } => Refusal::MetaMissing,
            LogError::MetaDamaged(_) => Refusal::MetaDamaged,
            LogError::NewerVersion { .. } => Refusal::Newer,
            LogError::ForeignSegment { .. } => Refusal::Foreign,
            LogError::Unknown { .. } => Refusal::Unknown,
            error => panic!("{error}"),
        }),
    }
}

/// What stands in the snapshots that count.
fn snapshots_of(view: &LogView<'_>) -> Result<Vec<Snapshot>, LogError> {
    let read = |it: horolog_wal::SnapshotRef| {
        let mut sections = Vec::new();
        let visited = view.for_each_section(&it, &mut |section| {
            sections.push(section.to_vec());
            Ok::<(), ()>(())
        });
        let sections = match visited {
            Ok(()) => Some(sections),
            Err(VisitError::Log(LogError::SnapshotDamaged { .. })) => None,
            Err(VisitError::Log(error)) => return Err(error),
            Err(VisitError::Visitor(())) => panic!("nobody refused"),
        };
        Ok(Snapshot { id: it.id, begin: it.begin.0, end: it.end.0, sections })
    };
    view.snapshots().map(read).collect()
}

fn log_of(view: &LogView<'_>, snapshots: Vec<Snapshot>) -> Log {
    let mut records = Vec::new();
    view.for_each_record::<()>(Lsn(1), &mut |it| {
        records.push(Record {
            lsn: it.lsn.0,
            kind: it.kind,
            flags: it.flags,
            body: it.body.to_vec(),
            segment: it.segment,
            offset: it.offset,
        });
        Ok(())
    })
    .expect("a view that was just made");
    let role = |role| match role {
        SegmentRole::Head => Role::Head,
        SegmentRole::Linked => Role::Linked,
        SegmentRole::Blank => Role::Blank,
        SegmentRole::Burnt => Role::Burnt,
        SegmentRole::Unlisted => Role::Unlisted,
        role => panic!("{role:?} is not in the specification"),
    };
    Log {
        uuid: view.uuid,
        epoch: view.epoch,
        bad_slots: view.meta_bad_slots,
        durable: view.durable.0,
        valid: view.valid.0,
        first: view.first_lsn.0,
        torn_bytes: view.torn_bytes,
        clean: view.clean,
        snapshots,
        roles: view.segments.iter().map(|it| (it.id, role(it.role))).collect(),
        records,
    }
}
