//! The enumeration in small, and its own parts.

use super::*;

fn run(length: usize, depth: u32) -> Outcome {
    let plan = Enumeration { length, depth, damage: true, ..Enumeration::default() };
    plan.run(&mut |_| true)
}

#[test]
fn every_crash_of_every_short_sequence_keeps_every_promise() {
    for length in 0..=1 {
        let outcome = run(length, 2);
        println!("{:#?}", outcome.tally);
        assert!(outcome.complete, "{}", outcome.violation.unwrap());
    }
}
