//! Every row of bad input: a typed answer that names the limit or the file, no panic, nothing lost, nothing half-written.

use std::io::{Read, Seek, SeekFrom, Write};
use std::time::SystemTime;

use horolog::{
    BadTime, Batch, BatchFault, BatchRefusal, CancelOutcome, DueAt, IfExists, LogError, NotScheduled,
    OpenError, OutcomeFault, RecoveryError, RescheduleError, RescheduleRefusal, ScheduleError, ScheduleFault,
    ScheduleRefusal, StorageError, Timer, Unavailable,
};

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn fresh() -> (tempfile::TempDir, Engine) {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(dir.path()).expect("a new directory");
    (dir, engine)
}

fn refused(result: Result<horolog::TimerId, ScheduleError>) -> NotScheduled {
    match result {
        Err(ScheduleError::NotScheduled(refused)) => refused,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// A directory with one timer in it, closed.
fn closed() -> tempfile::TempDir {
    let (dir, engine) = fresh();
    engine.schedule(Timer::after(HOUR).payload(b"keep me")).expect("scheduled");
    engine.shutdown(Duration::ZERO).expect("in order");
    dir
}

/// A directory with a timer and a snapshot in it, closed.
fn compacted() -> tempfile::TempDir {
    let (dir, engine) = fresh();
    engine.schedule(Timer::after(HOUR)).expect("scheduled");
    engine.compact_now().expect("compacted");
    engine.shutdown(Duration::ZERO).expect("in order");
    dir
}

fn segments(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .expect("the directory is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wal"))
        .collect();
    paths.sort();
    paths
}

fn flip(path: &Path, offset: u64) {
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(path).expect("the file opens");
    let mut byte = [0];
    file.seek(SeekFrom::Start(offset)).expect("in the file");
    file.read_exact(&mut byte).expect("a byte");
    file.seek(SeekFrom::Start(offset)).expect("in the file");
    file.write_all(&[byte[0] ^ 0x10]).expect("written");
}

/// Changes a field of a segment's header, and its checksum with it: what another program would have written.
fn edit_header(path: &Path, offset: usize, field: &[u8]) {
    let mut bytes = std::fs::read(path).expect("the file is there");
    bytes[offset..offset + field.len()].copy_from_slice(field);
    let crc = crc32fast::hash(&bytes[..4_088]);
    bytes[4_088..4_092].copy_from_slice(&crc.to_le_bytes());
    bytes[4_092..4_096].copy_from_slice(&(!crc).to_le_bytes());
    std::fs::write(path, bytes).expect("written");
}

type Files = Vec<(std::ffi::OsString, Vec<u8>)>;

/// Everything in a directory, to be compared.
fn everything(dir: &Path) -> Files {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .expect("the directory is there")
        .map(|entry| entry.expect("an entry"))
        .map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap_or_default()))
        .collect();
    files.sort();
    files
}

/// Everything but the lock file: it says who tried last.
fn contents(dir: &Path) -> Files {
    everything(dir).into_iter().filter(|(name, _)| name != "LOCK").collect()
}

#[test]
fn a_directory_of_other_files_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("photo.jpg"), b"not ours").expect("written");
    let before = contents(dir.path());
    let error = Engine::open(dir.path()).expect_err("it is not a directory of timers");
    assert!(
        matches!(&error, OpenError::Recovery { source: RecoveryError::Log(LogError::NotALog { .. }), .. }),
        "{error:?}"
    );
    assert_eq!(contents(dir.path()), before);
}

#[test]
fn a_directory_that_is_not_there_is_refused_when_it_is_not_to_be_created() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("none");
    let error = Options::new().create(false).open(&path).expect_err("nothing is there");
    assert!(
        matches!(&error, OpenError::Storage(StorageError::NotFound { path: named }) if *named == path),
        "{error:?}"
    );
    assert!(!path.exists());
    let error = Options::new().create(false).open(dir.path()).expect_err("nothing is in it");
    assert!(matches!(&error, OpenError::Empty { .. }), "{error:?}");
}

