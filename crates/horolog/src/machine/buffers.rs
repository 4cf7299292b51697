//! Records between `apply` and the medium: the open batch, closed ones, and written ones that are not synced yet.
//!
//! # Invariants (asserted by [`Buffers::check`])
//!
//! 1. Batches hold dense LSNs in the order open after closed after writing after unsynced.
//! 2. `bytes` is the sum of the bytes of all of them and never exceeds `bytes_max`.

use std::collections::VecDeque;
use std::sync::Arc;

use horolog_state::{Lsn, Record, codec};
use horolog_wal::{BatchBuf, LogError};

/// A batch on its way, and the records it holds.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Its first record.
    pub(crate) first: Lsn,
    /// How many records it holds.
    pub(crate) count: u64,
    /// Their bytes.
    pub(crate) buf: BatchBuf,
}

impl Batch {
    /// Its last record.
    pub(crate) fn last(&self) -> Lsn {
        Lsn(self.first.0 + self.count.saturating_sub(1))
    }
}

/// Who asks for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// New work. It is refused first.
    Ordinary,
    /// What brings work to its end: deliveries, completions, failures, cancels. It may use the reserve.
    Reserved,
}

/// No room is left for a record.
#[derive(Clone, Debug)]
pub(crate) enum NoRoom {
    /// In memory: it comes back as batches are synced.
    Buffer { unsynced_bytes: usize, bytes_max: usize },
    /// On the disk: it comes back when somebody makes room.
    Disk(Arc<LogError>),
}

#[derive(Debug)]
pub(crate) struct Buffers {
    open: Option<Batch>,
    closed: VecDeque<Batch>,
    /// Bytes of the batches that a hand has.
    writing_bytes: usize,
    unsynced: VecDeque<Batch>,
    pool: Vec<BatchBuf>,
    /// For the next batch, which is larger than others.
    reserved: Option<BatchBuf>,
    discarded: Vec<BatchBuf>,
    bytes: usize,
    bytes_max: usize,
    batch_bytes: usize,
}

/// Batches kept for reuse. Fewer would be made anew, and touched anew, while records pour in (10 % of a bulk submit).
const POOL_MAX: usize = 16;

/// The batch size at which a new batch is begun. Larger ones gain nothing (a sync of 1 MiB costs a few of 64 KiB).
pub(crate) const BATCH_BYTES: usize = 256 << 10;

/// Taken from the allocator at once, and touched as far as it is filled: growing would copy it under the lock.
pub(crate) const BATCH_CAPACITY: usize = BATCH_BYTES + (64 << 10);

