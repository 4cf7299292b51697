//! The one hand that writes.

use std::collections::VecDeque;
use std::sync::Arc;

use horolog_storage::{File, Storage};

use super::retire::Linked;
use super::spare::{BlankSegment, Made, Spare, SparePlan};
use super::sync::Shared;
use crate::batch_buf::BatchBuf;
use crate::error::{LogError, Misuse};
use crate::format::batch::{BatchFlags, BatchHeader, Context};
use crate::format::internal::{LINK_KIND, Link, LinkReason, SEAL_KIND, Seal};
use crate::format::meta::Listed;
use crate::format::{BATCH_HEADER_LEN, BLOCK_LEN, RECORD_HEADER_LEN, block_offset};
use crate::lsn::Lsn;
use crate::options::LogOptions;
use crate::planted::{Bug, is_planted};
use crate::read::Boundary;

/// A segment that fills in less than this is followed by one of twice its size.
const FAST_FILL_MS: u64 = 10_000;

/// What the owner says about a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// The LSN of the first record: the tail + 1, or the log has another owner.
    pub first_lsn: Lsn,
    /// The highest LSN the owner knows to be durable now: the end of a batch, or 0.
    pub durable_lsn: Lsn,
    /// The engine's last tick.
    pub engine_tick: u64,
    /// Zero in version 0.
    pub flags: u16,
}

/// What an append did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The bytes of the batch on disk, padding included, and of what went along to another segment.
    pub bytes: u64,
    /// Whether a new segment was begun for it.
    pub rotated: bool,
}

/// The one hand that writes the log.
///
/// After a failed write or sync it refuses everything with [`LogError::Poisoned`]. The records that were not synced are
/// still with the owner; [`Writer::heal`] goes on with them in a new file, and so does a new process that opens the log.
#[derive(Debug)]
pub struct Writer {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) options: LogOptions,
    pub(super) shared: Arc<Shared>,
    pub(super) uuid: u128,
    pub(super) epoch: u64,
    pub(super) next_id: u64,
    pub(super) next_snapshot: u64,
    pub(super) segment: Segment,
    pub(super) tail: Lsn,
    /// The chain value of the last batch.
    pub(super) chain: u64,
    pub(super) durable: Lsn,
    /// The batch that ends with `durable`: where the log is continued should what follows be lost.
    pub(super) durable_end: Boundary,
    /// Where batches end behind `durable_end`: the only LSNs beyond `durable` that may be stamped.
    pub(super) ends: VecDeque<Boundary>,
    pub(super) engine_tick: u64,
    pub(super) now_ms: u64,
    /// In the order of their ids, which is the order of their use. The last one is the reserve: it is asked for as soon
    /// as it is missing, so that a disk that runs full leaves room for the work that is going on.
    pub(super) spares: VecDeque<Spare>,
    /// The segments before the one that is written, oldest first.
    pub(super) chain_before: Vec<Linked>,
    /// Retired segments whose files are used again.
    pub(super) recycled: Vec<Linked>,
    pub(super) token: Arc<()>,
}

/// The segment that is being written.
#[derive(Debug)]
pub(super) struct Segment {
    file: Arc<dyn File>,
    listed: Listed,
    context: Context,
    next_block: u32,
    /// Where its batches begin, for the SEAL.
    blocks: Vec<u32>,
    begun_ms: u64,
}

