//! The writer's lock: `flock` on a file that is never deleted.

use std::fs::{self, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

use super::calls::uninterrupted;
use super::host::{boot_id, host_name};
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

pub(super) fn acquire(path: &Path) -> Result<OsLock, StorageError> {
    acquire_pausing(path, || std::thread::sleep(PAUSE))
}

/// The lock, and what to do between two tries.
fn acquire_pausing(path: &Path, mut pause: impl FnMut()) -> Result<OsLock, StorageError> {
    let failed = |source| StorageError::from_io(Op::Lock, path, None, source);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = uninterrupted(|| options.open(path)).map_err(failed)?;
    for tries_left in (0..=TRIES_AGAIN).rev() {
        if was_free(&file).map_err(failed)? {
            introduce(&file).map_err(failed)?;
            return Ok(OsLock { _file: file });
        }
        if tries_left > 0 {
            pause();
        }
    }
    Err(held_by_another(path))
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

fn held_by_another(path: &Path) -> StorageError {
    let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
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

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

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
}