impl Buffers {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            open: None,
            closed: VecDeque::new(),
            writing_bytes: 0,
            unsynced: VecDeque::new(),
            pool: Vec::new(),
            reserved: None,
            discarded: Vec::new(),
            bytes: 0,
            bytes_max,
            batch_bytes: BATCH_BYTES,
        }
    }

    /// Whether a record of at most `bytes` bytes finds room.
    pub(crate) fn room(&self, bytes: usize, room: Room) -> Result<(), NoRoom> {
        let bytes_max = self.bytes_max(room);
        if self.bytes + bytes <= bytes_max {
            Ok(())
        } else {
            Err(NoRoom::Buffer { unsynced_bytes: self.bytes, bytes_max })
        }
    }

    /// How many bytes there may be when such a record is added.
    pub(crate) fn bytes_max(&self, room: Room) -> usize {
        match room {
            Room::Ordinary => self.bytes_max - self.bytes_max / 16,
            Room::Reserved => self.bytes_max,
        }
    }

    /// Whether more than half of the room is taken by records that are written or to be written: time to sync, whatever
    /// was promised.
    pub(crate) fn is_pressed(&self) -> bool {
        self.bytes > self.bytes_max / 2
    }

    /// Closes the open batch if it is large enough. Called between commands only: what one command writes stays in one
    /// batch, and so happens whole or not at all.
    pub(crate) fn seam(&mut self) {
        if self.open.as_ref().is_some_and(|batch| batch.buf.len_bytes() >= self.batch_bytes)
            && let Some(batch) = self.open.take()
        {
            self.closed.push_back(batch);
        }
    }

    /// Makes sure that so many bytes fit the open batch without growing it. They are pushed next.
    pub(crate) fn prepare(&mut self, bytes: usize) {
        let fits = |batch: &Batch| batch.buf.len_bytes() + bytes <= batch.buf.capacity_bytes();
        if self.open.as_ref().is_some_and(|batch| !fits(batch))
            && let Some(batch) = self.open.take()
        {
            self.closed.push_back(batch);
        }
        if self.open.is_none() && bytes > BATCH_CAPACITY {
            self.reserved = Some(BatchBuf::with_capacity(bytes));
        }
    }

    /// Encodes a record into the open batch. A payload that is shared stays where it is until a hand writes the batch.
    pub(crate) fn push(&mut self, lsn: Lsn, record: &Record<'_>) {
        let (pool, reserved) = (&mut self.pool, &mut self.reserved);
        let batch = self.open.get_or_insert_with(|| {
            let ready = reserved.take().or_else(|| pool.pop());
            let buf = ready.unwrap_or_else(|| BatchBuf::with_capacity(BATCH_CAPACITY));
            Batch { first: lsn, count: 0, buf }
        });
        let kind = record.kind().code();
        self.bytes += batch.buf.push_with_tail(kind, 0, |out| codec::encode_head(record, out));
        batch.count += 1;
    }

    /// Whether there is anything to write.
    pub(crate) fn has_unwritten(&self) -> bool {
        self.open.is_some() || !self.closed.is_empty()
    }

    /// The bytes that the next batch to write takes on disk, as it is now.
    pub(crate) fn next_disk_bytes(&self) -> Option<u64> {
        self.closed.front().or(self.open.as_ref()).map(|batch| batch.buf.disk_bytes())
    }

    /// All that is written and not durable, to be lent to the hand that writes the batch taken before.
    pub(crate) fn lend_unsynced(&mut self) -> VecDeque<Batch> {
        self.writing_bytes += self.unsynced.iter().map(|batch| batch.buf.len_bytes()).sum::<usize>();
        std::mem::take(&mut self.unsynced)
    }

    /// The next batch to write.
    pub(crate) fn take(&mut self) -> Option<Batch> {
        let batch = self.closed.pop_front().or_else(|| self.open.take())?;
        self.writing_bytes = batch.buf.len_bytes();
        Some(batch)
    }

    /// The batch taken was written. Its bytes are kept until it is durable. What was lent comes back.
    pub(crate) fn written(&mut self, batch: Batch, lent: VecDeque<Batch>) {
        self.take_back(lent);
        self.unsynced.push_back(batch);
    }

    /// The batch taken could not be written. Its bytes are kept: memory is never rolled back. What was lent comes back.
    pub(crate) fn not_written(&mut self, batch: Batch, lent: VecDeque<Batch>) {
        self.take_back(lent);
        self.closed.push_front(batch);
    }

    /// Nothing was written in the meantime, since one batch is written at a time.
    fn take_back(&mut self, lent: VecDeque<Batch>) {
        self.writing_bytes = 0;
        if !lent.is_empty() {
            self.unsynced = lent;
        }
    }

    /// All batches, to be written anew; what comes from now on is behind them.
    pub(crate) fn take_all(&mut self) -> Vec<Batch> {
        let mut all: Vec<Batch> = self.unsynced.drain(..).collect();
        all.extend(self.closed.drain(..));
        all.extend(self.open.take());
        self.writing_bytes = self.bytes;
        all
    }

    /// The batches taken were not written, or may not have been.
    pub(crate) fn put_back(&mut self, batches: Vec<Batch>) {
        self.writing_bytes = 0;
        for batch in batches.into_iter().rev() {
            self.closed.push_front(batch);
        }
    }

    /// The batches taken are on the medium.
    pub(crate) fn healed(&mut self, batches: Vec<Batch>) {
        self.bytes -= self.writing_bytes;
        self.writing_bytes = 0;
        self.discarded.extend(batches.into_iter().map(|batch| batch.buf));
    }

    /// Everything up to `durable` is on the medium; its bytes are let go. Says whether room came back.
    pub(crate) fn synced(&mut self, durable: Lsn) -> bool {
        let before = self.bytes;
        while self.unsynced.front().is_some_and(|batch| batch.last() <= durable) {
            let Some(batch) = self.unsynced.pop_front() else { break };
            self.bytes -= batch.buf.len_bytes();
            let mut buf = batch.buf;
            let fits = (BATCH_CAPACITY..=2 * BATCH_CAPACITY).contains(&buf.capacity_bytes());
            if self.pool.len() < POOL_MAX && fits {
                buf.clear();
                self.pool.push(buf);
            } else {
                self.discarded.push(buf);
            }
        }
        self.bytes < before
    }

    /// Buffers of no more use. Freeing megabytes takes longer than the lock may be held.
    pub(crate) fn take_discarded(&mut self) -> Vec<BatchBuf> {
        std::mem::take(&mut self.discarded)
    }

    /// Bytes of records that are not durable yet.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Buffers that wait to be used.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.pool.len() + usize::from(self.reserved.is_some())
    }

    #[cfg(test)]
    pub(crate) fn open_capacity_bytes(&self) -> Option<usize> {
        self.open.as_ref().map(|batch| batch.buf.capacity_bytes())
    }

    /// Asserts the invariants of the module.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let batches = || self.unsynced.iter().chain(&self.closed).chain(&self.open);
        let mut last: Option<Lsn> = None;
        for batch in batches() {
            let gap_is_being_written = self.writing_bytes > 0;
            if last.is_some_and(|last| batch.first != last.next()) && !gap_is_being_written {
                return Err("I1: batches are not dense");
            }
            last = Some(batch.last());
        }
        let sum: usize = batches().map(|batch| batch.buf.len_bytes()).sum();
        if sum + self.writing_bytes != self.bytes || self.bytes > self.bytes_max {
            return Err("I2: bytes does not add up");
        }
        Ok(())
    }
}
