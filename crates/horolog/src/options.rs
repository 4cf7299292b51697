//! What an engine is opened with. Validated once, at the opening, then trusted.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use horolog_recovery::Progress;
use horolog_state::{Limits, TickLen};

use crate::clock::{Clock, SystemClock};
use crate::engine::Engine;
use crate::error::OpenError;
use crate::opening::Watcher;

/// Options of an engine, each with a default that suits a service.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path();
/// let engine = horolog::Options::new().timers_max(1_000_000).due_capacity(16).open(path)?;
/// # engine.shutdown(std::time::Duration::ZERO)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) limits: Limits,
    pub(crate) due_capacity: usize,
    pub(crate) tick_len: Option<Duration>,
    pub(crate) buffer_bytes_max: usize,
    pub(crate) segment_bytes_min: u64,
    pub(crate) segment_bytes_max: u64,
    pub(crate) create: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) watcher: Watcher,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// An option that cannot be used, with what it was and what it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("option `{option}` is {value}, and it has to be at least {min} and at most {max}")]
pub struct BadOption {
    /// The option.
    pub option: &'static str,
    /// What it was set to.
    pub value: u64,
    /// The least it may be.
    pub min: u64,
    /// The most it may be.
    pub max: u64,
}

impl Options {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            limits: Limits {
                timers_max: 100_000_000,
                payload_bytes_max: 1 << 20,
                memory_bytes_max: usize::MAX >> 1,
            },
            due_capacity: 64,
            tick_len: None,
            buffer_bytes_max: 16 << 20,
            segment_bytes_min: 1 << 20,
            segment_bytes_max: 64 << 20,
            create: true,
            clock: Arc::new(SystemClock::new()),
            watcher: Watcher::default(),
        }
    }

    /// Live timers at most, dead ones included. Default 100 million.
    #[must_use]
    pub fn timers_max(mut self, timers_max: usize) -> Self {
        self.limits.timers_max = timers_max;
        self
    }

    /// Bytes of one payload at most. Default 1 MiB; at most a quarter of [`Options::buffer_bytes_max`].
    #[must_use]
    pub fn payload_bytes_max(mut self, payload_bytes_max: usize) -> Self {
        self.limits.payload_bytes_max = payload_bytes_max;
        self
    }

    /// Bytes of memory for timers and payloads at most. Beyond it scheduling is refused. Default: no limit.
    #[must_use]
    pub fn memory_bytes_max(mut self, memory_bytes_max: usize) -> Self {
        self.limits.memory_bytes_max = memory_bytes_max;
        self
    }

    /// Occurrences begun and not yet received at most. All others that are due stay cancellable. Default 64.
    #[must_use]
    pub fn due_capacity(mut self, due_capacity: usize) -> Self {
        self.due_capacity = due_capacity;
        self
    }

    /// The length of a tick: deadlines are rounded up to it. Default 1 ms. It is fixed when a directory is created;
    /// opening one with another length is an error, opening one without naming a length takes the directory's.
    #[must_use]
    pub fn tick_len(mut self, tick_len: Duration) -> Self {
        self.tick_len = Some(tick_len);
        self
    }

    /// Bytes of records that are not on the medium yet at most; beyond it calls are refused as `Busy`. One sixteenth is
    /// kept for deliveries, completions, failures and cancels. Default 16 MiB.
    #[must_use]
    pub fn buffer_bytes_max(mut self, buffer_bytes_max: usize) -> Self {
        self.buffer_bytes_max = buffer_bytes_max;
        self
    }

    /// The size of the first log segments, and the size up to which they grow while they fill in under ten seconds. They
    /// become smaller again when they do not. Default 1 MiB and 64 MiB.
    #[must_use]
    pub fn segment_bytes(mut self, min: u64, max: u64) -> Self {
        (self.segment_bytes_min, self.segment_bytes_max) = (min, max);
        self
    }

    /// Whether a directory that does not exist, or holds nothing, becomes a new one. Default yes.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// The source of time. Default: the system's clocks.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Who is told how far an opening is, on the thread that opens, before there is an engine. Default: nobody.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path();
    /// let say = |progress: horolog::Progress| eprintln!("{:?}: {} of {}", progress.step, progress.done, progress.total);
    /// let engine = horolog::Options::new().on_progress(say).open(path)?;
    /// eprintln!("opened in {}", engine.opening_times());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn on_progress(mut self, watch: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.watcher = Watcher(Some(Arc::new(watch)));
        self
    }

    /// Opens a directory: see [`Engine::open`].
    ///
    /// # Errors
    ///
    /// As [`Engine::open`], and [`OpenError::BadOption`].
    pub fn open(self, path: impl AsRef<Path>) -> Result<Engine, OpenError> {
        Engine::open_with(path.as_ref(), self)
    }

    pub(crate) fn validate(&self) -> Result<(), BadOption> {
        let range = |option, value: u64, min: u64, max: u64| {
            if (min..=max).contains(&value) { Ok(()) } else { Err(BadOption { option, value, min, max }) }
        };
        let buffer = self.buffer_bytes_max as u64;
        range("timers_max", self.limits.timers_max as u64, 1, u64::from(u32::MAX) - 1)?;
        range("due_capacity", self.due_capacity as u64, 1, 1 << 20)?;
        range("buffer_bytes_max", buffer, 64 << 10, 64 << 20)?;
        range("payload_bytes_max", self.limits.payload_bytes_max as u64, 0, buffer / 4)?;
        range("segment_bytes_min", self.segment_bytes_min, 64 << 10, 1 << 30)?;
        range("segment_bytes_max", self.segment_bytes_max, self.segment_bytes_min, 4 << 30)?;
        if let Some(tick_len) = self.tick_len {
            let ns = u64::try_from(tick_len.as_nanos()).unwrap_or(u64::MAX);
            range("tick_len_ns", ns, 1_000, 60_000_000_000)?;
        }
        Ok(())
    }

    /// The tick length of a directory that has one, or the one asked for, or the default.
    pub(crate) fn agree_on_tick_len(&self, found: Option<TickLen>) -> Result<TickLen, OpenError> {
        let ns = |asked: Duration| u64::try_from(asked.as_nanos()).unwrap_or(u64::MAX);
        match (found, self.tick_len.and_then(|asked| TickLen::from_ns(ns(asked)))) {
            (Some(found), Some(asked)) if found != asked => {
                let duration = |len: TickLen| Duration::from_nanos(len.ns());
                Err(OpenError::TickLen { found: duration(found), asked: duration(asked) })
            }
            (Some(len), _) | (None, Some(len)) => Ok(len),
            (None, None) => Ok(TickLen::MILLISECOND),
        }
    }
}
