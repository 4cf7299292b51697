//! What each record does to a timer in each phase: the table in the module's text, line by line, and everything that it
//! forbids. Names are the specification.
//!
//! Nothing is armed in a wheel here and every slot is freed at once. `Desk::apply` and `Desk::refuse` are the only
//! verbs that know the API: they check all invariants after every record, and that a refused one changed nothing.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::num::{NonZeroU32, NonZeroU64};

use super::*;
use crate::record::{
    Cancel, Clock, Complete, Dead, Deliver, Epoch, Fail, FailCause, Put, Record, Reschedule, Skip,
    SkipReason, Terms as PutTerms,
};
use crate::time::Timeline;

const MS: u64 = 1_000_000;

fn civil(tick: u64) -> DueTime {
    DueTime { timeline: Timeline::Civil, tick: Tick(tick) }
}

fn elapsed(tick: u64) -> DueTime {
    DueTime { timeline: Timeline::Elapsed, tick: Tick(tick) }
}

/// Slot `n` is due at tick `10 * n` of the elapsed timeline.
fn grid() -> Grid {
    let interval_ns = NonZeroU64::new(10 * MS).unwrap();
    Grid { timeline: Timeline::Elapsed, anchor_ns: 0, interval_ns }
}

fn slot(index: u64) -> DueTime {
    elapsed(10 * index)
}

fn plain(id: TimerId) -> Record<'static> {
    Record::Put(Put { id, due: civil(100), terms: None, payload: b"payload".into() })
}

fn keyed<'a>(id: TimerId, key: &'a [u8]) -> Record<'a> {
    let terms = PutTerms { key, misfire: Misfire::Skip, retry: Retry::default(), grid: None };
    Record::Put(Put { id, due: civil(100), terms: Some(terms), payload: (&[]).into() })
}

fn every(id: TimerId) -> Record<'static> {
    let retry = Retry { failures_max: NonZeroU32::new(3).unwrap(), ..Retry::default() };
    let terms = PutTerms { key: b"grid", misfire: Misfire::FireOnce, retry, grid: Some((grid(), 1)) };
    Record::Put(Put { id, due: slot(1), terms: Some(terms), payload: b"recurring".into() })
}

fn reschedule(id: TimerId) -> Record<'static> {
    Record::Reschedule(Reschedule { id, due: elapsed(500) })
}

fn cancel(id: TimerId) -> Record<'static> {
    Record::Cancel(Cancel { id })
}

fn deliver(id: TimerId, number: u32) -> Record<'static> {
    Record::Deliver(Deliver { id, occurrence: 0, covers_from: 0, number, epoch: 1, next_due: None })
}

fn deliver_slots(id: TimerId, covers_from: u64, occurrence: u64, number: u32) -> Record<'static> {
    let next_due = Some(slot(occurrence + 1));
    Record::Deliver(Deliver { id, occurrence, covers_from, number, epoch: 1, next_due })
}

fn skip(id: TimerId) -> Record<'static> {
    Record::Skip(Skip { id, from: 0, to: 0, reason: SkipReason::Misfire, next_due: None })
}

fn skip_slots(id: TimerId, from: u64, to: u64, reason: SkipReason) -> Record<'static> {
    Record::Skip(Skip { id, from, to, reason, next_due: Some(slot(to + 1)) })
}

fn complete(id: TimerId, occurrence: u64, number: u32) -> Record<'static> {
    Record::Complete(Complete { id, occurrence, number })
}

fn fail(id: TimerId, occurrence: u64, number: u32, retry: Option<u64>) -> Record<'static> {
    let retry = retry.map(elapsed);
    Record::Fail(Fail { id, occurrence, number, cause: FailCause::Reported, retry, message: "no" })
}

fn dead(id: TimerId, occurrence: u64) -> Record<'static> {
    Record::Dead(Dead { id, occurrence, reason: DeadReason::Failures, message: "last words" })
}

fn epoch(epoch: u64) -> Record<'static> {
    let reading = ClockReading { wall_ns: epoch, boottime_ns: 2, boot_id: 3, elapsed_ns: 4 };
    Record::Epoch(Epoch { epoch, tick_len: TickLen::MILLISECOND, generation_floor: 0, reading })
}

/// A state after its first epoch, checked at every step.
struct Desk {
    state: State,
}

impl Desk {
    fn new() -> Self {
        let mut desk = Self { state: State::new() };
        assert_eq!(desk.apply(&epoch(1)), Effect::NOTHING);
        desk
    }

    #[track_caller]
    fn apply(&mut self, record: &Record<'_>) -> Effect {
        let effect = self.state.apply(self.state.applied().next(), record).unwrap();
        if effect.free {
            self.state.free(record.timer().unwrap());
        }
        assert_eq!(self.state.check(), Ok(()), "after {record:?}");
        effect
    }

    /// The record does not fit, and leaves no trace.
    #[track_caller]
    fn refuse(&mut self, record: &Record<'_>) -> Misfit {
        let (before, lsn) = (self.picture(), self.state.applied().next());
        let error = self.state.apply(lsn, record).unwrap_err();
        assert_eq!((error.lsn, error.kind, error.id), (lsn, record.kind().name(), record.timer()));
        assert_eq!(self.picture(), before, "a refused {record:?} changed the state");
        assert_eq!(self.state.check(), Ok(()), "after {record:?}");
        error.why
    }

    #[track_caller]
    fn check_refused(&mut self, record: &Record<'_>, why: Misfit) {
        assert_eq!(self.refuse(record), why);
    }