impl Segment {
    pub(super) fn new(made: &Made, begun_ms: u64) -> Self {
        Self {
            file: Arc::clone(&made.file),
            listed: Listed::of(&made.header),
            context: Context::of(&made.header),
            next_block: 1,
            blocks: Vec::new(),
            begun_ms,
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.listed.segment_id
    }

    pub(super) fn capacity_blocks(&self) -> u32 {
        self.listed.capacity_blocks
    }

    /// Its entry in META.
    pub(super) fn listed(&self) -> Listed {
        self.listed
    }

    /// The room for one more batch, with a SEAL behind it.
    fn room_bytes(&self) -> u64 {
        let taken = u64::from(self.next_block) + seal_blocks(self.blocks.len() + 1);
        u64::from(self.capacity_blocks()).saturating_sub(taken) * u64::from(BLOCK_LEN)
    }

    pub(super) fn has_room_for(&self, batch_bytes: u64) -> bool {
        batch_bytes <= self.room_bytes()
    }

    /// The SEAL behind a batch that ends so.
    pub(super) fn seal(&mut self, last_lsn: Lsn, chain: u64) -> BatchBuf {
        let seal = Seal { last_lsn, chain, blocks: std::mem::take(&mut self.blocks) };
        let mut batch = BatchBuf::new();
        batch.push_internal(SEAL_KIND, |body| seal.encode(body));
        self.blocks = seal.blocks;
        batch
    }
}

/// The blocks of a SEAL for so many batches.
fn seal_blocks(batches: usize) -> u64 {
    let bytes = (BATCH_HEADER_LEN + RECORD_HEADER_LEN) as u64 + Seal::body_len(batches);
    bytes.div_ceil(u64::from(BLOCK_LEN))
}

impl Writer {
    /// Writes one batch in one write. It survives the death of the process when this returns, and a power cut after a
    /// [`crate::Syncer::sync`] that began later.
    ///
    /// The buffer keeps its records; clear it before filling it again. `now_ms` is a clock that never goes
    /// back; it decides the size of the next segment and nothing else.
    ///
    /// If the log has to go on in another segment, what was appended and is not durable is synced first:
    /// [`Writer::append_beside_sync`] need not wait for that.
    ///
    /// # Errors
    ///
    /// [`LogError::OutOfOrder`], [`LogError::TooLarge`], [`LogError::Misuse`]: nothing was written, the writer is as before.
    /// [`LogError::Storage`] of a full disk, while a new segment was prepared: likewise. Any other [`LogError::Storage`]
    /// poisons; [`Writer::is_poisoned`] tells them apart.
    pub fn append(&mut self, batch: &mut BatchBuf, stamp: Stamp, now_ms: u64) -> Result<Appended, LogError> {
        self.append_beside_sync(batch, &[], stamp, now_ms)
    }

    /// As [`Writer::append`], for an owner who still has the batches behind `stamp.durable_lsn`: `unsynced`, in order, as they were
    /// appended. If the log has to go on in another segment, they go along (`write/rotate.rs`), and a sync that is
    /// running, however slow, holds nothing up; unless no sync of the full segment has returned yet, or no spare has room for them.
    ///
    /// # Errors
    ///
    /// As [`Writer::append`].
    pub fn append_beside_sync(
        &mut self,
        batch: &mut BatchBuf,
        unsynced: &[&BatchBuf],
        stamp: Stamp,
        now_ms: u64,
    ) -> Result<Appended, LogError> {
        self.shared.check()?;
        self.check_batch(batch)?;
        self.check_stamp(&stamp)?;
        self.now_ms = self.now_ms.max(now_ms);
        self.learn(stamp.durable_lsn);
        let bytes = batch.disk_bytes();
        let along = self.make_room(bytes, unsynced, stamp.durable_lsn)?;
        self.engine_tick = self.engine_tick.max(stamp.engine_tick);
        self.write(batch, BatchFlags::NONE)?;
        Ok(Appended { bytes: bytes + along.unwrap_or(0), rotated: along.is_some() })
    }

    /// Writes an empty batch that says what is durable: the evidence that keeps the last acknowledged batch from rotting
    /// unnoticed. `clean` says besides that the log was closed in order. Sync it like any other batch.
    ///
    /// # Errors
    ///
    /// As [`Writer::append`].
    pub fn mark(&mut self, durable: Lsn, engine_tick: u64, clean: bool) -> Result<Appended, LogError> {
        self.shared.check()?;
        let stamp = Stamp { first_lsn: self.tail.next(), durable_lsn: durable, engine_tick, flags: 0 };
        self.check_stamp(&stamp)?;
        self.learn(durable);
        let along = self.make_room(u64::from(BLOCK_LEN), &[], durable)?;
        self.engine_tick = self.engine_tick.max(engine_tick);
        let flags = if clean { BatchFlags::MARK.0 | BatchFlags::CLEAN.0 } else { BatchFlags::MARK.0 };
        self.write(&mut BatchBuf::new(), BatchFlags(flags))?;
        Ok(Appended { bytes: u64::from(BLOCK_LEN) + along.unwrap_or(0), rotated: along.is_some() })
    }

    /// The last LSN written.
    #[must_use]
    pub fn tail(&self) -> Lsn {
        self.tail
    }

    /// The number of this opening.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The identity of the log.
    #[must_use]
    pub fn uuid(&self) -> u128 {
        self.uuid
    }

    /// How many bytes a batch may take on disk without a rotation.
    #[must_use]
    pub fn room_bytes(&self) -> u64 {
        self.segment.room_bytes()
    }

