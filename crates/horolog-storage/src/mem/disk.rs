//! Two images of every file and of the directory: what programs see, and what the medium holds.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use super::fault::Faults;
use crate::error::Op;

const SECTOR_LEN: usize = 512;

type FileIndex = usize;

#[derive(Debug)]
pub(super) struct Disk {
    files: Vec<Inode>,
    names: BTreeMap<String, FileIndex>,
    durable_names: BTreeMap<String, FileIndex>,
    pending_names: Vec<NameChange>,
    locked: bool,
    random: u64,
    pub(super) faults: Faults,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// Written and not synced, in the order of writing.
    pending: Vec<Write>,
    /// Caught by a sync that failed: they may reach the medium, and no later sync answers for them.
    abandoned: Vec<Write>,
}

#[derive(Debug, Clone)]
struct Write {
    offset: usize,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone)]
enum NameChange {
    Create { name: String, file: FileIndex },
    Rename { from: String, to: String, file: FileIndex },
    Remove { name: String },
}

impl Disk {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            locked: false,
            random: seed,
            faults: Faults::default(),
        }
    }

    pub(super) fn files(&self) -> Vec<(String, u64)> {
        self.names.iter().map(|(name, &file)| (name.clone(), self.cached(file).len() as u64)).collect()
    }

    pub(super) fn find(&self, name: &str) -> Option<FileIndex> {
        self.names.get(name).copied()
    }

    pub(super) fn open(&mut self, name: &str) -> io::Result<FileIndex> {
        self.faults.pass(Op::Open)?;
        self.find(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn cached(&self, file: FileIndex) -> &[u8] {
        self.files.get(file).map_or(&[], |inode| &inode.cached)
    }

    pub(super) fn create(&mut self, name: &str) -> io::Result<()> {
        self.faults.pass(Op::Create)?;
        if self.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.add(name);
        Ok(())
    }

    fn add(&mut self, name: &str) -> FileIndex {
        let file = self.files.len();
        self.files.push(Inode::default());
        self.names.insert(name.to_owned(), file);
        self.pending_names.push(NameChange::Create { name: name.to_owned(), file });
        file
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.faults.pass(Op::Rename)?;
        let file = self.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        self.names.insert(to.to_owned(), file);
        self.pending_names.push(NameChange::Rename { from: from.to_owned(), to: to.to_owned(), file });
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.faults.pass(Op::Remove)?;
        self.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        self.pending_names.push(NameChange::Remove { name: name.to_owned() });
        Ok(())
    }

    pub(super) fn sync_names(&mut self) -> io::Result<()> {
        self.faults.pass(Op::SyncDir)?;
        self.durable_names.clone_from(&self.names);
        self.pending_names.clear();
        Ok(())
    }

    pub(super) fn write(&mut self, file: FileIndex, bytes: &[u8], offset: usize) -> io::Result<()> {
        let passed = self.faults.pass(Op::Write);
        let reached = match &passed {
            Ok(()) => bytes,
            Err(_) if self.faults.halted() => &[],
            Err(_) => bytes.get(..bytes.len() / 2).unwrap_or_default(),
        };
        if let Some(inode) = self.files.get_mut(file) {
            inode.write(reached, offset);
        }
        passed
    }

    pub(super) fn sync(&mut self, file: FileIndex) -> io::Result<()> {
        let passed = self.faults.pass(Op::Sync);
        match (&passed, self.files.get_mut(file)) {
            (Ok(()), Some(inode)) => inode.make_durable(),
            (Err(_), Some(inode)) => inode.abandoned.append(&mut inode.pending),
            (_, None) => {}
        }
        passed
    }

    /// Whether the lock was free.
    pub(super) fn take_lock(&mut self, name: &str) -> io::Result<bool> {
        self.faults.pass(Op::Lock)?;
        if self.find(name).is_none() {
            self.add(name);
        }
        Ok(!std::mem::replace(&mut self.locked, true))
    }

    pub(super) fn release_lock(&mut self) {
        self.locked = false;
    }

    /// SplitMix64: small, seeded, and good enough for numbers that must only differ.
    pub(super) fn entropy(&mut self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(8) {
            self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.random;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let number = (z ^ (z >> 31)).to_le_bytes();
            piece.iter_mut().zip(number).for_each(|(byte, random)| *byte = random);
        }
    }

    pub(super) fn put(&mut self, name: &str, bytes: &[u8]) {
        let file = self.files.len();
        self.files.push(Inode { cached: bytes.to_vec(), durable: bytes.to_vec(), ..Inode::default() });
        self.names.insert(name.to_owned(), file);
        self.durable_names.insert(name.to_owned(), file);
    }

    pub(super) fn flip(&mut self, name: &str, offset: u64, mask: u8) -> bool {
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let Some(inode) = self.find(name).and_then(|file| self.files.get_mut(file)) else { return false };
        if let Some(byte) = inode.durable.get_mut(at) {
            *byte ^= mask;
        }
        inode.cached.get_mut(at).map(|byte| *byte ^= mask).is_some()
    }

    pub(super) fn truncate(&mut self, name: &str, len: u64) -> bool {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let Some(inode) = self.find(name).and_then(|file| self.files.get_mut(file)) else { return false };
        let longer = inode.cached.len() > len;
        inode.cached.truncate(len);
        inode.durable.truncate(len);
        longer
    }

    pub(super) fn after_process_kill(&self) -> Self {
        Self {
            files: self.files.clone(),
            names: self.names.clone(),
            durable_names: self.durable_names.clone(),
            pending_names: self.pending_names.clone(),
            ..Self::new(self.random)
        }
    }

    pub(super) fn after_power_cut(&self, keep: &mut dyn FnMut() -> bool) -> Self {
        let mut names = self.durable_names.clone();
        for change in &self.pending_names {
            apply(change, &mut names, keep);
        }
        Self {
            files: self.files.iter().map(|inode| inode.after_power_cut(keep)).collect(),
            durable_names: names.clone(),
            names,
            ..Self::new(self.random)
        }
    }
}

/// What of a change of names reached the medium. The new name comes before the old one goes: no file system that
/// calls its rename atomic loses both.
fn apply(change: &NameChange, names: &mut BTreeMap<String, FileIndex>, keep: &mut dyn FnMut() -> bool) {
    if !keep() {
        return;
    }
    match change {
        NameChange::Create { name, file } => {
            names.insert(name.clone(), *file);
        }
        NameChange::Rename { from, to, file } => {
            names.insert(to.clone(), *file);
            if keep() {
                names.remove(from);
            }
        }
        NameChange::Remove { name } => {
            names.remove(name);
        }
    }
}

impl Inode {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        if !bytes.is_empty() {
            overlay(&mut self.cached, bytes, offset);
            self.pending.push(Write { offset, bytes: bytes.to_vec() });
        }
    }

    fn make_durable(&mut self) {
        for write in self.pending.drain(..) {
            overlay(&mut self.durable, &write.bytes, write.offset);
            // What the kernel gave up and was written anew does not come back.
            self.abandoned.retain(|old| !write.covers(old));
        }
    }

    fn after_power_cut(&self, keep: &mut dyn FnMut() -> bool) -> Self {
        let mut durable = self.durable.clone();
        for write in self.abandoned.iter().chain(&self.pending) {
            for sector in write.sectors() {
                if keep() {
                    let offset = write.offset + sector.start;
                    overlay(&mut durable, write.bytes.get(sector).unwrap_or_default(), offset);
                }
            }
        }
        Self { cached: durable.clone(), durable, ..Self::default() }
    }
}

impl Write {
    fn covers(&self, other: &Self) -> bool {
        let end = |write: &Self| write.offset + write.bytes.len();
        self.offset <= other.offset && end(other) <= end(self)
    }

    /// The parts of the write that lie in one sector each.
    fn sectors(&self) -> impl Iterator<Item = Range<usize>> {
        let mut start = 0;
        let (offset, len) = (self.offset, self.bytes.len());
        std::iter::from_fn(move || {
            let end = ((offset + start) / SECTOR_LEN * SECTOR_LEN + SECTOR_LEN - offset).min(len);
            let sector = start..end;
            start = end;
            (!sector.is_empty()).then_some(sector)
        })
    }
}

/// Puts `bytes` at `offset`; a gap that opens in front of them is zero.
fn overlay(image: &mut Vec<u8>, bytes: &[u8], offset: usize) {
    let end = offset.saturating_add(bytes.len());
    if image.len() < end {
        image.resize(end, 0);
    }
    if let Some(place) = image.get_mut(offset..end) {
        place.copy_from_slice(bytes);
    }
}
