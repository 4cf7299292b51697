//! An owner of a log, as the engine is one: it keeps what is not durable, so that it can heal the log.

use std::sync::Arc;

use horolog_sim::SimDisk;
use horolog_storage::Storage;
use horolog_wal::{
    BatchBuf, LogError, LogOptions, Lsn, SealedSnapshot, SnapshotFile, Stamp, Syncer, Writer, open_writer,
    read_log,
};

pub(crate) struct Owner {
    pub(crate) writer: Writer,
    pub(crate) syncer: Syncer,
    kept: Vec<BatchBuf>,
    pub(crate) durable: Lsn,
    applied: Lsn,
}

/// Segments of 32 KiB, the smallest there are.
pub(crate) fn options(codec: u16) -> LogOptions {
    let bytes = 32 << 10;
    LogOptions { segment_bytes_min: bytes, segment_bytes_max: bytes, codec, ..LogOptions::default() }
}

impl Owner {
    pub(crate) fn open(disk: &Arc<SimDisk>, codec: u16) -> Result<Self, LogError> {
        let options = options(codec);
        let view = read_log(&**disk, &options)?;
        let storage: Arc<dyn Storage> = disk.clone();
        let (writer, syncer) = open_writer(storage, &view, &options, 0)?;
        let applied = writer.tail();
        Ok(Self { writer, syncer, kept: Vec::new(), durable: applied, applied })
    }

    /// Applies a batch, and tries to write it. It takes ten seconds to fill a segment, so that none grows.
    pub(crate) fn write(&mut self, records: &[(u8, Vec<u8>)]) -> Result<(), LogError> {
        let mut batch = BatchBuf::new();
        for (kind, body) in records {
            batch.push(*kind, 0, |out| out.extend_from_slice(body));
        }
        let first_lsn = self.applied.next();
        self.applied = Lsn(self.applied.0 + records.len() as u64);
        let stamp = Stamp { first_lsn, durable_lsn: self.durable, engine_tick: 1000 + first_lsn.0, flags: 0 };
        let kept: Vec<_> = self.kept.iter().collect();
        let written = self.writer.append_beside_sync(&mut batch, &kept, stamp, 20_000 * first_lsn.0);
        self.kept.push(batch);
        written.map(drop)
    }

    pub(crate) fn sync(&mut self) -> Result<(), LogError> {
        self.syncer.sync()?;
        self.durable = self.writer.tail();
        self.kept.clear();
        Ok(())
    }

    /// What is written by now is durable when `meanwhile` is over.
    pub(crate) fn sync_slowly(
        &mut self,
        meanwhile: impl FnOnce(&mut Self) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        let (upto, written, slow) = (self.applied, self.kept.len(), self.syncer.begin());
        meanwhile(self)?;
        slow.finish()?;
        self.durable = upto;
        self.kept.drain(..written);
        Ok(())
    }

    pub(crate) fn heal(&mut self) -> Result<(), LogError> {
        let mut batches: Vec<_> = self.kept.iter_mut().collect();
        self.syncer = self.writer.heal(&mut batches, self.durable, 0)?;
        self.durable = self.applied;
        self.kept.clear();
        Ok(())
    }

    pub(crate) fn prepare(&mut self) -> Result<(), LogError> {
        if let Some(plan) = self.writer.wants_spare() {
            self.writer.offer_spare(plan.prepare()?);
        }
        Ok(())
    }

    /// The file of a snapshot with these sections, the last of which ends it if `ends`.
    pub(crate) fn begin_snapshot(
        &mut self,
        begin: Lsn,
        sections: &[Vec<u8>],
        ends: bool,
    ) -> Result<SnapshotFile, LogError> {
        let mut file = self.writer.plan_snapshot(begin).create()?;
        for (at, section) in sections.iter().enumerate() {
            let mut buffer = [&[0; SnapshotFile::FRAME_LEN][..], section].concat();
            file.append(&mut buffer, ends && at + 1 == sections.len())?;
        }
        Ok(file)
    }

    /// A snapshot of everything applied that is whole and does not count yet.
    pub(crate) fn seal_snapshot(
        &mut self,
        begin: Lsn,
        sections: &[Vec<u8>],
    ) -> Result<SealedSnapshot, LogError> {
        self.begin_snapshot(begin, sections, true)?.seal(self.applied)
    }

    /// A snapshot that counts; gives below which LSN the log may be let go.
    pub(crate) fn snapshot(&mut self, begin: Lsn, sections: &[Vec<u8>]) -> Result<Lsn, LogError> {
        let sealed = self.seal_snapshot(begin, sections)?;
        self.sync()?;
        sealed.publish(self.durable)
    }

    /// Lets go of what is below `lsn`; the files wait to be used again.
    pub(crate) fn retire_below(&mut self, lsn: Lsn) -> Result<(), LogError> {
        if let Some(plan) = self.writer.retire_below(lsn) {
            let retired = plan.carry_out()?;
            self.writer.offer_retired(retired);
        }
        Ok(())
    }

    pub(crate) fn witness(&self) -> Result<(), LogError> {
        self.syncer.witness(self.durable)
    }

    pub(crate) fn mark(&mut self, clean: bool) -> Result<(), LogError> {
        self.writer.mark(self.durable, 2000, clean).map(drop)
    }
}
