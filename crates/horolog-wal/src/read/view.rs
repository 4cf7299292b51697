//! What reading found, and the way to the records.

use horolog_storage::{Contents, Storage, StorageError};

use crate::error::{Corruption, LogError, LogFile, Lost, VisitError};
use crate::format::meta::Meta;
use crate::format::record::RecordView;
use crate::lsn::Lsn;
use crate::read::chain::{Boundary, Part};
use crate::read::scan::{Batch, Scan, Stop};
use crate::read::verdict::link_evidence;

/// Whether there is a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogState {
    /// Nothing was ever shown to anybody: an empty directory, or one whose creation a crash cut short.
    Empty,
    /// There is a log.
    Log,
}

/// What a segment is to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SegmentRole {
    /// The newest segment of the chain.
    Head,
    /// An older segment of the chain.
    Linked,
    /// Prepared and never used.
    Blank,
    /// Newer than the head, and not part of the log: a crash came while it was begun.
    Burnt,
    /// No LINK leads to it and META does not list it: what it held was copied forward, or it was never finished.
    Unlisted,
}

/// One segment file, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentReport {
    /// Its number.
    pub id: u64,
    /// Its file name.
    pub name: String,
    /// Its size, by its header; 0 if that is damaged, which is possible for an unlisted segment only.
    pub capacity_bytes: u64,
    /// The opening of the log that created it.
    pub epoch: u64,
    /// What it is to the log.
    pub role: SegmentRole,
    /// How many of its batches are part of the log.
    pub batches: u64,
    /// The first LSN that is read from it; `None` if none is.
    pub first_lsn: Option<Lsn>,
    /// The last LSN that is read from it; `None` if none is.
    pub last_lsn: Option<Lsn>,
    /// Where the part that belongs to the log ends.
    pub end_offset: u64,
    /// Whether that part ends with a SEAL.
    pub sealed: bool,
}

/// The facts of a log that was read, and the way to its records.
///
/// The view keeps no file open, however many segments there are: its records are read from the directory again. A writer that
/// retires a segment takes them away.
#[derive(Debug)]
#[non_exhaustive]
pub struct LogView<'a> {
    /// Whether there is a log at all.
    pub state: LogState,
    /// The identity of the log; 0 if it has none yet.
    pub uuid: u128,
    /// How many slots of META do not count: damaged, or caught by a crash while they were written. The next opening writes
    /// them all anew.
    pub meta_bad_slots: u32,
    /// The highest epoch found: how often the log was opened for writing.
    pub epoch: u64,
    /// All segment files, oldest first.
    pub segments: Vec<SegmentReport>,
    /// The first LSN that can be read: 1, or higher once segments were retired.
    pub first_lsn: Lsn,
    /// D: the highest LSN that is proven durable.
    pub durable: Lsn,
    /// V: the last LSN that can be read; never below D.
    pub valid: Lsn,
    /// Bytes behind the valid part that are not blank: a write that a crash cut short.
    pub torn_bytes: u64,
    /// Whether the log was closed in order, and nothing was written since.
    pub clean: bool,
    /// The highest engine tick of any batch of the head.
    pub engine_tick: u64,

    /// Where it was read.
    pub(crate) storage: &'a dyn Storage,
    /// META as it was read; `None` if there is none.
    pub(crate) meta: Option<Meta>,
    /// Oldest first.
    pub(crate) parts: Vec<Part>,
    /// Where a new segment continues the log, with a copy of what is behind: at D or before it.
    pub(crate) cut: Boundary,
    pub(crate) next_id: u64,
    pub(crate) next_snapshot: u64,
    /// Snapshots that were found damaged.
    pub(crate) rotten: Vec<u64>,
    pub(crate) has_lock: bool,
    /// Half-made files.
    pub(crate) leftovers: Vec<String>,
    pub(crate) codec: u16,
}

/// One record of the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its number.
    pub lsn: Lsn,
    /// Its kind, below [`crate::INTERNAL_KIND_MIN`].
    pub kind: u8,
    /// The owner's flags.
    pub flags: u8,
    /// The owner's bytes.
    pub body: &'a [u8],
    /// The segment it was read from.
    pub segment: u64,
    /// The offset of its header in that segment.
    pub offset: u64,
}

/// A record as it lies in its segment.
pub(crate) struct Placed<'a> {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) lsn: Lsn,
    pub(crate) view: RecordView<'a>,
}