#[test]
fn damage_of_acknowledged_records_is_refused_with_its_place() {
    let dir = closed();
    let head = segments(dir.path()).remove(0);
    // The third block holds the second batch: the log's first records, long acknowledged and marked.
    flip(&head, 8_192 + 100);
    let before = contents(dir.path());
    let error = Engine::open(dir.path()).expect_err("acknowledged records are damaged");
    let OpenError::Recovery { source: RecoveryError::Log(LogError::Corruption(corruption)), .. } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(corruption.offset, 8_192);
    assert!(corruption.lost.first.is_some());
    assert_eq!(contents(dir.path()), before, "a refused opening changes nothing");
}

#[test]
fn a_file_of_another_log_is_refused_with_both_identities() {
    let (dir, other) = (closed(), closed());
    let foreign = segments(other.path()).pop().expect("a segment");
    let copy = dir.path().join("seg-00000000000000ff.wal");
    std::fs::copy(&foreign, &copy).expect("a copy");
    edit_header(&copy, 32, &0xff_u64.to_le_bytes());
    let before = contents(dir.path());
    let error = Engine::open(dir.path()).expect_err("a stranger is among the segments");
    let OpenError::Recovery { source: RecoveryError::Log(LogError::ForeignSegment { .. }), .. } = &error
    else {
        panic!("{error:?}")
    };
    assert!(contents(dir.path()) == before, "a refused opening changes nothing");
}

#[test]
fn a_newer_format_is_refused_by_its_number() {
    let dir = closed();
    let head = segments(dir.path()).pop().expect("a segment");
    edit_header(&head, 8, &9_u16.to_le_bytes());
    let before = contents(dir.path());
    let error = Engine::open(dir.path()).expect_err("a version that is not known");
    let OpenError::Recovery { source: RecoveryError::Log(LogError::NewerVersion { .. }), .. } = &error else {
        panic!("{error:?}")
    };
    assert!(contents(dir.path()) == before, "a refused opening changes nothing");
}

#[test]
fn a_second_opener_is_told_who_has_the_directory() {
    let (dir, engine) = fresh();
    let error = Engine::open(dir.path()).expect_err("it is in use");
    let OpenError::Storage(StorageError::Locked { pid, host, .. }) = &error else { panic!("{error:?}") };
    assert_eq!(*pid, Some(std::process::id()));
    assert!(host.as_ref().is_some_and(|host| !host.is_empty()));
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    engine.shutdown(Duration::ZERO).expect("in order");
    Engine::open(dir.path()).expect("the lock is released by the shutdown");
}

/// Nobody holds it, so what is in it says nothing; the next holder writes over its beginning.
#[test]
fn whatever_is_in_the_lock_file_a_directory_is_opened() {
    for (bytes, len) in [(&b""[..], 0), (&[0xff; 4_096], 4_096), (b"pid 1\nhost here\n", 700 << 20)] {
        let (timers, empty) = (closed(), tempfile::tempdir().expect("a directory"));
        for (dir, count) in [(&timers, 1), (&empty, 0)] {
            let lock = dir.path().join("LOCK");
            std::fs::write(&lock, bytes).expect("written");
            let file = std::fs::OpenOptions::new().write(true).open(&lock).expect("it is there");
            file.set_len(len).expect("a hole takes no room");
            let engine = Engine::open(dir.path()).expect("nobody has it");
            assert_eq!(engine.stats().timers, count);
            let error = Engine::open(dir.path()).expect_err("it is in use");
            let OpenError::Storage(StorageError::Locked { pid, .. }) = &error else { panic!("{error:?}") };
            assert_eq!(*pid, Some(std::process::id()));
        }
    }
}

