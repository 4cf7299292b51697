//! Letting go of segments that nobody needs any more, and using their files again.
//!
//! A segment is retired when its owner has what was in it elsewhere: all of its records are below some LSN that no reader
//! will ask for again. META then says that the log begins later, in both pairs of slots; only after that is a file touched.
//!
//! A file of the size that is wanted is used again: it gets another id, another salt and another name, and needs no zeros.
//! What is left in it of its earlier life fails by the context of every batch header (`docs/format.md`). Files wait for
//! that under their old names, listed nowhere; a crash leaves them to be removed by the next opening.

use std::sync::Arc;

use horolog_storage::Storage;

use super::sync::Shared;
use super::writer::Writer;
use crate::error::LogError;
use crate::lsn::Lsn;
use crate::read::segment_name;

/// Files wait for another use, so many at most.
const RECYCLED_MAX: usize = 4;

/// A segment of the chain, before the one that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Linked {
    pub(super) id: u64,
    /// The last LSN that counts there.
    pub(super) last_lsn: Lsn,
    pub(super) capacity_blocks: u32,
}

/// Segments to be let go, by any thread, without any lock.
///
/// Dropping the plan does nothing: the log still begins where META says. Once a later plan was carried out, the next opening
/// removes the files of this one as well.
#[derive(Debug)]
pub struct RetirePlan {
    storage: Arc<dyn Storage>,
    shared: Arc<Shared>,
    /// Where the log begins from now on.
    first: u64,
    segments: Vec<Linked>,
    /// How many of their files are kept.
    keep: usize,
}

/// Files that may be used again. Those of one that is dropped are removed by the next opening.
#[derive(Debug)]
pub struct Retired {
    files: Vec<Linked>,
}

impl RetirePlan {
    /// How many segments are let go.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Says in META that the log begins later, and removes the files that are not used again. Durable when it returns: the
    /// log has forgotten them, and a crash brings at most their files back, as files that nobody lists.
    ///
    /// # Errors
    ///
    /// An error of META poisons the log. A file that cannot be removed is left to the next opening.
    pub fn carry_out(self) -> Result<Retired, LogError> {
        self.shared.retire(self.first)?;
        // The newest are the largest, while a log grows.
        let mut files = self.segments;
        let kept = files.split_off(files.len().saturating_sub(self.keep));
        for segment in files {
            let _ = self.storage.remove(&segment_name(segment.id));
        }
        Ok(Retired { files: kept })
    }
}

impl Writer {
    /// A plan to let go of all segments whose records are all below `lsn`. `None` if there is none. The segment that is written
    /// stays, and so does the one that META still calls the head.
    ///
    /// The caller promises that nobody will read what is below `lsn` again: from then on [`crate::LogView::first_lsn`] is
    /// higher.
    #[must_use]
    pub fn retire_below(&mut self, lsn: Lsn) -> Option<RetirePlan> {
        let head = self.shared.durable_head();
        let count = self.chain_before.iter().take_while(|it| it.last_lsn < lsn && it.id < head).count();
        if count == 0 || self.is_poisoned() {
            return None;
        }
        let segments: Vec<_> = self.chain_before.drain(..count).collect();
        let first = self.chain_before.first().map_or(self.segment.id(), |next| next.id);
        let keep = RECYCLED_MAX.saturating_sub(self.recycled.len());
        let (storage, shared) = (Arc::clone(&self.storage), Arc::clone(&self.shared));
        Some(RetirePlan { storage, shared, first, segments, keep })
    }

    /// Gives the files of retired segments to the writer, for its next spares.
    pub fn offer_retired(&mut self, retired: Retired) {
        self.recycled.extend(retired.files);
        let too_many = self.recycled.len().saturating_sub(RECYCLED_MAX);
        for segment in self.recycled.drain(..too_many) {
            let _ = self.storage.remove(&segment_name(segment.id));
        }
    }

    /// A file of exactly this size, to be used again.
    pub(super) fn take_recycled(&mut self, blocks: u32) -> Option<u64> {
        let at = self.recycled.iter().position(|it| it.capacity_blocks == blocks)?;
        Some(self.recycled.remove(at).id)
    }
}
