//! A slot of META takes any bytes in any place: it never panics, and what it accepts is what would be written again, there and
//! nowhere else.
//!
//! Random bytes never have the right checksum. So each input is tried twice: as it is, and *sealed*, with the magic number and
//! the checksum put right by this file, which computes them from `docs/format.md`.
#![no_main]

use horolog_wal::{Meta, MetaFault};
use libfuzzer_sys::fuzz_target;

const SLOT: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    let mut sealed = [0; SLOT];
    let len = bytes.len().min(4088);
    sealed[..len].copy_from_slice(&bytes[..len]);
    sealed[..8].copy_from_slice(b"HOROMETA");
    let crc = crc32fast::hash(&sealed[..4088]);
    sealed[4088..4092].copy_from_slice(&crc.to_le_bytes());
    sealed[4092..].copy_from_slice(&(!crc).to_le_bytes());
    for slot in 0..4 {
        let fault = Meta::decode(&sealed, slot).err();
        let of_the_frame = matches!(
            fault,
            Some(MetaFault::Short | MetaFault::Blank | MetaFault::Magic | MetaFault::Checksum)
        );
        assert!(!of_the_frame, "{fault:?} of a sealed slot");
    }
    check(&sealed);
});

fn check(bytes: &[u8]) {
    for slot in 0..4 {
        let Ok(meta) = Meta::decode(bytes, slot) else { continue };
        assert_eq!(meta.encode(), bytes[..SLOT]);
        assert_eq!(meta.seq % 2, slot as u64 / 2, "each update has its pair of slots");
        assert!(meta.listed.windows(2).all(|pair| pair[0].segment_id < pair[1].segment_id));
    }
}
