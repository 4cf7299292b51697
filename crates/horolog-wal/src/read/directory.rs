//! What lies in the directory: META, names and segment headers, before any batch is read.

use horolog_storage::{Contents, File, LOCK_FILE, Storage, StorageError};

use super::filled::Filled;
use super::meta::{META_FILE, META_TEMPORARY, MetaFound, read_meta};
use super::snapshot::{identity_of, snapshot_id};
use crate::error::{LogError, LogFile, Unknown};
use crate::format::segment::{MAJOR, SEGMENT_HEADER_LEN, SegmentFault, SegmentHeader};
use crate::format::{Fault, SEGMENT_ID_END};

/// No log gives so many numbers without META knowing of any: a name from here on is somebody else's.
const STRAY_IDS_AHEAD: u64 = 1 << 32;

/// All that belongs to the log, and what was left by writers that died.
///
/// The listing alone says nothing: a segment counts if META lists it, or if a LINK leads to it from one that is listed.
#[derive(Debug)]
pub(crate) struct Directory {
    /// `None` if no log was ever begun here.
    pub(crate) meta: Option<MetaFound>,
    /// Whether nobody else writes, so that files may be mapped.
    pub(crate) has_lock: bool,
    /// Oldest first.
    pub(crate) segments: Vec<Found>,
    /// Names of half-made files.
    pub(crate) leftovers: Vec<String>,
    /// Above every id that was ever given, as far as META and the names tell.
    pub(crate) next_id: u64,
    /// The same for snapshots.
    pub(crate) next_snapshot: u64,
    /// The names of all snapshots that are whole or were.
    snapshots: Vec<(u64, String)>,
}

/// A file with the name of a segment. It is not open: a log may have more segments than a process may have open files.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) header: Result<SegmentHeader, Fault>,
}

/// The name of a segment.
pub(crate) fn segment_name(id: u64) -> String {
    format!("seg-{id:016x}.wal")
}

/// The name of a segment that is being made. It is renamed once it is complete and durable.
pub(crate) fn temporary_name(id: u64) -> String {
    format!("{}.tmp", segment_name(id))
}

/// The id in the name of a segment. Only the one spelling [`segment_name`] gives is a name.
pub(crate) fn segment_id(name: &str) -> Option<u64> {
    let id = u64::from_str_radix(name.strip_prefix("seg-")?.strip_suffix(".wal")?, 16).ok()?;
    ((1..SEGMENT_ID_END).contains(&id) && segment_name(id) == name).then_some(id)
}

/// Whether a file that is no segment has a name that a log gives.
pub(crate) fn is_of_a_log(name: &str) -> bool {
    [LOCK_FILE, META_FILE, META_TEMPORARY].contains(&name)
        || name.strip_suffix(".tmp").and_then(segment_id).is_some()
        || snapshot_id(name.strip_suffix(".tmp").unwrap_or(name)).is_some()
}

impl Directory {
    pub(crate) fn list(storage: &dyn Storage, has_lock: bool) -> Result<Self, LogError> {
        let meta = read_meta(storage)?;
        let next_id = meta.as_ref().map_or(1, |found| found.meta.next_segment);
        let newest_snapshot = meta.as_ref().and_then(|found| found.meta.snapshots[0]).map_or(0, |it| it.id);
        let mut directory = Self {
            meta,
            has_lock,
            segments: Vec::new(),
            leftovers: Vec::new(),
            next_id,
            next_snapshot: newest_snapshot + 1,
            snapshots: Vec::new(),
        };
        let mut stranger = None;
        for name in storage.list()? {
            if let Some(id) = segment_id(&name) {
                directory.reserve(id);
                directory.segments.extend(unless_gone(Found::read(storage, id, name), has_lock)?);
            } else if let Some(id) = name.strip_suffix(".tmp").and_then(segment_id) {
                directory.reserve(id);
                directory.leftovers.push(name);
            } else if name == META_TEMPORARY {
                directory.leftovers.push(name);
            } else if let Some(id) = snapshot_id(name.strip_suffix(".tmp").unwrap_or(&name)) {
                directory.found_snapshot(id, name);
            } else if name != LOCK_FILE && name != META_FILE {
                stranger.get_or_insert(name);
            }
        }
        directory.check(storage, stranger)?;
        directory.find_old_snapshots(storage)?;
        Ok(directory)
    }

    fn found_snapshot(&mut self, id: u64, name: String) {
        if id < self.next_snapshot + STRAY_IDS_AHEAD {
            self.next_snapshot = self.next_snapshot.max(id + 1);
        }
        if name.ends_with(".tmp") {
            self.leftovers.push(name);
        } else {
            self.snapshots.push((id, name));
        }
    }

    /// A snapshot of this log that META does not list, or no longer, is removed by the next opening. One that cannot be told
    /// from somebody else's is left alone.
    fn find_old_snapshots(&mut self, storage: &dyn Storage) -> Result<(), LogError> {
        let Some(MetaFound { meta, .. }) = &self.meta else { return Ok(()) };
        for (id, name) in &self.snapshots {
            let counts = meta.snapshots.iter().flatten().any(|listed| listed.id == *id);
            let identity = || unless_gone(identity_of(storage, name), self.has_lock);
            if !counts && identity()?.flatten() == Some(meta.uuid) {
                self.leftovers.push(name.clone());
            }
        }
        Ok(())
    }

    /// The next segment gets a higher number than this one. A stray far ahead is left alone and takes no numbers away.
    fn reserve(&mut self, id: u64) {
        if id < self.next_id + STRAY_IDS_AHEAD {
            self.next_id = self.next_id.max(id + 1);
        }
    }

