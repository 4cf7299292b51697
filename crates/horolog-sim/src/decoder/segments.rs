//! Segment files, and the chain that LINKs make of them.

use std::collections::{BTreeMap, BTreeSet};

use super::batches::{LinkBody, ROTATED, Walk};
use super::bytes::{is_framed, u16_at, u32_at, u64_at, u128_at};
use super::meta::{Listed, Meta};
use super::{BLOCK, Corruption, End, Files, ID_END, Refusal};

pub(super) struct Segment<'a> {
    pub(super) id: u64,
    pub(super) epoch: u64,
    pub(super) salt: u64,
    pub(super) blocks: u32,
    pub(super) recycled: bool,
    /// uuid, segment_id and salt: the part of the context that is the same in all of the segment.
    pub(super) context: Vec<u8>,
    pub(super) bytes: &'a [u8],
}

/// All files with the name of a segment, by id; `None` for one whose header is damaged or contradicts its name or size.
pub(super) type Segments<'a> = BTreeMap<u64, Option<Segment<'a>>>;

pub(super) fn id_in(name: &str) -> Option<u64> {
    id_of(name.strip_prefix("seg-")?.strip_suffix(".wal")?)
}

pub(super) fn id_of(digits: &str) -> Option<u64> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let id = (digits.len() == 16 && digits.bytes().all(is_digit)).then(|| u64::from_str_radix(digits, 16));
    id?.ok().filter(|id| (1..ID_END).contains(id))
}

pub(super) fn read_headers<'a>(files: &'a Files, meta: &Meta) -> Result<Segments<'a>, End> {
    let mut segments = Segments::new();
    let mut uuids = BTreeSet::new();
    for (name, bytes) in files {
        let Some(id) = id_in(name) else { continue };
        let block = bytes.get(..BLOCK).filter(|block| is_framed(block, b"HOROLOG\0"));
        if let Some(block) = block {
            if u16_at(block, 8) > 0 {
                return Err(Refusal::Newer.into());
            }
            let is_known = u16_at(block, 10) == 0 && u32_at(block, 56) == 4096 && block[64] == 1;
            if !is_known || u64_at(block, 96) != 0 {
                return Err(Refusal::Unknown.into());
            }
        }
        let found = block.and_then(|block| segment_of(id, block, bytes));
        uuids.extend(found.as_ref().map(|found| u128_at(found.bytes, 16)));
        segments.insert(id, found);
    }
    if uuids.iter().any(|uuid| *uuid != meta.uuid) { Err(Refusal::Foreign.into()) } else { Ok(segments) }
}

/// A segment whose header has the right frame and is of this version: what it says, if all of that is right.
pub(super) fn segment_of<'a>(id: u64, block: &[u8], bytes: &'a [u8]) -> Option<Segment<'a>> {
    let blocks = u32_at(block, 60);
    let is_blank = |from: usize, to: usize| block[from..to].iter().all(|byte| *byte == 0);
    let fits = u32_at(block, 12) == 4096
        && u64_at(block, 32) == id
        && u64::from(blocks) * BLOCK as u64 == bytes.len() as u64
        && block[65] <= 1
        && is_blank(66, 4088);
    let context = [&block[16..40], &block[48..56]].concat();
    let (epoch, salt) = (u64_at(block, 40), u64_at(block, 48));
    fits.then(|| Segment { id, epoch, salt, blocks, recycled: block[65] == 1, context, bytes })
}

/// What META lists is there, and nothing newer has begun without it.
pub(super) fn check_list(meta: &Meta, segments: &Segments<'_>, codec: u16) -> Result<(), End> {
    for Listed { id, salt, blocks } in &meta.listed {
        match segments.get(id) {
            Some(Some(found)) if (found.salt, found.blocks) == (*salt, *blocks) => {}
            _ => return Err(Corruption { segment: *id, lost: None }.into()),
        }
    }
    let newest = meta.listed.last().map_or(0, |listed| listed.id);
    for found in segments.values().flatten().filter(|found| found.id > newest) {
        if Walk::begun(found, codec)?.is_some() {
            return Err(Corruption { segment: found.id, lost: None }.into());
        }
    }
    Ok(())
}

/// The head, read as far as its first batch, and the LINK with which that begins.
pub(super) fn find_head<'a, 's>(
    meta: &Meta,
    segments: &'s Segments<'a>,
    codec: u16,
) -> Result<(Walk<'a, 's>, LinkBody), End> {
    for listed in meta.listed.iter().rev() {
        let Some(Some(found)) = segments.get(&listed.id) else { continue };
        let is_called_head = listed.id == meta.head_segment;
        match Walk::begun(found, codec)?.and_then(|walk| Some((walk.batches[0].link?, walk))) {
            Some((link, walk)) if is_called_head || link.reason == ROTATED => return Ok((walk, link)),
            None if is_called_head => return Err(Corruption { segment: listed.id, lost: None }.into()),
            _ => {}
        }
    }
    unreachable!("an active META lists its head")
}

pub(super) fn follow_links<'a, 's>(
    head: Walk<'a, 's>,
    first: LinkBody,
    meta: &Meta,
    segments: &'s Segments<'a>,
    codec: u16,
) -> Result<Vec<Walk<'a, 's>>, End> {
    let (mut chain, mut link) = (vec![head], first);
    while link.segment >= meta.first_segment {
        let corrupt = |lost| Corruption { segment: link.segment, lost };
        let found = segments.get(&link.segment).and_then(Option::as_ref).ok_or_else(|| corrupt(None))?;
        let mut walk = Walk::new(found, codec);
        walk.read_to(link.last_lsn, link.chain)?.map_err(corrupt)?;
        link = walk.batches[0].link.ok_or_else(|| corrupt(None))?;
        chain.push(walk);
    }
    Ok(chain)
}
