//! The writer's lock: `flock` on a file that is never deleted.

use std::fs::{self, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use super::host::{boot_id, host_name};
use crate::error::{Op, StorageError};

const TRIES_AGAIN: u32 = 5;
const PAUSE: Duration = Duration::from_millis(50);

/// What the holder writes into the file has this length, so that a shorter text leaves nothing of a longer one.
const TEXT_LEN: usize = 512;

/// Closing the file gives the lock back, also when the process is killed.
#[derive(Debug)]
pub(super) struct OsLock {
    _file: fs::File,
}

impl crate::LockGuard for OsLock {}

pub(super) fn acquire(path: &Path) -> Result<OsLock, StorageError> {
    let failed = |source| StorageError::from_io(Op::Lock, path, None, source);
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
    for tries_left in (0..=TRIES_AGAIN).rev() {
        match file.try_lock() {
            Ok(()) => {
                introduce(&file).map_err(failed)?;
                return Ok(OsLock { _file: file });
            }
            Err(TryLockError::WouldBlock) if tries_left > 0 => std::thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => break,
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
    Err(held_by_another(path))
}

/// Writes who holds the lock, for the message the next one gets. Not synced: after a power cut nobody holds it.
fn introduce(mut file: &fs::File) -> std::io::Result<()> {
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
