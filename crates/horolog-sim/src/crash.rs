//! What is found when power returns: for each thing that was not on the medium, somebody says what became of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::effect::Effect;
use crate::image::{Image, SECTOR_LEN};
use crate::inode::{Inode, Place, Version};
use crate::names::{Change, FileId, Names};
use crate::rng::Rng;
use crate::state::State;

/// Something that is not on the medium yet.
///
/// `ordinal` is the number of the call that made it: calls are numbered in the order in which they were made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pending {
    /// A sector of a file, as it was in the page cache after one write. A sector that was written several times is
    /// pending several times: the kernel may have written any of them back.
    Sector {
        /// The name of the file.
        name: Arc<str>,
        /// Which sector, counted from the beginning of the file.
        sector: u64,
        /// The call.
        ordinal: u64,
        /// How far it has come.
        place: Place,
    },
    /// The end of a file that grew.
    Size {
        /// The name of the file.
        name: Arc<str>,
        /// The length before.
        from: u64,
        /// The length since.
        to: u64,
        /// The call.
        ordinal: u64,
    },
    /// A new name.
    Create {
        /// The name.
        name: Arc<str>,
        /// The call.
        ordinal: u64,
    },
    /// A name that was changed.
    Rename {
        /// The name before.
        from: Arc<str>,
        /// The name since.
        to: Arc<str>,
        /// The call.
        ordinal: u64,
    },
    /// A name that was removed.
    Remove {
        /// The name.
        name: Arc<str>,
        /// The call.
        ordinal: u64,
    },
}

impl Pending {
    pub(crate) fn of(name: &Arc<str>, version: &Version) -> Self {
        let Version { ordinal, sector, place, .. } = *version;
        Self::Sector { name: Arc::clone(name), sector, ordinal, place }
    }

    /// Whether this is a sector, which can arrive in part, and not a size or a name.
    #[must_use]
    pub fn is_sector(&self) -> bool {
        matches!(self, Self::Sector { .. })
    }

    /// The number of the call that made it.
    #[must_use]
    pub fn ordinal(&self) -> u64 {
        match self {
            Self::Sector { ordinal, .. }
            | Self::Size { ordinal, .. }
            | Self::Create { ordinal, .. }
            | Self::Rename { ordinal, .. }
            | Self::Remove { ordinal, .. } => *ordinal,
        }
    }
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sector { name, sector, ordinal, place } => {
                write!(f, "#{ordinal} {name}: sector {sector} ({place:?})")
            }
            Self::Size { name, from, to, ordinal } => write!(f, "#{ordinal} {name}: {from} to {to} bytes"),
            Self::Create { name, ordinal } => write!(f, "#{ordinal} create {name}"),
            Self::Rename { from, to, ordinal } => write!(f, "#{ordinal} rename {from} to {to}"),
            Self::Remove { name, ordinal } => write!(f, "#{ordinal} remove {name}"),
        }
    }
}

/// Something pending, and what its fate decides.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingChange {
    /// It.
    pub pending: Pending,
    /// The file that it is a part of, whatever its name; `None` for a change of names. Two files may have had one name.
    pub file: Option<u64>,
    /// Whether its fate makes a difference: for a sector, whether its bytes are others than those that the medium has in
    /// that place, or than zeros behind the end. Of several versions of a sector, one that makes none is as good as the
    /// loss of all of them.
    pub differs: bool,
}

/// What became of something pending.
///
/// Fates are dealt in the order of the calls, and a later one lies over an earlier one. So of several versions of a
/// sector, the last that is applied is found; a torn one lies over the one that was applied before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fate {
    /// It reached the medium.
    Applied,
    /// It did not.
    Dropped,
    /// A sector of which the first `bytes` are new. For sizes and names this and all below count as dropped.
    Torn {
        /// How many bytes are new.
        bytes: usize,
    },
    /// A sector of which the last `bytes` are new.
    TornTail {
        /// How many bytes are new.
        bytes: usize,
    },
    /// A sector of noise, made of this number and of [`Crash::roll`].
    Garbage(u64),
    /// A sector of zeros.
    Zero,
    /// A rename of which only the new name arrived: the file has both. With [`NameOrder::Journal`] the same as applied.
    BothNames,
}

