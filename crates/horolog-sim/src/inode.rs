//! One file, three times: what programs read, what the device was given, what the medium holds.
//!
//! # Invariants
//!
//! - I1: behind its end every image is zero.
//! - I2: the device's image is as long as the cache's; the medium's is no longer.
//! - I3: ordinals of versions and of sizes rise.
//! - I4: the last version of a sector is what the cache shows.
//! - I5: a sector without versions is the same in all three images, as far as the medium reaches.
//! - I6: the device's image is the medium's, and over it the versions that were handed over, in order.
//! - I7: without a size that waits, the medium's image is as long as the cache's.
//! - I8: what cannot be read from the cache cannot be read from the medium.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use crate::image::{BLOCK_LEN, Image, SECTOR_LEN, index};

/// How far a written sector has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// Only the page cache has it.
    Cached,
    /// The device has it, and has not been told to flush.
    Handed,
    /// A sync of it failed. It may have reached the medium, and no later sync answers for it.
    Abandoned,
}

/// A file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inode {
    /// What programs read.
    pub(crate) cache: Image,
    /// What a read gives once the clean pages are gone.
    pub(crate) device: Image,
    /// What is there when power returns, if nothing that waits arrives.
    pub(crate) medium: Image,
    /// What the medium held before the last sync.
    pub(crate) before: Image,
    /// Since its last rename only what is not shared with this counts as content of the file.
    pub(crate) inherited: Option<Image>,
    pub(crate) versions: Vec<Version>,
    pub(crate) sizes: Vec<Size>,
    /// Sectors that give an error when they are read.
    pub(crate) unreadable: BTreeSet<u64>,
    /// Those that give it again if what was written over them is lost.
    pub(crate) rotten: BTreeSet<u64>,
    /// A sync that failed said nothing; the next one does.
    pub(crate) owes_error: bool,
}

/// A sector as it was in the page cache after one write.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) ordinal: u64,
    pub(crate) sector: u64,
    pub(crate) place: Place,
    /// The sectors of the whole write.
    data: Arc<[u8]>,
    start: usize,
}

/// The file grew.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) ordinal: u64,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) abandoned: bool,
}

impl Version {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.data.get(self.start..self.start + SECTOR_LEN).unwrap_or_default()
    }

    fn waits(&self) -> bool {
        self.place != Place::Abandoned
    }

    fn is_covered(&self, upto: u64) -> bool {
        self.waits() && self.ordinal <= upto
    }
}

impl Size {
    fn is_covered(&self, upto: u64) -> bool {
        !self.abandoned && self.ordinal <= upto
    }
}

impl Inode {
    /// A file that is durable as it is.
    pub(crate) fn durable(image: Image) -> Self {
        Self { cache: image.clone(), device: image.clone(), medium: image, ..Self::default() }
    }

    /// Whether all that was written is on the medium and nothing is remembered: a crash leaves it as it is.
    pub(crate) fn is_settled(&self) -> bool {
        let nothing_waits = self.versions.is_empty() && self.sizes.is_empty();
        nothing_waits && !self.owes_error && self.inherited.is_none() && self.unreadable == self.rotten
    }

    /// Whether a block that the program itself made durable lies there.
    pub(crate) fn guards(&self, block: u64) -> bool {
        let inherited = self.inherited.as_ref().is_some_and(|image| image.shares(&self.medium, block));
        !inherited && !self.medium.is_blank(block)
    }

    /// Puts bytes into the page cache. Sectors written in part keep the rest of what the cache showed.
    pub(crate) fn write(&mut self, ordinal: u64, bytes: &[u8], offset: u64) {
        let Some(sectors) = sectors(offset, bytes.len()) else { return };
        self.grow(ordinal, offset.saturating_add(bytes.len() as u64));
        self.cache.write(bytes, offset);
        let first = *sectors.start();
        let mut data = vec![0; index(sectors.end() - first + 1) * SECTOR_LEN];
        self.cache.read(&mut data, first * SECTOR_LEN as u64);
        let data: Arc<[u8]> = data.into();
        for (start, sector) in (0..).step_by(SECTOR_LEN).zip(sectors) {
            let (place, data) = (Place::Cached, Arc::clone(&data));
            self.versions.push(Version { ordinal, sector, place, data, start });
            self.unreadable.remove(&sector);
        }
    }

    /// Makes the file longer, with nothing in it.
    pub(crate) fn grow(&mut self, ordinal: u64, to: u64) {
        let from = self.cache.len();
        if to > from {
            self.cache.grow(to);
            self.device.grow(to);
            self.sizes.push(Size { ordinal, from, to, abandoned: false });
        }
    }