    /// Everything that can be seen.
    fn picture(&self) -> String {
        let state = &self.state;
        let timers: Vec<_> = state.timers().collect();
        let dead: Vec<_> = state.dead_letters().collect();
        let rest = (state.applied(), state.epoch(), state.tick_len(), state.reading(), state.leased());
        let slab = (state.slab().slots(), state.slab().floor(0), &state.keys);
        format!("{timers:#?} {dead:#?} {:#?} {rest:#?} {slab:#?}", state.totals())
    }

    fn reserve(&mut self) -> TimerId {
        self.state.slab_mut().reserve().unwrap()
    }

    fn put(&mut self, record: impl FnOnce(TimerId) -> Record<'static>) -> TimerId {
        let id = self.reserve();
        let _ = self.apply(&record(id));
        id
    }

    /// A plain one-shot at civil tick 100.
    fn once(&mut self) -> TimerId {
        self.put(plain)
    }

    /// A timer on the grid, from slot 1.
    fn recurring(&mut self) -> TimerId {
        self.put(every)
    }

    #[track_caller]
    fn view(&self, id: TimerId) -> TimerView<'_> {
        self.state.view(id).unwrap()
    }

    #[track_caller]
    fn recurrence(&self, id: TimerId) -> Recurrence {
        self.view(id).recurrence.unwrap()
    }

    /// In one word, where a timer stands.
    fn phase(&self, id: TimerId) -> String {
        match self.state.view(id) {
            None => String::from("ended"),
            Some(timer) if timer.doomed => String::from("doomed"),
            Some(timer) => format!("{:?}", timer.phase).to_lowercase(),
        }
    }

    #[track_caller]
    fn check_phase(&self, id: TimerId, phase: &str) {
        assert_eq!(self.phase(id), phase);
    }

    fn letter(&self, id: TimerId) -> Option<&DeadLetter> {
        self.state.dead_letters().find(|(dead, _)| *dead == id).map(|(_, letter)| letter)
    }
}

/// Every record in every phase: `prepare` makes a timer stand in each phase, `records` are tried on it one by one.
#[track_caller]
fn check_matrix(
    phases: &[&str],
    prepare: fn(&str) -> (Desk, TimerId),
    records: &[(&str, Case)],
    expected: &str,
) {
    let mut found = String::new();
    for (name, record) in records {
        for phase in phases {
            let (mut desk, id) = prepare(phase);
            let record = record(id);
            let lsn = desk.state.applied().next();
            let outcome = match desk.state.apply(lsn, &record) {
                Err(ApplyError { why, .. }) => {
                    let (mut desk, id) = prepare(phase);
                    assert_eq!(desk.refuse(&record), why, "{name} of {id}");
                    match why {
                        Misfit::Phase(phase) => format!("is {phase:?}"),
                        why => format!("{why:?}"),
                    }
                }
                Ok(_) => {
                    assert_eq!(desk.state.check(), Ok(()), "{name} in phase {phase}");
                    format!("-> {}", desk.phase(id))
                }
            };
            found += &format!("{name}, {phase}: {outcome}\n");
        }
    }
    let expected: Vec<_> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(found.lines().collect::<Vec<_>>(), expected);
}

type Case = fn(TimerId) -> Record<'static>;

/// A one-shot in a phase; its last delivery has number 1.
fn one_shot_in(phase: &str) -> (Desk, TimerId) {
    let mut desk = Desk::new();
    let id = desk.reserve();
    let history: &[Case] = match phase {
        "none" => &[],
        "waiting" => &[plain],
        "leased" => &[plain, |id| deliver(id, 1)],
        "retrying" => &[plain, |id| deliver(id, 1), |id| fail(id, 0, 1, Some(200))],
        "doomed" => &[plain, |id| deliver(id, 1), cancel],
        "dead" => &[plain, |id| deliver(id, 1), |id| dead(id, 0)],
        "ended" => &[plain, cancel],
        other => panic!("no such phase: {other}"),
    };
    for record in history {
        let _ = desk.state.apply(desk.state.applied().next(), &record(id)).unwrap();
    }
    (desk, id)
}

/// A recurring timer in a phase; its last delivery is number 1 of slot 1.
fn recurring_in(phase: &str) -> (Desk, TimerId) {
    let mut desk = Desk::new();
    let id = desk.reserve();
    let history: &[Case] = match phase {
        "waiting" => &[every],
        "leased" => &[every, |id| deliver_slots(id, 1, 1, 1)],
        "retrying" => &[every, |id| deliver_slots(id, 1, 1, 1), |id| fail(id, 1, 1, Some(15))],
        "doomed" => &[every, |id| deliver_slots(id, 1, 1, 1), cancel],
        other => panic!("no such phase: {other}"),
    };
    for record in history {
        let _ = desk.apply(&record(id));
    }
    (desk, id)
}

// The phase table

