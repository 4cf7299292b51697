//! What a peer has to be able to do.

use std::path::PathBuf;

use crate::data::{Entry, Loaded};

/// Timers that are stored with one sync where many are stored at once.
pub(crate) const BULK_BATCH: usize = 1_000;

/// Where a store is opened, and for what.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The store has it alone.
    pub(crate) dir: PathBuf,
    /// So many timers will be stored, about: for who has to say it beforehand.
    pub(crate) timers: usize,
    /// False only while the row of restarts is prepared: a server may then leave out its syncs.
    pub(crate) is_synced: bool,
}

/// A directory with timers, opened. Dropping it closes it in order.
pub(crate) trait Store: Sync {
    /// A way in for one thread.
    fn caller(&self) -> Box<dyn Caller + '_>;

    /// Makes all timers that are stored ready to fire.
    fn load(&self) -> Loaded;

    /// Is this timer stored as it was handed in? `name` is what [`Caller::schedule`] gave for it.
    fn holds(&self, name: u64, entry: &Entry) -> bool;

    /// Stores many; all are durable when it returns.
    fn bulk(&self, entries: &[Entry]) {
        let mut caller = self.caller();
        for batch in entries.chunks(BULK_BATCH) {
            caller.batch(batch);
        }
    }

    /// The same, as cheaply as the peer can: it may sync once, at the end.
    fn bulk_once(&self, entries: &[Entry]) {
        self.caller().batch(entries);
    }

    /// Puts the directory in the form that is opened soonest, if there is a call for that.
    fn tidy(&self) {}
}

/// A thread's way into a store.
pub(crate) trait Caller: Send {
    /// Stores one timer; it is durable when this returns. The name is the store's, or the id.
    fn schedule(&mut self, entry: &Entry) -> u64;

    /// Stores some with one sync; all are durable when this returns.
    fn batch(&mut self, entries: &[Entry]);
}
