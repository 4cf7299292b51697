//! What the targets share that fill a directory by the rules and then damage it.

pub(crate) mod damage;

use std::sync::Arc;

use arbitrary::{Arbitrary, Unstructured};
use horolog_sim::SimDisk;
use horolog_wal::{BatchBuf, LogError, LogOptions, Lsn, SlowSync, Stamp, Syncer, Writer};

pub(crate) const BLOCK: usize = horolog_wal::BLOCK_LEN as usize;

/// Segments of eight blocks, so that a few batches fill one.
pub(crate) fn options() -> LogOptions {
    LogOptions {
        segment_bytes_min: 8 * BLOCK as u64,
        segment_bytes_max: 8 * BLOCK as u64,
        ..LogOptions::default()
    }
}

/// Up to `MAX` items. A derived list would have a coin tossed for each further item, and be short.
#[derive(Debug)]
pub(crate) struct List<T, const MAX: usize>(pub(crate) Vec<T>);

impl<'a, T: Arbitrary<'a>, const MAX: usize> Arbitrary<'a> for List<T, MAX> {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let count = u.int_in_range(0..=MAX)?;
        (0..count).map(|_| u.arbitrary()).collect::<Result<_, _>>().map(Self)
    }
}

/// A log that a process has open. It lends what is not durable, and a sync may be under way, which others overtake.
pub(crate) struct Log {
    pub(crate) writer: Writer,
    pub(crate) syncer: Syncer,
    /// The last record that a sync has made durable.
    pub(crate) acked: Lsn,
    /// The batches behind that.
    unsynced: Vec<BatchBuf>,
    /// With the last record that it makes durable.
    under_way: Option<(Lsn, SlowSync)>,
}

impl Log {
    pub(crate) fn new(writer: Writer, syncer: Syncer) -> Self {
        let acked = writer.tail();
        Self { writer, syncer, acked, unsynced: Vec::new(), under_way: None }
    }

    pub(crate) fn append(&mut self, mut batch: BatchBuf) -> Result<(), LogError> {
        let first_lsn = self.writer.tail().next();
        let stamp = Stamp { first_lsn, durable_lsn: self.acked, engine_tick: first_lsn.0, flags: 0 };
        let unsynced: Vec<_> = self.unsynced.iter().collect();
        self.writer.append_beside_sync(&mut batch, &unsynced, stamp, 20_000 * first_lsn.0)?;
        self.unsynced.push(batch);
        Ok(())
    }

    /// A sync of what is written by now begins, unless one is under way.
    pub(crate) fn begin_sync(&mut self) {
        self.under_way.get_or_insert_with(|| (self.writer.tail(), self.syncer.begin()));
    }

    /// The sync that is under way returns.
    pub(crate) fn end_sync(&mut self) -> Result<(), LogError> {
        self.under_way.take().map_or(Ok(()), |(upto, slow)| {
            slow.finish()?;
            self.promise(upto);
            Ok(())
        })
    }

    /// Everything that is written by now is durable.
    pub(crate) fn sync(&mut self) -> Result<(), LogError> {
        self.end_sync()?;
        self.syncer.sync()?;
        self.promise(self.writer.tail());
        Ok(())
    }

    fn promise(&mut self, upto: Lsn) {
        while self.acked < upto {
            self.acked.0 += self.unsynced.remove(0).lsn_count();
        }
    }

    /// Prepares the next segment, if the writer wants one.
    pub(crate) fn offer_spare(&mut self) -> Result<(), LogError> {
        if let Some(plan) = self.writer.wants_spare() {
            self.writer.offer_spare(plan.prepare()?);
        }
        Ok(())
    }
}

/// What is left after the power failed: of the changes that nobody synced, those whose bit of `kept` is set, over and over.
pub(crate) fn power_cut(disk: &SimDisk, kept: u64) -> Arc<SimDisk> {
    let mut turns = 0;
    Arc::new(disk.power_cut(&mut || {
        turns += 1;
        kept.rotate_right(turns) & 1 == 1
    }))
}