    /// Whether a write or sync failed, here or in a [`crate::Syncer`].
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.shared.check().is_err()
    }

    /// Whether [`Writer::wants_spare`] would give a plan. Asking takes no segment id.
    #[must_use]
    pub fn needs_spare(&self) -> bool {
        // The writer and each spare hold the token; so does a plan that is being carried out.
        let none_about = Arc::strong_count(&self.token) == 1 + self.spares.len();
        none_about && self.spares.len() < self.spares_wanted() && !self.is_poisoned()
    }

    /// A plan for another segment, when there are fewer spares than there should be and no plan is about: one always, the
    /// reserve, and two once the current segment is half full.
    #[must_use]
    pub fn wants_spare(&mut self) -> Option<SparePlan> {
        if !self.needs_spare() {
            return None;
        }
        let blocks = self.spare_blocks()?;
        let blank = self.blank(blocks);
        Some(SparePlan { blank, shared: Arc::clone(&self.shared), token: Arc::clone(&self.token) })
    }

    /// Gives a prepared segment to the writer. One that comes too late, after a rotation that could not wait for it, is
    /// given up: the newest segment is the head, so ids are used in order.
    pub fn offer_spare(&mut self, spare: Spare) {
        let id = spare.segment.header.segment_id;
        let newest = self.spares.back().map_or(self.segment.id(), |spare| spare.segment.header.segment_id);
        if id > newest && spare.segment.header.epoch == self.epoch {
            self.spares.push_back(spare);
        } else {
            self.shared.drop_segment(id);
        }
    }

    fn spares_wanted(&self) -> usize {
        1 + usize::from(self.is_half_full())
    }

    /// After one that found no room it is a retired file, of whatever size, or as small as there can be.
    fn spare_blocks(&self) -> Option<u32> {
        let lacks_room = self.shared.lacks_room();
        if let Some(retired) = self.recycled.last().filter(|_| lacks_room) {
            return Some(retired.capacity_blocks);
        }
        let grows = lacks_room || self.is_half_full();
        let bytes = if grows { self.next_segment_bytes() } else { self.segment_bytes() };
        self.options.segment_blocks(bytes, 0)
    }

    fn is_half_full(&self) -> bool {
        self.segment.next_block >= self.segment.capacity_blocks() / 2
    }

    fn segment_bytes(&self) -> u64 {
        block_offset(self.segment.capacity_blocks())
    }

    pub(super) fn blank(&mut self, blocks: u32) -> BlankSegment {
        let id = self.next_id;
        self.next_id += 1;
        BlankSegment {
            recycled: self.take_recycled(blocks),
            storage: Arc::clone(&self.storage),
            uuid: self.uuid,
            epoch: self.epoch,
            id,
            blocks,
        }
    }

    /// Twice the size while segments fill fast, half of it when they do not: a quiet log costs little. As little as
    /// there can be after one that found no room.
    pub(super) fn next_segment_bytes(&self) -> u64 {
        if self.shared.lacks_room() {
            return self.options.segment_bytes_min;
        }
        let Segment { next_block, begun_ms, .. } = self.segment;
        let capacity_blocks = self.segment.capacity_blocks();
        let elapsed_ms = self.now_ms.saturating_sub(begun_ms);
        let fill_ms = elapsed_ms.saturating_mul(u64::from(capacity_blocks)) / u64::from(next_block);
        let newest_bytes = self.spares.back().map_or(0, Spare::bytes).max(self.segment_bytes());
        if fill_ms < FAST_FILL_MS { newest_bytes * 2 } else { self.segment_bytes() / 2 }
    }

    pub(super) fn check_batch(&self, batch: &mut BatchBuf) -> Result<(), LogError> {
        batch.seal();
        if batch.is_spoiled() {
            return Err(LogError::Misuse(Misuse::SpoiledBatch));
        }
        if batch.is_empty() {
            return Err(LogError::Misuse(Misuse::EmptyBatch));
        }
        let (bytes, max) = (batch.disk_bytes(), self.options.batch_bytes_max);
        if bytes > max { Err(LogError::TooLarge { bytes, max }) } else { Ok(()) }
    }

