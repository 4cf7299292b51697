//! When a deadline is due, to the nanosecond.

use proptest::prelude::*;

use super::*;
use crate::testing::config;

const MS: u64 = 1_000_000;

fn tick_len(ns: u64) -> TickLen {
    TickLen { ns: ns.into() }
}

fn ns(ns: u64) -> Duration {
    Duration::from_nanos(ns)
}

#[test]
fn a_delay_that_is_no_whole_number_of_ticks_is_rounded_up() {
    let seven = tick_len(7 * MS);
    assert_eq!(seven.after(0, ns(10 * MS)), Tick(2));
    assert_eq!(seven.after(0, ns(14 * MS)), Tick(2), "a whole number is what it is");
    assert_eq!(seven.after(0, ns(14 * MS + 1)), Tick(3));
    assert_eq!(seven.at(0, ns(10 * MS)), Tick(2));
}

#[test]
fn what_is_rounded_up_once_is_not_rounded_up_again() {
    let one = tick_len(MS);
    let half_past: u128 = (10 * MS + MS / 2).into();
    assert_eq!(one.after(half_past, ns(MS / 2)), Tick(11), "each rounded up they are 12");
    assert_eq!(one.after(half_past, ns(3 * MS)), Tick(14));
    let of_next = one.until(half_past, Tick(11));
    assert_eq!(
        (of_next, one.of(half_past + of_next.as_nanos())),
        (ns(MS / 2), Tick(11)),
        "one wake is enough"
    );
}

#[test]
fn an_instant_that_has_passed_counts_for_the_tick_it_is_in_and_no_delay_for_the_next() {
    let one = tick_len(MS);
    let now: u64 = 10 * MS + 3;
    assert_eq!(one.at(now.into(), ns(now)), Tick(10));
    assert_eq!(one.at(now.into(), ns(2 * MS + 5)), Tick(2));
    assert_eq!(one.at(now.into(), ns(now + 1)), Tick(11));
    assert_eq!(one.after(now.into(), Duration::ZERO), Tick(11));
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn a_deadline_is_never_early_and_less_than_a_tick_late(
        len in prop_oneof![1u64..20, 1u64..10 * MS, any::<u64>()],
        now in prop_oneof![0u64..100, any::<u64>()],
        delay in prop_oneof![0u64..100, 0u64..100 * MS, any::<u64>()],
    ) {
        let (tick_len, len, now) = (tick_len(len.max(1)), u128::from(len.max(1)), u128::from(now));
        let due_ns = now + u128::from(delay);
        for tick in [tick_len.after(now, ns(delay)), tick_len.round_up(due_ns)] {
            if tick == Tick::MAX {
                continue;
            }
            let at = u128::from(tick.0) * len;
            prop_assert!(due_ns <= at && at < due_ns + len, "due at {due_ns}, tick {tick} at {at}");
            // Who sleeps that long wakes in that tick.
            let sleep = tick_len.until(now, tick);
            prop_assert!(now + sleep.as_nanos() == at || sleep == ns(u64::MAX));
            prop_assert_eq!(tick_len.of(at), tick);
        }
    }
}
