//! The disk and the kernel in front of it: files, names, and what every operation does to them.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use horolog_storage::StorageError;

use crate::crash::{Pending, any_sector};
use crate::effect::{Effect, Effects};
use crate::fault::{Errno, Fault, Lot, Plan};
use crate::image::{Image, SECTOR_LEN, mix};
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

/// Something that is done once, between two operations.
pub(crate) struct Interruption(pub(crate) Box<dyn FnOnce() + Send>);

impl fmt::Debug for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interruption")
    }
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) files: BTreeMap<FileId, Arc<Inode>>,
    pub(crate) names: Arc<Names>,
    /// What lies in blocks that no file has any more.
    freed: Vec<Image>,
    next_file: u64,
    /// Of the last call that made something pending.
    pub(crate) ordinal: u64,
    /// The next sync that works answers for what was written up to here, and not for what came later.
    pub(crate) sync_covers: Option<u64>,
    pub(crate) random: Rng,
    pub(crate) capacity: Option<u64>,
    pub(crate) plan: Plan,
    pub(crate) lock: Lock,
    pub(crate) watch: Watch,
    pub(crate) trace: Trace,
    pub(crate) counts: Counts,
    pub(crate) effects: Effects,
    pub(crate) handles: BTreeMap<FileId, u64>,
    /// Files whose clean pages go after that many operations.
    pub(crate) evictions: Vec<(u64, FileId)>,
    /// What somebody else does, before which operation.
    pub(crate) interruption: Option<(u64, Interruption)>,
    /// A fork after each change, with the number of changes so far; nothing as long as nobody wants them.
    pub(crate) moments: Option<Vec<(u64, State)>>,
}

impl State {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            files: BTreeMap::new(),
            names: Arc::new(Names::default()),
            freed: Vec::new(),
            next_file: 0,
            ordinal: 0,
            sync_covers: None,
            random: Rng::new(seed),
            capacity: None,
            plan: Plan::default(),
            lock: Lock::default(),
            watch: Watch::default(),
            trace: Trace::default(),
            counts: Counts::default(),
            effects: Effects::default(),
            handles: BTreeMap::new(),
            evictions: Vec::new(),
            interruption: None,
            moments: None,
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
            effects: self.effects.clone(),
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

    /// Drops the files that nobody can come to any more; their blocks are free.
    pub(crate) fn forget_unreachable(&mut self) {
        let reachable = self.names.reachable();
        let handles = &self.handles;
        self.files.retain(|file, inode| {
            let stays = reachable.contains(file) || handles.contains_key(file);
            self.freed.extend((!stays).then(|| inode.medium.clone()));
            stays
        });
        self.freed.drain(..self.freed.len().saturating_sub(FREED_MAX));
    }

    pub(crate) fn begin(&mut self, call: &Call<'_>) {
        self.counts.operations += 1;
        self.counts.mutations += u64::from(call.is_mutation());
        let now = self.counts.operations;
        let due: Vec<_> = self.evictions.extract_if(.., |(at, _)| *at < now).map(|(_, file)| file).collect();
        due.into_iter().for_each(|file| self.evict_file(file, Effect::Evicted));
    }

    /// The clean pages of a file leave the page cache; it is noted if that shows.
    pub(crate) fn evict_file(&mut self, file: FileId, effect: Effect) {
        let shows = self.change(file, |inode| {
            let before = inode.cache.clone();
            inode.evict();
            !before.same(&inode.cache)
        });
        if shows {
            self.effects.note(effect);
        }
    }

    pub(crate) fn end<T>(&mut self, call: &Call<'_>, outcome: &Result<T, StorageError>) {
        self.trace.note(self.counts.operations, call, outcome);
        if self.moments.is_some() && call.is_mutation() {
            let moment = (self.plan.changes(), self.fork());
            self.moments.get_or_insert_default().push(moment);
        }
    }

    pub(crate) fn failed(&self, call: &Call<'_>, source: io::Error) -> StorageError {
        StorageError::from_io(call.op, &path(call.name), call.offset, source)
    }

    pub(crate) fn refused(&self, call: &Call<'_>, errno: Errno) -> StorageError {
        self.failed(call, errno.error())
    }

    pub(crate) fn off(&self, call: &Call<'_>) -> StorageError {
        self.failed(call, io::Error::other("the simulated machine is off"))
    }

    /// Lets an operation pass or refuses it; a fault that it is to act out is given back.
    pub(crate) fn pass(&mut self, call: &Call<'_>) -> Result<Option<Fault>, StorageError> {
        match self.plan.draw(call.op, &[call.name, call.to.unwrap_or(call.name)]) {
            Lot::Clear => Ok(None),
            Lot::Off => Err(self.off(call)),
            Lot::Met(Fault::Refused(op, errno)) => {
                self.effects.note(Effect::Refused(op, errno));
                Err(self.refused(call, errno))
            }
            Lot::Met(fault) => Ok(Some(fault)),
        }
    }

    pub(crate) fn next_file(&mut self) -> FileId {
        self.next_file += 1;
        FileId(self.next_file)
    }

    pub(crate) fn next_ordinal(&mut self) -> u64 {
        self.ordinal += 1;
        self.ordinal
    }

    pub(crate) fn change<T: Default>(&mut self, file: FileId, change: impl FnOnce(&mut Inode) -> T) -> T {
        self.files.get_mut(&file).map_or_else(T::default, |inode| change(Arc::make_mut(inode)))
    }

    pub(crate) fn with_file<T: Default>(&mut self, name: &str, change: impl FnOnce(&mut Inode) -> T) -> T {
        self.names.find(name).map_or_else(T::default, |file| self.change(file, change))
    }

    pub(crate) fn file(&self, name: &str) -> Option<&Inode> {
        self.files.get(&self.names.find(name)?).map(|inode| &**inode)
    }

    pub(crate) fn len_of(&self, file: FileId) -> u64 {
        self.files.get(&file).map_or(0, |inode| inode.cache.len())
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
        let doubtful = self.files.iter().filter(|(_, inode)| !inode.is_settled());
        let doubtful: Vec<_> = doubtful.map(|(file, _)| *file).collect();
        doubtful.into_iter().for_each(|file| self.evict_file(file, Effect::Evicted));
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

fn hash_name(hash: u64, name: &str) -> u64 {
    let words = name.as_bytes().chunks(8).map(|part| {
        let mut word = [0; 8];
        word.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
        u64::from_le_bytes(word)
    });
    words.fold(mix(hash, name.len() as u64), mix)
}

#[cfg(test)]
mod tests {
    use horolog_storage::Storage;

    use crate::SimDisk;

    #[test]
    fn a_long_life_piles_up_nothing() {
        let disk = SimDisk::new(1);
        for round in 0..50 {
            disk.create("a").unwrap().write_at(&[1; 100], 0).unwrap();
            disk.remove("a").unwrap();
            if round % 10 == 9 {
                assert!(disk.fork().shared.state().files.len() <= 10);
                disk.sync_dir().unwrap();
            }
        }
        let state = disk.shared.state();
        assert!(state.files.is_empty() && state.freed.len() <= super::FREED_MAX);
    }

    #[test]
    fn a_fork_leaves_behind_what_only_a_handle_leads_to() {
        let disk = SimDisk::new(1);
        let file = disk.create("a").unwrap();
        disk.remove("a").unwrap();
        disk.sync_dir().unwrap();
        assert_eq!(disk.shared.state().files.len(), 1, "it is open");
        assert!(disk.fork().shared.state().files.is_empty());
        drop(file);
    }
}
