//! The only module that knows how to drive the log: a writer with a model beside it.

use std::sync::Arc;

use horolog_sim::{Pattern, Rng, SimDisk};
use horolog_storage::Storage;
use horolog_wal::{
    Appended, BatchBuf, LogError, LogOptions, LogView, Lsn, Meta, SlowSync, Stamp, Syncer, Writer,
    open_writer, read_log,
};

/// What a record of the model is: kind, flags, body.
pub(crate) type Model = Vec<(u8, u8, Vec<u8>)>;

pub(crate) fn options() -> LogOptions {
    LogOptions { segment_bytes_min: 64 << 10, segment_bytes_max: 64 << 10, codec: 7, ..LogOptions::default() }
}

/// A writer, and what it should have written.
pub(crate) struct Rig {
    pub(crate) writer: Writer,
    pub(crate) syncer: Syncer,
    pub(crate) rng: Rng,
    /// Every record appended, also by earlier lives.
    pub(crate) model: Model,
    /// What was promised.
    pub(crate) acked: u64,
    /// The batches behind that.
    pub(crate) unsynced: Vec<BatchBuf>,
    /// Whether they go along when the log goes on in another segment.
    pub(crate) takes_along: bool,
}

impl Rig {
    /// Opens what is there, holding it against the model of an earlier life.
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        model: Model,
        acked: u64,
        seed: u64,
    ) -> Result<Self, LogError> {
        Self::open_with(&options(), storage, model, acked, seed)
    }

    fn open_with(
        options: &LogOptions,
        storage: Arc<dyn Storage>,
        model: Model,
        acked: u64,
        seed: u64,
    ) -> Result<Self, LogError> {
        let view = read_log(&*storage, options)?;
        let model = check(&view, model, acked);
        let (writer, syncer) = open_writer(Arc::clone(&storage), &view, options, 0)?;
        let acked = model.len() as u64;
        assert_eq!(writer.tail(), Lsn(acked), "all that was valid is in the new segment");
        let (rng, unsynced) = (Rng::new(seed), Vec::new());
        Ok(Self { writer, syncer, rng, model, acked, unsynced, takes_along: false })
    }

    /// Opens what is there without a look at the records: a log whose beginning was retired.
    pub(crate) fn resume(storage: Arc<dyn Storage>, mut model: Model, acked: u64) -> Self {
        let view = read_log(&*storage, &options()).unwrap();
        assert!(view.valid.0 >= acked);
        model.truncate(view.valid.0 as usize);
        let (writer, syncer) = open_writer(Arc::clone(&storage), &view, &options(), 0).unwrap();
        let (rng, acked, unsynced) = (Rng::new(1), model.len() as u64, Vec::new());
        Self { writer, syncer, rng, acked, model, unsynced, takes_along: false }
    }

    /// A log of segments of 32 KiB, so that all their bytes can be tried.
    pub(crate) fn tiny(storage: Arc<dyn Storage>) -> Self {
        let options = LogOptions { segment_bytes_min: 32 << 10, segment_bytes_max: 32 << 10, ..options() };
        Self::open_with(&options, storage, Vec::new(), 0, 1).unwrap()
    }

    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        Self::open(storage, Vec::new(), 0, 1).unwrap()
    }

    /// Appends a batch of `bodies`; the model has them whether that goes well or not.
    pub(crate) fn append_bodies(&mut self, bodies: &[Vec<u8>]) -> Result<Appended, LogError> {
        let first_lsn = self.writer.tail().next();
        let mut batch = BatchBuf::new();
        for body in bodies {
            let (kind, flags) = (self.rng.below(0x80) as u8, self.rng.next() as u8);
            batch.push(kind, flags, |out| out.extend_from_slice(body));
            self.model.push((kind, flags, body.clone()));
        }
        let stamp = Stamp { first_lsn, durable_lsn: Lsn(self.acked), engine_tick: first_lsn.0, flags: 0 };
        let unsynced: Vec<_> = self.unsynced.iter().filter(|_| self.takes_along).collect();
        let appended = self.writer.append_beside_sync(&mut batch, &unsynced, stamp, 20_000 * first_lsn.0);
        self.unsynced.extend(appended.is_ok().then_some(batch));
        appended
    }

    /// Appends a batch of a few small records or, rarely, of a large one.
    pub(crate) fn append(&mut self) -> Result<Appended, LogError> {
        let count = 1 + self.rng.below(4);
        let bodies: Vec<_> = (0..count)
            .map(|_| {
                let len = if self.rng.one_in(12) { self.rng.below(9000) } else { self.rng.below(80) };
                (0..len).map(|_| self.rng.next() as u8).collect()
            })
            .collect();
        self.append_bodies(&bodies)
    }

    /// Syncs, and promises everything appended.
    pub(crate) fn sync(&mut self) -> Result<(), LogError> {
        let upto = self.writer.tail();
        self.syncer.sync()?;
        self.promise(upto.0);
        Ok(())
    }

    /// What a sync is about to make durable, and the sync, which others may overtake.
    pub(crate) fn begin_sync(&self) -> (u64, SlowSync) {
        (self.writer.tail().0, self.syncer.begin())
    }

    /// A sync has made durable what was written before it began.
    pub(crate) fn promise(&mut self, upto: u64) {
        while self.acked < upto {
            self.acked += self.unsynced.remove(0).lsn_count();
        }
    }

    pub(crate) fn commit(&mut self) {
        self.append().unwrap();
        self.sync().unwrap();
    }

    /// Prepares a spare, if the writer wants one.
    pub(crate) fn prepare(&mut self) -> bool {
        let Some(plan) = self.writer.wants_spare() else { return false };
        self.writer.offer_spare(plan.prepare().unwrap());
        true
    }

    pub(crate) fn mark(&mut self, clean: bool) {
        self.writer.mark(Lsn(self.acked), 0, clean).unwrap();
        self.syncer.sync().unwrap();
    }
}

