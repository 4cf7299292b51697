//! Damage for directories.

use arbitrary::Arbitrary;
use horolog_sim::SimDisk;
use horolog_storage::Storage;

use super::BLOCK;

/// What may happen to a directory that nobody has open.
#[derive(Arbitrary, Debug)]
pub(crate) enum Damage {
    /// Bits of a byte are flipped.
    Flip { file: u8, offset: u32, mask: u8 },
    /// The same, where a block begins.
    FlipHead { file: u8, block: u8, offset: u8, mask: u8 },
    /// A file is cut.
    Cut { file: u8, len: u32 },
    /// A file has zeros behind its end.
    Lengthen { file: u8, blocks: u8 },
    /// A block is zero.
    Blank { file: u8, block: u8 },
    /// A block stands in the place of another one as well.
    CopyBlock { from: (u8, u8), to: (u8, u8) },
    /// Two blocks have changed places.
    SwapBlocks { one: (u8, u8), other: (u8, u8) },
    /// A file lies there under another name as well.
    CopyFile { from: u8, to: u8 },
    /// A file is gone.
    Remove { file: u8 },
    /// META is gone.
    RemoveMeta,
    /// Slots of META are not valid.
    FlipMeta { slots: u8 },
    /// Bits of several bytes in a row are flipped.
    Burst { file: u8, offset: u32, masks: [u8; 16] },
    /// A file of somebody else lies there.
    Stranger { name: u8 },
}

impl Damage {
    /// Does it.
    pub(crate) fn inflict(&self, disk: &SimDisk) {
        let files = disk.files();
        let name_of = |file: u8| Some(files[usize::from(file).checked_rem(files.len())?].0.clone());
        let place_of = |(file, block): (u8, u8)| {
            let name = name_of(file)?;
            let bytes = disk.bytes(&name)?;
            let at = usize::from(block).checked_rem(bytes.len() / BLOCK)? * BLOCK;
            Some((name, bytes, at))
        };
        let edit = |name: String, change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = disk.bytes(&name)?;
            change(&mut bytes);
            disk.put(&name, &bytes);
            Some(())
        };
        let flip = |file, offset: u64, mask| {
            let name = name_of(file)?;
            let len = disk.bytes(&name)?.len() as u64;
            disk.flip(&name, offset.checked_rem(len)?, mask).then_some(())
        };
        let _: Option<()> = match *self {
            Self::Flip { file, offset, mask } => flip(file, u64::from(offset), mask),
            Self::FlipHead { file, block, offset, mask } => {
                flip(file, u64::from(block) * BLOCK as u64 + u64::from(offset % 96), mask)
            }
            Self::Cut { file, len } => name_of(file).map(|name| {
                disk.truncate(&name, u64::from(len % (16 * BLOCK as u32)));
            }),
            Self::Lengthen { file, blocks } => name_of(file).and_then(|name| {
                edit(name, &|bytes| bytes.resize(bytes.len() + usize::from(blocks % 8) * BLOCK, 0))
            }),
            Self::Blank { file, block } => place_of((file, block))
                .and_then(|(name, _, at)| edit(name, &|bytes| bytes[at..at + BLOCK].fill(0))),
            Self::CopyBlock { from, to } => place_of(from).zip(place_of(to)).and_then(|(from, to)| {
                let block = &from.1[from.2..from.2 + BLOCK];
                edit(to.0, &|bytes| bytes[to.2..to.2 + BLOCK].copy_from_slice(block))
            }),
            Self::SwapBlocks { one, other } => place_of(one).zip(place_of(other)).and_then(|(one, other)| {
                let (first, second) = (&one.1[one.2..one.2 + BLOCK], &other.1[other.2..other.2 + BLOCK]);
                edit(one.0, &|bytes| bytes[one.2..one.2 + BLOCK].copy_from_slice(second))?;
                edit(other.0, &|bytes| bytes[other.2..other.2 + BLOCK].copy_from_slice(first))
            }),
            Self::CopyFile { from, to } => name_of(from).and_then(|name| {
                let copy = match name.ends_with(".img") {
                    true => format!("snap-{:016x}.img", u64::from(to % 16)),
                    false => format!("seg-{:016x}.wal", u64::from(to)),
                };
                disk.put(&copy, &disk.bytes(&name)?);
                Some(())
            }),
            Self::Remove { file } => name_of(file).and_then(|name| disk.remove(&name).ok()),
            Self::RemoveMeta => disk.remove("META").ok(),
            Self::FlipMeta { slots } => {
                for slot in (0..4).filter(|slot| slots >> slot & 1 == 1) {
                    disk.flip("META", slot * BLOCK as u64 + 40, 1);
                }
                Some(())
            }
            Self::Burst { file, offset, masks } => {
                (u64::from(offset)..).zip(masks).try_for_each(|(offset, mask)| flip(file, offset, mask))
            }
            Self::Stranger { name } => {
                disk.put(&format!("seg-{name:x}.tmp"), b"not a segment");
                Some(())
            }
        };
    }
}
