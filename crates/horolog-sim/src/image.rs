//! The bytes of a file: blocks of 4 KiB that copies share until one of them is written.
//!
//! A block that was never written, or that a whole write has made zero, is not there and reads as zeros. Each block
//! keeps its hash until it changes, so that hashing an image again costs as much as what was written since.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// What a device writes as a whole, or tears.
pub const SECTOR_LEN: usize = 512;

/// What the log takes for one unit, and what is copied on a write.
pub(crate) const BLOCK_LEN: usize = 4096;

/// No simulated file may be longer: the table of its blocks is in memory.
pub(crate) const LEN_MAX: u64 = 1 << 34;

static ZEROS: [u8; BLOCK_LEN] = [0; BLOCK_LEN];

/// The bytes of a file up to its length. Behind it every block is zero.
#[derive(Clone, Default)]
pub(crate) struct Image {
    len: u64,
    blocks: Vec<Option<Arc<Block>>>,
}

#[derive(Clone)]
struct Block {
    bytes: [u8; BLOCK_LEN],
    hash: OnceLock<u64>,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len)
    }
}

impl Image {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut image = Self::default();
        image.write(bytes, 0);
        image
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Makes it longer, with zeros; never shorter.
    pub(crate) fn grow(&mut self, len: u64) {
        if len > self.len {
            self.len = len;
            self.blocks.resize(index(len.div_ceil(BLOCK_LEN as u64)), None);
        }
    }

    /// Makes it shorter; what comes back when it grows again is zero.
    pub(crate) fn cut(&mut self, len: u64) {
        if len < self.len {
            self.len = len;
            self.blocks.truncate(index(len.div_ceil(BLOCK_LEN as u64)));
            let used = index(len % BLOCK_LEN as u64);
            if let Some(Some(last)) = self.blocks.last_mut().filter(|_| used > 0) {
                last.change(used..BLOCK_LEN, &ZEROS);
            }
        }
    }

    /// Fills `buf` from `offset`; behind the end there are zeros.
    pub(crate) fn read(&self, buf: &mut [u8], offset: u64) {
        for (block, within, part) in pieces(offset, buf.len()) {
            let Some(target) = buf.get_mut(part) else { continue };
            match self.block(block).and_then(|bytes| bytes.get(within)) {
                Some(bytes) => target.copy_from_slice(bytes),
                None => target.fill(0),
            }
        }
    }

    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; index(self.len)];
        self.read(&mut bytes, 0);
        bytes
    }

    /// Puts `bytes` at `offset`, and makes the image as long as that needs.
    pub(crate) fn write(&mut self, bytes: &[u8], offset: u64) {
        self.grow(offset.saturating_add(bytes.len() as u64));
        for (block, within, part) in pieces(offset, bytes.len()) {
            let (Some(place), Some(new)) = (self.blocks.get_mut(index(block)), bytes.get(part)) else {
                continue;
            };
            if new == ZEROS {
                *place = None;
            } else {
                place.get_or_insert_with(Block::blank).change(within, new);
            }
        }
    }

    /// The bytes of a sector, with zeros behind the end.
    pub(crate) fn sector(&self, sector: u64) -> [u8; SECTOR_LEN] {
        let mut bytes = [0; SECTOR_LEN];
        self.read(&mut bytes, sector * SECTOR_LEN as u64);
        bytes
    }

    /// Replaces a sector as far as the image reaches; it does not grow.
    pub(crate) fn put_sector(&mut self, sector: u64, bytes: &[u8]) {
        let offset = sector * SECTOR_LEN as u64;
        let len = index(self.len.saturating_sub(offset)).min(SECTOR_LEN);
        if let Some(bytes) = bytes.get(..len).filter(|bytes| !bytes.is_empty()) {
            self.write(bytes, offset);
        }
    }

    /// Shares a block of another image. Behind the end of this one, that one must be zero as well.
    pub(crate) fn adopt(&mut self, from: &Self, block: u64) {
        if let Some(place) = self.blocks.get_mut(index(block)) {
            *place = from.blocks.get(index(block)).cloned().flatten();
        }
    }

    /// Whether a block is the very same in both: shared, or not there.
    pub(crate) fn shares(&self, other: &Self, block: u64) -> bool {
        let of = |image: &Self| image.blocks.get(index(block)).cloned().flatten();
        match (of(self), of(other)) {
            (Some(a), Some(b)) => Arc::ptr_eq(&a, &b),
            (a, b) => a.is_none() && b.is_none(),
        }
    }

    pub(crate) fn is_blank(&self, block: u64) -> bool {
        self.block(block).is_none_or(|bytes| *bytes == ZEROS)
    }

    /// Whether length and bytes are the same.
    pub(crate) fn same(&self, other: &Self) -> bool {
        let differs = |block| !self.shares(other, block) && self.hash_of(block) != other.hash_of(block);
        self.len == other.len && !(0..self.blocks.len() as u64).any(differs)
    }

    /// Behind the end everything is zero, as this type promises.
    pub(crate) fn ends_in_zeros(&self) -> bool {
        let used = index(self.len % BLOCK_LEN as u64);
        let last = self.len / BLOCK_LEN as u64;
        self.blocks.len() as u64 == self.len.div_ceil(BLOCK_LEN as u64)
            && self
                .block(last)
                .and_then(|bytes| bytes.get(used..))
                .is_none_or(|rest| rest.iter().all(|b| *b == 0))
    }

    /// A hash of length and bytes: the same for the same, whoever shares what with whom.
    pub(crate) fn hash(&self) -> u64 {
        let blocks = 0..self.blocks.len() as u64;
        blocks.fold(mix(0x5EED, self.len), |hash, block| mix(hash, self.hash_of(block)))
    }

    fn block(&self, block: u64) -> Option<&[u8; BLOCK_LEN]> {
        self.blocks.get(index(block))?.as_deref().map(|block| &block.bytes)
    }

    fn hash_of(&self, block: u64) -> u64 {
        let block = self.blocks.get(index(block)).and_then(Option::as_deref);
        block.map_or(0, |block| *block.hash.get_or_init(|| hash_block(&block.bytes)))
    }
}

