//! Reading snapshots: their names, their headers, their sections.

use std::convert::Infallible;

use crc32fast::Hasher;
use horolog_storage::{Storage, StorageError};

use crate::error::{LogError, LogFile, Unknown, VisitError};
use crate::format::SEGMENT_ID_END;
use crate::format::segment::MAJOR;
use crate::format::snapshot::{
    FRAME_LEN, Frame, SNAPSHOT_HEADER_LEN, SnapshotDamage, SnapshotHeader, SnapshotRef,
};
use crate::lsn::Lsn;
use crate::read::LogView;

/// The name of a snapshot.
pub(crate) fn snapshot_name(id: u64) -> String {
    format!("snap-{id:016x}.img")
}

/// The name of a snapshot that is being written.
pub(crate) fn snapshot_temporary_name(id: u64) -> String {
    format!("{}.tmp", snapshot_name(id))
}

/// The id in the name of a snapshot. Only the one spelling [`snapshot_name`] gives is a name.
pub(crate) fn snapshot_id(name: &str) -> Option<u64> {
    let id = u64::from_str_radix(name.strip_prefix("snap-")?.strip_suffix(".img")?, 16).ok()?;
    ((1..SEGMENT_ID_END).contains(&id) && snapshot_name(id) == name).then_some(id)
}

/// The identity in the header of a snapshot, if it is intact. Its file may be anything.
pub(crate) fn identity_of(storage: &dyn Storage, name: &str) -> Result<Option<u128>, LogError> {
    let file = storage.open_read_only(name)?;
    if file.len()? < SNAPSHOT_HEADER_LEN as u64 {
        return Ok(None);
    }
    let mut block = vec![0; SNAPSHOT_HEADER_LEN];
    file.read_at(&mut block, 0)?;
    Ok(SnapshotHeader::decode(&block).map(|header| header.uuid))
}

impl LogView {
    /// The snapshots that count, as META says, newest first. Each may have rotted: [`LogView::for_each_section`] tells.
    pub fn snapshots(&self) -> impl Iterator<Item = SnapshotRef> + '_ {
        self.meta.iter().flat_map(|meta| meta.snapshots).flatten()
    }

    /// Visits the sections of a snapshot, in order, each compared with its checksum before.
    ///
    /// The file is mapped if the view was made with the lock, and else read as a whole. What was visited counts only when this
    /// returns without an error: that the sections are all there, and those that META means, is known at the end.
    ///
    /// # Errors
    ///
    /// [`VisitError::Visitor`] with what `visit` answered; [`LogError::SnapshotDamaged`], or another [`LogError`], if the file
    /// cannot be read.
    pub fn for_each_section<E>(
        &self,
        storage: &dyn Storage,
        snapshot: &SnapshotRef,
        visit: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), VisitError<E>> {
        let name = snapshot_name(snapshot.id);
        let file = match storage.open_read_only(&name) {
            Err(StorageError::NotFound { .. }) => {
                return Err(damaged(snapshot, SnapshotDamage::Missing).into());
            }
            opened => opened.map_err(LogError::from)?,
        };
        let found = file.len().map_err(LogError::from)?;
        if found != snapshot.bytes {
            let expected = snapshot.bytes;
            return Err(damaged(snapshot, SnapshotDamage::Length { expected, found }).into());
        }
        let bytes = if self.has_lock() {
            file.contents().map_err(LogError::from)?
        } else {
            file.read_whole().map_err(LogError::from)?.into()
        };
        for_each_section_of(&bytes, self.uuid, snapshot, visit)
    }
}

/// It is intact, and none of this program's business.
fn later_version(id: u64, major: u16, minor: u16) -> LogError {
    let file = LogFile::Snapshot(id);
    match major {
        MAJOR => LogError::Unknown { file, offset: 0, what: Unknown::MinorVersion(minor) },
        found => LogError::NewerVersion { file, found, known: MAJOR },
    }
}

fn damaged(snapshot: &SnapshotRef, damage: SnapshotDamage) -> LogError {
    LogError::SnapshotDamaged { snapshot: snapshot.id, damage }
}

