//! What the targets share that fill a directory by the rules and then damage it.

pub(crate) mod damage;

use std::sync::Arc;

use arbitrary::{Arbitrary, Unstructured};
use horolog_sim::SimDisk;
use horolog_wal::{LogError, LogOptions, Writer};

pub(crate) const BLOCK: usize = horolog_wal::BLOCK_LEN as usize;

/// Segments of eight blocks, so that a few batches fill one.
pub(crate) fn options() -> LogOptions {
    LogOptions {
        segment_bytes_min: 8 * BLOCK as u64,
        segment_bytes_max: 8 * BLOCK as u64,
        ..LogOptions::default()
    }
}

/// Up to `MAX` items. A derived list would have a coin tossed for each further item, and be short.
#[derive(Debug)]
pub(crate) struct List<T, const MAX: usize>(pub(crate) Vec<T>);

impl<'a, T: Arbitrary<'a>, const MAX: usize> Arbitrary<'a> for List<T, MAX> {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let count = u.int_in_range(0..=MAX)?;
        (0..count).map(|_| u.arbitrary()).collect::<Result<_, _>>().map(Self)
    }
}

/// Prepares the next segment, if the writer wants one.
pub(crate) fn offer_spare(writer: &mut Writer) -> Result<(), LogError> {
    if let Some(plan) = writer.wants_spare() {
        writer.offer_spare(plan.prepare()?);
    }
    Ok(())
}

/// What is left after the power failed: of the changes that nobody synced, those whose bit of `kept` is set, over and over.
pub(crate) fn power_cut(disk: &SimDisk, kept: u64) -> Arc<SimDisk> {
    let mut turns = 0;
    Arc::new(disk.power_cut(&mut || {
        turns += 1;
        kept.rotate_right(turns) & 1 == 1
    }))
}
