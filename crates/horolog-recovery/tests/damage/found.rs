//! What reading a directory gives, in words that can be compared.

use std::path::Path;
use std::sync::Arc;

use horolog_recovery::{Recovered, RecoveryError, recover, verify};
use horolog_sim::decoder::{Base, Log, Verdict as Decoded, decode};
use horolog_sim::{SimDisk, decoder};
use horolog_storage::{Op, StorageError};
use horolog_wal::{LogError, LogFile, LogOptions, open_writer};

use crate::directory::{Directory, options};
use crate::life::picture;
use crate::places::Verdict;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is read, standing on a snapshot or on the first record, with as many newer snapshots passed over.
    Read {
        log: Verdict,
        on: Option<u64>,
        rotten: usize,
    },
    /// Acknowledged records are damaged or gone.
    Corrupt(Verdict),
    /// The beginning of the log was let go, and no snapshot can be used.
    Incomplete {
        rotten: usize,
    },
    MetaMissing,
    MetaDamaged,
    /// A segment of another log, the first there is.
    Foreign(u64),
    Newer(LogFile),
    /// The medium gives an error for a file, from this byte on.
    Unread {
        name: String,
        offset: u64,
    },
    /// There is no memory for a whole file.
    NoMemory {
        name: String,
        bytes: u64,
    },
}

fn name_of(path: &Path) -> String {
    path.file_name().expect("a file").to_string_lossy().into_owned()
}

impl Found {
    fn of(read: &Result<Recovered<'_>, RecoveryError>) -> Self {
        match read {
            Ok(Recovered { report, log, .. }) => {
                let log = Verdict::Read {
                    valid: log.valid.0,
                    durable: log.durable.0,
                    torn_bytes: log.torn_bytes,
                    clean: log.clean,
                    bad_slots: log.meta_bad_slots,
                };
                Self::Read { log, on: report.snapshot.map(|it| it.id), rotten: report.snapshots_rotten }
            }
            Err(RecoveryError::Incomplete { rotten, .. }) => Self::Incomplete { rotten: rotten.len() },
            Err(RecoveryError::Log(LogError::Corruption(it))) => {
                let lost = (it.lost.first.map(|lsn| lsn.0), it.lost.last.map(|lsn| lsn.0));
                Self::Corrupt(Verdict::Refused { segment: it.segment, offset: it.offset, lost })
            }
            Err(RecoveryError::Log(LogError::MetaMissing { .. })) => Self::MetaMissing,
            Err(RecoveryError::Log(LogError::MetaDamaged(_))) => Self::MetaDamaged,
            Err(RecoveryError::Log(LogError::ForeignSegment { segment, .. })) => Self::Foreign(*segment),
            Err(RecoveryError::Log(LogError::NewerVersion { file, .. })) => Self::Newer(*file),
            Err(RecoveryError::Log(LogError::Storage(StorageError::Io {
                op: Op::Read,
                path,
                offset: Some(offset),
                ..
            }))) => Self::Unread { name: name_of(path), offset: *offset },
            Err(RecoveryError::Log(LogError::Storage(StorageError::OutOfMemory { path, bytes }))) => {
                Self::NoMemory { name: name_of(path), bytes: *bytes }
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

impl Directory {
    /// What a reader finds, with the state that it is then.
    #[track_caller]
    pub(crate) fn read(&self, disk: &SimDisk, options: &LogOptions, what: &str) -> Found {
        let read = recover(disk, options);
        if let Ok(Recovered { state, log, .. }) = &read {
            assert_eq!(picture(state), self.picture(log.valid.0), "{what}");
        }
        Found::of(&read)
    }

    /// What `verify` and an opening find, which is the same; neither writes anything before all was found to be sound.
    /// Then the directory is opened, which shows what was read and leaves each old segment as it is.
    #[track_caller]
    pub(crate) fn judge(&self, disk: &SimDisk, what: &str) -> Found {
        let before = (disk.changes(), disk.image());
        let without_lock = LogOptions { has_lock: false, ..options() };
        let found = self.read(disk, &options(), what);
        assert_eq!(self.read(disk, &without_lock, what), found, "{what}");
        assert_eq!(verify(disk, &without_lock).is_ok(), matches!(found, Found::Read { .. }), "{what}");
        assert!(before == (disk.changes(), disk.image()), "{what}: something was written");
        if let Found::Read { .. } = found {
            let opened = Arc::new(disk.process_kill());
            let read = recover(&*opened, &options()).expect("it was read before");
            open_writer(opened.clone(), &read.log, &options(), 0).expect("the disk works");
            let again = recover(&*opened, &options()).expect("it was just opened");
            assert_eq!(picture(&again.state), picture(&read.state), "{what}");
            let segments = opened.image().into_iter().filter(|(name, _)| name.ends_with(".wal"));
            let mut old = segments.filter_map(|(name, now)| Some((before.1.get(&name)?, now)));
            assert!(old.all(|(before, now)| *before == now), "{what}: an old segment was written");
        }
        found
    }
}

/// What a second reader finds, who has nothing but `docs/format.md`. Where the format leaves open which damage is told
/// first, it tells none.
pub(crate) fn decoded(disk: &SimDisk) -> Option<Found> {
    match decode(&disk.image(), 0) {
        Decoded::Log(log) => Some(of_log(&log)),
        Decoded::Corruption(decoder::Corruption { segment, lost }) => lost.map(|lost| {
            let (offset, lost) = (lost.offset, (Some(lost.first), Some(lost.last)));
            Found::Corrupt(Verdict::Refused { segment, offset, lost })
        }),
        other => panic!("{other:?}"),
    }
}

fn of_log(log: &Log) -> Found {
    let Log { valid, durable, torn_bytes, clean, bad_slots, .. } = *log;
    let read = Verdict::Read { valid, durable, torn_bytes, clean, bad_slots };
    let passed_over = |on: u64| log.snapshots.iter().take_while(|it| it.id != on).count();
    match log.base() {
        Base::Snapshot(id) => Found::Read { log: read, on: Some(id), rotten: passed_over(id) },
        Base::Beginning => Found::Read { log: read, on: None, rotten: log.snapshots.len() },
        Base::Nothing => Found::Incomplete { rotten: log.snapshots.len() },
    }
}