impl<'a> Placed<'a> {
    /// The record as its owner sees it.
    pub(crate) fn record(&self) -> Record<'a> {
        let Self { segment, offset, lsn, view: RecordView { kind, flags, body, .. } } = *self;
        Record { lsn, kind, flags, body, segment, offset }
    }
}

impl LogView<'_> {
    /// The newest segment of the log; 0 if there is none.
    pub(crate) fn head_id(&self) -> u64 {
        self.parts.last().map_or(0, |part| part.found.id)
    }

    /// The size of the segments in which there are records behind `lsn`. They take their whole size, however little is in them.
    #[must_use]
    pub fn bytes_behind(&self, lsn: Lsn) -> u64 {
        let needed = self.parts.iter().filter(|part| part.last_lsn > lsn);
        needed.map(|part| part.header.capacity_bytes()).sum()
    }

    /// A snapshot that was found damaged: the next one that is published takes its place, not that of a sound one.
    pub fn distrust_snapshot(&mut self, id: u64) {
        self.rotten.push(id);
    }

    pub(crate) fn has_lock(&self) -> bool {
        self.has_lock
    }

    /// Visits the records from `from` up to [`LogView::valid`], each once, in LSN order.
    ///
    /// One segment is open and in memory at a time. Everything is checked again
    /// while it is read: what went bad since the view was made is an error here. Without the lock that is
    /// [`LogError::ChangedMeanwhile`]: a writer may have retired the segment. [`visit_log`](crate::visit_log) then goes on.
    ///
    /// # Errors
    ///
    /// [`VisitError::Visitor`] with what `visit` answered, [`VisitError::Log`] if the log cannot be read.
    pub fn for_each_record<E>(
        &self,
        from: Lsn,
        visit: &mut dyn FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<(), VisitError<E>> {
        self.walk(from, &mut |placed| visit(placed.record()))
    }

    /// The walk itself, with records as they lie in the segment.
    pub(crate) fn walk<E>(
        &self,
        from: Lsn,
        visit: &mut dyn FnMut(Placed<'_>) -> Result<(), E>,
    ) -> Result<(), VisitError<E>> {
        walk_batches(self.storage, &self.parts, self.codec, from, &mut |segment, batch| {
            for (lsn, offset, view) in batch.records().filter(|(lsn, ..)| *lsn >= from) {
                visit(Placed { segment, offset, lsn, view })?;
            }
            Ok(())
        })
    }
}

/// Visits the batches of the parts that reach `from`, with their segments.
pub(crate) fn walk_batches<E>(
    storage: &dyn Storage,
    parts: &[Part],
    codec: u16,
    from: Lsn,
    visit: &mut dyn FnMut(u64, &Batch<'_>) -> Result<(), E>,
) -> Result<(), VisitError<E>> {
    for part in parts.iter().filter(|part| part.last_lsn >= from) {
        let bytes = load(storage, part)?;
        let mut scan = Scan::new(&bytes, &part.header, codec);
        for _ in 0..part.batches {
            let batch = scan.next().map_err(|stop| changed(part, &scan, stop))?;
            visit(part.found.id, &batch).map_err(VisitError::Visitor)?;
        }
    }
    Ok(())
}

/// The bytes of a segment that was there when the view was made.
fn load(storage: &dyn Storage, part: &Part) -> Result<Contents, LogError> {
    part.load(storage).map_err(|error| if part.has_lock { error } else { gone(part.found.id, error) })
}

/// A segment that was there without the lock, and is not any more, was retired.
pub(crate) fn gone(segment: u64, error: LogError) -> LogError {
    match error {
        LogError::Storage(StorageError::NotFound { .. }) => LogError::ChangedMeanwhile { segment },
        error => error,
    }
}

/// What was valid when the view was made no longer is: the medium rots, or a writer has used the file again.
fn changed(part: &Part, scan: &Scan<'_>, stop: Stop) -> LogError {
    let (segment, offset) = (part.found.id, scan.offset());
    match stop {
        _ if !part.has_lock => LogError::ChangedMeanwhile { segment },
        Stop::Unknown(what) => LogError::Unknown { file: LogFile::Segment(segment), offset, what },
        Stop::Fault(why) => {
            let lost = Lost { first: Some(scan.last_lsn.next()), last: Some(part.last_lsn) };
            Corruption { segment, offset, lost, evidence: link_evidence(segment, part.last_lsn), why }.into()
        }
    }
}