#[test]
#[cfg(unix)]
fn a_directory_or_a_link_in_the_place_of_the_lock_file_is_refused_and_left_alone() {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let (letter, nowhere) = (elsewhere.path().join("letter"), elsewhere.path().join("nowhere"));
    std::fs::write(&letter, b"dear reader").expect("written");
    let link = |to: &Path, lock: &Path| std::os::unix::fs::symlink(to, lock).expect("linked");
    let cases: [&dyn Fn(&Path); 3] =
        [&|lock| std::fs::create_dir(lock).expect("made"), &|lock| link(&letter, lock), &|lock| {
            link(&nowhere, lock)
        }];
    for put in cases {
        for dir in [closed(), tempfile::tempdir().expect("a directory")] {
            let lock = dir.path().join("LOCK");
            let _ = std::fs::remove_file(&lock);
            put(&lock);
            let before = (contents(dir.path()), contents(elsewhere.path()));
            let error = Engine::open(dir.path()).expect_err("nothing can be locked");
            assert!(
                matches!(&error, OpenError::Storage(StorageError::NotAFile { path }) if *path == lock),
                "{error:?}"
            );
            assert!((contents(dir.path()), contents(elsewhere.path())) == before, "something was written");
        }
    }
}

#[test]
fn a_path_that_cannot_be_written_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    std::fs::write(&file, b"").expect("written");
    let error = Engine::open(file.join("timers")).expect_err("a file is in the way");
    let OpenError::Storage(storage) = &error else { panic!("{error:?}") };
    assert!(storage.path().starts_with(&file), "{error}");
}

#[test]
#[cfg(unix)]
fn a_directory_without_permission_to_write_is_refused_by_name_and_left_alone() {
    if let Some(dir) = std::env::var_os(permission::DIR) {
        permission::child_without_writing(Path::new(&dir));
    }
    type Look = fn(&Path) -> Files;
    let cases: [(_, u32, Look); 3] = [
        (tempfile::tempdir().expect("a directory"), 0o444, everything),
        (closed(), 0o444, everything),
        // The lock can be had here, and the log is what cannot be opened.
        (closed(), 0o666, contents),
    ];
    for (dir, mode_of_files, look) in cases {
        for (name, _) in everything(dir.path()) {
            permission::set(&dir.path().join(name), mode_of_files);
        }
        permission::set(dir.path(), 0o555);
        if let Some(why) = permission::hindrance(dir.path()) {
            eprintln!("skipped: no child of another user can be started in {}: {why}", dir.path().display());
            permission::set(dir.path(), 0o755); // so that it can be removed
            return;
        }
        let before = look(dir.path());
        let child = permission::start_child(
            "bad_input::a_directory_without_permission_to_write_is_refused_by_name_and_left_alone",
            dir.path(),
            dir.path(),
        );
        let after = look(dir.path());
        permission::set(dir.path(), 0o755); // so that it can be removed
        assert_eq!(
            child.status.code(),
            Some(permission::REFUSED),
            "{}",
            String::from_utf8_lossy(&child.stderr)
        );
        assert!(after == before, "{} was written to", dir.path().display());
    }
}

