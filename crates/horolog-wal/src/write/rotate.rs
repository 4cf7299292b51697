//! Going on in another segment when a batch does not fit any more.
//!
//! The full segment gets its SEAL, and the next one begins with a LINK. A LINK names only what is durable; but nothing here may
//! wait for the medium, for a sync can take seconds, and deliveries are written meanwhile. So the LINK names the end of the
//! durable part, somewhere in the full segment, and the records behind it are written once more, **in one batch with the
//! LINK**. That batch is valid as a whole or not at all:
//!
//! - If it is not, because a crash came first, the full segment is the head. It has all that was ever durable: nothing behind
//!   it was synced.
//! - If it is, durable or not, the next segment is the head. It has all records, also those that a sync of the full segment, begun
//!   before, makes durable later.
//!
//! So a record that went along becomes durable in the one place or in the other, and a sync vouches for that of its own segment
//! only. `Writer::learn` takes care of both sides: a later LINK names no place in the next segment before a sync of that one
//! has returned, and none in the full one after that.
//!
//! The log waits for a sync of the full segment all the same, and the LINK names its SEAL, if
//!
//! 1. the owner has not given the records that are not durable (`Writer::append`, `Writer::mark`),
//! 2. the durable part does not end in the full segment, because no sync of it has returned yet, or
//! 3. no spare has room for the records and the batch.

use super::spare::{Made, Spare};
use super::writer::{Segment, Writer, push_link};
use crate::batch_buf::BatchBuf;
use crate::error::{LogError, Misuse};
use crate::format::BLOCK_LEN;
use crate::format::batch::BatchFlags;
use crate::format::internal::LinkReason;
use crate::format::meta::Listed;
use crate::lsn::Lsn;
use crate::planted::{Bug, is_planted};
use crate::read::Boundary;

impl Writer {
    /// Goes to another segment if a batch of so many bytes does not fit into this one. `unsynced` has the batches behind
    /// `known`, or nothing. Gives the bytes of the first batch of the other segment.
    ///
    /// The next segment is complete and listed before the SEAL is written: a full disk is met while there is still
    /// nothing to undo.
    pub(super) fn make_room(
        &mut self,
        batch_bytes: u64,
        unsynced: &[&BatchBuf],
        known: Lsn,
    ) -> Result<Option<u64>, LogError> {
        if batch_bytes <= self.room_bytes() {
            return Ok(None);
        }
        let first = match self.first_batch(unsynced, known, batch_bytes) {
            Some(mut first) => {
                let next = self.take_spare(first.disk_bytes() + batch_bytes)?;
                self.write_seal()?;
                self.go_on_in(&next, self.durable_end, &mut first)?;
                first
            }
            None => {
                let next = self.take_spare(u64::from(BLOCK_LEN) + batch_bytes)?;
                self.write_seal()?;
                if !is_planted(Bug::SealedNotSynced) {
                    self.shared.sync()?;
                }
                self.learn(self.tail);
                let mut first = self.link_to(self.end());
                self.go_on_in(&next, self.end(), &mut first)?;
                first
            }
        };
        Ok(Some(first.disk_bytes()))
    }

    /// A LINK to the end of the durable part and everything behind it; `None` if the log has to wait for a sync.
    fn first_batch(&self, unsynced: &[&BatchBuf], known: Lsn, batch_bytes: u64) -> Option<BatchBuf> {
        let end = self.durable_end;
        let ends_here = end.segment == self.segment.id() && end.last_lsn == self.durable;
        if !ends_here || is_planted(Bug::SealedNotSynced) {
            return None;
        }
        let records = self.behind_durable(unsynced, known)?;
        let record_bytes = records.iter().map(|batch| batch.len_bytes()).sum();
        let mut first = self.link_to(end);
        let needed = first.disk_bytes_with(record_bytes) + batch_bytes;
        let fits = |spare: &Spare| Segment::new(&spare.segment, 0).has_room_for(needed);
        if !records.is_empty() && !self.spares.iter().any(fits) {
            return None;
        }
        first.reserve(record_bytes);
        records.iter().all(|batch| first.copy_all(batch)).then_some(first)
    }

    /// The batches that are not durable; `None` unless they go up to the tail. An owner who knows less than the log has some
    /// besides.
    fn behind_durable<'a, 'b>(&self, unsynced: &'a [&'b BatchBuf], known: Lsn) -> Option<&'a [&'b BatchBuf]> {
        if self.durable == self.tail {
            return Some(&[]);
        }
        let mut end = known.0;
        let mut ends = unsynced.iter().map(|batch| {
            end += batch.lsn_count();
            end
        });
        let begin = if known == self.durable { 0 } else { ends.position(|end| end == self.durable.0)? + 1 };
        let behind = unsynced.get(begin..)?;
        let count: u64 = behind.iter().map(|batch| batch.lsn_count()).sum();
        (self.durable.0 + count == self.tail.0).then_some(behind)
    }

    fn link_to(&self, before: Boundary) -> BatchBuf {
        let mut first = BatchBuf::new();
        push_link(&mut first, before, self.epoch, LinkReason::Rotated);
        first
    }

    /// Writes the first batch of the next segment, and then everything there.
    fn go_on_in(&mut self, next: &Made, before: Boundary, first: &mut BatchBuf) -> Result<(), LogError> {
        self.chain_before.push(self.linked(before.last_lsn));
        self.segment = Segment::new(next, self.now_ms);
        let tail = std::mem::replace(&mut self.tail, before.last_lsn);
        self.chain = before.chain;
        if let Err(error) = self.write(first, BatchFlags::LINK) {
            self.tail = tail;
            return Err(error);
        }
        self.shared.go_on_in(next.current());
        Ok(())
    }

    /// The next spare that is large enough, or a segment made on the spot, with so much room behind its header.
    fn take_spare(&mut self, needed: u64) -> Result<Made, LogError> {
        while let Some(spare) = self.spares.pop_front() {
            // The new segment must have room for its SEAL from the start.
            if Segment::new(&spare.segment, 0).has_room_for(needed) {
                return Ok(spare.segment);
            }
            self.shared.drop_segment(spare.segment.header.segment_id);
        }
        let blocks = self.options.segment_blocks(self.next_segment_bytes(), needed);
        let blank = self.blank(blocks.ok_or(LogError::Misuse(Misuse::SegmentSize))?);
        let made = match self.shared.noting_room(blank.make(|error| self.shared.fail(error))) {
            // There may be room later. Nothing else gets better by waiting, and the owner has a batch to write.
            Err(LogError::Storage(error)) if !error.is_full() => return Err(self.shared.fail(error)),
            made => made?,
        };
        self.shared.list(Listed::of(&made.header))?;
        Ok(made)
    }

    fn write_seal(&mut self) -> Result<(), LogError> {
        let mut seal = self.segment.seal(self.tail, self.chain);
        self.write(&mut seal, BatchFlags::SEAL)
    }
}
