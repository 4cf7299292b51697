//! How far the reading of a directory is.

/// What is being done. The steps come in this order, and any of them may have nothing to do. While a directory changes under
/// its reader, or when a snapshot turns out to be rotten, steps come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecoveryStep {
    /// Every byte of the log is checked. In bytes of segment files.
    Check,
    /// A snapshot is loaded. In bytes of its file.
    Snapshot,
    /// The records behind it are applied. In records.
    Replay,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The step.
    pub step: RecoveryStep,
    /// How much of it is done. A step that begins says 0, and one that is over without an error says `total`.
    pub done: u64,
    /// How much there is to do.
    pub total: u64,
}

/// One step as it goes on, and who is told.
pub(crate) struct Watched<'a> {
    watch: &'a mut dyn FnMut(Progress),
    now: Progress,
}

impl<'a> Watched<'a> {
    pub(crate) fn begin(watch: &'a mut dyn FnMut(Progress), step: RecoveryStep, total: u64) -> Self {
        let now = Progress { step, done: 0, total };
        watch(now);
        Self { watch, now }
    }

    /// So much more is done.
    pub(crate) fn advance(&mut self, more: u64) {
        self.now.done = self.now.done.saturating_add(more).min(self.now.total);
        (self.watch)(self.now);
    }

    /// All of it is done.
    pub(crate) fn end(mut self) {
        self.advance(u64::MAX);
    }
}
