//! What is an id and what is not.

use std::string::ToString;

use proptest::prelude::*;

use super::*;
use crate::testing::config;

#[test]
fn slot_is_low_half_and_generation_high_half() {
    let id = TimerId::new(7, 3).unwrap();
    assert_eq!(id.raw(), 0x0000_0003_0000_0007);
    assert_eq!((id.slot(), id.generation()), (7, 3));
}

#[test]
fn an_absent_id_takes_no_room() {
    assert_eq!(size_of::<Option<TimerId>>(), 8);
}

#[test]
fn generations_run_from_one_to_the_maximum() {
    assert_eq!(TimerId::new(7, 0), None);
    assert!(TimerId::new(7, 1).is_some());
    assert!(TimerId::new(u32::MAX, GENERATION_MAX).is_some());
    assert_eq!(TimerId::new(7, GENERATION_MAX + 1), None);
    assert_eq!(TimerId::from_raw(0), None);
    assert_eq!(TimerId::from_raw(u64::MAX), None);
}

#[test]
fn an_id_has_one_text() {
    for text in ["", ":", "7", "7:", ":3", "7:0", "+7:3", "7:+3", "07:3", "7:03", "7:3 ", "7:3:1", "-1:3"] {
        assert_eq!(text.parse::<TimerId>(), Err(ParseIdError), "{text:?}");
    }
    assert!("0:1".parse::<TimerId>().is_ok());
    assert!("7:536870912".parse::<TimerId>().is_err());
    assert!("4294967296:1".parse::<TimerId>().is_err());
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn text_and_raw_read_back(slot: u32, generation in 1..=GENERATION_MAX) {
        let id = TimerId::new(slot, generation).unwrap();
        prop_assert_eq!(TimerId::from_raw(id.raw()), Some(id));
        prop_assert_eq!(id.to_string().parse(), Ok(id));
    }
}
