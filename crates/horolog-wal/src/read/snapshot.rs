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
use crate::planted::{Bug, is_planted};
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
    let block = header_block(storage, name)?;
    Ok(block.and_then(|block| SnapshotHeader::decode(&block)).map(|header| header.uuid))
}

/// The first block of a file; `None` if it has less.
fn header_block(storage: &dyn Storage, name: &str) -> Result<Option<Vec<u8>>, LogError> {
    let file = storage.open_read_only(name)?;
    if file.len()? < SNAPSHOT_HEADER_LEN as u64 {
        return Ok(None);
    }
    let mut block = vec![0; SNAPSHOT_HEADER_LEN];
    file.read_at(&mut block, 0)?;
    Ok(Some(block))
}

impl LogView<'_> {
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
        snapshot: &SnapshotRef,
        visit: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), VisitError<E>> {
        let name = snapshot_name(snapshot.id);
        let file = match self.storage.open_read_only(&name) {
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

/// A later version's header is intact, and none of this program's business.
fn refuse_later(id: u64, bytes: &[u8]) -> Result<(), LogError> {
    let file = LogFile::Snapshot(id);
    match SnapshotHeader::other_version(bytes) {
        None => Ok(()),
        Some((MAJOR, minor)) => {
            Err(LogError::Unknown { file, offset: 0, what: Unknown::MinorVersion(minor) })
        }
        Some((found, _)) => Err(LogError::NewerVersion { file, found, known: MAJOR }),
    }
}

fn damaged(snapshot: &SnapshotRef, damage: SnapshotDamage) -> LogError {
    LogError::SnapshotDamaged { snapshot: snapshot.id, damage }
}

/// Visits the sections in the bytes of a snapshot's file.
fn for_each_section_of<E>(
    bytes: &[u8],
    uuid: u128,
    snapshot: &SnapshotRef,
    visit: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), VisitError<E>> {
    refuse_later(snapshot.id, bytes)?;
    let wrong = |damage| VisitError::Log(damaged(snapshot, damage));
    let header = SnapshotHeader::decode(bytes)
        .filter(|it| (it.uuid, it.id, it.begin) == (uuid, snapshot.id, snapshot.begin))
        .ok_or_else(|| wrong(SnapshotDamage::Header))?;
    let mut digest = Hasher::new();
    let mut at = SNAPSHOT_HEADER_LEN;
    for index in 0..snapshot.sections {
        let here = at as u64;
        let rest = bytes.get(at..).unwrap_or_default();
        let frame = Frame::decode_nth(index, &header, snapshot, rest)
            .ok_or_else(|| wrong(SnapshotDamage::Frame { offset: here }))?;
        let end = FRAME_LEN.checked_add(frame.body_len as usize);
        let body = end
            .and_then(|end| rest.get(FRAME_LEN..end))
            .filter(|body| crc32fast::hash(body) == frame.body_crc || is_planted(Bug::SnapshotUnchecked))
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
#[derive(Debug, Clone, Copy)]
pub struct SnapshotOnDisk {
    /// Its number.
    pub id: u64,
    /// The identity of its log.
    pub uuid: u128,
    /// The records behind this one are needed besides.
    pub begin: Lsn,
    account: SnapshotRef,
}

impl SnapshotOnDisk {
    /// Visits its sections, as [`LogView::for_each_section`] does.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn for_each_section<E>(
        &self,
        storage: &dyn Storage,
        visit: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), VisitError<E>> {
        let bytes = read_whole(storage, self.id)?;
        for_each_section_of(&bytes, self.uuid, &self.account, visit)
    }
}

/// The snapshots of a log in a directory that may be damaged, newest first: those that are whole by their own account.
/// `uuid` is the identity of the log, or 0 if nothing says it; then all that there are have to agree.
///
/// # Errors
///
/// A file that cannot be read is an error, and not damage.
pub fn snapshots_on_disk(storage: &dyn Storage, uuid: u128) -> Result<Vec<SnapshotOnDisk>, LogError> {
    let mut found = Vec::new();
    for id in storage.list()?.iter().filter_map(|name| snapshot_id(name)) {
        // What does not begin as a snapshot may be anybody's, and as large as it likes.
        let Some(block) = header_block(storage, &snapshot_name(id))? else { continue };
        refuse_later(id, &block)?;
        if SnapshotHeader::decode(&block).is_none() {
            continue;
        }
        let bytes = read_whole(storage, id)?;
        let Some((header, account)) = account_of(&bytes) else { continue };
        let read = for_each_section_of::<Infallible>(&bytes, header.uuid, &account, &mut |_| Ok(()));
        match read {
            Err(VisitError::Log(LogError::SnapshotDamaged { .. })) => continue,
            Err(VisitError::Log(error)) => return Err(error),
            Err(VisitError::Visitor(never)) => match never {},
            Ok(()) if header.id != id || ![0, header.uuid].contains(&uuid) => continue,
            Ok(()) => found.push(SnapshotOnDisk { id, uuid: header.uuid, begin: header.begin, account }),
        }
    }
    found.sort_unstable_by_key(|it| std::cmp::Reverse(it.id));
    let agree = found.iter().all(|it| found.first().is_some_and(|first| first.uuid == it.uuid));
    Ok(if agree { found } else { Vec::new() })
}

fn read_whole(storage: &dyn Storage, id: u64) -> Result<Vec<u8>, LogError> {
    Ok(storage.open_read_only(&snapshot_name(id))?.read_whole()?)
}

/// What META would have to say of a file, by its header and its frames, but for what only the owner knows: its end.
fn account_of(bytes: &[u8]) -> Option<(SnapshotHeader, SnapshotRef)> {
    let header = SnapshotHeader::decode(bytes)?;
    let mut at = SNAPSHOT_HEADER_LEN;
    loop {
        let frame = Frame::decode(&header, bytes.get(at..)?)?;
        if frame.is_last {
            let SnapshotHeader { id, begin, .. } = header;
            let sections = frame.index.checked_add(1)?;
            let bytes = bytes.len() as u64;
            return Some((
                header,
                SnapshotRef { id, begin, end: begin, bytes, sections, digest: frame.digest },
            ));
        }
        at = at.checked_add(FRAME_LEN)?.checked_add(frame.body_len as usize)?;
    }
}
