//! Where deadlines hang, at the edges of every byte.

use proptest::prelude::*;

use super::*;
use crate::testing::{config, nasty_tick};

#[track_caller]
fn check(now: u64, deadline: u64, level: usize, slot: u8) {
    assert_eq!(Place::of(Tick(deadline), Tick(now)), Place::new(level, slot));
}

#[test]
fn level_is_the_highest_byte_that_differs() {
    check(0, 1, 0, 1);
    check(0, 255, 0, 255);
    check(0, 256, 1, 1);
    check(0, 65_535, 1, 255);
    check(0, 65_536, 2, 1);
    check(255, 256, 1, 1);
    check(256, 511, 0, 255);
    check(0x01_FF, 0x02_00, 1, 2);
    check(0, u64::MAX, 7, 255);
    check(u64::MAX - 1, u64::MAX, 0, 255);
    check(u64::MAX - 255, u64::MAX, 0, 255);
    check(u64::MAX - 256, u64::MAX, 1, 255);
}

#[test]
fn a_deadline_that_has_come_hangs_in_the_present_tick() {
    check(700, 700, 0, 188);
    check(700, 3, 0, 188);
    check(u64::MAX, u64::MAX, 0, 255);
    check(u64::MAX, 0, 0, 255);
    check(0, 0, 0, 0);
}

proptest! {
    #![proptest_config(config(2_000))]

    /// Why waking at the start of the first occupied slot is never late.
    #[test]
    fn a_slot_starts_after_now_and_not_after_its_deadlines(now in nasty_tick(), deadline in nasty_tick()) {
        let place = Place::of(deadline, now);
        let start = place.start(now);
        prop_assert!(start <= deadline.max(now));
        prop_assert!(deadline <= now || start > now);
    }

    /// Why time may jump to anywhere before the first occupied slot without touching an entry.
    #[test]
    fn places_stay_right_until_their_slot_starts(now in nasty_tick(), deadline in nasty_tick(), to in nasty_tick()) {
        let place = Place::of(deadline, now);
        if now <= to && to < place.start(now) {
            prop_assert_eq!(Place::of(deadline, to), place);
        }
    }

    /// Why an entry moves at most once for each level.
    #[test]
    fn when_its_slot_starts_an_entry_falls_to_a_lower_level(now in nasty_tick(), deadline in nasty_tick()) {
        let place = Place::of(deadline, now);
        let start = place.start(now);
        if deadline > start {
            prop_assert!(Place::of(deadline, start).level() < place.level());
        }
    }
}