/// What each record does to a one-shot in each phase.
const ONE_SHOTS: &str = "
    Put, none: -> waiting
    Put, waiting: IdTaken
    Put, leased: IdTaken
    Put, retrying: IdTaken
    Put, doomed: IdTaken
    Put, dead: IdTaken
    Put, ended: IdTaken
    Reschedule, none: NoSuchTimer
    Reschedule, waiting: -> waiting
    Reschedule, leased: is Leased
    Reschedule, retrying: -> waiting
    Reschedule, doomed: is Leased
    Reschedule, dead: -> waiting
    Reschedule, ended: NoSuchTimer
    Cancel, none: NoSuchTimer
    Cancel, waiting: -> ended
    Cancel, leased: -> doomed
    Cancel, retrying: -> ended
    Cancel, doomed: -> doomed
    Cancel, dead: -> ended
    Cancel, ended: NoSuchTimer
    Deliver, none: NoSuchTimer
    Deliver, waiting: -> leased
    Deliver, leased: is Leased
    Deliver, retrying: Occurrence
    Deliver, doomed: is Leased
    Deliver, dead: is Dead
    Deliver, ended: NoSuchTimer
    Deliver again, none: NoSuchTimer
    Deliver again, waiting: Occurrence
    Deliver again, leased: is Leased
    Deliver again, retrying: -> leased
    Deliver again, doomed: is Leased
    Deliver again, dead: is Dead
    Deliver again, ended: NoSuchTimer
    Skip, none: NoSuchTimer
    Skip, waiting: -> ended
    Skip, leased: is Leased
    Skip, retrying: -> ended
    Skip, doomed: is Leased
    Skip, dead: is Dead
    Skip, ended: NoSuchTimer
    Complete, none: NoSuchTimer
    Complete, waiting: is Waiting
    Complete, leased: -> ended
    Complete, retrying: is Waiting
    Complete, doomed: -> ended
    Complete, dead: is Dead
    Complete, ended: NoSuchTimer
    Fail with a retry, none: NoSuchTimer
    Fail with a retry, waiting: is Waiting
    Fail with a retry, leased: -> waiting
    Fail with a retry, retrying: is Waiting
    Fail with a retry, doomed: NextDue
    Fail with a retry, dead: is Dead
    Fail with a retry, ended: NoSuchTimer
    Fail without one, none: NoSuchTimer
    Fail without one, waiting: is Waiting
    Fail without one, leased: NextDue
    Fail without one, retrying: is Waiting
    Fail without one, doomed: -> ended
    Fail without one, dead: is Dead
    Fail without one, ended: NoSuchTimer
    Dead, none: NoSuchTimer
    Dead, waiting: is Waiting
    Dead, leased: -> dead
    Dead, retrying: -> dead
    Dead, doomed: -> ended
    Dead, dead: is Dead
    Dead, ended: NoSuchTimer
";

#[test]
fn the_phase_table_holds_for_one_shots() {
    let records: &[(&str, Case)] = &[
        ("Put", plain),
        ("Reschedule", reschedule),
        ("Cancel", cancel),
        ("Deliver", |id| deliver(id, 1)),
        ("Deliver again", |id| deliver(id, 2)),
        ("Skip", skip),
        ("Complete", |id| complete(id, 0, 1)),
        ("Fail with a retry", |id| fail(id, 0, 1, Some(200))),
        ("Fail without one", |id| fail(id, 0, 1, None)),
        ("Dead", |id| dead(id, 0)),
    ];
    let phases = ["none", "waiting", "leased", "retrying", "doomed", "dead", "ended"];
    check_matrix(&phases, one_shot_in, records, ONE_SHOTS);
}

/// The same of a recurring timer.
const RECURRING: &str = "
    Reschedule, waiting: NextDue
    Reschedule, leased: NextDue
    Reschedule, retrying: NextDue
    Reschedule, doomed: NextDue
    Cancel, waiting: -> ended
    Cancel, leased: -> doomed
    Cancel, retrying: -> ended
    Cancel, doomed: -> doomed
    Deliver slot 1, waiting: -> leased
    Deliver slot 1, leased: is Leased
    Deliver slot 1, retrying: Occurrence
    Deliver slot 1, doomed: is Leased
    Deliver slot 1 again, waiting: Occurrence
    Deliver slot 1 again, leased: is Leased
    Deliver slot 1 again, retrying: -> leased
    Deliver slot 1 again, doomed: is Leased
    Deliver slots 1 to 4, waiting: -> leased
    Deliver slots 1 to 4, leased: is Leased
    Deliver slots 1 to 4, retrying: Occurrence
    Deliver slots 1 to 4, doomed: is Leased
    Deliver slot 2, waiting: Occurrence
    Deliver slot 2, leased: is Leased
    Deliver slot 2, retrying: Occurrence
    Deliver slot 2, doomed: is Leased
    Skip slots 1 to 3, waiting: -> waiting
    Skip slots 1 to 3, leased: Occurrence
    Skip slots 1 to 3, retrying: Occurrence
    Skip slots 1 to 3, doomed: Occurrence
    Skip slots 2 to 3, waiting: Occurrence
    Skip slots 2 to 3, leased: -> leased
    Skip slots 2 to 3, retrying: Occurrence
    Skip slots 2 to 3, doomed: -> doomed
    Skip and end, waiting: Occurrence
    Skip and end, leased: Occurrence
    Skip and end, retrying: Occurrence
    Skip and end, doomed: Occurrence
    Complete slot 1, waiting: is Waiting
    Complete slot 1, leased: -> waiting
    Complete slot 1, retrying: is Waiting
    Complete slot 1, doomed: -> ended
    Complete slot 2, waiting: is Waiting
    Complete slot 2, leased: Occurrence
    Complete slot 2, retrying: is Waiting
    Complete slot 2, doomed: Occurrence
    Complete delivery 2, waiting: is Waiting
    Complete delivery 2, leased: Occurrence
    Complete delivery 2, retrying: is Waiting
    Complete delivery 2, doomed: Occurrence
    Fail slot 1, waiting: is Waiting
    Fail slot 1, leased: -> waiting
    Fail slot 1, retrying: is Waiting
    Fail slot 1, doomed: NextDue
    Fail without a retry, waiting: is Waiting
    Fail without a retry, leased: NextDue
    Fail without a retry, retrying: is Waiting
    Fail without a retry, doomed: -> ended
    Dead slot 1, waiting: is Waiting
    Dead slot 1, leased: -> waiting
    Dead slot 1, retrying: -> waiting
    Dead slot 1, doomed: -> ended
    Dead slot 2, waiting: is Waiting
    Dead slot 2, leased: Occurrence
    Dead slot 2, retrying: Occurrence
    Dead slot 2, doomed: Occurrence
";