/// The directory, and each kind of file in it: what an opening comes to first, and what it needs later.
#[test]
#[cfg(unix)]
fn a_directory_or_a_file_without_any_permission_is_refused_by_name_and_left_alone() {
    const TEST: &str =
        "bad_input::a_directory_or_a_file_without_any_permission_is_refused_by_name_and_left_alone";
    if let Some(dir) = std::env::var_os(permission::DIR) {
        let at = std::env::var_os(permission::AT).expect("the parent says it");
        permission::child_without_reading(Path::new(&dir), Path::new(&at));
    }
    let dir = compacted();
    let path = |name: &std::ffi::OsStr| dir.path().join(name);
    let files: Vec<_> = everything(dir.path()).into_iter().map(|(name, _)| path(&name)).collect();
    let kinds: std::collections::BTreeSet<_> = files.iter().filter_map(|file| file.extension()).collect();
    assert_eq!(kinds.len(), 2, "segments and snapshots, beside META and LOCK");
    files.iter().for_each(|file| permission::set(file, 0o666));
    permission::set(dir.path(), 0o777);
    if let Some(why) = permission::hindrance(dir.path()) {
        eprintln!("skipped: no child of another user can be started in {}: {why}", dir.path().display());
        return;
    }
    for closed in files.iter().map(|file| &**file).chain([dir.path()]) {
        let (before, mode) = (contents(dir.path()), if closed == dir.path() { 0o777 } else { 0o666 });
        permission::set(closed, 0o000);
        let child = permission::start_child(TEST, dir.path(), closed);
        permission::set(closed, mode);
        let said = String::from_utf8_lossy(&child.stderr);
        assert_eq!(child.status.code(), Some(permission::REFUSED), "{}: {said}", closed.display());
        assert!(contents(dir.path()) == before, "{} was written to", dir.path().display());
    }
}

/// Permissions do not bind root, so a directory that lacks one is opened by a child of another user.
#[cfg(unix)]
mod permission {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Output};

    use super::*;

    /// The variable that makes a test the child, and names the directory.
    pub(super) const DIR: &str = "HOROLOG_TEST_DIR_WITHOUT_PERMISSION";

    /// What the child must be told of.
    pub(super) const AT: &str = "HOROLOG_TEST_PATH_WITHOUT_PERMISSION";

    /// What the child ends with. A child that ran no test at all would end with 0.
    pub(super) const REFUSED: i32 = 42;

    const NOBODY: u32 = 65_534;

    pub(super) fn set(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
    }

    /// This program, as a user whom the permissions of `dir` bind.
    fn this_program(dir: &Path) -> Command {
        // The program may lie where the child's user may not go; Linux knows it by this name too.
        let linux = cfg!(target_os = "linux").then(|| "/proc/self/exe".into());
        let program = linux.unwrap_or_else(|| std::env::current_exe().expect("a test has a program"));
        let mut child = Command::new(program);
        if std::fs::metadata(dir).expect("it is there").uid() == 0 {
            child.uid(NOBODY).gid(NOBODY);
        }
        child
    }

    /// Why there can be no such child here: root may lack the right to become another user, and the other user the right to
    /// come as far as `dir`.
    pub(super) fn hindrance(dir: &Path) -> Option<String> {
        match this_program(dir).arg("--list").current_dir(dir).output() {
            Ok(child) if child.status.success() => None,
            Ok(child) => Some(String::from_utf8_lossy(&child.stderr).into_owned()),
            Err(error) => Some(error.to_string()),
        }
    }

    pub(super) fn start_child(test: &str, dir: &Path, at: &Path) -> Output {
        let mut child = this_program(dir);
        child.args(["--exact", test, "--nocapture"]).env(DIR, dir).env(AT, at);
        child.output().expect("the child starts")
    }

    /// A child that may not read: what the opening of a directory names, as far as it comes.
    pub(super) fn child_without_reading(dir: &Path, at: &Path) -> ! {
        let error = Engine::open(dir).map(drop).expect_err("it cannot be read");
        let (OpenError::Storage(storage)
        | OpenError::Recovery { source: RecoveryError::Log(LogError::Storage(storage)), .. }) = &error
        else {
            panic!("{error:?}")
        };
        let StorageError::Io { path: named, source, .. } = storage else { panic!("{error:?}") };
        assert_eq!(source.kind(), std::io::ErrorKind::PermissionDenied, "{error:?}");
        assert_eq!(named, at, "{error:?}");
        std::process::exit(REFUSED)
    }

    pub(super) fn child_without_writing(dir: &Path) -> ! {
        std::fs::read_dir(dir).expect("nothing is missing but permission to write");
        for path in [dir.to_owned(), dir.join("timers")] {
            let error = Engine::open(&path).expect_err("it cannot be written");
            let (OpenError::Storage(storage) | OpenError::Log { source: LogError::Storage(storage), .. }) =
                &error
            else {
                panic!("{error:?}")
            };
            let StorageError::Io { path: named, source, .. } = storage else { panic!("{error:?}") };
            assert_eq!(source.kind(), std::io::ErrorKind::PermissionDenied, "{error:?}");
            assert!(named.starts_with(&path), "{error:?}");
        }
        std::process::exit(REFUSED)
    }
}