    /// Makes sectors of the medium unreadable. Those that wait to be written are in the page cache.
    pub(crate) fn rot(&mut self, sectors: Range<u64>) {
        let waits = |sector| self.versions.iter().any(|it| it.sector == sector && it.waits());
        self.unreadable.extend(sectors.clone().filter(|sector| !waits(*sector)));
        self.rotten.extend(sectors);
    }

    /// The first sector of a range that cannot be read.
    pub(crate) fn unreadable_in(&self, offset: u64, len: usize) -> Option<u64> {
        self.unreadable.range(sectors(offset, len)?).next().copied()
    }

    /// Whether a write would have to read a sector that cannot be read, to keep the rest of it.
    pub(crate) fn needs_unreadable(&self, offset: u64, len: usize) -> bool {
        let end = offset.saturating_add(len as u64);
        let whole = |sector: u64| {
            let start = sector * SECTOR_LEN as u64;
            offset <= start && (start + SECTOR_LEN as u64).min(self.cache.len()) <= end
        };
        sectors(offset, len)
            .is_some_and(|touched| self.unreadable.range(touched).any(|&sector| !whole(sector)))
    }

    /// The kernel gives the device what `hand_over` says, as it may at any time.
    pub(crate) fn write_back(&mut self, hand_over: &mut dyn FnMut(&Version) -> bool) {
        let last = self.last_versions();
        for at in last {
            let Some(version) = self.versions.get_mut(at).filter(|it| it.place == Place::Cached) else {
                continue;
            };
            if hand_over(version) {
                version.place = Place::Handed;
                self.device.put_sector(version.sector, version.bytes());
            }
        }
    }

    /// Where the last version of each sector stands.
    fn last_versions(&self) -> Vec<usize> {
        let mut seen = BTreeSet::new();
        let versions = self.versions.iter().enumerate().rev();
        let mut last: Vec<_> = versions.filter(|(_, it)| seen.insert(it.sector)).map(|(at, _)| at).collect();
        last.reverse();
        last
    }

    /// A sync that works, of what was written up to `upto`: whatever waits of that and was not given up goes to the device and to
    /// the medium.
    pub(crate) fn make_durable(&mut self, upto: u64) {
        let sizes = self.sizes.iter().filter(|size| size.is_covered(upto)).map(|size| size.to);
        let covered = self.versions.iter().filter(|it| it.is_covered(upto));
        let ends = covered.map(|it| (it.sector + 1) * SECTOR_LEN as u64);
        let Some(len) = sizes.chain(ends.map(|end| end.min(self.cache.len()))).max() else { return };
        self.before = self.medium.clone();
        self.medium.grow(len);
        if self.versions.iter().all(|it| it.is_covered(upto))
            && self.sizes.iter().all(|size| size.is_covered(upto))
        {
            self.flush_blocks();
        } else {
            self.flush_sectors(upto);
        }
        let len = self.medium.len();
        self.sizes.retain(|size| size.to > len);
    }

    /// The usual case: what the cache shows is what becomes durable, and the images share it.
    fn flush_blocks(&mut self) {
        let mut done = None;
        for version in self.versions.drain(..) {
            self.rotten.remove(&version.sector);
            let block = version.sector * SECTOR_LEN as u64 / BLOCK_LEN as u64;
            if done.replace(block) != Some(block) {
                self.device.adopt(&self.cache, block);
                self.medium.adopt(&self.cache, block);
            }
        }
    }

    /// With given-up or later sectors between them, each sector goes by itself. One that is durable now is no longer in doubt.
    fn flush_sectors(&mut self, upto: u64) {
        let covered = self.versions.iter().filter(|it| it.is_covered(upto));
        let synced: BTreeMap<_, _> = covered.map(|it| (it.sector, it.clone())).collect();
        self.versions.retain(|it| synced.get(&it.sector).is_none_or(|last| it.ordinal > last.ordinal));
        for (&sector, last) in &synced {
            self.rotten.remove(&sector);
            self.medium.put_sector(sector, last.bytes());
            let handed = |it: &&Version| it.sector == sector && it.place == Place::Handed;
            let shown = self.versions.iter().rfind(handed).unwrap_or(last);
            self.device.put_sector(sector, shown.bytes());
        }
    }

    /// A sync that fails: the pages are marked clean, and what was on its way may have arrived or not.
    pub(crate) fn abandon(&mut self) {
        for version in &mut self.versions {
            version.place = Place::Abandoned;
            let held = self.medium.sector(version.sector);
            self.device.put_sector(version.sector, &held);
        }
        self.sizes.iter_mut().for_each(|size| size.abandoned = true);
    }

