//! The writer's lock: `flock` on a file that is never deleted.

use std::fs::{self, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

use super::calls::uninterrupted;
use super::dir::{Access, Dir};
use super::host::{boot_id, host_name};
use crate::LOCK_FILE;
use crate::error::{Op, StorageError};

const TRIES_AGAIN: u32 = 5;
const PAUSE: Duration = Duration::from_millis(50);

/// What the holder writes into the file has this length, so that a shorter text leaves nothing of a longer one.
const TEXT_LEN: usize = 512;

/// Closing the file gives the lock back, also when the process is killed, and whatever `close` answers: see
/// [`super::calls`].
#[derive(Debug)]
pub(super) struct OsLock {
    _file: fs::File,
}

impl crate::LockGuard for OsLock {}

/// The lock of `dir`, whose file messages call `path`.
pub(super) fn acquire(dir: &Dir, path: &Path) -> Result<OsLock, StorageError> {
    acquire_from(dir, path, || std::thread::sleep(PAUSE))
}

/// The lock, and what to do between two tries.
fn acquire_from(dir: &Dir, path: &Path, mut pause: impl FnMut()) -> Result<OsLock, StorageError> {
    let failed = |source| StorageError::from_io(Op::Lock, path, None, source);
    let file = open(dir, path)?;
    for tries_left in (0..=TRIES_AGAIN).rev() {
        if was_free(&file).map_err(failed)? {
            introduce(&file).map_err(failed)?;
            return Ok(OsLock { _file: file });
        }
        if tries_left > 0 {
            pause();
        }
    }
    Err(held_by_another(&file, path))
}

/// The lock file, made if there is none. What is written into it must not come out anywhere else, so it has to be a file, and
/// no link to one.
fn open(dir: &Dir, path: &Path) -> Result<fs::File, StorageError> {
    let failed = |source| StorageError::from_io(Op::Lock, path, None, source);
    let file = match dir.open_file(LOCK_FILE, Access::OwnOrCreate) {
        Err(source) if is_no_file(&source) => Err(StorageError::NotAFile { path: path.to_owned() }),
        opened => opened.map_err(failed),
    }?;
    if uninterrupted(|| file.metadata()).map_err(failed)?.is_file() {
        Ok(file)
    } else {
        Err(StorageError::NotAFile { path: path.to_owned() })
    }
}

/// Whether it was not opened because a link, a directory or a socket lies there.
#[cfg(unix)]
fn is_no_file(source: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::LOOP, Errno::ISDIR, Errno::NXIO]
        .map(|errno| Some(errno.raw_os_error()))
        .contains(&source.raw_os_error())
}

#[cfg(not(unix))]
fn is_no_file(source: &io::Error) -> bool {
    source.kind() == io::ErrorKind::IsADirectory
}

/// Takes the lock if nobody has it, and says whether nobody had.
fn was_free(file: &fs::File) -> io::Result<bool> {
    uninterrupted(|| match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(source)) => Err(source),
    })
}

/// Writes who holds the lock, for the message the next one gets. Not synced: after a power cut nobody holds it.
fn introduce(mut file: &fs::File) -> io::Result<()> {
    use std::io::Write;
    let host: String = host_name().chars().take(TEXT_LEN / 8).collect();
    let mut text = format!("pid {}\nhost {host}\nboot {:032x}\n", std::process::id(), boot_id()).into_bytes();
    text.resize(TEXT_LEN, b'\n');
    file.write_all(&text)
}

fn held_by_another(file: &fs::File, path: &Path) -> StorageError {
    let text = text_of(file).unwrap_or_default();
    let field = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
            .filter(|value| !value.is_empty())
    };
    StorageError::Locked {
        path: path.to_owned(),
        pid: field("pid").and_then(|pid| pid.parse().ok()),
        host: field("host").map(str::to_owned),
    }
}

