//! What happens to each timer, decided by the seed and its serial number alone.

/// The clock that a deadline is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Axis {
    /// UTC: `Timer::at`.
    Wall = 0,
    /// Time since boot: `Timer::after`.
    Boot = 1,
}

impl Axis {
    pub(super) fn from_code(code: u8) -> Option<Self> {
        [Self::Wall, Self::Boot].into_iter().find(|axis| *axis as u8 == code)
    }
}

/// What the consumer does with a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Treatment {
    Complete = 0,
    /// Given back with `fail`.
    Fail = 1,
    /// Let go of without a word.
    Drop = 2,
}

impl Treatment {
    pub(super) fn from_code(code: u8) -> Option<Self> {
        [Self::Complete, Self::Fail, Self::Drop].into_iter().find(|treatment| *treatment as u8 == code)
    }
}

/// The life that is meant for one timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) axis: Axis,
    pub(super) delay_ms: u64,
    pub(super) filler_len: usize,
    pub(super) keyed: bool,
    pub(super) cancelled: bool,
    /// What is done with its first delivery; every later one is completed.
    pub(super) first: Treatment,
    /// It is completed in one batch with the scheduling of another timer.
    pub(super) followed: bool,
}

impl Plan {
    pub(super) fn of(seed: u64, serial: u64) -> Self {
        let mut dice = Dice::new(mix(seed).wrapping_add(serial));
        let axis = if dice.one_in(2) { Axis::Wall } else { Axis::Boot };
        // Some fire while the process that scheduled them lives, some while it is dead, some in a later life.
        let delay_ms = match dice.below(10) {
            0..4 => dice.below(50),
            4..8 => dice.below(600),
            _ => 400 + dice.below(2_100),
        };
        // A few payloads are beyond the 4 KiB up to which they are kept in pages.
        let filler_len = if dice.one_in(512) { 5_000 } else { dice.below(96) };
        let first = match dice.below(200) {
            0..4 => Treatment::Fail,
            4 => Treatment::Drop,
            _ => Treatment::Complete,
        };
        Self {
            axis,
            delay_ms,
            filler_len: usize::try_from(filler_len).unwrap_or(0),
            keyed: dice.one_in(10),
            cancelled: dice.below(100) < 40,
            first,
            followed: dice.one_in(32),
        }
    }
}

/// Numbers that look random and are the same for the same seed (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// In `0..n`; 0 for an `n` of 0.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.roll().checked_rem(n).unwrap_or(0)
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// The finisher of SplitMix64: every bit of the answer depends on every bit of the question.
pub(super) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_depends_on_seed_and_serial_only() {
        assert_eq!(Plan::of(1, 2), Plan::of(1, 2));
        assert_ne!(
            (0..99).map(|n| Plan::of(1, n)).collect::<Vec<_>>(),
            (0..99).map(|n| Plan::of(2, n)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn the_mix_has_its_shares() {
        let plans: Vec<Plan> = (0..10_000).map(|serial| Plan::of(3, serial)).collect();
        let share = |of: &dyn Fn(&Plan) -> bool| plans.iter().filter(|plan| of(plan)).count();
        assert!((3_800..4_200).contains(&share(&|plan| plan.cancelled)));
        assert!(share(&|plan| plan.first == Treatment::Fail) > 100);
        assert!(share(&|plan| plan.first == Treatment::Drop) > 20);
        assert!(share(&|plan| plan.filler_len > 4_096) > 5);
    }
}