    fn check_stamp(&self, stamp: &Stamp) -> Result<(), LogError> {
        let expected = self.tail.next();
        if stamp.first_lsn != expected {
            return Err(LogError::OutOfOrder { expected, got: stamp.first_lsn });
        }
        if stamp.flags != 0 {
            return Err(LogError::Misuse(Misuse::Flags(stamp.flags)));
        }
        let ends_there = |lsn| self.ends.binary_search_by_key(&lsn, |end| end.last_lsn).is_ok();
        if stamp.durable_lsn > self.durable && !ends_there(stamp.durable_lsn) {
            return Err(LogError::Misuse(Misuse::Stamp(stamp.durable_lsn)));
        }
        Ok(())
    }

    /// Remembers what is durable. An owner that knows less than the log, after a rotation, takes nothing back.
    ///
    /// A sync vouches for places in the segment that it was of. What a rotation took along may be durable where it was, and not yet
    /// where it is now. And once the later segment is synced, all that went along is durable there; where it was, nobody
    /// makes it durable any more.
    pub(super) fn learn(&mut self, durable: Lsn) {
        self.durable = self.durable.max(durable);
        let head = if is_planted(Bug::SyncVouchesElsewhere) { u64::MAX } else { self.shared.durable_head() };
        let left_behind = self.ends.partition_point(|end| end.segment < head);
        if let Some(along) = self.ends.get(left_behind).filter(|end| left_behind > 0 && end.segment == head) {
            self.durable = self.durable.max(along.last_lsn);
            self.ends.drain(..left_behind);
        }
        let is_durable = |end: &&Boundary| end.last_lsn <= self.durable && end.segment <= head;
        while let Some(end) = self.ends.front().filter(is_durable) {
            self.durable_end = *end;
            self.ends.pop_front();
        }
    }

    /// The segment that is being written, as a part of the chain up to `last_lsn`.
    pub(super) fn linked(&self, last_lsn: Lsn) -> Linked {
        let Listed { segment_id: id, capacity_blocks, .. } = self.segment.listed();
        Linked { id, last_lsn, capacity_blocks }
    }

    /// Where the last batch ended.
    pub(super) fn end(&self) -> Boundary {
        Boundary { segment: self.segment.id(), last_lsn: self.tail, chain: self.chain }
    }

    /// Writes a batch where the last one ended. The room was checked.
    pub(super) fn write(&mut self, batch: &mut BatchBuf, flags: BatchFlags) -> Result<(), LogError> {
        let Ok(body_len) = u32::try_from(batch.len_bytes()) else {
            return Err(LogError::TooLarge { bytes: batch.disk_bytes(), max: u64::from(u32::MAX) });
        };
        let mut header = BatchHeader {
            first_lsn: self.tail.next(),
            durable_lsn: self.durable,
            prev_chain: self.chain,
            engine_tick: self.engine_tick,
            // As many as blocks, of which a segment has less than 2^32.
            ordinal: u32::try_from(self.segment.blocks.len()).unwrap_or(u32::MAX),
            body_len,
            record_count: batch.record_count_u32(),
            body_digest: 0,
            flags,
            codec: self.options.codec,
        };
        let Segment { file, context, next_block, .. } = &self.segment;
        let (written, header_crc) = batch.finished(|bytes, digest| {
            header.body_digest = digest;
            let crc = header.encode(bytes, context, *next_block);
            (file.write_at(bytes, block_offset(*next_block)), crc)
        });
        match written {
            Err(_) if is_planted(Bug::WriteErrorIgnored) => {}
            Err(error) if is_planted(Bug::FailedWriteAdvances) => {
                self.wrote(&header, header_crc, 0);
                return Err(error.into());
            }
            written => written.map_err(|error| self.shared.fail(error))?,
        }
        self.wrote(&header, header_crc, batch.lsn_count());
        Ok(())
    }

    fn wrote(&mut self, header: &BatchHeader, header_crc: u32, lsns: u64) {
        self.segment.blocks.push(self.segment.next_block);
        self.segment.next_block += u32::try_from(header.blocks()).unwrap_or(u32::MAX);
        self.chain = header.chain(header_crc);
        if lsns > 0 {
            self.tail = Lsn(self.tail.0 + lsns);
            self.ends.push_back(self.end());
        }
    }
}

/// The first record of a segment.
pub(super) fn push_link(batch: &mut BatchBuf, before: Boundary, epoch: u64, reason: LinkReason) {
    let link = Link {
        prev_segment: before.segment,
        prev_last_lsn: before.last_lsn,
        prev_chain: before.chain,
        epoch,
        reason,
    };
    batch.push_internal(LINK_KIND, |body| link.encode(body));
}
