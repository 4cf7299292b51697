//! The disk and the kernel in front of it: files, names, and what every operation does to them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use horolog_storage::{LOCK_FILE, StorageError};

use crate::crash::{Pending, any_sector};
use crate::fault::{Errno, Fault, Lot, Plan, SyncFailure};
use crate::image::{BLOCK_LEN, Image, LEN_MAX, SECTOR_LEN, index, mix};
use crate::inode::Inode;
use crate::lock::Lock;
use crate::names::{FileId, Names};
use crate::rng::Rng;
use crate::trace::{Call, Counts, Trace};
use crate::watch::Watch;

/// Where the directory is, in messages.
pub(crate) const DIR: &str = "simulated";

/// So many removed files are remembered, for their blocks.
const FREED_MAX: usize = 8;

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) files: BTreeMap<FileId, Arc<Inode>>,
    pub(crate) names: Arc<Names>,
    /// What lies in blocks that no file has any more.
    freed: Vec<Image>,
    next_file: u64,
    /// Of the last call that made something pending.
    ordinal: u64,
    pub(crate) random: Rng,
    pub(crate) capacity: Option<u64>,
    pub(crate) plan: Plan,
    pub(crate) lock: Lock,
    pub(crate) watch: Watch,
    pub(crate) trace: Trace,
    pub(crate) counts: Counts,
    handles: BTreeMap<FileId, u64>,
    /// Files whose clean pages go after that many operations.
    evictions: Vec<(u64, FileId)>,
}