impl Block {
    fn blank() -> Arc<Self> {
        Arc::new(Self { bytes: ZEROS, hash: OnceLock::new() })
    }
}

trait Change {
    fn change(&mut self, within: Range<usize>, new: &[u8]);
}

impl Change for Arc<Block> {
    /// Writes into the block, or into a copy if others share it; `new` may be longer than the place.
    fn change(&mut self, within: Range<usize>, new: &[u8]) {
        let block = Self::make_mut(self);
        block.hash = OnceLock::new();
        let new = new.get(..within.len()).unwrap_or(new);
        if let Some(place) = block.bytes.get_mut(within) {
            place.copy_from_slice(new);
        }
    }
}

/// Two numbers become one; `mix(0, 0)` is 0, so that a block of zeros has the hash of one that is not there.
pub(crate) fn mix(hash: u64, number: u64) -> u64 {
    let product = (hash.rotate_left(23) ^ number).wrapping_mul(0x9FB2_1C65_1E98_DF25);
    product ^ product >> 32
}

/// Four lanes, because a multiplication waits for the one before it.
fn hash_block(bytes: &[u8; BLOCK_LEN]) -> u64 {
    let mut lanes = [0; 4];
    let (words, _) = bytes.as_chunks::<8>();
    for group in words.chunks_exact(lanes.len()) {
        for (lane, word) in lanes.iter_mut().zip(group) {
            *lane = mix(*lane, u64::from_le_bytes(*word));
        }
    }
    lanes.into_iter().fold(0, mix)
}

/// A place in memory. What does not fit is no place.
pub(crate) fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The parts of a range that lie in one block each: the block, the range within it, and the range of the buffer.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, Range<usize>, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset.checked_add(done as u64).filter(|_| done < len)?;
        let start = index(at % BLOCK_LEN as u64);
        let count = (BLOCK_LEN - start).min(len - done);
        let part = done..done + count;
        done += count;
        Some((at / BLOCK_LEN as u64, start..start + count, part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn an_image_is_a_vector_that_is_zero_where_nothing_was_written() {
        let (mut rng, mut image, mut model) = (Rng::new(1), Image::default(), Vec::new());
        for _ in 0..400 {
            let (offset, len) = (index(rng.below(20_000)), index(rng.below(9_000)));
            match rng.below(4) {
                0 => {
                    image.cut(offset as u64);
                    model.truncate(offset);
                }
                kind => {
                    let bytes = vec![u8::try_from(rng.below(256)).unwrap() * u8::from(kind > 1); len];
                    image.write(&bytes, offset as u64);
                    model.resize(model.len().max(offset + len), 0);
                    model[offset..offset + len].copy_from_slice(&bytes);
                }
            }
            assert_eq!(image.to_vec(), model);
            assert!(image.ends_in_zeros());
            assert_eq!(image.hash(), Image::of(&model).hash(), "however it came to be");
        }
    }

    #[test]
    fn a_copy_is_untouched_by_what_is_written_to_the_other() {
        let mut image = Image::of(&[1; 9000]);
        let copy = image.clone();
        image.write(&[2], 5000);
        assert!(copy.to_vec() == [1; 9000] && image.shares(&copy, 0) && !image.shares(&copy, 1));
        assert!(!image.same(&copy));
        image.write(&[1], 5000);
        assert!(image.same(&copy));
    }

    #[test]
    fn any_changed_byte_changes_the_hash() {
        let mut seen = std::collections::BTreeSet::from([Image::of(&[0; 8192]).hash()]);
        for at in 0..8192 {
            let mut bytes = [0; 8192];
            bytes[at] = 1;
            assert!(seen.insert(Image::of(&bytes).hash()), "{at}");
        }
        assert!(seen.insert(Image::of(&[0; 8193]).hash()), "the length counts");
    }
}
