//! What the tests of this crate share: seeds, and the numbers that have broken timing wheels before.

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