/// What a file shows where it grew and the sectors that were written there did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Blank {
    /// Zeros.
    #[default]
    Zeros,
    /// Noise.
    Garbage,
    /// Sectors that some file of this disk held or holds.
    OldBlocks,
}

/// In which order changes of names arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum NameOrder {
    /// In any: each of them may be lost by itself. This is all that POSIX promises.
    #[default]
    Any,
    /// As they were made, as with a journal (ext4): when one is lost, all that follow are, and nobody is asked about
    /// them. A rename is there or not.
    Journal,
}

/// The kind of a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Crash {
    /// In which order changes of names arrive.
    pub names: NameOrder,
    /// What stands where nothing was written.
    pub blank: Blank,
    /// Another number makes other noise, and chooses other old blocks. No verdict may rest on it.
    pub roll: u64,
}

/// Something pending, and where it is kept.
struct Item {
    pending: Pending,
    at: At,
}

enum At {
    Name(usize),
    Sector(FileId, usize),
    Size(FileId, usize),
}

pub(crate) fn pending(disk: &State) -> Vec<Pending> {
    items(disk).into_iter().map(|item| item.pending).collect()
}

pub(crate) fn pending_changes(disk: &State) -> Vec<PendingChange> {
    let differs = |file: FileId, at: usize| {
        let inode = disk.files.get(&file);
        let version = inode.and_then(|inode| Some((&inode.medium, inode.versions.get(at)?)));
        version.is_some_and(|(medium, version)| medium.sector(version.sector) != version.bytes())
    };
    let change = |Item { pending, at }: Item| match at {
        At::Sector(FileId(file), at) => {
            PendingChange { differs: differs(FileId(file), at), pending, file: Some(file) }
        }
        At::Size(FileId(file), _) => PendingChange { pending, file: Some(file), differs: true },
        At::Name(_) => PendingChange { pending, file: None, differs: true },
    };
    items(disk).into_iter().map(change).collect()
}

/// All that is pending and can be noticed after a crash, in the order of the calls; the sectors of a write come before
/// the size it gave the file.
fn items(disk: &State) -> Vec<Item> {
    let mut items: Vec<_> = names(&disk.names).collect();
    for (file, name) in reachable(&disk.names) {
        if let Some(inode) = disk.files.get(&file) {
            items.extend(contents(file, &name, inode));
        }
    }
    items.sort_by_key(|item| item.pending.ordinal());
    items
}

/// The files that a crash can leave a name for.
fn reachable(names: &Names) -> BTreeMap<FileId, Arc<str>> {
    let pending = names.pending.iter().filter_map(|change| change.change.file());
    let files = names.durable.values().copied().chain(pending);
    files.filter_map(|file| Some((file, Arc::clone(names.name_of(file)?)))).collect()
}

fn names(names: &Names) -> impl Iterator<Item = Item> {
    names.pending.iter().enumerate().map(|(at, it)| {
        let ordinal = it.ordinal;
        let pending = match it.change.clone() {
            Change::Create { name, .. } => Pending::Create { name, ordinal },
            Change::Rename { from, to, .. } => Pending::Rename { from, to, ordinal },
            Change::Remove { name } => Pending::Remove { name, ordinal },
        };
        Item { pending, at: At::Name(at) }
    })
}

fn contents(file: FileId, name: &Arc<str>, inode: &Inode) -> impl Iterator<Item = Item> {
    let sectors = inode
        .versions
        .iter()
        .enumerate()
        .map(move |(at, it)| Item { pending: Pending::of(name, it), at: At::Sector(file, at) });
    let sizes = inode.sizes.iter().enumerate().map(move |(at, it)| {
        let (from, to, ordinal) = (it.from, it.to, it.ordinal);
        Item { pending: Pending::Size { name: Arc::clone(name), from, to, ordinal }, at: At::Size(file, at) }
    });
    sectors.chain(sizes)
}