#[test]
fn a_payload_over_the_limit_is_handed_back_with_the_limit() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Options::new().payload_bytes_max(10).open(dir.path()).expect("opens");
    let timer = Timer::after(HOUR).payload([7; 11]);
    let refused = refused(engine.schedule(timer.clone()));
    assert!(matches!(
        refused.fault,
        ScheduleFault::Refused(ScheduleRefusal::PayloadTooLarge { bytes: 11, payload_bytes_max: 10 })
    ));
    assert_eq!(*refused.timer, timer, "the timer comes back as it was handed in");
    engine.schedule(Timer::after(HOUR).payload([7; 10])).expect("the limit itself is allowed");
    assert_eq!(engine.stats().timers, 1);
}

#[test]
fn too_many_timers_are_refused_until_one_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Options::new().timers_max(2).open(dir.path()).expect("opens");
    let [first, _] = [(); 2].map(|()| engine.schedule(Timer::after(HOUR)).expect("there is room"));
    let fault = refused(engine.schedule(Timer::after(HOUR))).fault;
    assert!(matches!(fault, ScheduleFault::Refused(ScheduleRefusal::TooManyTimers { timers_max: 2 })));
    assert_eq!(engine.cancel(first).expect("answered"), CancelOutcome::Cancelled);
    engine.schedule(Timer::after(HOUR)).expect("there is room again");
}

#[test]
fn memory_over_the_limit_is_refused_with_the_limit() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Options::new().memory_bytes_max(1).open(dir.path()).expect("opens");
    let fault = refused(engine.schedule(Timer::after(HOUR))).fault;
    assert!(matches!(fault, ScheduleFault::Refused(ScheduleRefusal::MemoryFull { memory_bytes_max: 1, .. })));
}

#[test]
fn options_out_of_range_are_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let error =
        Options::new().due_capacity(0).open(dir.path()).expect_err("no consumer could ever be served");
    assert!(matches!(&error, OpenError::BadOption(bad) if bad.option == "due_capacity"), "{error:?}");
}

#[test]
fn another_tick_length_than_the_directorys_is_refused_with_both() {
    let dir = tempfile::tempdir().expect("a directory");
    let ten = Duration::from_millis(10);
    Options::new()
        .tick_len(ten)
        .open(dir.path())
        .expect("created")
        .shutdown(Duration::ZERO)
        .expect("in order");
    let error = Options::new().tick_len(Duration::from_millis(1)).open(dir.path()).expect_err("it has ten");
    assert!(matches!(&error, OpenError::TickLen { found, .. } if *found == ten), "{error:?}");
    Engine::open(dir.path()).expect("without a wish the directory's own counts");
}

#[test]
fn a_deadline_in_the_past_is_due_at_once() {
    let (_dir, engine) = fresh();
    let id = engine.schedule(Timer::at(SystemTime::UNIX_EPOCH)).expect("scheduled");
    let due = next(&engine);
    assert_eq!(due.id(), id);
    assert!(due.lateness() > HOUR);
    due.complete().expect("open");
    let before_1970 = SystemTime::UNIX_EPOCH - HOUR;
    let id = engine.schedule(Timer::at(before_1970)).expect("scheduled");
    assert_eq!(next(&engine).id(), id);
}