#[test]
fn the_phase_table_holds_for_recurring_timers() {
    let records: &[(&str, Case)] = &[
        ("Reschedule", reschedule),
        ("Cancel", cancel),
        ("Deliver slot 1", |id| deliver_slots(id, 1, 1, 1)),
        ("Deliver slot 1 again", |id| deliver_slots(id, 1, 1, 2)),
        ("Deliver slots 1 to 4", |id| deliver_slots(id, 1, 4, 1)),
        ("Deliver slot 2", |id| deliver_slots(id, 2, 2, 1)),
        ("Skip slots 1 to 3", |id| skip_slots(id, 1, 3, SkipReason::Misfire)),
        ("Skip slots 2 to 3", |id| skip_slots(id, 2, 3, SkipReason::Overlap)),
        ("Skip and end", skip),
        ("Complete slot 1", |id| complete(id, 1, 1)),
        ("Complete slot 2", |id| complete(id, 2, 1)),
        ("Complete delivery 2", |id| complete(id, 1, 2)),
        ("Fail slot 1", |id| fail(id, 1, 1, Some(15))),
        ("Fail without a retry", |id| fail(id, 1, 1, None)),
        ("Dead slot 1", |id| dead(id, 1)),
        ("Dead slot 2", |id| dead(id, 2)),
    ];
    check_matrix(&["waiting", "leased", "retrying", "doomed"], recurring_in, records, RECURRING);
}

// One-shots

#[test]
fn a_put_timer_waits_and_is_armed() {
    let mut desk = Desk::new();
    let id = desk.reserve();
    assert_eq!(desk.apply(&plain(id)), Effect::arm(civil(100)));
    let timer = desk.view(id);
    assert_eq!((timer.phase, timer.due, timer.lsn), (Phase::Waiting, civil(100), Lsn(2)));
    assert_eq!((timer.payload, timer.key, timer.misfire), (&b"payload"[..], &[][..], Misfire::FireOnce));
    assert_eq!((timer.deliveries, timer.failures, timer.suspect, timer.doomed), (0, 0, false, false));
    assert_eq!(timer.retry, Retry::default());
}

#[test]
fn a_delivered_timer_is_leased_and_handed_out() {
    let mut desk = Desk::new();
    let id = desk.once();
    assert_eq!(desk.apply(&deliver(id, 1)), Effect { hand_out: true, ..Effect::NOTHING });
    desk.check_phase(id, "leased");
    assert_eq!((desk.view(id).deliveries, desk.state.leased()), (1, 1));
}

#[test]
fn a_completed_timer_has_ended_and_its_slot_may_be_used_again() {
    let mut desk = Desk::new();
    let id = desk.once();
    let _ = desk.apply(&deliver(id, 1));
    assert_eq!(desk.apply(&complete(id, 0, 1)), Effect::FREE);
    desk.check_phase(id, "ended");
    assert_eq!(desk.state.lookup(id), (Lookup::Ended, Lsn::ZERO));
    assert!(desk.state.is_empty());
}

#[test]
fn an_ended_timer_is_known_with_the_record_that_ended_it_until_its_slot_is_free() {
    let (mut desk, id) = one_shot_in("ended");
    assert_eq!(desk.state.lookup(id), (Lookup::Ended, Lsn(3)));
    desk.state.free(id);
    assert_eq!(desk.state.lookup(id), (Lookup::Ended, Lsn::ZERO));
}

#[test]
fn the_payload_of_an_ended_timer_is_gone() {
    let mut desk = Desk::new();
    let id = desk.once();
    let shared = desk.state.share_payload(id).unwrap();
    let _ = desk.apply(&cancel(id));
    assert!(desk.state.share_payload(id).is_none());
    assert_eq!(&*shared, b"payload");
}

#[test]
fn a_failed_timer_waits_for_its_retry_with_its_counts() {
    let mut desk = Desk::new();
    let id = desk.once();
    let _ = desk.apply(&deliver(id, 1));
    assert_eq!(desk.apply(&fail(id, 0, 1, Some(200))), Effect::arm(elapsed(200)));
    let timer = desk.view(id);
    assert_eq!((timer.phase, timer.due, timer.lsn), (Phase::Waiting, elapsed(200), Lsn(4)));
    assert_eq!((timer.deliveries, timer.failures, desk.state.leased()), (1, 1, 0));
}

#[test]
fn a_skipped_one_shot_has_ended() {
    let mut desk = Desk::new();
    let id = desk.once();
    assert_eq!(desk.apply(&skip(id)), Effect::FREE);
    desk.check_phase(id, "ended");
    assert_eq!((desk.state.totals().expired, desk.state.totals().skipped_misfire), (1, 1));
}

#[test]
fn a_rescheduled_timer_keeps_its_counts_while_it_waits() {
    let (mut desk, id) = one_shot_in("retrying");
    assert_eq!(desk.apply(&reschedule(id)), Effect::arm(elapsed(500)));
    let timer = desk.view(id);
    assert_eq!((timer.due, timer.deliveries, timer.failures), (elapsed(500), 1, 1));
}

#[test]
fn a_skip_of_a_one_shot_names_its_only_occurrence_and_nothing_after_it() {
    let mut desk = Desk::new();
    let id = desk.once();
    let skip =
        |from, to, next_due| Record::Skip(Skip { id, from, to, reason: SkipReason::Misfire, next_due });
    desk.check_refused(&skip(0, 1, None), Misfit::NextDue);
    desk.check_refused(&skip(0, 0, Some(elapsed(5))), Misfit::NextDue);
    desk.check_refused(&skip(1, 0, None), Misfit::Occurrence);
}

