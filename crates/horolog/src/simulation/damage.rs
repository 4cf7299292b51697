//! Damage to an image: rot, files of another size, life or log, and every slot of META.

use std::sync::Arc;

use horolog_sim::{Rng, SimDisk};
use horolog_storage::Storage;

use super::faults::{file_name, pick};

const BLOCK: usize = 4096;

/// So many ways there are. Several of them stand for META.
pub(crate) const HOWS: u32 = 15;

/// One damage, in numbers that wrap around what is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Damage {
    pub(crate) how: u32,
    pub(crate) file: u32,
    pub(crate) at: u32,
    pub(crate) with: u32,
    /// Life goes on with it, if it opens.
    pub(crate) stay: bool,
}

/// Directories from which files come.
#[derive(Clone, Copy)]
pub(crate) struct Others<'a> {
    /// Earlier images of the same.
    pub(crate) past: &'a [Arc<SimDisk>],
    /// Another log.
    pub(crate) foreign: &'a SimDisk,
    /// The same log, gone on in another way since one of those images.
    pub(crate) twin: &'a SimDisk,
}

/// What a damage did.
pub(crate) struct Done {
    pub(crate) class: &'static str,
    /// It left a file behind that nobody will remove.
    pub(crate) strange: bool,
    /// It brought stamps that were never true of this log.
    pub(crate) deceives: bool,
}

impl Done {
    fn of(class: &'static str) -> Self {
        Self { class, strange: true, deceives: false }
    }
}

impl Damage {
    /// Damages the image.
    pub(crate) fn apply(&self, disk: &SimDisk, others: &Others<'_>) -> Option<Done> {
        let Others { past, foreign, twin } = *others;
        let name = file_name(disk, self.file)?;
        let segment = segment_name(disk, self.file);
        match self.how % HOWS {
            0 => self.flip(disk, &name),
            1 => self.burst(disk, &name, 4),
            2 => self.burst(disk, &name, 512),
            3 => self.blocks(disk, &segment?),
            4 => self.resize(disk, &name),
            5 => remove(disk, &name),
            6 => self.duplicate(disk, &segment?),
            7 => self.swap(disk, &name),
            8 => self.bring(disk, foreign, "F16 a file of another log"),
            9 => self.bring(disk, pick(past, self.with)?.as_ref(), "F16 an older file"),
            10 => self.older_file(disk, pick(past, self.with)?.as_ref(), &name),
            11 => self.stale_block(disk, &segment?),
            12 => self.of_a_twin(disk, twin),
            _ => self.slots(disk),
        }
    }

    fn flip(&self, disk: &SimDisk, name: &str) -> Option<Done> {
        let len = disk.bytes(name)?.len() as u64;
        let used = used_bytes(disk, name) as u64;
        // Most of a segment is blank; what is not is hit more often.
        let at = u64::from(self.at) % if self.with & 8 > 0 { len } else { used }.max(1);
        disk.flip(name, at, 1 << (self.with % 8)).then(|| Done::of("F7 bit flip"))
    }

    fn burst(&self, disk: &SimDisk, name: &str, bytes: u64) -> Option<Done> {
        let at = u64::from(self.at) % (used_bytes(disk, name) as u64).max(1);
        let mut rng = Rng::new(self.with.into());
        let hit = (at..at + bytes).filter(|at| disk.flip(name, *at, rng.next().to_le_bytes()[0] | 1)).count();
        (hit > 0).then(|| Done::of("F7 burst"))
    }

    /// Whole blocks read as zeros, or as noise.
    fn blocks(&self, disk: &SimDisk, name: &str) -> Option<Done> {
        let mut bytes = disk.bytes(name)?;
        let blocks = used_bytes(disk, name).div_ceil(BLOCK).max(1);
        let (first, many) = (self.at as usize % blocks, 1 + self.with as usize / 2 % 3);
        let mut rng = Rng::new(self.with.into());
        let hit = bytes.get_mut(first * BLOCK..)?;
        let len = hit.len().min(many * BLOCK);
        let hit = hit.get_mut(..len)?;
        if self.with.is_multiple_of(2) {
            hit.fill(0)
        } else {
            rng.fill(hit)
        }
        disk.put(name, &bytes);
        Some(Done::of("F7 blocks"))
    }

