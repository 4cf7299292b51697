//! Keys and places.
#![expect(clippy::unwrap_used, reason = "these are tests, though clippy does not see it behind `not(loom)`")]

use super::*;

fn put<T>(values: &Values<T>, home: usize, value: T) -> u64 {
    values.put(home, value, Ok::<u64, ()>).map_err(drop).unwrap()
}

#[test]
fn a_key_finds_its_value_once() {
    let values = Values::new(3);
    let keys: Vec<_> = (0..2_000).map(|value| put(&values, value, value)).collect();
    for (value, key) in keys.iter().enumerate().rev() {
        assert_eq!((values.take(*key), values.take(*key)), (Some(value), None));
    }
    assert_eq!(values.take(u64::MAX), None);
}

#[test]
fn places_are_used_again() {
    let values = Values::new(1);
    let keys: Vec<_> = (0..100).map(|value| put(&values, 0, value)).collect();
    keys.iter().for_each(|key| _ = values.take(*key));
    let mut again: Vec<_> = (0..100).map(|value| put(&values, 0, value)).collect();
    again.sort_unstable();
    assert_eq!(again, keys);
}

#[test]
fn pages_that_are_empty_are_given_back_but_for_one() {
    let values = Values::new(1);
    let pages = |values: &Values<usize>| values.shards[0].0.lock().pages.iter().flatten().count();
    for _ in 0..3 {
        let keys: Vec<_> = (0..5_000).map(|value| put(&values, 0, value)).collect();
        assert_eq!(pages(&values), 20);
        for (value, key) in keys.iter().enumerate().rev() {
            assert_eq!(values.take(*key), Some(value));
        }
        assert_eq!(pages(&values), 1);
    }
    let one = put(&values, 0, 7);
    assert_eq!((one, values.take(one)), (0, Some(7)));
}

#[test]
fn a_value_that_is_refused_takes_no_place() {
    let values = Values::new(1);
    assert_eq!(values.put(0, 'a', |_| Err::<(), _>(7)), Err(('a', 7)));
    assert_eq!(values.take(0), None);
    assert_eq!(put(&values, 0, 'b'), 0);
}

#[test]
fn all_values_are_taken_at_the_end() {
    let values = Values::new(2);
    let keys: Vec<_> = (0..600).map(|value| put(&values, value, value)).collect();
    values.take(keys[7]);
    let mut left = values.take_all();
    left.sort_unstable();
    assert!(left.into_iter().eq((0..600).filter(|value| *value != 7)));
    assert_eq!(values.take(keys[0]), None);
}