#[test]
fn a_delivery_of_a_one_shot_names_its_only_occurrence_and_nothing_after_it() {
    let mut desk = Desk::new();
    let id = desk.once();
    let deliver = |occurrence, covers_from, next_due| {
        Record::Deliver(Deliver { id, occurrence, covers_from, number: 1, epoch: 1, next_due })
    };
    desk.check_refused(&deliver(1, 0, None), Misfit::Occurrence);
    desk.check_refused(&deliver(1, 1, None), Misfit::Occurrence);
    desk.check_refused(&deliver(0, 0, Some(elapsed(5))), Misfit::NextDue);
}

#[test]
fn an_outcome_of_another_delivery_does_not_fit() {
    let (mut desk, id) = one_shot_in("retrying");
    let _ = desk.apply(&deliver(id, 2));
    for (occurrence, number) in [(0, 1), (0, 3), (1, 2)] {
        desk.check_refused(&complete(id, occurrence, number), Misfit::Occurrence);
        desk.check_refused(&fail(id, occurrence, number, Some(300)), Misfit::Occurrence);
    }
    assert_eq!(desk.apply(&complete(id, 0, 2)), Effect::FREE);
}

#[test]
fn a_record_about_another_life_of_the_slot_finds_nobody() {
    let mut desk = Desk::new();
    let first = desk.once();
    let _ = desk.apply(&cancel(first));
    let second = desk.once();
    assert_eq!((first.slot(), first.generation() + 1), (second.slot(), second.generation()));
    desk.check_refused(&cancel(first), Misfit::NoSuchTimer);
    desk.check_refused(&deliver(first, 1), Misfit::NoSuchTimer);
    desk.check_refused(&plain(first), Misfit::IdTaken);
}

// Recurring timers

#[test]
fn the_delivery_of_a_slot_arms_the_next_one() {
    let mut desk = Desk::new();
    let id = desk.recurring();
    let effect = desk.apply(&deliver_slots(id, 1, 1, 1));
    assert_eq!(effect, Effect { arm: Some(slot(2)), hand_out: true, free: false });
    let live = Some(LiveOccurrence { index: 1, covers_from: 1 });
    assert_eq!(desk.recurrence(id), Recurrence { grid: grid(), next_index: 2, next_due: slot(2), live });
    assert_eq!(desk.view(id).due, slot(2));
}

#[test]
fn a_completed_slot_leaves_the_timer_waiting_for_the_next() {
    let (mut desk, id) = recurring_in("leased");
    assert_eq!(desk.apply(&complete(id, 1, 1)), Effect::NOTHING);
    let timer = desk.view(id);
    assert_eq!((timer.phase, timer.due, timer.deliveries), (Phase::Waiting, slot(2), 0));
    assert_eq!(desk.recurrence(id).live, None);
}

#[test]
fn a_delivery_may_stand_for_many_slots() {
    let mut desk = Desk::new();
    let id = desk.recurring();
    let _ = desk.apply(&deliver_slots(id, 1, 433, 1));
    assert_eq!(desk.recurrence(id).live, Some(LiveOccurrence { index: 433, covers_from: 1 }));
    assert_eq!(desk.state.totals().coalesced, 432);
    let _ = desk.apply(&fail(id, 433, 1, Some(4_331)));
    let _ = desk.apply(&deliver_slots(id, 1, 433, 2));
    assert_eq!(desk.state.totals().coalesced, 432, "a repeated delivery is counted once");
}

#[test]
fn a_retry_takes_the_place_of_the_next_slot_in_the_wheel_and_gives_it_back() {
    let (mut desk, id) = recurring_in("leased");
    assert_eq!(desk.apply(&fail(id, 1, 1, Some(15))).arm, Some(elapsed(15)));
    assert_eq!((desk.view(id).due, desk.recurrence(id).next_due), (elapsed(15), slot(2)));
    assert_eq!(desk.apply(&deliver_slots(id, 1, 1, 2)).arm, Some(slot(2)));
    assert_eq!((desk.view(id).due, desk.view(id).failures), (slot(2), 1));
}

#[test]
fn a_repeated_delivery_covers_what_the_first_one_did() {
    let (mut desk, id) = recurring_in("retrying");
    desk.check_refused(&deliver_slots(id, 1, 2, 2), Misfit::Occurrence);
    let other_next =
        Deliver { id, occurrence: 1, covers_from: 1, number: 2, epoch: 1, next_due: Some(slot(3)) };
    desk.check_refused(&Record::Deliver(other_next), Misfit::NextDue);
    desk.check_refused(&Record::Deliver(Deliver { next_due: None, ..other_next }), Misfit::NextDue);
}

#[test]
fn a_first_delivery_names_the_next_due_time_and_covers_no_slot_backwards() {
    let mut desk = Desk::new();
    let id = desk.recurring();
    let first = Deliver { id, occurrence: 1, covers_from: 1, number: 1, epoch: 1, next_due: None };
    desk.check_refused(&Record::Deliver(first), Misfit::NextDue);
    desk.check_refused(&deliver_slots(id, 1, 0, 1), Misfit::Occurrence);
    desk.check_refused(&deliver_slots(id, 0, 1, 1), Misfit::Occurrence);
}

#[test]
fn a_skip_while_leased_arms_the_slot_after() {
    let (mut desk, id) = recurring_in("leased");
    let effect = desk.apply(&skip_slots(id, 2, 4, SkipReason::Overlap));
    assert_eq!(effect, Effect::arm(slot(5)));
    desk.check_phase(id, "leased");
    assert_eq!((desk.recurrence(id).next_index, desk.state.totals().skipped_overlap), (5, 3));
    let _ = desk.apply(&complete(id, 1, 1));
    assert_eq!(desk.view(id).due, slot(5));
}