    fn resize(&self, disk: &SimDisk, name: &str) -> Option<Done> {
        let mut bytes = disk.bytes(name)?;
        let by = 1 + self.at as usize % 9000;
        let len = if self.with.is_multiple_of(2) { bytes.len().saturating_sub(by) } else { bytes.len() + by };
        bytes.resize(len, 0);
        disk.put(name, &bytes);
        Some(Done::of(if self.with.is_multiple_of(2) { "F16 shrunk" } else { "F16 grown" }))
    }

    /// A segment under a second name.
    fn duplicate(&self, disk: &SimDisk, name: &str) -> Option<Done> {
        let id = u64::from_str_radix(name.strip_prefix("seg-")?.strip_suffix(".wal")?, 16).ok()?;
        let copy = format!("seg-{:016x}.wal", id + 1 + u64::from(self.at % 3));
        disk.put(&copy, &disk.bytes(name)?);
        Some(Done::of("F16 duplicated"))
    }

    fn swap(&self, disk: &SimDisk, name: &str) -> Option<Done> {
        let other = file_name(disk, self.at)?;
        let (one, two) = (disk.bytes(name)?, disk.bytes(&other)?);
        disk.put(name, &two);
        disk.put(&other, &one);
        (one != two).then(|| Done::of("F16 swapped"))
    }

    /// A file comes from somewhere else, under its own name.
    fn bring(&self, disk: &SimDisk, from: &SimDisk, class: &'static str) -> Option<Done> {
        let name = file_name(from, self.at)?;
        disk.put(&name, &from.bytes(&name)?);
        Some(Done::of(class))
    }

    /// A segment of a copy of the directory that was used as well: identity and number are right.
    fn of_a_twin(&self, disk: &SimDisk, twin: &SimDisk) -> Option<Done> {
        let differs = |name: &String| disk.bytes(name).is_some_and(|was| twin.bytes(name) != Some(was));
        let names: Vec<_> = segment_names(twin).filter(differs).collect();
        let name = pick(&names, self.file)?;
        disk.put(&name, &twin.bytes(&name)?);
        Some(Done { deceives: true, ..Done::of("F16 a segment of a copy that went its own way") })
    }

    fn older_file(&self, disk: &SimDisk, past: &SimDisk, name: &str) -> Option<Done> {
        disk.put(name, &past.bytes(name)?);
        Some(Done::of("F16 an older epoch of a file"))
    }

    /// A frame of this segment stands in another of its blocks as well: what an earlier life of the file could have left.
    fn stale_block(&self, disk: &SimDisk, name: &str) -> Option<Done> {
        let mut bytes = disk.bytes(name)?;
        let used = used_bytes(disk, name).div_ceil(BLOCK);
        let from = self.at as usize % used.max(1) * BLOCK;
        let to = (used + self.with as usize % 3) * BLOCK;
        let frame = bytes.get(from..from + BLOCK)?.to_vec();
        bytes.get_mut(to..to + BLOCK)?.copy_from_slice(&frame);
        disk.put(name, &bytes);
        Some(Done::of("F17 stale frame"))
    }

    /// Each slot of META, pairs, three, all four; or all of it.
    fn slots(&self, disk: &SimDisk) -> Option<Done> {
        let mut bytes = disk.bytes("META")?;
        let slots = 1 + self.at % 15;
        let mut rng = Rng::new(self.with.into());
        for (at, slot) in bytes.chunks_mut(BLOCK).enumerate().filter(|(at, _)| slots >> at & 1 > 0) {
            match self.with % 3 {
                0 => slot.fill(0),
                1 => rng.fill(slot),
                _ => slot.iter_mut().skip(at * 100 + 8).take(1).for_each(|byte| *byte ^= 4),
            }
        }
        disk.put("META", &bytes);
        let class = match slots.count_ones() {
            1 => "F22 one slot of META",
            _ => "F22 several slots of META",
        };
        Some(Done { strange: false, ..Done::of(class) })
    }
}

fn remove(disk: &SimDisk, name: &str) -> Option<Done> {
    disk.remove(name).and_then(|()| disk.sync_dir()).ok()?;
    Some(Done::of("F16 removed"))
}

fn segment_name(disk: &SimDisk, nth: u32) -> Option<String> {
    pick(&segment_names(disk).collect::<Vec<_>>(), nth)
}

fn segment_names(disk: &SimDisk) -> impl Iterator<Item = String> {
    disk.files().into_iter().map(|(name, _)| name).filter(|name| name.ends_with(".wal"))
}

/// Up to the last byte that is not zero.
fn used_bytes(disk: &SimDisk, name: &str) -> usize {
    let bytes = disk.bytes(name).unwrap_or_default();
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1)
}