#[test]
fn a_deadline_at_the_end_of_time_waits_and_hides_nobody() {
    let (_dir, engine) = fresh();
    let far = engine.schedule(Timer::after(Duration::MAX)).expect("scheduled");
    let near = engine.schedule(Timer::after(Duration::from_millis(5))).expect("scheduled");
    assert_eq!(next(&engine).id(), near);
    assert_eq!(engine.cancel(far).expect("answered"), CancelOutcome::Cancelled);
}

#[test]
fn an_interval_of_zero_is_refused() {
    let (_dir, engine) = fresh();
    let fault = refused(engine.schedule(Timer::every(Duration::ZERO))).fault;
    assert!(matches!(fault, ScheduleFault::BadTime(BadTime::IntervalZero)));
    let fault = refused(engine.schedule(Timer::every(Duration::MAX))).fault;
    assert!(matches!(fault, ScheduleFault::BadTime(BadTime::IntervalTooLong { .. })));
    assert_eq!(engine.stats().timers, 0);
}

#[test]
fn a_stale_id_finds_nothing_even_when_its_slot_is_used_again() {
    let (_dir, engine) = fresh();
    let old = engine.schedule(Timer::after(HOUR)).expect("scheduled");
    assert_eq!(engine.cancel(old).expect("answered"), CancelOutcome::Cancelled);
    assert_eq!(engine.cancel(old).expect("answered"), CancelOutcome::AlreadyDone);
    let new = engine.schedule(Timer::after(HOUR)).expect("scheduled");
    assert_eq!((new.slot(), engine.cancel(old).expect("answered")), (old.slot(), CancelOutcome::AlreadyDone));
    assert!(engine.get(new).is_some() && engine.get(old).is_none());
    let error = engine.reschedule(old, HOUR).expect_err("it ended");
    assert!(matches!(error, RescheduleError::Refused(RescheduleRefusal::AlreadyDone { .. })), "{error:?}");
}

#[test]
fn an_id_of_another_directory_is_not_known() {
    let ((_dir, engine), (_other_dir, other)) = (fresh(), fresh());
    engine.schedule(Timer::after(HOUR)).expect("scheduled");
    let foreign = other.schedule(Timer::after(HOUR)).expect("scheduled");
    // Generations begin at random in each directory: two that agree are one in a hundred million.
    let outcome = engine.cancel(foreign).expect("answered");
    assert!(matches!(outcome, CancelOutcome::NotFound | CancelOutcome::AlreadyDone), "{outcome:?}");
    assert_eq!(engine.stats().timers, 1, "nobody else's timer is touched");
    let error = engine.reschedule(foreign, DueAt::After(HOUR)).expect_err("it is not ours");
    assert!(matches!(error, RescheduleError::Refused(_)), "{error:?}");
}

#[test]
fn completing_after_a_shutdown_is_refused_and_the_occurrence_comes_again() {
    let (dir, engine) = fresh();
    engine.schedule(Timer::after(Duration::ZERO).payload(b"once more")).expect("scheduled");
    let due = next(&engine);
    engine.shutdown(Duration::ZERO).expect("in order");
    let error = due.complete().expect_err("the engine is closed");
    assert!(matches!(error.fault, OutcomeFault::Unavailable(Unavailable::Closed)), "{error:?}");
    assert_eq!(error.due.payload(), b"once more", "the occurrence is handed back");
    let engine = Engine::open(dir.path()).expect("opens");
    let again = next(&engine);
    assert_eq!((again.payload(), again.attempt()), (&b"once more"[..], 2));
}

#[test]
fn every_call_after_a_shutdown_is_refused_as_closed() {
    let (_dir, engine) = fresh();
    let id = engine.schedule(Timer::after(HOUR)).expect("scheduled");
    engine.shutdown(Duration::ZERO).expect("in order");
    let fault = refused(engine.schedule(Timer::after(HOUR))).fault;
    assert!(matches!(fault, ScheduleFault::Unavailable(Unavailable::Closed)));
    assert!(matches!(engine.cancel(id), Err(horolog::CancelError::Unavailable(Unavailable::Closed))));
    let error = engine.submit_batch(Batch::new().cancel(id)).expect_err("closed");
    assert!(matches!(error.fault, BatchFault::Unavailable(Unavailable::Closed)));
    assert_eq!(error.batch.len(), 1, "the batch is handed back");
    engine.shutdown(Duration::ZERO).expect("a second shutdown does nothing");
}

