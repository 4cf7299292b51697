//! Whatever lies in a directory, reading it never panics and never makes a record up.
//!
//! Three ways to fill the directory:
//!
//! - *raw*: any bytes under the names of segments.
//! - *forged*: segments whose checksums are all right and whose contents may contradict each other in any way.
//! - *damaged*: a log that was written, with crashes at any write on the way, and then damaged. Before the damage it must
//!   hold everything that was synced; after it, reading gives a prefix of what was written, or an error.
//!
//! A log that can be read can be opened, appended to and read again.
#![no_main]

mod rig;

use std::convert::Infallible;
use std::sync::Arc;

use arbitrary::Arbitrary;
use crc32fast::Hasher;
use horolog_sim::SimDisk;
use horolog_wal::{
    BATCH_HEADER_LEN, BatchBuf, BatchFlags, BatchHeader, Context, Link, LinkReason, Listed, LogError,
    LogOptions, LogView, Lsn, Meta, MetaState, Seal, SegmentHeader, open_writer, read_log,
};
use libfuzzer_sys::fuzz_target;
use rig::damage::Damage;
use rig::{BLOCK, List, Log};

const CODEC: u16 = 7;

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Raw(List<(u8, &'a [u8]), 4>),
    Forged { segments: List<Forged, 6>, meta: ForgedMeta },
    Damaged { steps: List<Step, 24>, damage: List<Damage, 6> },
}

fuzz_target!(|input: Input<'_>| match input {
    Input::Raw(files) => raw(&files.0),
    Input::Forged { segments, meta } => forged(&segments.0, &meta),
    Input::Damaged { steps, damage } => damaged(&steps.0, &damage.0),
});

fn options() -> LogOptions {
    LogOptions { codec: CODEC, ..rig::options() }
}

fn segment_name(id: u64) -> String {
    format!("seg-{id:016x}.wal")
}

/// Kind, flags, body.
type Records = Vec<(u8, u8, Vec<u8>)>;

/// All records of a view, which must be readable, dense, and as many as it says.
fn records(view: &LogView<'_>) -> Records {
    let mut found = Records::new();
    let walked = view.for_each_record::<Infallible>(Lsn(1), &mut |record| {
        assert_eq!(record.lsn, Lsn(view.first_lsn.0 + found.len() as u64), "LSNs are dense");
        found.push((record.kind, record.flags, record.body.to_vec()));
        Ok(())
    });
    walked.expect("what was checked a moment ago can be read");
    assert_eq!(view.valid.next(), Lsn(view.first_lsn.0.saturating_add(found.len() as u64)));
    assert!(view.durable <= view.valid);
    found
}

// Raw ----------------------------------------------------------------------------------------------------------------

fn raw(files: &[(u8, &[u8])]) {
    let disk = Arc::new(SimDisk::new(1));
    for (id, bytes) in files {
        disk.put(&segment_name(u64::from(*id)), bytes);
    }
    if let Ok(view) = read_log(&*disk, &options()) {
        records(&view);
        go_on(disk.clone(), &view).expect("an empty log can be begun");
    }
}

/// Opens a log that was read, appends to it, and reads it again.
fn go_on(disk: Arc<SimDisk>, view: &LogView<'_>) -> Result<(), LogError> {
    let mut model = records(view);
    let (writer, syncer) = open_writer(disk.clone(), view, &options(), 0)?;
    assert_eq!(writer.tail(), view.valid);
    let mut life = Log::new(writer, syncer);
    append(&mut life, &mut model, &[5])?;
    life.sync()?;
    let again = read_log(&*disk, &options()).expect("a log that was just written");
    assert_eq!(records(&again), model);
    Ok(())
}

// Forged -------------------------------------------------------------------------------------------------------------

/// A number that is mostly what it should be.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Lie {
    choice: u8,
    number: u64,
}

