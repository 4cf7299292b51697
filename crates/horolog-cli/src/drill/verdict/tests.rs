//! The checker catches what it is there for. `check` takes one life a list and compares all that was found, as text.

use super::*;
use crate::drill::plan::Axis;

const DEADLINE_NS: u64 = 1_000;

fn submitting(serial: u64) -> Entry {
    Entry::Submitting { serial, count: 1 }
}

fn scheduled(serial: u64) -> Entry {
    Entry::Scheduled { serial, id: 100 + serial, boot_ns: 1 }
}

fn received(serial: u64, attempt: u32) -> Entry {
    treated(serial, attempt, Treatment::Complete, DEADLINE_NS)
}

fn treated(serial: u64, attempt: u32, treatment: Treatment, now_ns: u64) -> Entry {
    Entry::Received { serial, attempt, treatment, axis: Axis::Wall, deadline_ns: DEADLINE_NS, now_ns }
}

fn completed(serial: u64) -> Entry {
    Entry::Completed { serial }
}

fn cancelled(serial: u64) -> [Entry; 2] {
    [Entry::Cancelling { serial }, Entry::CancelAnswered { serial, outcome: CancelOutcome::Cancelled }]
}

#[track_caller]
fn check(lives: &[&[Entry]], expected: &[&str]) {
    let mut verdict = Verdict::new(10);
    for life in lives {
        verdict.life(life);
    }
    verdict.finish(&HashSet::new());
    let found: Vec<String> = verdict.violations().iter().map(ToString::to_string).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_timer_that_is_kept_in_full_is_no_violation() {
    check(&[&[submitting(0), scheduled(0), received(0, 1), completed(0)]], &[]);
}

#[test]
fn an_acknowledged_timer_that_never_comes_is_lost() {
    let words = "lost: timer 0 was acknowledged and never delivered";
    check(&[&[submitting(0), scheduled(0)], &[]], &[words]);
}

#[test]
fn a_timer_without_acknowledgement_may_come_or_not() {
    check(&[&[submitting(0)], &[]], &[]);
    check(&[&[submitting(0)], &[received(0, 1)]], &[]);
}

#[test]
fn a_nanosecond_early_is_early() {
    let early = treated(0, 1, Treatment::Complete, DEADLINE_NS - 1);
    check(
        &[&[submitting(0), scheduled(0), early]],
        &["early: timer 0 came 1 ns before its deadline in life 1"],
    );
}

#[test]
fn a_moved_timer_has_its_new_deadline() {
    let moved = Entry::Rescheduled { serial: 0, deadline_ns: DEADLINE_NS + 5 };
    let words = "early: timer 0 came 5 ns before its deadline in life 1";
    check(&[&[submitting(0), scheduled(0), moved, received(0, 1)]], &[words]);
}

#[test]
fn a_durably_completed_timer_does_not_come_again() {
    let first = [submitting(0), scheduled(0), received(0, 1), completed(0)];
    let words = "completed and delivered again: timer 0 as attempt 2 in life 2";
    check(&[&first, &[received(0, 2)]], &[words]);
}

#[test]
fn a_completion_that_a_kill_cut_off_may_count_or_not() {
    let first = [submitting(0), scheduled(0), received(0, 1)];
    check(&[&first, &[]], &[]);
    check(&[&first, &[received(0, 2)]], &[]);
}

#[test]
fn a_cancelled_timer_does_not_come() {
    let [asked, answered] = cancelled(0);
    let words = "cancelled and delivered: timer 0 as attempt 1 in life 1";
    check(&[&[submitting(0), scheduled(0), asked, answered, received(0, 1)]], &[words]);
}

#[test]
fn a_cancel_that_a_kill_cut_off_may_count_or_not() {
    let first = [submitting(0), scheduled(0), Entry::Cancelling { serial: 0 }];
    check(&[&first, &[]], &[]);
    check(&[&first, &[received(0, 1)]], &[]);
}

#[test]
fn a_timer_from_nowhere_is_seen() {
    let words = "from nowhere: timer 3 was delivered in life 1 and never submitted";
    check(&[&[received(3, 1)]], &[words]);
}

#[test]
fn a_foreign_payload_is_seen() {
    let foreign = Entry::Foreign { id: 0xab, len: 3, what: Alien::Payload };
    check(&[&[foreign]], &["altered: Payload of id 0xab (3 bytes of payload) in life 1"]);
}

#[test]
fn a_delivery_that_was_received_counts_across_a_crash() {
    let first = [submitting(0), scheduled(0), received(0, 1)];
    let words = "not counted: timer 0 came as attempt 1 in life 2, after attempt 1";
    check(&[&first, &[received(0, 1)]], &[words]);
}

#[test]
fn a_completed_timer_does_not_come_twice_in_one_life() {
    let words = "delivered twice: timer 0 came again in life 1, where it was completed";
    check(&[&[submitting(0), scheduled(0), received(0, 1), received(0, 2)]], &[words]);
}

#[test]
fn a_timer_that_is_given_back_comes_again() {
    let back = treated(0, 1, Treatment::Fail, DEADLINE_NS);
    check(&[&[submitting(0), scheduled(0), back, received(0, 2), completed(0)]], &[]);
    let words = "lost: timer 0 was given back and never delivered again";
    check(&[&[submitting(0), scheduled(0), back]], &[words]);
}

#[test]
fn half_a_batch_is_seen() {
    let batch = Entry::Batching { serial: 2, count: 3 };
    check(&[&[batch, received(2, 1), received(4, 1)]], &["torn batch: 2 of 3 timers from 2 on exist"]);
    check(&[&[batch], &[]], &[]);
}

#[test]
fn a_completion_and_its_follower_stand_or_fall_together() {
    let first = [submitting(0), scheduled(0), received(0, 1), Entry::Following { serial: 1, after: 0 }];
    check(&[&first, &[received(1, 1)]], &[]);
    check(&[&first, &[received(0, 2)]], &[]);
    let words = "torn batch: timer 1 exists, and timer 0 that was completed with it came again";
    check(&[&first, &[received(0, 2), received(1, 1)]], &[words]);
    check(&[&first, &[received(1, 1), received(0, 2)]], &[words]);
}

#[test]
fn an_id_is_not_forgotten() {
    let answered = |outcome| Entry::CancelAnswered { serial: 0, outcome };
    let asked = Entry::Cancelling { serial: 0 };
    let words = "forgotten: a cancel of timer 0 answered NotFound in life 1";
    check(&[&[submitting(0), scheduled(0), asked, answered(CancelOutcome::NotFound)]], &[words]);
    let words = "forgotten: a cancel of timer 0 answered AlreadyDone in life 1";
    check(&[&[submitting(0), scheduled(0), asked, answered(CancelOutcome::AlreadyDone)]], &[words]);
    let twice = [submitting(0), scheduled(0), asked, asked, answered(CancelOutcome::AlreadyDone)];
    check(&[&twice], &[]);
}