/// Visits the sections in the bytes of a snapshot's file.
pub(crate) fn for_each_section_of<E>(
    bytes: &[u8],
    uuid: u128,
    snapshot: &SnapshotRef,
    visit: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), VisitError<E>> {
    if let Some((major, minor)) = SnapshotHeader::other_version(bytes) {
        return Err(later_version(snapshot.id, major, minor).into());
    }
    let wrong = |damage| VisitError::Log(damaged(snapshot, damage));
    let header = SnapshotHeader::decode(bytes)
        .filter(|it| (it.uuid, it.id, it.begin) == (uuid, snapshot.id, snapshot.begin))
        .ok_or_else(|| wrong(SnapshotDamage::Header))?;
    let mut digest = Hasher::new();
    let mut at = SNAPSHOT_HEADER_LEN;
    for index in 0..snapshot.sections {
        let here = at as u64;
        let rest = bytes.get(at..).unwrap_or_default();
        let frame = Frame::decode(&header, rest)
            .filter(|it| it.index == index && it.is_last == (index + 1 == snapshot.sections))
            .ok_or_else(|| wrong(SnapshotDamage::Frame { offset: here }))?;
        let end = FRAME_LEN.checked_add(frame.body_len as usize);
        let body = end
            .and_then(|end| rest.get(FRAME_LEN..end))
            .filter(|body| crc32fast::hash(body) == frame.body_crc)
            .ok_or_else(|| wrong(SnapshotDamage::Body { offset: here + FRAME_LEN as u64 }))?;
        digest.update(&frame.body_crc.to_le_bytes());
        visit(body).map_err(VisitError::Visitor)?;
        at += FRAME_LEN + body.len();
    }
    if at == bytes.len() && digest.finalize() == snapshot.digest {
        return Ok(());
    }
    Err(wrong(SnapshotDamage::Digest))
}

/// A snapshot that is whole by its own account, whether META lists it or not.
#[derive(Debug)]
pub struct SnapshotOnDisk {
    /// Its number.
    pub id: u64,
    /// The identity of its log.
    pub uuid: u128,
    /// The records behind this one are needed besides.
    pub begin: Lsn,
    bytes: Vec<u8>,
}

impl SnapshotOnDisk {
    /// Visits its sections, in order.
    ///
    /// # Errors
    ///
    /// What `visit` answered.
    pub fn for_each_section<E>(&self, visit: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        walk(&self.bytes, visit).unwrap_or(Ok(()))
    }
}

/// The snapshots of a log in a directory that may be damaged, newest first: those that are whole by their own account. `uuid` is the
/// identity of the log, or 0 if nothing says it; then all that there are have to agree.
///
/// # Errors
///
/// A file that cannot be read is an error, and not damage.
pub fn snapshots_on_disk(storage: &dyn Storage, uuid: u128) -> Result<Vec<SnapshotOnDisk>, LogError> {
    let mut found = Vec::new();
    for name in storage.list()? {
        let Some(id) = snapshot_id(&name) else { continue };
        let bytes = storage.open_read_only(&name)?.read_whole()?;
        if let Some((major, minor)) = SnapshotHeader::other_version(&bytes) {
            return Err(later_version(id, major, minor));
        }
        let header = SnapshotHeader::decode(&bytes).filter(|it| it.id == id && [0, it.uuid].contains(&uuid));
        let is_whole = matches!(walk::<Infallible>(&bytes, &mut |_| Ok(())), Some(Ok(_)));
        if let (Some(SnapshotHeader { begin, uuid, .. }), true) = (header, is_whole) {
            found.push(SnapshotOnDisk { id, uuid, begin, bytes });
        }
    }
    found.sort_unstable_by_key(|it| std::cmp::Reverse(it.id));
    let agree = found.iter().all(|it| found.first().is_some_and(|first| first.uuid == it.uuid));
    Ok(if agree { found } else { Vec::new() })
}

/// Visits sections up to the one that says that it is the last. `None` if anything is not as it should be.
fn walk<E>(bytes: &[u8], visit: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Option<Result<(), E>> {
    let header = SnapshotHeader::decode(bytes)?;
    let mut digest = Hasher::new();
    let mut rest = bytes.get(SNAPSHOT_HEADER_LEN..)?;
    for index in 0.. {
        let frame = Frame::decode(&header, rest).filter(|it| it.index == index)?;
        let (section, behind) = rest.get(FRAME_LEN..)?.split_at_checked(frame.body_len as usize)?;
        digest.update(&frame.body_crc.to_le_bytes());
        if crc32fast::hash(section) != frame.body_crc || digest.clone().finalize() != frame.digest {
            return None;
        }
        if let Err(error) = visit(section) {
            return Some(Err(error));
        }
        if frame.is_last {
            return behind.is_empty().then_some(Ok(()));
        }
        rest = behind;
    }
    None
}