    /// The refusals that need no batch: no log among other files, segments without META, another log's segment, a later
    /// version's.
    fn check(&mut self, storage: &dyn Storage, stranger: Option<String>) -> Result<(), LogError> {
        self.segments.sort_unstable_by_key(|found| found.id);
        for found in &self.segments {
            found.check_known()?;
        }
        let path = || storage.path().to_owned();
        let of_a_log = self.segments.first().map(|segment| &segment.name);
        let of_a_log = of_a_log.or(self.snapshots.first().map(|(_, name)| name));
        match (&self.meta, of_a_log, stranger) {
            (Some(found), ..) => self.check_foreign(found.meta.uuid),
            (None, Some(name), _) => Err(LogError::MetaMissing { path: path(), found: name.clone() }),
            (None, None, Some(found)) => Err(LogError::NotALog { path: path(), found }),
            (None, None, None) => Ok(()),
        }
    }

    fn check_foreign(&self, ours: u128) -> Result<(), LogError> {
        for found in &self.segments {
            if let Ok(SegmentHeader { uuid: theirs, .. }) = found.header
                && theirs != ours
            {
                return Err(LogError::ForeignSegment { segment: found.id, ours, theirs });
            }
        }
        Ok(())
    }

    pub(crate) fn find(&self, id: u64) -> Option<&Found> {
        self.segments.binary_search_by_key(&id, |found| found.id).ok().and_then(|at| self.segments.get(at))
    }

    /// The identity of the log and its highest epoch: of META, and of any file that was made and not listed any more.
    pub(crate) fn identity(&self) -> (u128, u64) {
        let Some(MetaFound { meta, .. }) = &self.meta else { return (0, 0) };
        let headers = self.segments.iter().filter_map(|found| found.header.ok());
        (meta.uuid, headers.fold(meta.epoch, |epoch, header| epoch.max(header.epoch)))
    }
}

impl Directory {
    /// The sizes of all segments, by their headers.
    pub(crate) fn segment_bytes(&self) -> u64 {
        let headers = self.segments.iter().filter_map(|found| found.header.ok());
        headers.map(|header| header.capacity_bytes()).sum()
    }
}

/// A file that somebody has removed since the names were listed is not there. If the log needs it, it is missed later.
fn unless_gone<T>(read: Result<T, LogError>, has_lock: bool) -> Result<Option<T>, LogError> {
    match read {
        Err(LogError::Storage(StorageError::NotFound { .. })) if !has_lock => Ok(None),
        read => read.map(Some),
    }
}

impl Found {
    pub(crate) fn read(storage: &dyn Storage, id: u64, name: String) -> Result<Self, LogError> {
        let header = read_header(&*storage.open_read_only(&name)?, id)?;
        Ok(Self { id, name, header })
    }

    /// The bytes of the file: mapped only if nobody writes it. Without the lock the file may be gone by now, and never another
    /// one's: an id is given once.
    pub(crate) fn load(&self, storage: &dyn Storage, is_still: bool) -> Result<Contents, LogError> {
        let file = storage.open_read_only(&self.name)?;
        Ok(if is_still { file.contents()? } else { file.read_whole()?.into() })
    }

    /// The bytes of a file that somebody may be writing.
    pub(crate) fn read_whole(&self, storage: &dyn Storage) -> Result<Vec<u8>, LogError> {
        Ok(storage.open_read_only(&self.name)?.read_whole()?)
    }

    /// The same of one that is mostly blank.
    pub(crate) fn read_filled(&self, storage: &dyn Storage) -> Result<Filled, LogError> {
        Filled::read(storage, &self.name)
    }

    /// A later version's header is intact, and none of this program's business.
    pub(crate) fn check_known(&self) -> Result<(), LogError> {
        let Err(Fault::Segment(fault)) = self.header else { return Ok(()) };
        let what = match fault {
            SegmentFault::Version(found) => {
                let file = LogFile::Segment(self.id);
                return Err(LogError::NewerVersion { file, found, known: MAJOR });
            }
            SegmentFault::MinorVersion(minor) => Unknown::MinorVersion(minor),
            SegmentFault::BlockSize(bytes) => Unknown::BlockSize(bytes),
            SegmentFault::ChecksumKind(kind) => Unknown::ChecksumKind(kind),
            SegmentFault::Incompatible(bits) => Unknown::Incompatible(bits),
            _ => return Ok(()),
        };
        Err(LogError::Unknown { file: LogFile::Segment(self.id), offset: 0, what })
    }
}

/// The header of the file named `id`. A segment gets its name after its header, its zeros and its length are durable,
/// so no crash leaves a fault here.
fn read_header(file: &dyn File, id: u64) -> Result<Result<SegmentHeader, Fault>, LogError> {
    let found = file.len()?;
    if found < SEGMENT_HEADER_LEN as u64 {
        return Ok(Err(Fault::Segment(SegmentFault::Short)));
    }
    let mut block = vec![0; SEGMENT_HEADER_LEN];
    file.read_at(&mut block, 0)?;
    Ok(SegmentHeader::decode(&block).map_err(Fault::Segment).and_then(|header| match header {
        header if header.segment_id != id => {
            Err(Fault::Segment(SegmentFault::Misplaced { found: header.segment_id }))
        }
        header if header.capacity_bytes() != found => {
            Err(Fault::FileLength { expected: header.capacity_bytes(), found })
        }
        header => Ok(header),
    }))
}