#[test]
fn a_skip_of_a_recurring_timer_names_slots_in_order_and_what_follows() {
    let mut desk = Desk::new();
    let id = desk.recurring();
    desk.check_refused(&skip_slots(id, 1, 0, SkipReason::Misfire), Misfit::Occurrence);
    let endless = Skip { id, from: 1, to: 2, reason: SkipReason::Misfire, next_due: None };
    desk.check_refused(&Record::Skip(endless), Misfit::NextDue);
}

#[test]
fn counts_of_any_size_do_not_overflow_the_totals() {
    let mut desk = Desk::new();
    for id in [desk.recurring(), desk.put(|id| keyed_grid(id, b"another"))] {
        let end = Some(elapsed(u64::MAX));
        let most = Deliver { id, occurrence: u64::MAX, covers_from: 1, number: 1, epoch: 1, next_due: end };
        let _ = desk.apply(&Record::Deliver(most));
    }
    assert_eq!(desk.state.totals().coalesced, u64::MAX);
}

fn keyed_grid(id: TimerId, key: &'static [u8]) -> Record<'static> {
    let terms = PutTerms { key, misfire: Misfire::Skip, retry: Retry::default(), grid: Some((grid(), 1)) };
    Record::Put(Put { id, due: slot(1), terms: Some(terms), payload: (&[]).into() })
}

// Dead letters

#[test]
fn a_dead_one_shot_stays_listed_with_its_payload_and_is_not_armed() {
    let (mut desk, id) = one_shot_in("leased");
    assert_eq!(desk.apply(&dead(id, 0)), Effect::NOTHING);
    desk.check_phase(id, "dead");
    assert_eq!(desk.view(id).payload, b"payload");
    let message = String::from("last words");
    let letter = DeadLetter { occurrence: 0, reason: DeadReason::Failures, deliveries: 1, message };
    assert_eq!(desk.letter(id), Some(&letter));
    assert_eq!((desk.state.totals().dead, desk.state.leased(), desk.state.len()), (1, 0, 1));
}

#[test]
fn a_dead_timer_that_is_rescheduled_starts_anew() {
    let (mut desk, id) = one_shot_in("dead");
    assert_eq!(desk.apply(&reschedule(id)), Effect::arm(elapsed(500)));
    let timer = desk.view(id);
    assert_eq!((timer.phase, timer.deliveries, timer.failures), (Phase::Waiting, 0, 0));
    assert_eq!(desk.letter(id), None);
    let _ = desk.apply(&deliver(id, 1));
}

#[test]
fn a_dead_timer_that_is_cancelled_leaves_the_list() {
    let (mut desk, id) = one_shot_in("dead");
    assert_eq!(desk.apply(&cancel(id)), Effect::FREE);
    assert_eq!(desk.state.dead_letters().count(), 0);
    let next = desk.once();
    assert_eq!((next.slot(), desk.letter(next)), (id.slot(), None), "no letter of the slot's life before");
}

#[test]
fn a_recurring_timer_goes_on_after_a_dead_slot_and_keeps_its_last_letter() {
    let (mut desk, id) = recurring_in("leased");
    assert_eq!(desk.apply(&dead(id, 1)), Effect::arm(slot(2)));
    let timer = desk.view(id);
    assert_eq!((timer.phase, timer.due, timer.deliveries), (Phase::Waiting, slot(2), 0));
    assert_eq!(desk.letter(id).map(|letter| letter.occurrence), Some(1));
    let _ = desk.apply(&deliver_slots(id, 2, 2, 1));
    let _ = desk.apply(&dead(id, 2));
    assert_eq!(desk.letter(id).map(|letter| letter.occurrence), Some(2));
    let _ = desk.apply(&cancel(id));
    assert_eq!(desk.state.dead_letters().count(), 0);
}

// Cancel in flight

#[test]
fn a_one_shot_cancelled_in_flight_ends_with_its_occurrence() {
    for last in [complete as fn(_, _, _) -> _, |id, occurrence, number| fail(id, occurrence, number, None)] {
        let (mut desk, id) = one_shot_in("leased");
        assert_eq!(desk.apply(&cancel(id)), Effect::NOTHING);
        assert!(desk.view(id).doomed);
        assert_eq!(desk.apply(&last(id, 0, 1)), Effect::FREE);
        desk.check_phase(id, "ended");
        assert_eq!((desk.state.totals().cancelled, desk.state.totals().finished), (1, 0));
    }
}

#[test]
fn a_recurring_timer_cancelled_in_flight_ends_with_its_occurrence() {
    for last in [complete as fn(_, _, _) -> _, |id, occurrence, number| fail(id, occurrence, number, None)] {
        let (mut desk, id) = recurring_in("doomed");
        assert_eq!(desk.apply(&last(id, 1, 1)), Effect::FREE);
        desk.check_phase(id, "ended");
        assert_eq!(desk.state.by_key(b"grid"), None);
    }
}

#[test]
fn a_doomed_timer_leaves_no_dead_letter() {
    let (mut desk, id) = recurring_in("doomed");
    assert_eq!(desk.apply(&dead(id, 1)), Effect::FREE);
    assert_eq!((desk.state.totals().dead, desk.state.dead_letters().count()), (1, 0));
}

#[test]
fn a_cancel_is_counted_once() {
    let (mut desk, id) = one_shot_in("doomed");
    let _ = desk.apply(&cancel(id));
    assert_eq!(desk.state.totals().cancelled, 1);
}

// What stands in a wheel

#[test]
fn an_arming_stands_until_another_record_moves_or_ends_the_timer() {
    let mut desk = Desk::new();
    let id = desk.once();
    let put = desk.state.applied();
    assert!(desk.state.arming_stands(id, put));
    assert!(!desk.state.arming_stands(id, put.next()));
    let _ = desk.apply(&reschedule(id));
    assert!(!desk.state.arming_stands(id, put));
    assert!(desk.state.arming_stands(id, put.next()));
    let _ = desk.apply(&cancel(id));
    assert!(!desk.state.arming_stands(id, put.next()));
}

#[test]
fn the_next_slot_stays_armed_when_its_predecessor_completes_and_not_when_its_timer_is_cancelled() {
    let (mut desk, id) = recurring_in("leased");
    let delivery = desk.state.applied();
    let _ = desk.apply(&complete(id, 1, 1));
    assert!(desk.state.arming_stands(id, delivery));
    let (mut desk, id) = recurring_in("leased");
    let _ = desk.apply(&cancel(id));
    assert!(!desk.state.arming_stands(id, delivery));
}

// Keys

#[test]
fn a_key_names_its_timer_until_it_ends() {
    let mut desk = Desk::new();
    let id = desk.put(|id| keyed(id, b"order-42"));
    assert_eq!((desk.state.by_key(b"order-42"), desk.state.by_key(b"order-4")), (Some(id), None));
    assert_eq!(desk.view(id).key, b"order-42");
    let _ = desk.apply(&cancel(id));
    assert_eq!(desk.state.by_key(b"order-42"), None);
    let next = desk.put(|id| keyed(id, b"order-42"));
    assert_eq!(desk.state.by_key(b"order-42"), Some(next));
}

#[test]
fn a_key_names_its_timer_while_it_is_in_flight_and_dead() {
    let mut desk = Desk::new();
    let id = desk.put(|id| keyed(id, b"order-42"));
    let _ = desk.apply(&deliver(id, 1));
    assert_eq!(desk.state.by_key(b"order-42"), Some(id));
    let _ = desk.apply(&dead(id, 0));
    assert_eq!(desk.state.by_key(b"order-42"), Some(id));
}

#[test]
fn a_timer_cancelled_in_flight_gives_its_key_back_at_once() {
    let mut desk = Desk::new();
    let id = desk.put(|id| keyed(id, b"order-42"));
    let _ = desk.apply(&deliver(id, 1));
    let _ = desk.apply(&cancel(id));
    assert_eq!(desk.state.by_key(b"order-42"), None);
    let heir = desk.put(|id| keyed(id, b"order-42"));
    let _ = desk.apply(&complete(id, 0, 1));
    assert_eq!(
        desk.state.by_key(b"order-42"),
        Some(heir),
        "the end of the old timer leaves the new one its key"
    );
}

#[test]
fn a_suspect_that_is_rescheduled_is_none_any_more() {
    let (mut desk, id) = one_shot_in("leased");
    let _ = desk.apply(&epoch(2));
    assert!(desk.view(id).suspect);
    let _ = desk.apply(&reschedule(id));
    assert!(!desk.view(id).suspect);
}

#[test]
fn a_slot_far_beyond_the_number_of_records_is_refused() {
    let mut desk = Desk::new();
    let far = TimerId::new(u32::MAX - 2, 1).expect("a generation");
    desk.check_refused(&keyed(far, b""), Misfit::IdTaken);
}

#[test]
fn a_taken_key_is_refused_and_an_empty_one_is_none() {
    let mut desk = Desk::new();
    let _ = desk.put(|id| keyed(id, b"order-42"));
    let id = desk.reserve();
    desk.check_refused(&keyed(id, b"order-42"), Misfit::KeyTaken);
    let _ = desk.apply(&keyed(id, b""));
    let _ = desk.put(|id| keyed(id, b""));
    assert_eq!(desk.state.by_key(b""), None);
}

#[test]
fn a_key_is_counted_among_the_bytes_and_given_back() {
    let mut desk = Desk::new();
    let warm_up = desk.put(|id| keyed(id, b"k"));
    let _ = desk.apply(&cancel(warm_up));
    let before = desk.state.bytes();
    let id = desk.put(|id| keyed(id, &[7; 1_024]));
    assert!(desk.state.bytes() >= before + 2 * 1_024, "it is kept with its timer and in the index");
    let _ = desk.apply(&cancel(id));
    assert_eq!(desk.state.bytes(), before);
}

// Epochs

#[test]
fn an_epoch_takes_back_a_one_shot_in_flight() {
    let (mut desk, id) = one_shot_in("leased");
    assert_eq!(desk.apply(&epoch(2)), Effect::NOTHING);
    let timer = desk.view(id);
    assert_eq!((timer.phase, timer.due, timer.deliveries), (Phase::Waiting, civil(100), 1));
    assert!(timer.suspect);
    assert_eq!(desk.state.leased(), 0);
    let _ = desk.apply(&deliver(id, 2));
    assert!(!desk.view(id).suspect);
}

#[test]
fn an_epoch_takes_back_a_retried_one_shot_with_its_failures() {
    let (mut desk, id) = one_shot_in("retrying");
    let _ = desk.apply(&deliver(id, 2));
    let _ = desk.apply(&epoch(2));
    let timer = desk.view(id);
    assert_eq!((timer.due, timer.deliveries, timer.failures), (elapsed(200), 2, 1));
}

#[test]
fn an_epoch_makes_a_slot_in_flight_due_at_its_own_time() {
    let (mut desk, id) = recurring_in("leased");
    let _ = desk.apply(&skip_slots(id, 2, 4, SkipReason::Overlap));
    let _ = desk.apply(&epoch(2));
    let timer = desk.view(id);
    assert_eq!((timer.phase, timer.due, timer.suspect), (Phase::Waiting, slot(1), true));
    assert_eq!((desk.recurrence(id).next_index, desk.recurrence(id).next_due), (5, slot(5)));
    assert_eq!(desk.apply(&deliver_slots_before(id, 1, slot(5))).arm, Some(slot(5)));
}

fn deliver_slots_before(id: TimerId, occurrence: u64, next_due: DueTime) -> Record<'static> {
    let next_due = Some(next_due);
    Record::Deliver(Deliver { id, occurrence, covers_from: occurrence, number: 2, epoch: 2, next_due })
}

