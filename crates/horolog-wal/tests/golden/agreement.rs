//! Whether the log's reader and the decoder from the specification say the same of a directory.

use horolog_sim::SimDisk;
use horolog_wal::{LogError, LogState, LogView, Lsn, SegmentRole, read_log};

use crate::decoder::{Corruption, Log, Record, Refusal, Role, Verdict, decode};
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
    let read = read_log(&disk, &options(codec));
    let told = match &read {
        Ok(view) => format!("{view:?}"),
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
fn verdict_of(read: Result<LogView<'_>, LogError>) -> Verdict {
    match read {
        Ok(view) if view.state == LogState::Empty => Verdict::Empty,
        Ok(view) => Verdict::Log(log_of(&view)),
        Err(LogError::Corruption(it)) => Verdict::Corruption(Corruption {
            segment: it.segment,
            lost: it.lost.first.zip(it.lost.last).map(|(first, last)| (first.0, last.0)),
        }),
        Err(error) => Verdict::Refused(match error {
            LogError::NotALog { .. } => Refusal::NotALog,
            LogError::MetaMissing { .. } => Refusal::MetaMissing,
            LogError::MetaDamaged(_) => Refusal::MetaDamaged,
            LogError::NewerVersion { .. } => Refusal::Newer,
            LogError::ForeignSegment { .. } => Refusal::Foreign,
            LogError::Unknown { .. } => Refusal::Unknown,
            LogError::NotABatchBoundary { .. } => Refusal::NotABoundary,
            error => panic!("{error}"),
        }),
    }
}

fn log_of(view: &LogView<'_>) -> Log {
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
        roles: view.segments.iter().map(|it| (it.id, role(it.role))).collect(),
        records,
    }
}
