//! Locks and atomics of the front, so that loom can stand in for them in the tests of this crate. (In those of another crate
//! that has models too, these are the real ones.)

use std::sync::PoisonError;
use std::time::Duration;

#[cfg(all(test, loom))]
use loom::sync as primitives;
#[cfg(not(all(test, loom)))]
use std::sync as primitives;

pub(crate) use primitives::MutexGuard;
pub(crate) use primitives::atomic::{AtomicBool, AtomicU64, Ordering};

/// A lock that a panic does not poison.
pub(crate) struct Mutex<T>(primitives::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(primitives::Mutex::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes one thread. A ring that nobody waits for is heard by the next wait.
pub(crate) struct Bell {
    has_rung: Mutex<bool>,
    rings: primitives::Condvar,
}

impl Bell {
    pub(crate) fn new() -> Self {
        Self { has_rung: Mutex::new(false), rings: primitives::Condvar::new() }
    }

    pub(crate) fn ring(&self) {
        *self.has_rung.lock() = true;
        self.rings.notify_one();
    }

    /// Waits for a ring, or until the time is up.
    pub(crate) fn wait(&self, timeout: Option<Duration>) {
        let mut has_rung = self.has_rung.lock();
        if !*has_rung {
            has_rung = self.wait_once(has_rung, timeout);
        }
        *has_rung = false;
    }

    /// May return for no reason. Whoever waits looks again at what it waits for.
    fn wait_once<'a>(
        &self,
        has_rung: MutexGuard<'a, bool>,
        timeout: Option<Duration>,
    ) -> MutexGuard<'a, bool> {
        match timeout {
            // A model has no time: a wait that would time out is one that must be rung.
            Some(timeout) if !cfg!(all(test, loom)) => {
                self.rings.wait_timeout(has_rung, timeout).unwrap_or_else(PoisonError::into_inner).0
            }
            _ => self.rings.wait(has_rung).unwrap_or_else(PoisonError::into_inner),
        }
    }
}

/// For the models of the front.
#[cfg(all(test, loom))]
pub(crate) mod models {
    use loom::thread::{Builder, JoinHandle};

    /// Levels and pages are made on the stack: loom's own is too small for them.
    const STACK_BYTES: usize = 1 << 18;

    pub(crate) fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        Builder::new().stack_size(STACK_BYTES).spawn(work).expect("loom makes threads")
    }

    /// Tries `work` in every order its threads can meet in.
    pub(crate) fn model(work: impl Fn() + Clone + Send + Sync + 'static) {
        loom::model(move || spawn(work.clone()).join().expect("the model holds"));
    }
}