/// What a crash took, as far as it can be seen: only sectors count that are not what the medium holds.
#[derive(Default)]
struct Toll {
    sectors_lost: u64,
    sectors_there: u64,
    reordered: bool,
    torn: bool,
    spoilt: bool,
    sizes_there: bool,
    grown_lost: bool,
    names_lost: u64,
    both_names: bool,
}

impl Toll {
    fn take(&mut self, disk: &State, at: &At, fate: Fate, order: NameOrder) {
        match at {
            At::Name(_) => match fate {
                Fate::Applied => {}
                Fate::BothNames => self.both_names |= order == NameOrder::Any,
                _ => self.names_lost += 1,
            },
            At::Size(..) => self.sizes_there |= fate == Fate::Applied,
            At::Sector(file, at) => {
                let inode = disk.files.get(file);
                let version = inode.and_then(|inode| Some((inode, inode.versions.get(*at)?)));
                version.into_iter().for_each(|(inode, version)| self.take_sector(inode, version, fate));
            }
        }
    }

    fn take_sector(&mut self, inode: &Inode, version: &Version, fate: Fate) {
        let (old, new) = (inode.medium.sector(version.sector), version.bytes());
        if old == *new {
            return;
        }
        let (is_lost, is_new) = match fate {
            Fate::Applied => (false, true),
            Fate::Dropped | Fate::BothNames => (true, false),
            _ => {
                let mut medium = inode.medium.clone();
                medium.grow((version.sector + 1) * SECTOR_LEN as u64);
                lay_over(&mut medium, version, fate, Rng::of(&[0]));
                let found = medium.sector(version.sector);
                (found == old, found == *new)
            }
        };
        self.reordered |= !is_lost && self.sectors_lost > 0;
        self.torn |= matches!(fate, Fate::Torn { .. } | Fate::TornTail { .. }) && !is_lost && !is_new;
        self.spoilt |= matches!(fate, Fate::Garbage(_) | Fate::Zero) && !is_new;
        self.grown_lost |= is_lost && version.sector * SECTOR_LEN as u64 >= inode.medium.len();
        self.sectors_lost += u64::from(is_lost);
        self.sectors_there += u64::from(!is_lost);
    }

    fn note(&self, disk: &State) {
        let seen = [
            (self.torn, Effect::Torn),
            (self.spoilt, Effect::Spoilt),
            (self.reordered, Effect::Reordered),
            (self.sectors_lost > 0 && self.sectors_there == 0, Effect::AllLost),
            (self.sizes_there && self.grown_lost, Effect::SizeOnly),
            (self.names_lost > 0, Effect::NameLost),
            (self.both_names, Effect::BothNames),
        ];
        seen.iter().filter(|(shows, _)| *shows).for_each(|(_, effect)| disk.effects.note(*effect));
    }
}

/// What of one file arrived.
#[derive(Default)]
struct Arrived {
    len: u64,
    sectors: Vec<(usize, Fate)>,
}

/// The disk as it is found.
pub(crate) fn crash(disk: &State, crash: Crash, fate: &mut dyn FnMut(&Pending) -> Fate) -> State {
    let mut table = disk.names.durable.clone();
    let mut arrived: BTreeMap<FileId, Arrived> = BTreeMap::new();
    let mut journal_ends = false;
    let mut toll = Toll::default();
    for Item { pending, at } in items(disk) {
        if journal_ends && matches!(at, At::Name(_)) {
            toll.names_lost += 1;
            continue;
        }
        let fate = fate(&pending);
        toll.take(disk, &at, fate, crash.names);
        match (at, fate) {
            (At::Sector(_, _), Fate::Dropped) => {}
            (At::Sector(file, at), fate) => arrived.entry(file).or_default().sectors.push((at, fate)),
            (At::Size(file, at), Fate::Applied) => {
                let size = disk.files.get(&file).and_then(|inode| inode.sizes.get(at));
                let found = arrived.entry(file).or_default();
                found.len = found.len.max(size.map_or(0, |size| size.to));
            }
            (At::Name(at), fate @ (Fate::Applied | Fate::BothNames)) => {
                let keep_old = fate == Fate::BothNames && crash.names == NameOrder::Any;
                let change = disk.names.pending.get(at).map(|it| &it.change);
                change.into_iter().for_each(|change| change.apply(&mut table, keep_old));
            }
            (At::Name(_), _) => journal_ends = crash.names == NameOrder::Journal,
            (At::Size(..), _) => {}
        }
    }
    toll.note(disk);
    let names = Names { seen: table.clone(), durable: table, pending: Vec::new() };
    let files = names.reachable().into_iter().filter_map(|file| {
        let inode = disk.files.get(&file)?;
        let settle = || Arc::new(settle(disk, crash, file, inode, &arrived));
        Some((file, if inode.is_settled() { Arc::clone(inode) } else { settle() }))
    });
    disk.reborn(names, files.collect())
}

