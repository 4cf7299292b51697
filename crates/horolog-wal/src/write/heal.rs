//! Going on after a failed write or sync, in the same process.
//!
//! What was not durable may be lost, whatever the page cache shows: a failed sync marks pages clean that never reached the
//! medium. Nothing of it is read back. The owner still has the records, and they are written again, to a fresh segment that
//! is linked where the durable part ends. What the failed segment holds behind that place is ignored for ever, and the failed
//! files (the segment, META) are neither written nor synced again.
//!
//! As with an opening, nothing counts before META calls the fresh segment the head. A crash before that leaves what the
//! failure left; a crash after it, the healed log. An error on the way leaves the writer as it was: failed, and to be
//! healed again.

use std::collections::VecDeque;
use std::sync::Arc;

use super::meta::MetaWriter;
use super::retire::Linked;
use super::spare::{BlankSegment, Made};
use super::sync::{Shared, Syncer};
use super::writer::{Segment, Writer, push_link};
use crate::batch_buf::BatchBuf;
use crate::error::{LogError, Misuse};
use crate::format::batch::BatchFlags;
use crate::format::internal::LinkReason;
use crate::format::{BLOCK_LEN, block_offset};
use crate::lsn::Lsn;
use crate::planted::{Bug, is_planted};
use crate::read::segment_name;

impl Writer {
    /// Continues a poisoned log in a fresh segment: everything up to `durable` stays as it is, and `batches` hold every
    /// record after it, in order, written or not. Batches that the log knows to be durable, after a rotation that the owner
    /// has not heard of, are passed over.
    ///
    /// When this returns, all of them are durable, and the writer goes on behind them, with the [`Syncer`] returned here;
    /// earlier ones stay poisoned. Nobody may be inside a call of one of them.
    ///
    /// # Errors
    ///
    /// [`Misuse::NothingToHeal`] if nothing has failed, or if `durable` is not the end of a batch that was ever written.
    /// Anything else: the log is poisoned as before, and this can be tried again.
    pub fn heal(
        &mut self,
        batches: &mut [&mut BatchBuf],
        durable: Lsn,
        now_ms: u64,
    ) -> Result<Syncer, LogError> {
        let ends_there = |lsn| self.ends.iter().any(|end| end.last_lsn == lsn);
        if !self.is_poisoned() || (durable > self.durable && !ends_there(durable)) {
            return Err(LogError::Misuse(Misuse::NothingToHeal));
        }
        for batch in batches.iter_mut() {
            self.check_batch(batch)?;
        }
        self.learn(if is_planted(Bug::HealedBehindWritten) { self.tail } else { durable });
        let batches = self.not_durable(batches, durable)?;
        let (blank, newest_kept) = (self.blank_for(batches)?, self.segment.id());
        let (made, meta) = blank.make_announced(self.shared.last_meta(), newest_kept)?;
        let mut healed = self.continued_in(&made, meta, now_ms);
        healed.write_healed(batches)?;
        healed.remove_behind(self.durable_end.segment);
        let syncer = Syncer { shared: Arc::clone(&healed.shared) };
        *self = healed;
        Ok(syncer)
    }

    /// Those of the batches behind `from` that begin behind what is durable.
    fn not_durable<'a, 'b>(
        &self,
        batches: &'a mut [&'b mut BatchBuf],
        from: Lsn,
    ) -> Result<&'a mut [&'b mut BatchBuf], LogError> {
        let mut end = from;
        let mut known = 0;
        while end < self.durable
            && let Some(batch) = batches.get(known)
        {
            end = Lsn(end.0 + batch.lsn_count());
            known += 1;
        }
        match batches.split_at_mut_checked(known) {
            Some((_, rest)) if end == self.durable => Ok(rest),
            _ => Err(LogError::Misuse(Misuse::NothingToHeal)),
        }
    }

    /// Large enough for everything, so that nothing is rotated while the log is healed.
    fn blank_for(&mut self, batches: &[&mut BatchBuf]) -> Result<BlankSegment, LogError> {
        let bytes = batches.iter().map(|batch| batch.disk_bytes()).sum::<u64>() + u64::from(BLOCK_LEN);
        let blocks = self.options.segment_blocks(block_offset(self.segment.capacity_blocks()), bytes);
        Ok(self.blank(blocks.ok_or(LogError::Misuse(Misuse::SegmentSize))?))
    }

    /// This writer as it was when everything up to `durable` had been written, in another file.
    fn continued_in(&self, made: &Made, meta: MetaWriter, now_ms: u64) -> Self {
        Self {
            storage: Arc::clone(&self.storage),
            options: self.options.clone(),
            shared: Arc::new(Shared::new(made.current(), meta, self.shared.rotten())),
            uuid: self.uuid,
            epoch: self.epoch,
            next_id: self.next_id,
            next_snapshot: self.next_snapshot,
            segment: Segment::new(made, now_ms),
            tail: self.durable,
            chain: self.durable_end.chain,
            durable: self.durable,
            durable_end: self.durable_end,
            ends: VecDeque::new(),
            engine_tick: self.engine_tick,
            now_ms: self.now_ms.max(now_ms),
            spares: VecDeque::new(),
            chain_before: self.linked_up_to_the_end(),
            recycled: self.recycled.clone(),
            token: Arc::new(()),
        }
    }

    /// The segments that the fresh one leads to: those up to the one in which the durable part ends.
    fn linked_up_to_the_end(&self) -> Vec<Linked> {
        let end = self.durable_end;
        let mut linked: Vec<_> = self.chain_before.iter().copied().filter(|it| it.id < end.segment).collect();
        let before = self.chain_before.iter().copied().chain([self.linked(end.last_lsn)]);
        let holder = before.filter(|it| it.id == end.segment);
        linked.extend(holder.map(|it| Linked { last_lsn: end.last_lsn, ..it }));
        linked
    }

    /// Removes what came between the segment in which the durable part had ended and this one: spares, the failed segment, and
    /// those of attempts to heal it. Both pairs of slots have forgotten them, and the next opening finds what cannot be
    /// removed now.
    fn remove_behind(&self, durable_end: u64) {
        for id in durable_end + 1..self.segment.id() {
            let _ = self.storage.remove(&segment_name(id));
        }
    }

    fn write_healed(&mut self, batches: &mut [&mut BatchBuf]) -> Result<(), LogError> {
        let mut link = BatchBuf::new();
        push_link(&mut link, self.durable_end, self.epoch, LinkReason::Healed);
        self.write(&mut link, BatchFlags::LINK)?;
        for batch in batches {
            self.write(batch, BatchFlags::NONE)?;
        }
        let head = self.segment.id();
        self.shared.sync()?;
        self.learn(self.tail);
        self.durable_end = self.end();
        let tail = self.tail;
        self.shared.update_meta(|meta| {
            meta.witness(tail, head)?;
            meta.confirm()
        })
    }
}