    /// The pages that are marked clean leave the page cache. Given-up sectors are read from the medium, and now it is
    /// known that they never arrived.
    pub(crate) fn evict(&mut self) {
        for at in self.last_versions() {
            let Some(version) = self.versions.get(at).filter(|version| !version.waits()) else { continue };
            let held = self.device.sector(version.sector);
            self.cache.put_sector(version.sector, &held);
            if self.rotten.contains(&version.sector) {
                self.unreadable.insert(version.sector);
            }
        }
        let in_sight: BTreeSet<_> =
            self.versions.iter().filter(|it| it.waits()).map(|it| it.sector).collect();
        self.versions.retain(|version| in_sight.contains(&version.sector));
    }

    /// Flips bits of one byte wherever the file has it. Says whether there is such a byte.
    pub(crate) fn flip(&mut self, offset: u64, mask: u8) -> bool {
        let sector = offset / SECTOR_LEN as u64;
        // Beyond the medium's end the device has zeros of nobody's, but for what was handed to it.
        let is_handed =
            self.versions.iter().any(|version| version.sector == sector && version.place == Place::Handed);
        let on_device = is_handed || offset < self.medium.len();
        for (image, is_there) in
            [(&mut self.cache, true), (&mut self.device, on_device), (&mut self.medium, true)]
        {
            let mut byte = [0];
            image.read(&mut byte, offset);
            if is_there && offset < image.len() {
                image.write(&[byte[0] ^ mask], offset);
            }
        }
        let within = index(offset % SECTOR_LEN as u64);
        for version in self.versions.iter_mut().filter(|version| version.sector == sector) {
            let at = version.start + within;
            Arc::make_mut(&mut version.data).get_mut(at).into_iter().for_each(|byte| *byte ^= mask);
        }
        offset < self.cache.len()
    }

    /// Cuts the file, wherever it is. Says whether there was more.
    pub(crate) fn cut(&mut self, len: u64) -> bool {
        let longer = self.cache.len() > len;
        [&mut self.cache, &mut self.device, &mut self.medium].into_iter().for_each(|image| image.cut(len));
        self.versions.retain(|version| version.sector * (SECTOR_LEN as u64) < len);
        let kept = index(len % SECTOR_LEN as u64);
        for version in self.versions.iter_mut().filter(|it| it.sector == len / SECTOR_LEN as u64) {
            let rest = version.start + kept..version.start + SECTOR_LEN;
            Arc::make_mut(&mut version.data).get_mut(rest).into_iter().for_each(|rest| rest.fill(0));
        }
        self.sizes.iter_mut().for_each(|size| (size.from, size.to) = (size.from.min(len), size.to.min(len)));
        let medium = self.medium.len();
        self.sizes.retain(|size| size.to > medium);
        longer
    }

    /// The calls that made something pending here.
    pub(crate) fn calls(&self) -> BTreeSet<u64> {
        let versions = self.versions.iter().map(|version| version.ordinal);
        versions.chain(self.sizes.iter().map(|size| size.ordinal)).collect()
    }

    /// Checks the invariants of the module's text; gives the number of the first that does not hold.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let unless = |holds: bool, invariant| if holds { Ok(()) } else { Err(invariant) };
        let (cache, device, medium) = (&self.cache, &self.device, &self.medium);
        unless([cache, device, medium].iter().all(|image| image.ends_in_zeros()), "I1")?;
        unless(device.len() == cache.len() && medium.len() <= cache.len(), "I2")?;
        let in_order = self.versions.is_sorted_by_key(|it| (it.ordinal, it.sector));
        unless(in_order && self.sizes.is_sorted_by_key(|size| size.ordinal), "I3")?;
        let last = self.last_versions();
        let shown =
            |&at: &usize| self.versions.get(at).is_some_and(|it| *it.bytes() == cache.sector(it.sector));
        unless(last.iter().all(shown), "I4")?;
        let pending: BTreeSet<_> = self.versions.iter().map(|version| version.sector).collect();
        let mut clean = (0..medium.len() / SECTOR_LEN as u64).filter(|sector| !pending.contains(sector));
        let same = |sector| [device, medium].iter().all(|image| image.sector(sector) == cache.sector(sector));
        unless(clean.all(same), "I5")?;
        let mut expected = medium.clone();
        expected.grow(cache.len());
        for version in self.versions.iter().filter(|version| version.place == Place::Handed) {
            expected.put_sector(version.sector, version.bytes());
        }
        unless(expected.same(device), "I6")?;
        unless(!self.sizes.is_empty() || medium.len() == cache.len(), "I7")?;
        unless(self.unreadable.is_subset(&self.rotten), "I8")
    }
}

/// The sectors that a range of bytes touches; nothing for an empty one.
pub(crate) fn sectors(offset: u64, len: usize) -> Option<RangeInclusive<u64>> {
    let last = offset.saturating_add((len as u64).checked_sub(1)?);
    Some(offset / SECTOR_LEN as u64..=last / SECTOR_LEN as u64)
}
