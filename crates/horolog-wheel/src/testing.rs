//! What the tests of this crate share: seeds, and the numbers that have broken timing wheels before.

use std::vec::Vec;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use crate::Tick;

/// A fixed seed, so that a run is a fact and not a chance. `PROPTEST_RNG_SEED=n` and `PROPTEST_CASES=n`
/// explore further.
pub(crate) fn config(cases: u32) -> Config {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(0x484f_524f_4c4f_4721);
    }
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    config
}

/// Ticks at and beside every byte boundary, the uptimes at which known wheels failed, and the ends of `u64`.
pub(crate) fn nasty_tick() -> impl Strategy<Value = Tick> {
    let power =
        (0u32..64, 0u64..3).prop_map(|(bits, around)| (1u64 << bits).wrapping_add(around).wrapping_sub(1));
    let byte_power = (1u32..8, 0u64..3).prop_map(|(byte, around)| (1u64 << (8 * byte)) + around - 1);
    let multiple =
        (1u32..8, 1u64..=255, 0u64..3).prop_map(|(byte, n, around)| (n << (8 * byte)) + around - 1);
    let small = 0u64..1_024;
    let last = (0u64..600).prop_map(|before| u64::MAX - before);
    let soak = prop_oneof![Just(30u32), Just(36), Just(40)];
    let soak = (soak, 0u64..1_024).prop_map(|(bits, around)| (1u64 << bits) + around - 512);
    prop_oneof![2 => small, 2 => byte_power, 1 => power, 2 => multiple, 1 => soak, 1 => last, 1 => any::<u64>()]
        .prop_map(Tick)
}

/// `SplitMix64`: small, seeded, and the same everywhere.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(len).unwrap()).unwrap()
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }
}

/// Where a slot of some level ends or a level stops seeing, and the uptimes at which known wheels failed.
pub(crate) fn boundaries() -> Vec<u64> {
    let slots = (1..8).map(|byte| 1 << (8 * byte));
    let turns = (0..7).map(|byte| 1 << (8 * byte + 9));
    let known = [30, 36, 40].map(|bits| 1 << bits);
    let mut all: Vec<u64> =
        slots.chain(turns).chain(known).chain([5 << 56, u64::MAX - (1 << 24) + 1, u64::MAX - 800]).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// At most this many items while `live` are armed: as many stale as current ones, a constant, what comes while one sweep
/// goes through all of them, 64 at a call, and doubles.
pub(crate) fn items_max(live: usize) -> usize {
    2 * live + live / 16 + crate::wheel::SLACK + 64
}