impl State {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            files: BTreeMap::new(),
            names: Arc::new(Names::default()),
            freed: Vec::new(),
            next_file: 0,
            ordinal: 0,
            random: Rng::new(seed),
            capacity: None,
            plan: Plan::default(),
            lock: Lock::default(),
            watch: Watch::default(),
            trace: Trace::default(),
            counts: Counts::default(),
            handles: BTreeMap::new(),
            evictions: Vec::new(),
        }
    }

    /// The same disk with other names and files, where nothing has been done yet and nobody has anything open.
    pub(crate) fn reborn(&self, names: Names, files: BTreeMap<FileId, Arc<Inode>>) -> Self {
        let gone = self.files.iter().filter(|(file, _)| !files.contains_key(file));
        let freed = gone.map(|(_, inode)| &inode.medium).chain(&self.freed).take(FREED_MAX).cloned();
        Self {
            freed: freed.collect(),
            next_file: self.next_file,
            ordinal: self.ordinal,
            random: self.random.clone(),
            capacity: self.capacity,
            watch: Watch { patterns: Arc::clone(&self.watch.patterns), seen: Vec::new() },
            trace: Trace { is_on: self.trace.is_on, ..Trace::default() },
            names: Arc::new(names),
            files,
            ..Self::new(0)
        }
    }

    /// The same disk, with whatever waits still waiting, as nobody has it open.
    pub(crate) fn fork(&self) -> Self {
        let mut fork = self.reborn(Names::default(), self.files.clone());
        fork.names = Arc::clone(&self.names);
        let now = self.counts.operations;
        fork.evictions = self.evictions.iter().map(|(at, file)| (at.saturating_sub(now), *file)).collect();
        fork.forget_unreachable();
        fork
    }

    // What every operation begins and ends with ----------------------------------------------------------------------

    pub(crate) fn begin(&mut self, call: &Call<'_>) {
        self.counts.operations += 1;
        self.counts.mutations += u64::from(call.is_mutation());
        let now = self.counts.operations;
        let due: Vec<_> = self.evictions.extract_if(.., |(at, _)| *at < now).map(|(_, file)| file).collect();
        due.into_iter().for_each(|file| self.change(file, Inode::evict));
    }

    pub(crate) fn end<T>(&mut self, call: &Call<'_>, outcome: &Result<T, StorageError>) {
        self.trace.note(self.counts.operations, call, outcome);
    }

    pub(crate) fn failed(&self, call: &Call<'_>, source: io::Error) -> StorageError {
        StorageError::from_io(call.op, &path(call.name), call.offset, source)
    }

    fn refused(&self, call: &Call<'_>, errno: Errno) -> StorageError {
        self.failed(call, errno.error())
    }

    fn off(&self, call: &Call<'_>) -> StorageError {
        self.failed(call, io::Error::other("the simulated machine is off"))
    }

    /// Lets an operation pass or refuses it; a fault that it is to act out is given back.
    fn pass(&mut self, call: &Call<'_>) -> Result<Option<Fault>, StorageError> {
        match self.plan.draw(call.op, &[call.name, call.to.unwrap_or(call.name)]) {
            Lot::Clear => Ok(None),
            Lot::Off => Err(self.off(call)),
            Lot::Met(Fault::Refused(_, errno)) => Err(self.refused(call, errno)),
            Lot::Met(fault) => Ok(Some(fault)),
        }
    }

    pub(crate) fn next_ordinal(&mut self) -> u64 {
        self.ordinal += 1;
        self.ordinal
    }

    fn change<T: Default>(&mut self, file: FileId, change: impl FnOnce(&mut Inode) -> T) -> T {
        self.files.get_mut(&file).map_or_else(T::default, |inode| change(Arc::make_mut(inode)))
    }

    pub(crate) fn with_file<T: Default>(&mut self, name: &str, change: impl FnOnce(&mut Inode) -> T) -> T {
        self.names.find(name).map_or_else(T::default, |file| self.change(file, change))
    }

    // Names ----------------------------------------------------------------------------------------------------------

    pub(crate) fn list(&mut self, call: &Call<'_>) -> Result<Vec<String>, StorageError> {
        self.pass(call)?;
        Ok(self.names.seen.keys().map(|name| name.to_string()).collect())
    }

    pub(crate) fn open(&mut self, call: &Call<'_>) -> Result<FileId, StorageError> {
        self.pass(call)?;
        let file = self.names.find(call.name).ok_or_else(|| self.refused(call, Errno::NotFound))?;
        self.hold(file);
        Ok(file)
    }

    pub(crate) fn create(&mut self, call: &Call<'_>) -> Result<FileId, StorageError> {
        self.pass(call)?;
        if self.names.seen.contains_key(call.name) {
            return Err(self.failed(call, io::ErrorKind::AlreadyExists.into()));
        }
        if self.capacity.is_some_and(|capacity| self.used_bytes() >= capacity) {
            return Err(self.refused(call, Errno::Full));
        }
        let file = self.add(call.name);
        self.hold(file);
        Ok(file)
    }

    fn add(&mut self, name: &str) -> FileId {
        let (file, ordinal) = (self.next_file(), self.next_ordinal());
        self.files.insert(file, Arc::default());
        Arc::make_mut(&mut self.names).create(ordinal, name, file);
        file
    }

    fn next_file(&mut self) -> FileId {
        self.next_file += 1;
        FileId(self.next_file)
    }

    pub(crate) fn rename(&mut self, call: &Call<'_>) -> Result<(), StorageError> {
        self.pass(call)?;
        let (ordinal, file) = (self.next_ordinal(), self.names.find(call.name));
        let to = call.to.unwrap_or(call.name);
        if !Arc::make_mut(&mut self.names).rename(ordinal, call.name, to) {
            return Err(self.refused(call, Errno::NotFound));
        }
        if let Some(file) = file.filter(|_| to != call.name) {
            self.change(file, |inode| inode.inherited = Some(inode.medium.clone()));
        }
        Ok(())
    }

    pub(crate) fn remove(&mut self, call: &Call<'_>) -> Result<(), StorageError> {
        self.pass(call)?;
        let ordinal = self.next_ordinal();
        if Arc::make_mut(&mut self.names).remove(ordinal, call.name) {
            Ok(())
        } else {
            Err(self.refused(call, Errno::NotFound))
        }
    }

    pub(crate) fn sync_dir(&mut self, call: &Call<'_>) -> Result<(), StorageError> {
        match self.plan.draw(call.op, &[call.name]) {
            Lot::Off => Err(self.off(call)),
            Lot::Met(Fault::Refused(_, errno)) => {
                Arc::make_mut(&mut self.names).abandon();
                Err(self.refused(call, errno))
            }
            Lot::Met(_) | Lot::Clear => {
                Arc::make_mut(&mut self.names).make_durable();
                self.forget_unreachable();
                Ok(())
            }
        }
    }

    /// Drops the files that nobody can come to any more; their blocks are free.
    fn forget_unreachable(&mut self) {
        let reachable = self.names.reachable();
        let handles = &self.handles;
        self.files.retain(|file, inode| {
            let stays = reachable.contains(file) || handles.contains_key(file);
            self.freed.extend((!stays).then(|| inode.medium.clone()));
            stays
        });
        self.freed.drain(..self.freed.len().saturating_sub(FREED_MAX));
    }

    pub(crate) fn take_lock(&mut self, call: &Call<'_>) -> Result<(), StorageError> {
        self.pass(call)?;
        if self.names.find(LOCK_FILE).is_none() {
            self.add(LOCK_FILE);
        }
        self.lock.take().map_err(|pid| {
            let (path, host) = (path(LOCK_FILE), horolog_storage::host_name());
            StorageError::Locked { path, pid: Some(pid), host: Some(host) }
        })
    }

    pub(crate) fn entropy(&mut self, call: &Call<'_>, bytes: &mut [u8]) -> Result<(), StorageError> {
        self.pass(call)?;
        self.random.fill(bytes);
        Ok(())
    }

    // Handles --------------------------------------------------------------------------------------------------------

    fn hold(&mut self, file: FileId) {
        *self.handles.entry(file).or_default() += 1;
        self.counts.open_handles += 1;
    }

    pub(crate) fn let_go(&mut self, file: FileId) {
        self.counts.open_handles = self.counts.open_handles.saturating_sub(1);
        let holders = self.handles.entry(file).or_default();
        *holders = holders.saturating_sub(1);
        if *holders == 0 {
            self.handles.remove(&file);
        }
    }

    // Bytes ----------------------------------------------------------------------------------------------------------

    pub(crate) fn len(&mut self, call: &Call<'_>, file: FileId) -> Result<u64, StorageError> {
        self.pass(call)?;
        Ok(self.len_of(file))
    }

    pub(crate) fn len_of(&self, file: FileId) -> u64 {
        self.files.get(&file).map_or(0, |inode| inode.cache.len())
    }

    pub(crate) fn read(&mut self, call: &Call<'_>, file: FileId, buf: &mut [u8]) -> Result<(), StorageError> {
        let fault = self.pass(call)?;
        self.fill(call, file, fault, buf)
    }

    pub(crate) fn read_whole(&mut self, call: &Call<'_>, file: FileId) -> Result<Vec<u8>, StorageError> {
        let len = self.len_of(file);
        self.counts.largest_read = self.counts.largest_read.max(len);
        let fault = self.pass(call).map_err(|error| match error {
            StorageError::Io { source, path, .. } if source.kind() == io::ErrorKind::OutOfMemory => {
                StorageError::OutOfMemory { path, bytes: len }
            }
            error => error,
        })?;
        let mut bytes = vec![0; index(len)];
        self.fill(call, file, fault, &mut bytes)?;
        Ok(bytes)
    }

    fn fill(
        &mut self,
        call: &Call<'_>,
        file: FileId,
        fault: Option<Fault>,
        buf: &mut [u8],
    ) -> Result<(), StorageError> {
        let Some(inode) = self.files.get(&file) else { return Ok(()) };
        let (offset, wanted, len) = (call.offset.unwrap_or(0), buf.len() as u64, inode.cache.len());
        if offset.checked_add(wanted).is_none_or(|end| end > len) {
            return Err(StorageError::ShortRead { path: path(call.name), offset, wanted, len });
        }
        if let Some(sector) = inode.unreadable_in(offset, buf.len()) {
            let offset = Some(offset.max(sector * SECTOR_LEN as u64));
            return Err(self.refused(&Call { offset, ..*call }, Errno::Io));
        }
        match fault {
            Some(Fault::MisdirectedRead { name, offset }) => {
                let elsewhere = self.names.find(&name).and_then(|file| self.files.get(&file));
                elsewhere.map_or(&Image::default(), |inode| &inode.cache).read(buf, offset);
                self.trace.remark = Some("from elsewhere");
            }
            Some(Fault::StaleRead) => {
                inode.before.read(buf, offset);
                self.trace.remark = Some("stale");
            }
            _ => inode.cache.read(buf, offset),
        }
        self.counts.bytes_read += wanted;
        Ok(())
    }

    pub(crate) fn write(&mut self, call: &Call<'_>, file: FileId, bytes: &[u8]) -> Result<(), StorageError> {
        let offset = call.offset.unwrap_or(0);
        let part = |len: u64| bytes.get(..index(len)).unwrap_or(bytes);
        let (reached, errno) = match self.plan.draw(call.op, &[call.name]) {
            Lot::Off => return Err(self.off(call)),
            Lot::Met(Fault::Refused(_, errno)) => (part(bytes.len() as u64 / 2), errno),
            Lot::Met(Fault::ShortWrite { bytes, errno }) => (part(bytes), errno),
            Lot::Met(Fault::LostWrite) => {
                self.trace.remark = Some("lost");
                return self.pretend(call, file, bytes);
            }
            Lot::Met(Fault::MisdirectedWrite { name, offset }) => {
                self.trace.remark = Some("to elsewhere");
                if let Some(elsewhere) = self.names.find(&name) {
                    // What hits a full disk on the way is lost.
                    let _ = self.store(elsewhere, &name, bytes, offset);
                }
                return self.pretend(call, file, bytes);
            }
            Lot::Met(_) | Lot::Clear => {
                let stored = self.store(file, call.name, bytes, offset);
                return stored.map_err(|errno| self.refused(call, errno));
            }
        };
        let _ = self.store(file, call.name, reached, offset);
        Err(self.refused(call, errno))
    }

    /// Only the size of the file is as if the bytes had been written.
    fn pretend(&mut self, call: &Call<'_>, file: FileId, bytes: &[u8]) -> Result<(), StorageError> {
        let (ordinal, end) =
            (self.next_ordinal(), call.offset.unwrap_or(0).saturating_add(bytes.len() as u64));
        if end > self.room(file) {
            return Err(self.refused(call, Errno::Full));
        }
        self.change(file, |inode| inode.grow(ordinal, end));
        Ok(())
    }

    /// Puts bytes into the page cache, as many as there is room for.
    fn store(&mut self, file: FileId, name: &str, bytes: &[u8], offset: u64) -> Result<(), Errno> {
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > LEN_MAX) {
            return Err(Errno::TooLarge);
        }
        let fits = self.room(file).saturating_sub(offset).min(bytes.len() as u64);
        let reached = bytes.get(..index(fits)).unwrap_or(bytes);
        if let Some(inode) = self.files.get(&file) {
            if inode.needs_unreadable(offset, reached.len()) {
                return Err(Errno::Io);
            }
            let name = self.names.name_of(file).map_or(name, |name| name);
            self.watch.look(self.counts.operations, name, inode, offset, reached.len());
        }
        let ordinal = self.next_ordinal();
        self.change(file, |inode| inode.write(ordinal, reached, offset));
        self.counts.bytes_written += fits;
        if reached.len() < bytes.len() { Err(Errno::Full) } else { Ok(()) }
    }

    /// How long a file may become.
    fn room(&self, file: FileId) -> u64 {
        let Some(capacity) = self.capacity else { return LEN_MAX };
        let own = on_disk(self.len_of(file));
        let free = capacity.saturating_sub(self.used_bytes()) / BLOCK_LEN as u64 * BLOCK_LEN as u64;
        own.saturating_add(free).min(LEN_MAX)
    }

    /// What all files take that have a name or are open.
    pub(crate) fn used_bytes(&self) -> u64 {
        let named = self.names.seen.values().chain(self.handles.keys());
        let files: BTreeSet<_> = named.collect();
        files.into_iter().map(|file| on_disk(self.len_of(*file))).sum()
    }

    pub(crate) fn sync(&mut self, call: &Call<'_>, file: FileId) -> Result<(), StorageError> {
        let owes_error = self.files.get(&file).is_some_and(|inode| inode.owes_error);
        let (failure, errno) = match self.plan.draw(call.op, &[call.name]) {
            Lot::Off => return Err(self.off(call)),
            Lot::Met(Fault::Refused(_, errno)) => (SyncFailure::MarkedClean, errno),
            Lot::Met(Fault::Sync(failure)) => (failure, Errno::Io),
            Lot::Met(_) | Lot::Clear if owes_error => (SyncFailure::MarkedClean, Errno::Io),
            Lot::Met(_) | Lot::Clear => {
                self.change(file, Inode::make_durable);
                return Ok(());
            }
        };
        self.fail_sync(file, failure);
        if failure == SyncFailure::ToldByTheNext {
            self.trace.remark = Some("not durable");
            return Ok(());
        }
        Err(self.refused(call, errno))
    }

    fn fail_sync(&mut self, file: FileId, failure: SyncFailure) {
        self.change(file, |inode| {
            inode.abandon();
            inode.owes_error = failure == SyncFailure::ToldByTheNext;
            if failure == SyncFailure::Reverted {
                inode.evict();
            }
        });
        if let SyncFailure::Evicted { after } = failure {
            self.evictions.push((self.counts.operations.saturating_add(after), file));
        }
    }

    // Above the operations -------------------------------------------------------------------------------------------

    pub(crate) fn file(&self, name: &str) -> Option<&Inode> {
        self.files.get(&self.names.find(name)?).map(|inode| &**inode)
    }

    pub(crate) fn sizes(&self) -> impl Iterator<Item = (&str, u64)> {
        let files = self.names.seen.iter().map(|(name, file)| (&**name, self.files.get(file)));
        files.map(|(name, inode)| (name, inode.map_or(0, |inode| inode.cache.len())))
    }

    pub(crate) fn open_files(&self) -> u64 {
        self.handles.values().sum()
    }

    pub(crate) fn write_back(&mut self, hand_over: &mut dyn FnMut(&Pending) -> bool) {
        for (file, inode) in self.files.iter_mut().filter(|(_, inode)| !inode.versions.is_empty()) {
            let Some(name) = self.names.name_of(*file) else { continue };
            Arc::make_mut(inode).write_back(&mut |version| hand_over(&Pending::of(name, version)));
        }
    }

    pub(crate) fn put(&mut self, name: &str, bytes: &[u8]) {
        let file = self.next_file();
        self.files.insert(file, Arc::new(Inode::durable(Image::of(bytes))));
        Arc::make_mut(&mut self.names).settle(name, file);
        self.forget_unreachable();
    }

    pub(crate) fn evict(&mut self) {
        let doubtful = self.files.values_mut().filter(|inode| !inode.is_settled());
        doubtful.for_each(|inode| Arc::make_mut(inode).evict());
    }

    /// A sector that some file holds or held on the medium.
    pub(crate) fn old_sector(&self, rng: &mut Rng) -> [u8; SECTOR_LEN] {
        let images: Vec<_> =
            self.freed.iter().chain(self.files.values().map(|inode| &inode.medium)).collect();
        rng.pick(&images).map_or([0; SECTOR_LEN], |image| any_sector(image, &mut rng.clone()))
    }

    pub(crate) fn image_hash(&self) -> u64 {
        let files = self.names.seen.iter().filter_map(|(name, file)| Some((name, self.files.get(file)?)));
        files.fold(1, |hash, (name, inode)| mix(hash_name(hash, name), inode.cache.hash()))
    }
}

pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

fn on_disk(len: u64) -> u64 {
    len.next_multiple_of(BLOCK_LEN as u64)
}

fn hash_name(hash: u64, name: &str) -> u64 {
    let words = name.as_bytes().chunks(8).map(|part| {
        let mut word = [0; 8];
        word.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
        u64::from_le_bytes(word)
    });
    words.fold(mix(hash, name.len() as u64), mix)
}
