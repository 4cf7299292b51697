//! META.

use super::bytes::{is_framed, u16_at, u32_at, u64_at, u128_at};
use super::segments::id_in;
use super::snapshot::{Entry, snapshot_id_in};
use super::{BLOCK, End, Files, ID_END, Refusal, Verdict};

pub(super) struct Meta {
    pub(super) uuid: u128,
    pub(super) seq: u64,
    pub(super) epoch: u64,
    pub(super) witness: u64,
    pub(super) first_segment: u64,
    pub(super) head_segment: u64,
    pub(super) active: bool,
    pub(super) listed: Vec<Listed>,
    /// Newest first.
    pub(super) snapshots: Vec<Entry>,
}

pub(super) struct Listed {
    pub(super) id: u64,
    pub(super) salt: u64,
    pub(super) blocks: u32,
}

pub(super) fn read_meta(files: &Files) -> Result<(Meta, u32), End> {
    let Some(bytes) = files.get("META") else { return Err(without_meta(files)) };
    let mut slots: Vec<Meta> = Vec::new();
    for (place, slot) in bytes.chunks_exact(BLOCK).take(4).enumerate() {
        if is_framed(slot, b"HOROMETA") {
            if u16_at(slot, 8) > 0 {
                return Err(Refusal::Newer.into());
            }
            if u16_at(slot, 10) != 0 || slot[105] != 1 || u64_at(slot, 96) != 0 {
                return Err(Refusal::Unknown.into());
            }
            slots.extend(slot_of(slot, place as u64));
        }
    }
    let bad_slots = 4 - slots.len() as u32;
    let newest = slots.into_iter().max_by_key(|slot| slot.seq).filter(|_| bytes.len() == 4 * BLOCK);
    newest.map(|meta| (meta, bad_slots)).ok_or(Refusal::MetaDamaged.into())
}

/// The valid slots of META, as far as they are of this version.
pub(super) fn slots_of(bytes: &[u8]) -> Vec<Meta> {
    let places = (0..).zip(bytes.chunks_exact(BLOCK).take(4));
    let framed = places.filter(|(_, slot)| is_framed(slot, b"HOROMETA") && u16_at(slot, 8) == 0);
    framed.filter_map(|(place, slot)| slot_of(slot, place)).collect()
}

fn is_of_a_log(name: &str) -> bool {
    id_in(name).or(snapshot_id_in(name)).is_some()
}

fn without_meta(files: &Files) -> End {
    let is_expected = |name: &str| {
        name == "LOCK" || name == "META.tmp" || name.strip_suffix(".tmp").is_some_and(is_of_a_log)
    };
    if files.keys().any(|name| is_of_a_log(name)) {
        Refusal::MetaMissing.into()
    } else if files.keys().all(|name| is_expected(name)) {
        End(Verdict::Empty)
    } else {
        Refusal::NotALog.into()
    }
}

/// A slot that has the right frame and is of this version: what it says, if it is valid in its place.
fn slot_of(slot: &[u8], place: u64) -> Option<Meta> {
    let count = u32_at(slot, 108) as usize;
    let rows_end = 128 + 24 * count;
    let is_blank = |from: usize, to: usize| slot[from..to].iter().all(|byte| *byte == 0);
    if count > 16 || u32_at(slot, 12) != 4096 {
        return None;
    }
    let rows = slot[128..rows_end].chunks(24);
    let listed: Vec<_> = rows
        .clone()
        .map(|row| Listed { id: u64_at(row, 0), salt: u64_at(row, 8), blocks: u32_at(row, 16) })
        .collect();
    let reserved = is_blank(106, 108) && is_blank(112, 128) && is_blank(rows_end, 512) && is_blank(592, 4088);
    let reserved = reserved && rows.clone().all(|row| u32_at(row, 20) == 0);
    let meta = Meta {
        uuid: u128_at(slot, 16),
        seq: u64_at(slot, 32),
        epoch: u64_at(slot, 40),
        witness: u64_at(slot, 48),
        first_segment: u64_at(slot, 56),
        head_segment: u64_at(slot, 64),
        active: slot[104] == 2,
        listed,
        snapshots: [512, 552].iter().filter_map(|at| Entry::of(&slot[*at..at + 40])).collect(),
    };
    let next_segment = u64_at(slot, 72);
    let ids: Vec<u64> = meta.listed.iter().map(|listed| listed.id).collect();
    let ascends = ids.windows(2).all(|pair| pair[0] < pair[1]);
    let in_bounds = ids.iter().all(|id| (1..next_segment).contains(id)) && next_segment <= ID_END;
    let fits = match slot[104] {
        1 => meta.head_segment == 0 && meta.first_segment == 0,
        2 => ids.first() == Some(&meta.head_segment) && (1..=meta.head_segment).contains(&meta.first_segment),
        _ => false,
    };
    let fits = fits && snapshots_agree(slot, meta.witness);
    let valid = reserved && meta.uuid != 0 && place / 2 == meta.seq % 2 && ascends && in_bounds && fits;
    valid.then_some(meta)
}

/// Newest first; a number of 0 says that there is none, and then all of the entry is zero.
fn snapshots_agree(slot: &[u8], witness: u64) -> bool {
    let [newest, older] = [&slot[512..552], &slot[552..592]];
    let fits = |row: &[u8]| {
        let (id, begin, end) = (u64_at(row, 0), u64_at(row, 8), u64_at(row, 16));
        if id == 0 {
            row.iter().all(|byte| *byte == 0)
        } else {
            id < ID_END && begin <= end && end <= witness
        }
    };
    let in_order = u64_at(older, 0) == 0
        || (u64_at(older, 0) < u64_at(newest, 0) && u64_at(older, 8) <= u64_at(newest, 8));
    fits(newest) && fits(older) && in_order
}
