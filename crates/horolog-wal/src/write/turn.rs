//! Whose turn it is to sync, and which file is synced.
//!
//! The writer goes from one segment to the next, and syncs may be running meanwhile. A slow one must not hold up the writer:
//! `current` is held for a moment only, `syncing` during a sync.
//!
//! # Why a sync covers what was appended before it
//!
//! Let an append have returned before [`SyncTurn::sync`] was called, and let F be the file that it wrote to. The call takes the
//! file that is current once it has the turn. That is F, and syncing it covers the append; or a later one, and then by
//! induction that one's first batch has all records of F that were not durable by then, or F was synced before it
//! was begun (`write/rotate.rs`), and the first batch was written before its file became current. The name of every segment
//! is durable before the segment is used, so the file that is synced can be found again.
//!
//! One sync runs at a time, because the kernel reports a lost write to one caller only. Two at once could share one error:
//! one would swallow it, and the other would say that all is well. After an error no other begins.

use std::sync::{Arc, PoisonError};

use horolog_storage::{File, StorageError};
#[cfg(all(test, loom))]
use loom::sync as primitives;
use primitives::atomic::{AtomicBool, AtomicU64, Ordering};
use primitives::{Mutex, MutexGuard};
#[cfg(not(all(test, loom)))]
use std::sync as primitives;

use crate::error::LogError;
use crate::planted::{Bug, is_planted};

/// The segment that is being written.
#[derive(Debug, Clone)]
pub(super) struct Current {
    pub(super) id: u64,
    pub(super) file: Arc<dyn File>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct SyncTurn {
    syncing: Mutex<()>,
    current: Mutex<Current>,
    /// The newest segment whose first batch is durable.
    durable_head: AtomicU64,
    failed: AtomicBool,
}

impl SyncTurn {
    pub(super) fn new(current: Current, durable_head: u64) -> Self {
        Self {
            syncing: Mutex::new(()),
            current: Mutex::new(current),
            durable_head: AtomicU64::new(durable_head),
            failed: AtomicBool::new(false),
        }
    }

    /// Makes everything durable that was appended before this call.
    pub(super) fn sync(&self) -> Result<(), LogError> {
        let _turn = locked(&self.syncing);
        self.sync_file(&self.current())
    }

    pub(super) fn current(&self) -> Current {
        locked(&self.current).clone()
    }

    pub(super) fn sync_file(&self, Current { id, file }: &Current) -> Result<(), LogError> {
        self.check()?;
        match file.sync() {
            Err(_) if is_planted(Bug::SyncRetried) => file.sync(),
            synced => synced,
        }
        .map_err(|error| self.fail(error))?;
        self.durable_head.fetch_max(*id, Ordering::AcqRel);
        Ok(())
    }

    /// What is written from now on is written to `next`, whose first batch was.
    pub(super) fn go_on_in(&self, next: Current) {
        *locked(&self.current) = next;
    }

    /// The newest segment whose first batch is durable.
    pub(super) fn durable_head(&self) -> u64 {
        if is_planted(Bug::BegunIsDurable) {
            return self.current().id;
        }
        self.durable_head.load(Ordering::Acquire)
    }

    pub(super) fn check(&self) -> Result<(), LogError> {
        if self.failed.load(Ordering::Acquire) { Err(LogError::Poisoned) } else { Ok(()) }
    }

    /// Remembers that a write or sync failed: from here on nothing is written and nothing is synced.
    pub(super) fn fail(&self, error: StorageError) -> LogError {
        self.failed.store(true, Ordering::Release);
        error.into()
    }
}

/// What these locks guard is whole whatever panicked.
fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, loom))]
mod models;