#[test]
fn a_key_that_is_taken_is_refused_with_its_owner_or_kept() {
    let (_dir, engine) = fresh();
    let owner = engine.schedule(Timer::after(HOUR).key("order-42")).expect("scheduled");
    let fault = refused(engine.schedule(Timer::after(HOUR).key("order-42"))).fault;
    assert!(
        matches!(fault, ScheduleFault::Refused(ScheduleRefusal::KeyExists { id, .. }) if id == owner),
        "{fault:?}"
    );
    let kept = engine.schedule(Timer::after(HOUR).key("order-42").if_exists(IfExists::Keep));
    assert_eq!(kept.expect("kept"), owner);
    assert_eq!((engine.by_key("order-42"), engine.stats().timers), (Some(owner), 1));
    let fault = refused(engine.schedule(Timer::after(HOUR).key(""))).fault;
    assert!(matches!(fault, ScheduleFault::Refused(ScheduleRefusal::KeyEmpty)));
    let fault = refused(engine.schedule(Timer::after(HOUR).key([b'k'; 1_025]))).fault;
    assert!(matches!(
        fault,
        ScheduleFault::Refused(ScheduleRefusal::KeyTooLong { bytes: 1_025, key_bytes_max: 1_024 })
    ));
}

#[test]
fn a_batch_with_one_bad_operation_changes_nothing() {
    let (_dir, engine) = fresh();
    let id = engine.schedule(Timer::after(HOUR)).expect("scheduled");
    let before = engine.stats();
    let batch = Batch::new().cancel(id).schedule(Timer::after(HOUR).payload(vec![0; 2 << 20]));
    let error = engine.submit_batch(batch).expect_err("the second one is too large");
    assert!(
        matches!(error.fault, BatchFault::Refused(BatchRefusal::Schedule { index: 1, .. })),
        "{:?}",
        error.fault
    );
    assert_eq!(engine.stats().as_of, before.as_of);
    let error = engine.submit_batch(Batch::new().cancel(id).cancel(id)).expect_err("named twice");
    assert!(matches!(error.fault, BatchFault::Refused(BatchRefusal::NamedTwice { index: 1 })));
    assert!(engine.get(id).is_some());
}

#[test]
fn a_full_buffer_is_refused_as_busy_and_room_comes_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = Options::new().buffer_bytes_max(64 << 10).payload_bytes_max(16 << 10);
    let engine = options.open(dir.path()).expect("opens");
    let (mut tickets, mut busy) = (Vec::new(), None);
    for _ in 0..10_000 {
        match engine.submit(Timer::after(HOUR).payload(vec![1; 16 << 10])) {
            Ok(ticket) => tickets.push(ticket),
            Err(error) => {
                busy = Some(error);
                break;
            }
        }
    }
    let ScheduleError::NotScheduled(refused) = busy.expect("64 KiB are full before the disk has caught up")
    else {
        panic!("expected a refusal")
    };
    assert!(
        matches!(refused.fault, ScheduleFault::Unavailable(Unavailable::Busy { bytes_max, .. }) if bytes_max < 64 << 10)
    );
    for ticket in &tickets {
        ticket.wait().expect("on disk");
    }
    engine.schedule(*refused.timer).expect("there is room again");
    assert_eq!(engine.stats().timers, tickets.len() as u64 + 1);
}