#[test]
fn an_epoch_leaves_what_waits_as_it_is() {
    for phase in ["waiting", "retrying", "dead"] {
        let (mut desk, id) = one_shot_in(phase);
        let before = format!("{:?}", desk.view(id));
        let _ = desk.apply(&epoch(2));
        assert_eq!(format!("{:?}", desk.view(id)), before);
    }
}

#[test]
fn an_epoch_ends_and_frees_what_was_cancelled_in_flight() {
    for (mut desk, id) in [one_shot_in("doomed"), recurring_in("doomed")] {
        let _ = desk.apply(&epoch(2));
        desk.check_phase(id, "ended");
        assert_eq!((desk.state.len(), desk.state.leased(), desk.state.totals().cancelled), (0, 0, 1));
        assert_eq!(desk.state.lookup(id), (Lookup::Ended, Lsn::ZERO));
        let next = desk.once();
        assert_eq!(next.slot(), id.slot(), "the slot is used again");
        assert!(next.generation() > id.generation());
    }
}

#[test]
fn an_id_that_a_crash_made_the_log_forget_never_comes_again() {
    let (mut live, mut replayed) = (Desk::new(), Desk::new());
    let kept = live.once();
    let _ = replayed.apply(&plain(kept));
    let lost = [live.once(), live.once()];
    let _ = replayed.apply(&epoch(2));
    let next: Vec<_> = (0..4).map(|_| replayed.once()).collect();
    assert!(next.iter().all(|id| !lost.contains(id) && *id != kept), "{next:?} and {lost:?}");
}

