//! Single files, whatever the rest of the directory says.

use super::BLOCK;
use super::batches::Walk;
use super::bytes::{is_framed, u16_at, u128_at};
use super::meta::slots_of;
use super::segments::{Segment, id_in, segment_of};

/// A file that is a segment by its name, its header and its length.
pub struct SegmentFile<'a>(Segment<'a>);

impl<'a> SegmentFile<'a> {
    /// The segment in a file of this name, if it is one.
    #[must_use]
    pub fn of(name: &str, bytes: &'a [u8]) -> Option<Self> {
        let block = bytes.get(..BLOCK).filter(|block| is_framed(block, b"HOROLOG\0"))?;
        let is_of_this_version = u16_at(block, 8) == 0;
        segment_of(id_in(name)?, block, bytes).filter(|_| is_of_this_version).map(Self)
    }

    /// The identity of its log.
    #[must_use]
    pub fn uuid(&self) -> u128 {
        u128_at(self.0.bytes, 16)
    }

    /// The stamps of all headers that are intact in their place.
    pub fn stamps(&self) -> impl Iterator<Item = u64> {
        let walk = Walk::new(&self.0, 0);
        let headers: Vec<_> = (1..self.0.blocks).filter_map(|block| walk.header_at(block)).collect();
        headers.into_iter().map(|header| header.stamp)
    }

    /// Whether a header that is intact in its place begins there.
    #[must_use]
    pub fn has_header_at(&self, offset: usize) -> bool {
        u32::try_from(offset / BLOCK).is_ok_and(|block| Walk::new(&self.0, 0).header_at(block).is_some())
    }
}

/// The witnesses of all valid slots of META.
#[must_use]
pub fn witnesses(meta: &[u8]) -> Vec<u64> {
    slots_of(meta).iter().map(|slot| slot.witness).collect()
}

/// The ids that META lists, by its newest valid slot.
#[must_use]
pub fn listed(meta: &[u8]) -> Vec<u64> {
    let newest = slots_of(meta).into_iter().max_by_key(|slot| slot.seq);
    newest.map_or_else(Vec::new, |slot| slot.listed.iter().map(|listed| listed.id).collect())
}