/// No more than a holder writes: the file may be anything, and as large as it likes.
fn text_of(file: &fs::File) -> io::Result<String> {
    use std::io::Read;
    let mut text = Vec::new();
    file.take(TEXT_LEN as u64).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::unix::fs::{FileExt, symlink};
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn acquire_pausing(path: &Path, pause: impl FnMut()) -> Result<OsLock, StorageError> {
        let dir = Dir::open(path.parent().expect("it lies in a directory")).expect("it is there");
        acquire_from(&dir, path, pause)
    }

    /// For a lock that is free.
    fn never() {
        panic!("the lock was to be had at the first try");
    }

    /// A process that a lock was handed to: it lives on in what the process writes to.
    struct Holder(Child);

    impl Holder {
        fn of(lock: OsLock) -> Self {
            let mut reader = Command::new("cat");
            Self(reader.stdin(Stdio::piped()).stdout(lock._file).spawn().expect("coreutils"))
        }

        /// Tells it that there is no more to read, and waits until it has ended.
        fn end(&mut self) {
            drop(self.0.stdin.take());
            assert!(self.0.wait().expect("a child of ours").success());
        }
    }

    /// The only test of this program that starts processes: until a child begins its own program it has every file that is
    /// open here.
    #[test]
    fn a_lock_that_another_process_gives_back_at_any_pause_is_taken() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("LOCK");
        for given_back_at in 1..=TRIES_AGAIN {
            let mut holder = Holder::of(acquire_pausing(&path, never).expect("free"));
            let mut pauses = 0;
            let taken = acquire_pausing(&path, || {
                pauses += 1;
                if pauses == given_back_at {
                    holder.end();
                }
            });
            drop(taken.expect("it was given back"));
            assert_eq!(pauses, given_back_at, "and taken at the next try");
        }
    }

    #[test]
    fn a_lock_that_is_held_on_is_refused_after_five_more_tries_with_its_holder() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("LOCK");
        let _held = acquire_pausing(&path, never).expect("free");
        let mut pauses = 0;
        let refused = acquire_pausing(&path, || pauses += 1).expect_err("held");
        assert_eq!(pauses, 5);
        let StorageError::Locked { path: named, pid, host } = refused else { panic!("{refused:?}") };
        assert_eq!((named, pid, host), (path, Some(std::process::id()), Some(host_name())));
    }

    /// Whoever has the lock may have been another program, or an earlier version of this one.
    #[test]
    fn of_a_lock_file_that_is_held_no_more_is_read_than_a_holder_writes() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("LOCK");
        let _held = acquire_pausing(&path, never).expect("free");
        let refused = || match acquire_pausing(&path, || {}).expect_err("held") {
            StorageError::Locked { path: named, pid, host } if named == path => (pid, host),
            other => panic!("{other:?}"),
        };
        let ours = (Some(std::process::id()), Some(host_name()));
        let file = OpenOptions::new().write(true).open(&path).expect("it is there");
        file.set_len(600 << 20).expect("a hole takes no room");
        assert_eq!(refused(), ours);
        file.write_all_at(&[b'x'; TEXT_LEN], 0).expect("written");
        file.write_all_at(b"\npid 7\nhost elsewhere\n", TEXT_LEN as u64).expect("written");
        assert_eq!(refused(), (None, None), "what stands behind a text of that length says nothing");
        file.write_all_at(b"pid 99999999999\nhost \n", 0).expect("written");
        assert_eq!(refused(), (None, None));
        file.set_len(0).expect("cut");
        assert_eq!(refused(), (None, None));
    }

    #[test]
    fn whatever_is_in_a_lock_file_that_nobody_holds_it_is_taken_and_says_who_has_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("LOCK");
        for (bytes, len) in
            [(&b""[..], 0), (b"\xff\x00pid x\nhost", 16), (&[b'y'; 700], 700), (b"z", 600 << 20)]
        {
            fs::write(&path, bytes).expect("written");
            OpenOptions::new().write(true).open(&path).expect("it is there").set_len(len).expect("a hole");
            let _held = acquire_pausing(&path, never).expect("free");
            let refused = acquire_pausing(&path, || {}).expect_err("held");
            let StorageError::Locked { pid, host, .. } = refused else { panic!("{refused:?}") };
            assert_eq!((pid, host), (Some(std::process::id()), Some(host_name())));
        }
    }

    /// The text of the lock would be written over the first bytes of whatever file a link leads to.
    #[test]
    fn a_lock_file_that_is_no_file_is_refused_as_that_and_no_link_is_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("LOCK");
        let (elsewhere, nowhere) = (dir.path().join("letter"), dir.path().join("nowhere"));
        fs::write(&elsewhere, b"dear reader").expect("written");
        let refused = |what: &str| match acquire_pausing(&path, never).map(drop) {
            Err(StorageError::NotAFile { path: named }) if named == path => {}
            other => panic!("{what}: {other:?}"),
        };
        for to in [&elsewhere, &nowhere, &path] {
            symlink(to, &path).expect("linked");
            refused("a link");
            fs::remove_file(&path).expect("removed");
        }
        assert_eq!(fs::read(&elsewhere).expect("it is there"), b"dear reader");
        assert!(!fs::exists(&nowhere).expect("it can be known"), "nothing was made there");
        fs::create_dir(&path).expect("made");
        refused("a directory");
        fs::remove_dir(&path).expect("removed");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
        refused("a socket");
        fs::remove_file(&path).expect("removed");
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{CWD, FileType, Mode, mknodat};
            mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).expect("a pipe");
            refused("a pipe");
        }
    }
}
