//! Numbers in bytes.

/// What is the same in every version of META's slots and of segment headers.
pub(super) fn is_framed(block: &[u8], magic: &[u8; 8]) -> bool {
    let crc = crc32fast::hash(&block[..4088]);
    block[..8] == *magic && u32_at(block, 4088) == crc && u32_at(block, 4092) == !crc
}

fn array<const LEN: usize>(bytes: &[u8], at: usize) -> [u8; LEN] {
    let mut array = [0; LEN];
    array.copy_from_slice(&bytes[at..at + LEN]);
    array
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

pub(super) fn u128_at(bytes: &[u8], at: usize) -> u128 {
    u128::from_le_bytes(array(bytes, at))
}