impl Lie {
    fn about(self, truth: u64) -> u64 {
        match self.choice {
            0..=11 => self.number,
            12..=23 => truth.wrapping_add_signed(i64::from(self.number as i8)),
            _ => truth,
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Forged {
    id: Lie,
    other_uuid: bool,
    epoch: Lie,
    blank_blocks: u8,
    link_to: u8,
    link: Lie,
    link_chain: Lie,
    link_segment: Lie,
    is_recycled: bool,
    batches: List<ForgedBatch, 12>,
}

/// META, intact, and true but for its lies.
#[derive(Arbitrary, Debug)]
struct ForgedMeta {
    /// Which of the segments is the head.
    head: u8,
    /// A bit for each segment that is not listed.
    left_out: u8,
    first: Lie,
    next: Lie,
    durable: Lie,
    initialising: bool,
}

#[derive(Arbitrary, Debug)]
struct ForgedBatch {
    what: What,
    first_lsn: Lie,
    durable: Lie,
    chain: Lie,
    ordinal: Lie,
    record_count: Lie,
    flags: Lie,
    codec: Lie,
    digest: Lie,
    body_len: Lie,
    dirty_padding: bool,
    records: List<(u8, u8, u16), 4>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum What {
    Records,
    MoreRecords,
    Mark,
    Clean,
    Seal,
    Link,
    NoLinkFirst,
}

/// What a batch that tells the truth would continue.
#[derive(Clone, Copy, Default)]
struct Place {
    segment: u64,
    last_lsn: u64,
    chain: u64,
}

fn forged(segments: &[Forged], meta: &ForgedMeta) {
    let disk = Arc::new(SimDisk::new(1));
    let mut places = vec![Place::default()];
    for (number, segment) in (1..).zip(segments) {
        forge(&disk, segment, number, &mut places);
    }
    forge_meta(&disk, meta);
    if let Ok(view) = read_log(&*disk, &options()) {
        records(&view);
        // Ids and LSNs may be at their ends; then it is refused.
        let _ = go_on(disk.clone(), &view);
    }
}

fn forge_meta(disk: &SimDisk, forged: &ForgedMeta) {
    let headers =
        disk.files().into_iter().filter_map(|(name, _)| SegmentHeader::decode(&disk.bytes(&name)?).ok());
    let mut listed: Vec<_> = headers
        .map(|it| Listed { segment_id: it.segment_id, salt: it.salt, capacity_blocks: it.capacity_blocks })
        .collect();
    listed.sort_by_key(|it| it.segment_id);
    let head = usize::from(forged.head) % listed.len().max(1);
    let mut bit = forged.left_out;
    let mut listed = listed.split_off(head.min(listed.len()));
    listed.retain(|_| {
        bit = bit.rotate_right(1);
        bit & 1 == 0
    });
    let (head, last) =
        (listed.first().map_or(0, |it| it.segment_id), listed.last().map_or(0, |it| it.segment_id));
    let active = !forged.initialising;
    let older = Meta {
        uuid: 1,
        seq: 2,
        epoch: 9,
        durable_lsn: Lsn(forged.durable.about(0)),
        first_segment: if active { forged.first.about(1) } else { 0 },
        head_segment: if active { head } else { 0 },
        next_segment: forged.next.about(last.wrapping_add(1)),
        compat: 0,
        ro_compat: 0,
        snapshots: [None; 2],
        state: if active { MetaState::Active } else { MetaState::Initialising },
        listed,
    };
    let newer = Meta { seq: 3, ..older.clone() };
    let slots: Vec<_> = [&older, &older, &newer, &newer].into_iter().flat_map(Meta::encode).collect();
    disk.put("META", &slots);
}

fn forge(disk: &SimDisk, forged: &Forged, number: u64, places: &mut Vec<Place>) {
    let id = forged.id.about(number);
    let header = |capacity_blocks| SegmentHeader {
        uuid: if forged.other_uuid && forged.link_to % 8 == 7 { 2 } else { 1 },
        segment_id: id,
        epoch: number,
        salt: number,
        capacity_blocks,
        is_recycled: forged.is_recycled,
    };
    let context = Context::of(&header(0));
    let before = places[usize::from(forged.link_to) % places.len()];
    let link = Link {
        prev_segment: forged.link_segment.about(before.segment),
        prev_last_lsn: Lsn(forged.link.about(before.last_lsn)),
        prev_chain: forged.link_chain.about(before.chain),
        epoch: forged.epoch.about(number),
        reason: LinkReason::Rotated,
    };
    let mut bytes = vec![0; BLOCK];
    let mut place = Place { segment: id, ..before };
    let mut blocks = Vec::new();
    for (ordinal, batch) in (0..).zip(&forged.batches.0) {
        let body = body_of(batch, ordinal == 0, &link, &place, &blocks);
        blocks.push(u32::try_from(bytes.len() / BLOCK).unwrap());
        place = push_batch(&mut bytes, batch, &body, &context, place, ordinal);
        places.push(place);
    }
    bytes.resize(bytes.len() + usize::from(forged.blank_blocks % 16) * BLOCK, 0);
    let block0 = header(u32::try_from(bytes.len() / BLOCK).unwrap()).encode();
    bytes[..BLOCK].copy_from_slice(&block0);
    disk.put(&segment_name(id), &bytes);
}

/// The records of a batch, with flags that fit them.
struct Body {
    bytes: Vec<u8>,
    crcs: Vec<u8>,
    records: u64,
    lsns: u64,
    flags: BatchFlags,
}

impl Body {
    fn push(&mut self, kind: u8, flags: u8, body: &[u8]) {
        let mut record = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
        record.extend([kind, flags, 0, 0]);
        let mut crc = Hasher::new();
        crc.update(&record);
        crc.update(body);
        let crc = crc.finalize().to_le_bytes();
        record.extend(crc);
        record.extend(body);
        self.bytes.extend(record);
        self.crcs.extend(crc);
        self.records += 1;
        self.lsns += u64::from(kind < horolog_wal::INTERNAL_KIND_MIN);
    }
}

fn body_of(batch: &ForgedBatch, first: bool, link: &Link, place: &Place, blocks: &[u32]) -> Body {
    let flags = BatchFlags::NONE;
    let mut body = Body { bytes: Vec::new(), crcs: Vec::new(), records: 0, lsns: 0, flags };
    let mut internal = Vec::new();
    if (first && !matches!(batch.what, What::NoLinkFirst)) || (!first && matches!(batch.what, What::Link)) {
        body.flags = BatchFlags::LINK;
        link.encode(&mut internal);
        body.push(0xF0, 0, &internal);
    }
    match batch.what {
        What::Seal => {
            body.flags = BatchFlags(body.flags.0 | BatchFlags::SEAL.0);
            let seal = Seal { last_lsn: Lsn(place.last_lsn), chain: place.chain, blocks: blocks.to_vec() };
            internal.clear();
            seal.encode(&mut internal);
            body.push(0xF1, 0, &internal);
        }
        What::Mark if !first => body.flags = BatchFlags::MARK,
        What::Clean if !first => body.flags = BatchFlags(BatchFlags::MARK.0 | BatchFlags::CLEAN.0),
        _ => {
            for (kind, flags, len) in &batch.records.0 {
                body.push(*kind, *flags, &vec![*kind; usize::from(len % 5_000)]);
            }
        }
    }
    body
}

fn push_batch(
    bytes: &mut Vec<u8>,
    batch: &ForgedBatch,
    body: &Body,
    context: &Context,
    place: Place,
    ordinal: u64,
) -> Place {
    let block = u32::try_from(bytes.len() / BLOCK).unwrap();
    let len = (BATCH_HEADER_LEN + body.bytes.len()).next_multiple_of(BLOCK);
    let mut whole = vec![0; BATCH_HEADER_LEN];
    whole.extend(&body.bytes);
    whole.resize(len, u8::from(batch.dirty_padding));
    let mut digest = Hasher::new();
    digest.update(&body.crcs);
    digest.update(&whole[BATCH_HEADER_LEN + body.bytes.len()..]);
    let header = BatchHeader {
        first_lsn: Lsn(batch.first_lsn.about(place.last_lsn.wrapping_add(1))),
        durable_lsn: Lsn(batch.durable.about(place.last_lsn)),
        prev_chain: batch.chain.about(place.chain),
        engine_tick: 0,
        ordinal: batch.ordinal.about(ordinal) as u32,
        body_len: batch.body_len.about(body.bytes.len() as u64) as u32,
        record_count: batch.record_count.about(body.records) as u32,
        body_digest: batch.digest.about(u64::from(digest.finalize())) as u32,
        flags: BatchFlags(batch.flags.about(u64::from(body.flags.0)) as u16),
        codec: batch.codec.about(u64::from(CODEC)) as u16,
    };
    let crc = header.encode(&mut whole, context, block);
    bytes.extend(whole);
    let last_lsn = header.first_lsn.0.wrapping_sub(1).wrapping_add(body.lsns);
    Place { last_lsn, chain: header.chain(crc), ..place }
}

// Damaged ------------------------------------------------------------------------------------------------------------

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Step {
    Append {
        count: u8,
        len: u16,
    },
    Commit {
        count: u8,
        len: u16,
    },
    Sync,
    /// A sync is under way, and what follows overtakes it.
    SyncBegins,
    SyncEnds,
    Mark {
        clean: bool,
    },
    Spare,
    /// Everything fails after so many more changes of the disk; then the power goes.
    HaltAfter {
        changes: u8,
    },
    PowerCut {
        kept: u64,
    },
    Kill,
}

fn append(log: &mut Log, model: &mut Records, lens: &[usize]) -> Result<(), LogError> {
    let mut batch = BatchBuf::new();
    for len in lens {
        let number = model.len() as u64;
        let (kind, flags) = ((number % 0x80) as u8, (number / 3) as u8);
        let body: Vec<u8> = number.to_le_bytes().into_iter().cycle().take(*len).collect();
        batch.push(kind, flags, |out| out.extend_from_slice(&body));
        model.push((kind, flags, body));
    }
    log.append(batch)
}

/// A log over its lives.
struct History {
    disk: Arc<SimDisk>,
    /// All records that can still be there.
    model: Records,
    /// What was promised, in this life and those before.
    acked: u64,
    life: Option<Log>,
}

impl History {
    /// After any crash everything promised is there, and nothing else than what was written.
    fn check<'a>(&mut self, disk: &'a SimDisk) -> LogView<'a> {
        let view = read_log(disk, &options()).expect("a crash is not damage");
        let found = records(&view);
        assert!(found.len() as u64 >= self.acked, "{} promised, {} found", self.acked, found.len());
        assert!(self.model.starts_with(&found), "found what was never written");
        self.model = found;
        view
    }

    /// Opens the log; the disk may halt on the way.
    fn open(&mut self) {
        let disk = self.disk.clone();
        let view = self.check(&disk);
        if let Ok((writer, syncer)) = open_writer(disk.clone(), &view, &options(), 0) {
            assert_eq!(writer.tail(), Lsn(self.model.len() as u64));
            self.acked = self.model.len() as u64;
            self.life = Some(Log::new(writer, syncer));
        }
    }

    fn take(&mut self, step: Step) {
        let lens = |count: u8, len: u16| vec![usize::from(len % 9_000); usize::from(count % 4) + 1];
        let Some(life) = &mut self.life else { return self.power_cut(0x5555_5555_5555_5555) };
        let outcome = match step {
            Step::Append { count, len } => append(life, &mut self.model, &lens(count, len)),
            Step::Commit { count, len } => {
                append(life, &mut self.model, &lens(count, len)).and_then(|()| life.sync())
            }
            Step::Sync => life.sync(),
            Step::SyncBegins => {
                life.begin_sync();
                Ok(())
            }
            Step::SyncEnds => life.end_sync(),
            Step::Mark { clean } => life.writer.mark(life.acked, 0, clean).map(|_| ()),
            Step::Spare => life.offer_spare(),
            Step::HaltAfter { changes } => {
                self.disk.halt_after(u64::from(changes % 32));
                Ok(())
            }
            Step::PowerCut { kept } => return self.power_cut(kept),
            Step::Kill => {
                self.acked = self.acked.max(life.acked.0);
                self.disk = Arc::new(self.disk.process_kill());
                return self.open();
            }
        };
        self.acked = self.acked.max(life.acked.0);
        // The disk has halted, or a record did not fit: a new life either way.
        if outcome.is_err() {
            self.life = None;
        }
    }

    fn power_cut(&mut self, kept: u64) {
        self.acked = self.life.take().map_or(self.acked, |life| life.acked.0.max(self.acked));
        self.disk = rig::power_cut(&self.disk, kept);
        self.open();
    }
}

fn damaged(steps: &[Step], damage: &[Damage]) {
    let disk = Arc::new(SimDisk::new(1));
    let mut history = History { disk, model: Records::new(), acked: 0, life: None };
    history.open();
    for step in steps {
        history.take(*step);
    }
    // What was handed to a disk that has halted is not on it.
    history.disk = Arc::new(history.disk.process_kill());
    history.acked = history.life.take().map_or(history.acked, |life| life.acked.0.max(history.acked));
    history.check(&history.disk.clone());

    for damage in damage {
        damage.inflict(&history.disk);
    }
    if let Ok(view) = read_log(&*history.disk, &options()) {
        let found = records(&view);
        assert!(history.model.starts_with(&found), "the damage made records up");
        go_on(history.disk.clone(), &view).expect("what can be read can be gone on with");
    }
}