#[test]
fn an_id_lost_in_the_second_life_of_its_slot_never_comes_again() {
    let (mut live, mut replayed) = (Desk::new(), Desk::new());
    let first = live.once();
    let _ = replayed.apply(&plain(first));
    for desk in [&mut live, &mut replayed] {
        let _ = desk.apply(&cancel(first));
    }
    let lost = live.once();
    assert_eq!(lost.slot(), first.slot());
    let _ = replayed.apply(&epoch(2));
    let next = replayed.once();
    assert_eq!(next.slot(), first.slot());
    assert!(next.generation() > lost.generation());
}

#[test]
fn the_first_epoch_sets_a_floor_for_all_ids() {
    let mut desk = Desk { state: State::new() };
    let Record::Epoch(first) = epoch(1) else { unreachable!() };
    let _ = desk.apply(&Record::Epoch(Epoch { generation_floor: 5_000, ..first }));
    let id = desk.once();
    assert!(id.generation() > 5_000);
    let foreign = TimerId::new(id.slot(), 5_000).unwrap();
    assert_eq!(desk.state.lookup(foreign).0, Lookup::Unknown);
}

#[test]
fn an_epoch_is_a_later_one_with_the_same_tick() {
    let mut desk = Desk::new();
    let _ = desk.once();
    let _ = desk.apply(&epoch(3));
    desk.check_refused(&epoch(3), Misfit::Epoch);
    desk.check_refused(&epoch(2), Misfit::Epoch);
    let Record::Epoch(next) = epoch(4) else { unreachable!() };
    let tick_len = TickLen::from_ns(2 * MS).unwrap();
    desk.check_refused(&Record::Epoch(Epoch { tick_len, ..next }), Misfit::Epoch);
    let _ = desk.apply(&Record::Epoch(next));
    assert_eq!((desk.state.epoch(), desk.state.reading()), (4, next.reading));
}

// The order of records, and the clock

#[test]
fn a_record_out_of_order_does_not_fit() {
    let mut desk = Desk::new();
    let id = desk.once();
    let before = desk.picture();
    for lsn in [0, 1, 2, 4, u64::MAX] {
        let error = desk.state.apply(Lsn(lsn), &cancel(id)).unwrap_err();
        assert_eq!(
            error,
            ApplyError { lsn: Lsn(lsn), kind: "Cancel", id: Some(id), why: Misfit::OutOfOrder }
        );
    }
    assert_eq!(desk.picture(), before);
}

#[test]
fn a_clock_record_is_remembered_and_moves_nothing() {
    let mut desk = Desk::new();
    let id = desk.once();
    let before = format!("{:?}", desk.view(id));
    let reading = ClockReading { wall_ns: 9, boottime_ns: 8, boot_id: 7, elapsed_ns: 6 };
    assert_eq!(desk.apply(&Record::Clock(Clock { reading })), Effect::NOTHING);
    assert_eq!(desk.state.reading(), reading);
    assert_eq!(format!("{:?}", desk.view(id)), before);
}

#[test]
fn totals_balance_over_every_way_a_timer_can_end() {
    let mut desk = Desk::new();
    let [finished, expired, cancelled, given_up, kept] = [(); 5].map(|()| desk.once());
    for id in [finished, given_up] {
        let _ = desk.apply(&deliver(id, 1));
    }
    let history = [complete(finished, 0, 1), skip(expired), cancel(cancelled), dead(given_up, 0)];
    for record in &history {
        let _ = desk.apply(record);
    }
    let expected = Totals {
        scheduled: 5,
        cancelled: 1,
        finished: 1,
        expired: 1,
        deliveries: 2,
        completed: 1,
        dead: 1,
        skipped_misfire: 1,
        ..Totals::default()
    };
    assert_eq!(desk.state.totals(), expected);
    assert_eq!(desk.state.timers().map(|timer| timer.id).collect::<Vec<_>>(), [given_up, kept]);
}