/// All records of a view.
pub(crate) fn records(view: &LogView<'_>) -> Model {
    let mut found: Model = Vec::new();
    view.for_each_record::<()>(Lsn(1), &mut |record| {
        assert_eq!(record.lsn, Lsn(found.len() as u64 + 1), "LSNs are dense");
        found.push((record.kind, record.flags, record.body.to_vec()));
        Ok(())
    })
    .unwrap();
    assert_eq!(view.valid, Lsn(found.len() as u64));
    found
}

/// A view must hold all that was promised and nothing that was not appended. Returns what it holds.
#[track_caller]
pub(crate) fn check(view: &LogView<'_>, model: Model, acked: u64) -> Model {
    let found = records(view);
    assert!(found.len() as u64 >= acked, "{acked} promised, {} found", found.len());
    assert!(view.durable <= view.valid);
    assert!(model.starts_with(&found), "what is found is a prefix of what was appended");
    found
}

/// An empty disk that sees it when anybody writes over a durable block of a segment.
pub(crate) fn mem(seed: u64) -> Arc<SimDisk> {
    let disk = SimDisk::new(seed);
    disk.watch_rewrites(Pattern::ends(".wal"));
    Arc::new(disk)
}

/// What a crash leaves: with 0 the process is gone and the system lives on, else the power failed, and half of what
/// waited arrived.
pub(crate) fn crashed(disk: &SimDisk, remains: u64) -> Arc<SimDisk> {
    let mut rng = Rng::new(remains);
    Arc::new(if remains == 0 { disk.process_kill() } else { disk.power_cut(&mut || rng.one_in(2)) })
}

/// Lets both pairs of slots of META say something else.
pub(crate) fn edit_meta(disk: &SimDisk, edit: impl Fn(&mut Meta)) {
    let mut meta = newest_meta(disk);
    edit(&mut meta);
    let older = Meta { seq: meta.seq - 1, ..meta.clone() };
    let mut pairs = [older, meta];
    pairs.sort_by_key(|meta| meta.seq % 2);
    let slots: Vec<_> = pairs.iter().flat_map(|meta| [meta.encode(), meta.encode()]).collect();
    disk.put("META", &slots.concat());
}

pub(crate) fn newest_meta(disk: &SimDisk) -> Meta {
    let bytes = disk.bytes("META").unwrap();
    let slots = bytes.chunks(4096).enumerate();
    let newest = slots.filter_map(|(slot, bytes)| Meta::decode(bytes, slot).ok()).max_by_key(|meta| meta.seq);
    newest.unwrap()
}

pub(crate) fn read(storage: &dyn Storage) -> Result<LogView<'_>, LogError> {
    read_log(storage, &options())
}
