//! The directory, twice: what programs see, what the medium holds, and the changes between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A file, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId(pub(crate) u64);

pub(crate) type Table = BTreeMap<Arc<str>, FileId>;

/// The names of all files.
///
/// # Invariant
///
/// - N1: what is durable, with the pending changes made to it in order, is what is seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    pub(crate) seen: Table,
    pub(crate) durable: Table,
    pub(crate) pending: Vec<NameChange>,
}

#[derive(Debug, Clone)]
pub(crate) struct NameChange {
    pub(crate) ordinal: u64,
    pub(crate) change: Change,
    /// A sync of the directory failed since: no later one answers for it.
    pub(crate) abandoned: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Change {
    Create { name: Arc<str>, file: FileId },
    Rename { from: Arc<str>, to: Arc<str>, file: FileId },
    Remove { name: Arc<str> },
}

impl Change {
    /// Makes the change. A rename may leave the old name as well.
    pub(crate) fn apply(&self, table: &mut Table, keep_old: bool) {
        match self {
            Self::Create { name, file } => {
                table.insert(Arc::clone(name), *file);
            }
            Self::Rename { from, to, file } => {
                table.insert(Arc::clone(to), *file);
                if !keep_old {
                    table.remove(from);
                }
            }
            Self::Remove { name } => {
                table.remove(name);
            }
        }
    }

    fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        let (first, second) = match self {
            Self::Create { name, .. } | Self::Remove { name } => (name, None),
            Self::Rename { from, to, .. } => (from, Some(to)),
        };
        std::iter::once(first).chain(second)
    }

    pub(crate) fn file(&self) -> Option<FileId> {
        match self {
            Self::Create { file, .. } | Self::Rename { file, .. } => Some(*file),
            Self::Remove { .. } => None,
        }
    }

    /// The change without its effect on `settled`; nothing if that was all.
    fn without(self, settled: &str) -> Option<Self> {
        match self {
            Self::Create { name, .. } | Self::Remove { name } if *name == *settled => None,
            Self::Rename { from, to, .. } if *to == *settled => Some(Self::Remove { name: from }),
            Self::Rename { from, to, file } if *from == *settled => Some(Self::Create { name: to, file }),
            other => Some(other),
        }
    }
}

impl Names {
    pub(crate) fn find(&self, name: &str) -> Option<FileId> {
        self.seen.get(name).copied()
    }

    /// A name that leads to the file now; else one it had, or may have after a crash.
    pub(crate) fn name_of(&self, file: FileId) -> Option<&Arc<str>> {
        let mut entries = self.seen.iter().chain(&self.durable);
        let mut pending = self.pending.iter().filter(|it| it.change.file() == Some(file));
        let found = entries.find(|(_, id)| **id == file).map(|(name, _)| name);
        found.or_else(|| pending.next()?.change.names().last())
    }

    pub(crate) fn create(&mut self, ordinal: u64, name: &str, file: FileId) {
        self.change(ordinal, Change::Create { name: name.into(), file });
    }

    /// Says whether there was such a name. A rename to itself changes nothing.
    pub(crate) fn rename(&mut self, ordinal: u64, from: &str, to: &str) -> bool {
        let Some(file) = self.find(from) else { return false };
        if from != to {
            self.change(ordinal, Change::Rename { from: from.into(), to: to.into(), file });
        }
        true
    }

    /// Says whether there was such a name.
    pub(crate) fn remove(&mut self, ordinal: u64, name: &str) -> bool {
        let found = self.seen.contains_key(name);
        if found {
            self.change(ordinal, Change::Remove { name: name.into() });
        }
        found
    }

    fn change(&mut self, ordinal: u64, change: Change) {
        change.apply(&mut self.seen, false);
        self.pending.push(NameChange { ordinal, change, abandoned: false });
    }

    /// A sync that works. What was given up stays in doubt, but for names that have changed since: their entries are
    /// written as they are now.
    pub(crate) fn make_durable(&mut self) {
        self.take_up_what_changed_since();
        for NameChange { change, .. } in self.pending.iter().filter(|it| !it.abandoned) {
            change.apply(&mut self.durable, false);
        }
        self.pending.retain(|it| it.abandoned);
    }

    fn take_up_what_changed_since(&mut self) {
        while self.pending.iter().any(|it| it.abandoned) {
            let synced = self.pending.iter().filter(|it| !it.abandoned);
            let changed: BTreeSet<_> = synced.flat_map(|it| it.change.names().cloned()).collect();
            let is_changed = |it: &NameChange| it.change.names().any(|name| changed.contains(name));
            let Some(found) = self.pending.iter_mut().find(|it| it.abandoned && is_changed(it)) else {
                return;
            };
            found.abandoned = false;
        }
    }

    /// A sync that fails.
    pub(crate) fn abandon(&mut self) {
        self.pending.iter_mut().for_each(|change| change.abandoned = true);
    }

    /// Gives a name to a file, on the medium as well, whatever was on its way for that name.
    pub(crate) fn settle(&mut self, name: &str, file: FileId) {
        let pending = std::mem::take(&mut self.pending);
        self.pending.extend(pending.into_iter().filter_map(|NameChange { change, ordinal, abandoned }| {
            Some(NameChange { change: change.without(name)?, ordinal, abandoned })
        }));
        self.seen.insert(name.into(), file);
        self.durable.insert(name.into(), file);
    }

    /// The files that a name leads to, now or after some crash.
    pub(crate) fn reachable(&self) -> BTreeSet<FileId> {
        let pending = self.pending.iter().filter_map(|change| change.change.file());
        self.seen.values().chain(self.durable.values()).copied().chain(pending).collect()
    }

    /// Checks N1.
    pub(crate) fn check(&self) -> bool {
        let mut table = self.durable.clone();
        self.pending.iter().for_each(|change| change.change.apply(&mut table, false));
        table == self.seen
    }
}
