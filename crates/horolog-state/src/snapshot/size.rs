//! How large a snapshot would be, without making one.

use crate::state::State;

/// Tag, generation, deadline, LSN and the length of the payload.
const TIMER_BYTES: u64 = 25;

/// Tag and generation of a slot that nothing lives in.
const VACANT_BYTES: u64 = 5;

/// Terms but for the key.
const TERMS_BYTES: u64 = 40;

impl State {
    /// About how many bytes a snapshot takes now. Counts of deliveries, grids and dead letters are not in it.
    #[must_use]
    pub fn snapshot_bytes(&self) -> u64 {
        let live = self.len() as u64;
        let vacant = u64::from(self.slab().slots()).saturating_sub(live);
        live * TIMER_BYTES + vacant * VACANT_BYTES + self.payload_bytes() + self.terms_bytes(TERMS_BYTES)
    }
}
