//! The record codec takes any kind and any body: it never panics, and a record it gives is encoded to the same bytes.
//!
//! The first byte of the input is the kind, the rest is the body. What decodes is then applied to a state: whether it fits is
//! the rules' affair, and a misfit is an error, never a panic.
#![no_main]

use horolog_state::{Lsn, State, codec};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((kind, body)) = input.split_first() else { return };
    let Ok(record) = codec::decode(*kind, body) else { return };
    assert_eq!(record.kind().code(), *kind);
    let mut again = Vec::new();
    codec::encode(&record, &mut again);
    assert_eq!(again, body, "{record:?}");

    // The slab has every slot up to the highest; a high one takes megabytes for each run.
    if record.timer().is_none_or(|id| id.slot() < 1_024) {
        let _ = State::new().apply(Lsn(1), &record);
    }
});
