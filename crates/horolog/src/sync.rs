//! The locks of the shell, so that loom can stand in for them.
//!
//! `parking_lot` for the one lock, since it is small and fair enough; the standard library's condition variable for
//! gates, since it wakes a whole generation with one call.

#[cfg(not(loom))]
mod real {
    use std::time::Duration;

    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    pub(crate) type MutexGuard<'a, T> = parking_lot::MutexGuard<'a, T>;

    /// A lock that a panic does not poison.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(parking_lot::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(parking_lot::const_mutex(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock()
        }

        #[cfg(test)]
        pub(crate) fn is_locked(&self) -> bool {
            self.0.is_locked()
        }
    }

    /// Waits under a [`Mutex`].
    #[derive(Debug, Default)]
    pub(crate) struct Condvar(parking_lot::Condvar);

    impl Condvar {
        pub(crate) const fn new() -> Self {
            Self(parking_lot::Condvar::new())
        }

        /// Waits to be notified, or until the time is up.
        pub(crate) fn wait<'a, T>(
            &self,
            mut guard: MutexGuard<'a, T>,
            timeout: Option<Duration>,
        ) -> MutexGuard<'a, T> {
            match timeout {
                Some(timeout) => {
                    self.0.wait_for(&mut guard, timeout);
                }
                None => self.0.wait(&mut guard),
            }
            guard
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    /// Wakes everybody who waits with one system call. `parking_lot` would wake one and move the others to the lock,
    /// one after another.
    #[derive(Debug, Default)]
    pub(crate) struct Gate<T> {
        value: std::sync::Mutex<T>,
        opened: std::sync::Condvar,
    }

    impl<T> Gate<T> {
        pub(crate) fn new(value: T) -> Self {
            Self { value: std::sync::Mutex::new(value), opened: std::sync::Condvar::new() }
        }

        /// Changes the value and wakes all who wait if `change` says so.
        pub(crate) fn update(&self, change: impl FnOnce(&mut T) -> bool) {
            let mut value = self.value.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let wake = change(&mut value);
            drop(value);
            if wake {
                self.opened.notify_all();
            }
        }

        /// Waits until `done` holds, or the time is up.
        pub(crate) fn wait(
            &self,
            timeout: Option<Duration>,
            before: impl FnOnce(&mut T),
            mut done: impl FnMut(&mut T) -> bool,
            after: impl FnOnce(&mut T),
        ) {
            let mut value = self.value.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            before(&mut value);
            let mut value = match timeout {
                None => self
                    .opened
                    .wait_while(value, |value| !done(value))
                    .unwrap_or_else(std::sync::PoisonError::into_inner),
                Some(timeout) => {
                    self.opened
                        .wait_timeout_while(value, timeout, |value| !done(value))
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .0
                }
            };
            after(&mut value);
        }
    }
}

#[cfg(loom)]
mod model {
    use std::time::Duration;

    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    pub(crate) type MutexGuard<'a, T> = loom::sync::MutexGuard<'a, T>;

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self(loom::sync::Condvar::new())
        }

        /// A model has no time: a wait that would time out is one that must be notified.
        pub(crate) fn wait<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            _timeout: Option<Duration>,
        ) -> MutexGuard<'a, T> {
            self.0.wait(guard).unwrap_or_else(std::sync::PoisonError::into_inner)
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct Gate<T> {
        value: Mutex<T>,
        opened: Condvar,
    }

    impl<T> Gate<T> {
        pub(crate) fn new(value: T) -> Self {
            Self { value: Mutex::new(value), opened: Condvar::new() }
        }

        pub(crate) fn update(&self, change: impl FnOnce(&mut T) -> bool) {
            let mut value = self.value.lock();
            let wake = change(&mut value);
            drop(value);
            if wake {
                self.opened.notify_all();
            }
        }

        pub(crate) fn wait(
            &self,
            _timeout: Option<Duration>,
            before: impl FnOnce(&mut T),
            mut done: impl FnMut(&mut T) -> bool,
            after: impl FnOnce(&mut T),
        ) {
            let mut value = self.value.lock();
            before(&mut value);
            while !done(&mut value) {
                value = self.opened.wait(value, None);
            }
            after(&mut value);
        }
    }
}

#[cfg(loom)]
pub(crate) use model::{AtomicBool, AtomicU64, Condvar, Gate, Mutex, MutexGuard, Ordering};
#[cfg(not(loom))]
pub(crate) use real::{AtomicBool, AtomicU64, Condvar, Gate, Mutex, MutexGuard, Ordering};