/// A file as it is found.
fn settle(
    disk: &State,
    crash: Crash,
    file: FileId,
    inode: &Inode,
    arrived: &BTreeMap<FileId, Arrived>,
) -> Inode {
    let (len, sectors) = arrived.get(&file).map_or((0, &[][..]), |it| (it.len, &it.sectors[..]));
    let mut medium = inode.medium.clone();
    medium.grow(len);
    if crash.blank != Blank::Zeros {
        fill_blanks(disk, crash, file, inode, &mut medium);
    }
    let mut rotten = inode.rotten.clone();
    for (version, fate) in sectors.iter().filter_map(|(at, fate)| Some((inode.versions.get(*at)?, *fate))) {
        lay_over(&mut medium, version, fate, Rng::of(&[crash.roll, file.0, version.sector]));
        rotten.remove(&version.sector);
    }
    let before = inode.before.clone();
    Inode { before, unreadable: rotten.clone(), rotten, ..Inode::durable(medium) }
}

/// Puts something where the file grew and nothing was ever on the medium.
fn fill_blanks(disk: &State, crash: Crash, file: FileId, inode: &Inode, medium: &mut Image) {
    let end = inode.medium.len().div_ceil(SECTOR_LEN as u64);
    let blanks: BTreeSet<u64> = inode.versions.iter().map(|it| it.sector).filter(|it| *it >= end).collect();
    for sector in blanks {
        let mut rng = Rng::of(&[crash.roll, 1, file.0, sector]);
        let bytes = match crash.blank {
            Blank::Zeros => [0; SECTOR_LEN],
            Blank::Garbage => noise(&mut rng),
            Blank::OldBlocks => disk.old_sector(&mut rng),
        };
        medium.put_sector(sector, &bytes);
    }
}

fn lay_over(medium: &mut Image, version: &Version, fate: Fate, rng: Rng) {
    let mut bytes = medium.sector(version.sector);
    let new = version.bytes();
    let torn = match fate {
        Fate::Torn { bytes } => 0..bytes.min(SECTOR_LEN),
        Fate::TornTail { bytes } => SECTOR_LEN - bytes.min(SECTOR_LEN)..SECTOR_LEN,
        Fate::Dropped | Fate::BothNames => 0..0,
        Fate::Applied | Fate::Garbage(_) | Fate::Zero => 0..SECTOR_LEN,
    };
    if let (Some(place), Some(new)) = (bytes.get_mut(torn.clone()), new.get(torn)) {
        place.copy_from_slice(new);
    }
    match fate {
        Fate::Zero => bytes.fill(0),
        Fate::Garbage(seed) => bytes = noise(&mut Rng::of(&[seed, { rng }.next()])),
        _ => {}
    }
    medium.put_sector(version.sector, &bytes);
}

fn noise(rng: &mut Rng) -> [u8; SECTOR_LEN] {
    let mut bytes = [0; SECTOR_LEN];
    rng.fill(&mut bytes);
    bytes
}

/// A sector that an image holds, by chance; zeros if it holds none.
pub(crate) fn any_sector(image: &Image, rng: &mut Rng) -> [u8; SECTOR_LEN] {
    image.sector(rng.below(image.len().div_ceil(SECTOR_LEN as u64)))
}