#[test]
fn a_batch_that_can_never_fit_is_told_so_and_not_to_wait() {
    let (_dir, engine) = fresh();
    let large =
        (0..17).fold(Batch::new(), |batch, _| batch.schedule(Timer::after(HOUR).payload(vec![0; 1 << 20])));
    let error = engine.submit_batch(large).expect_err("17 MiB do not fit a buffer of 16");
    assert!(matches!(error.fault, BatchFault::Refused(BatchRefusal::TooLarge { .. })), "{:?}", error.fault);
    let many = (0..1_025).fold(Batch::new(), |batch, _| batch.schedule(Timer::after(HOUR)));
    let error = engine.submit_batch(many).expect_err("too many for one hold of the lock");
    let BatchFault::Refused(BatchRefusal::TooManyOperations { operations, operations_max }) = error.fault
    else {
        panic!("{:?}", error.fault)
    };
    assert_eq!((operations, operations_max), (1_025, 1_024));
}

#[test]
fn a_key_that_is_taken_refuses_a_batch_once_its_owner_is_on_disk() {
    let (_dir, engine) = fresh();
    let owner = engine.submit(Timer::after(HOUR).key("k")).expect("submitted");
    let error = engine.apply(Batch::new().schedule(Timer::after(HOUR).key("k"))).expect_err("it is taken");
    let horolog::ApplyBatchError::NotApplied(error) = error else { panic!("{error:?}") };
    assert!(
        matches!(
            error.fault,
            BatchFault::Refused(BatchRefusal::Schedule {
                index: 0,
                refusal: ScheduleRefusal::KeyExists { id, .. }
            }) if id == owner.id()
        ),
        "{:?}",
        error.fault
    );
    assert!(owner.wait_timeout(Duration::ZERO).is_some(), "the refusal rests on a record that is on disk");
}

#[test]
fn a_temporary_file_of_somebody_else_is_left_alone() {
    let dir = closed();
    let notes = dir.path().join("notes.tmp");
    std::fs::write(&notes, b"mine").expect("written");
    Engine::open(dir.path()).expect("opens").shutdown(Duration::ZERO).expect("in order");
    assert_eq!(std::fs::read(&notes).expect("still there"), b"mine");
}

/// Whoever opened a pipe to read from it would wait for a writer.
#[cfg(target_os = "linux")]
#[test]
fn a_pipe_in_the_place_of_a_file_is_refused_by_name_and_nobody_waits_for_it() {
    let make_pipe = |path: &Path| {
        let made = std::process::Command::new("mkfifo").arg(path).status().expect("coreutils");
        assert!(made.success());
    };
    let empty = tempfile::tempdir().expect("a directory");
    make_pipe(&empty.path().join("META"));
    let sound = closed();
    let pipe = sound.path().join("seg-0000000000000777.wal");
    make_pipe(&pipe);
    for dir in [empty.path(), sound.path()] {
        let refused = Engine::open(dir).expect_err("it is no file");
        let OpenError::Recovery {
            source: RecoveryError::Log(LogError::Storage(StorageError::NotAFile { path })),
            ..
        } = refused
        else {
            panic!("{refused:?}");
        };
        assert!(path.starts_with(dir));
    }
    std::fs::remove_file(pipe).expect("removed");
    Engine::open(sound.path()).expect("sound again");
}

/// A file of somebody else with the highest number there is takes no numbers away.
#[test]
fn a_strangers_file_with_the_name_of_the_last_segment_is_left_alone_for_ever() {
    let dir = closed();
    let strays = ["seg-0000ffffffffffff.wal", "snap-0000ffffffffffff.img"].map(|name| dir.path().join(name));
    strays.iter().for_each(|stray| std::fs::write(stray, b"not ours").expect("written"));
    for _ in 0..2 {
        let engine = Engine::open(dir.path()).expect("they say nothing");
        engine.schedule(Timer::after(HOUR)).expect("scheduled");
        engine.compact_now().expect("a snapshot");
        engine.shutdown(Duration::ZERO).expect("in order");
    }
    assert!(strays.iter().all(|stray| std::fs::read(stray).is_ok_and(|bytes| bytes == b"not ours")));
}
