//! The service with a real clock. Nothing here demands that anything is quick: only that it comes, once, in order and never
//! early. Where an order is tested, all of it is armed while the service's thread is held.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, though clippy does not see it behind `not(loom)`"
)]

use std::boxed::Box;
use std::format;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, TrySendError, channel, sync_channel};
use std::time::Instant;
use std::vec;

use super::*;
use crate::TimerId;

const TICK: Duration = Duration::from_millis(1);
const NEVER: Duration = Duration::from_secs(1 << 40);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A service whose thread is held in its first callback until `let_go` is dropped: whatever is armed by then, how long that
/// may take, nothing of it was taken out.
struct Held {
    /// Before the service, which waits for the thread when it is dropped.
    let_go: Sender<()>,
    timers: TimerService<u32>,
    due: Receiver<u32>,
    /// The queue has not been told of a later time yet.
    since: Instant,
}

impl Held {
    fn new() -> Self {
        Self::with(|_, _| {})
    }

    /// All callbacks but the first do that as well.
    #[expect(clippy::disallowed_methods, reason = "deadlines are told from the moment at which it is held")]
    fn with(mut work: impl FnMut(&TimerHandle<u32>, u32) + Send + 'static) -> Self {
        let (sender, due) = channel();
        let (let_go, held) = channel::<()>();
        let fire = move |timers: &TimerHandle<u32>, value| {
            if value > 0 {
                work(timers, value);
            }
            _ = (sender.send(value), held.recv());
        };
        let timers = TimerService::start(TICK, fire).unwrap();
        timers.after(Duration::ZERO, 0).unwrap();
        assert_eq!(due.recv(), Ok(0));
        Self { let_go, timers, due, since: Instant::now() }
    }

    /// Arms a timer so many ticks after the thread was held.
    fn arm(&self, ticks: u32, value: u32) -> TimerId {
        self.timers.at(self.since + TICK * ticks, value).unwrap()
    }

    /// What fires when the thread is let go: so many, and then nothing is pending.
    fn fired(self, count: usize) -> Vec<u32> {
        drop(self.let_go);
        let fired = self.due.iter().take(count).collect();
        assert!(self.timers.is_empty());
        fired
    }
}

#[test]
fn values_come_in_order_of_time() {
    let held = Held::new();
    for ticks in [40, 10, 30, 20, 1] {
        held.arm(ticks, ticks);
    }
    assert_eq!(held.fired(5), [1, 10, 20, 30, 40]);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "what is early can only be told by a clock")]
fn nothing_fires_early_whatever_the_tick() {
    for tick in [Duration::ZERO, Duration::from_micros(1), ms(1), ms(7)] {
        let (sender, due) = channel();
        let fire = move |_: &TimerHandle<Instant>, at: Instant| sender.send(Instant::now() >= at).unwrap();
        let timers = TimerService::start(tick, fire).unwrap();
        for delay in 0..200 {
            let at = Instant::now() + Duration::from_micros(delay * 97);
            timers.at(at, at).unwrap();
        }
        assert!(due.iter().take(200).all(|is_in_time| is_in_time), "{tick:?}");
    }
}

#[test]
fn an_earlier_timer_wakes_a_service_that_sleeps() {
    let (timers, due) = TimerService::with_channel(TICK).unwrap();
    timers.after(NEVER, 1).unwrap();
    timers.after(ms(1), 2).unwrap();
    assert_eq!(due.recv(), Ok(2));
    let moved = timers.after(NEVER, 3).unwrap();
    assert!(timers.reschedule(moved, ms(1)));
    assert_eq!(due.recv(), Ok(3));
    assert_eq!(timers.len(), 1);
}

#[test]
fn a_cancelled_timer_gives_its_value_back_and_does_not_fire() {
    let held = Held::new();
    let id = held.arm(5, 1);
    assert_eq!(held.timers.cancel(id), Some(1));
    assert_eq!(held.timers.cancel(id), None);
    assert!(!held.timers.reschedule(id, TICK));
    held.arm(10, 2);
    assert_eq!(held.fired(1), [2]);
}

#[test]
fn a_timer_moved_later_comes_later() {
    let held = Held::new();
    let id = held.arm(5, 1);
    held.arm(10, 2);
    assert!(held.timers.reschedule(id, TICK * 20));
    assert_eq!(held.fired(2), [2, 1]);
}

#[test]
fn a_timer_moved_to_an_instant_comes_in_its_order_there() {
    let held = Held::new();
    let ids = [5, 10, 15].map(|ticks| held.arm(ticks, ticks));
    assert!(held.timers.reschedule_at(ids[0], held.since + TICK * 20));
    assert!(held.timers.reschedule_at(ids[2], held.since + TICK * 2));
    assert_eq!(held.fired(3), [15, 10, 5]);
}

#[test]
fn many_are_cancelled_as_one_by_one() {
    let (timers, _due) = TimerService::with_channel(TICK).unwrap();
    let mut ids: Vec<_> = (0..600).map(|value| timers.after(NEVER, value).unwrap()).collect();
    assert_eq!(timers.cancel(ids[40]), Some(40));
    ids.push(ids[3]);
    let mut values = vec![Some(7)];
    timers.cancel_many(&ids, &mut values);
    let expected = (0..600).map(|value| (value != 40).then_some(value));
    assert!(values.into_iter().eq([Some(7)].into_iter().chain(expected).chain([None])));
    assert!(timers.is_empty());
}

#[test]
fn the_longest_delay_is_an_ordinary_one() {
    for tick in [Duration::ZERO, TICK, Duration::MAX] {
        let (timers, due) = TimerService::with_channel(tick).unwrap();
        timers.after(Duration::MAX, 1).unwrap();
        timers.after(Duration::ZERO, 2).unwrap();
        if tick < Duration::MAX {
            assert_eq!(due.recv(), Ok(2));
        }
        assert!(timers.stop().contains(&1));
    }
}

#[test]
fn what_is_pending_comes_back_when_the_service_stops() {
    let (timers, due) = TimerService::with_channel(TICK).unwrap();
    for value in 0..1_000 {
        timers.after(NEVER, value).unwrap();
    }
    let mut left = timers.stop();
    left.sort_unstable();
    assert!(left.into_iter().eq(0..1_000));
    assert!(due.recv().is_err(), "the callback is gone");
}

#[test]
fn what_is_pending_is_dropped_with_the_service() {
    let value = Arc::new(());
    let timers = TimerService::start(TICK, |_, value| drop(value)).unwrap();
    timers.after(NEVER, Arc::clone(&value)).unwrap();
    drop(timers);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn a_pending_value_that_holds_a_handle_is_dropped_with_the_service() {
    let witness = Arc::new(());
    let timers = TimerService::<Box<dyn FnOnce() + Send>>::start(TICK, |_, call| call()).unwrap();
    let (handle, held) = (timers.handle(), Arc::clone(&witness));
    timers.after(NEVER, Box::new(move || drop((handle, held)))).unwrap();
    drop(timers);
    assert_eq!(Arc::strong_count(&witness), 1);
}

#[test]
fn a_full_service_gives_the_value_back() {
    let options = SharedOptions::new().timers_max(1);
    let timers = TimerService::start_with(options, TICK, |_, value| drop(value)).unwrap();
    let id = timers.after(NEVER, vec![1]).unwrap();
    let refused = timers.after(TICK, vec![2]).unwrap_err();
    assert_eq!((&refused.value, refused.reason), (&vec![2], RefusedBecause::Full { timers_max: 1 }));
    assert_eq!(format!("{refused}"), "no room for another timer: at most 1 may be pending");
    assert_eq!(timers.cancel(id), Some(vec![1]));
    assert!(timers.after(NEVER, refused.value).is_ok());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a deadline for a timer that is not pending")]
fn a_handle_that_outlives_its_service_is_refused_and_finds_nothing() {
    let (timers, due) = TimerService::with_channel(TICK).unwrap();
    let handle = timers.handle();
    let id = handle.after(NEVER, 1).unwrap();
    assert_eq!(timers.stop(), [1]);
    let refused = handle.after(TICK, 2).unwrap_err();
    assert_eq!((refused.value, refused.reason), (2, RefusedBecause::Stopped));
    assert_eq!(format!("{refused}"), "the timer service was stopped");
    assert_eq!((handle.cancel(id), handle.len()), (None, 0));
    assert!(handle.is_empty() && !handle.reschedule(id, TICK) && !handle.reschedule_at(id, Instant::now()));
    let mut values = Vec::new();
    handle.cancel_many(&[id, id], &mut values);
    assert_eq!(values, [None, None]);
    assert!(due.recv().is_err());
}

#[test]
fn a_callback_that_panics_does_not_stop_the_others() {
    let (sender, due) = channel();
    let fire = move |_: &TimerHandle<Option<u32>>, value: Option<u32>| {
        sender.send(value.expect("none: this panic is part of the test")).unwrap()
    };
    let timers = TimerService::start(TICK, fire).unwrap();
    timers.after(ms(1), None).unwrap();
    timers.after(ms(5), Some(7)).unwrap();
    assert_eq!(due.recv(), Ok(7));
}

/// Throws again when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !thread::panicking() {
            std::panic::panic_any("from a drop: this panic is part of the test");
        }
    }
}

#[test]
fn a_callback_that_throws_what_throws_again_does_not_stop_the_others() {
    let (sender, due) = channel();
    let fire = move |_: &TimerHandle<u32>, value: u32| match value {
        0 => std::panic::panic_any(Bomb),
        value => sender.send(value).unwrap(),
    };
    let timers = TimerService::start(TICK, fire).unwrap();
    timers.after(ms(1), 0).unwrap();
    timers.after(ms(5), 7).unwrap();
    assert_eq!(due.recv(), Ok(7));
}

/// Throws when it is dropped, and so does what it throws.
struct Fuse;

impl Drop for Fuse {
    fn drop(&mut self) {
        std::panic::panic_any(Bomb);
    }
}

#[test]
fn what_a_callback_holds_may_throw_when_it_is_dropped_and_the_service_still_ends() {
    let fuse = Fuse;
    let timers = TimerService::start(TICK, move |_, ()| _ = &fuse).unwrap();
    drop(timers);
}

#[test]
fn a_service_that_is_to_stop_hands_nothing_on_after_the_callback_at_work() {
    let (sender, at_work) = sync_channel(0);
    let (go_on, waits) = sync_channel::<()>(0);
    let timers = TimerService::start(TICK, move |_, value| {
        sender.send(value).unwrap();
        _ = waits.recv();
    });
    let timers = timers.unwrap();
    for value in 0..100 {
        timers.after(Duration::ZERO, value).unwrap();
    }
    assert!(at_work.recv().is_ok());
    timers.handle.0.is_stopping.store(true, Ordering::Release);
    drop(go_on);
    assert_eq!(timers.stop().len(), 99);
    assert!(at_work.recv().is_err());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "an instant that has passed is told by a clock")]
fn an_instant_that_has_passed_is_now_however_long_a_tick_is() {
    let (timers, due) = TimerService::with_channel(Duration::MAX).unwrap();
    timers.at(Instant::now(), 1).unwrap();
    assert_eq!(due.recv(), Ok(1));
}

#[test]
fn closures_are_values_too() {
    let (sender, due) = channel();
    let timers = TimerService::<Box<dyn FnOnce() + Send>>::start(TICK, |_, call| call()).unwrap();
    timers.after(ms(1), Box::new(move || sender.send("called").unwrap())).unwrap();
    assert_eq!(due.recv(), Ok("called"));
}

#[test]
fn a_callback_may_arm_timers_of_its_own_service() {
    let (sender, due) = channel();
    let timers = TimerService::start(TICK, move |timers, value| {
        sender.send(value).unwrap();
        timers.after(Duration::ZERO, value + 1).unwrap();
    });
    let timers = timers.unwrap();
    timers.after(Duration::ZERO, 1).unwrap();
    assert_eq!(due.iter().take(100).collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
}

#[test]
fn a_callback_may_drop_its_own_service() {
    let held = Arc::new(Mutex::new(None));
    let (sender, done) = sync_channel(1);
    let inside = Arc::clone(&held);
    let timers = TimerService::start(TICK, move |_, ()| {
        drop(inside.lock().unwrap().take());
        sender.send(()).unwrap();
    });
    let mut slot = held.lock().unwrap();
    slot.insert(timers.unwrap()).after(Duration::ZERO, ()).unwrap();
    drop(slot);
    assert_eq!(done.recv(), Ok(()));
    assert_eq!(done.recv().ok(), None, "the thread has ended, and its callback is gone");
}

/// As `with_channel` shows it.
#[test]
fn a_bounded_channel_that_is_tried_holds_nobody_up() {
    let (sender, due) = sync_channel(1);
    let timers = TimerService::start(TICK, move |timers, value| {
        if let Err(TrySendError::Full(value)) = sender.try_send(value) {
            _ = timers.after(TICK, value);
        }
    });
    let timers = timers.unwrap();
    let arm = || (0..100).for_each(|value| _ = timers.after(Duration::ZERO, value).unwrap());
    arm();
    let mut all: Vec<_> = due.iter().take(100).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..100));
    arm();
    let first = due.recv();
    drop(timers);
    assert!(first.is_ok() && due.iter().count() <= 1, "what found no room is dropped with the service");
}

#[test]
fn a_callback_that_waits_for_room_ends_when_the_receiver_is_dropped_before_the_service() {
    let (begin, begun) = channel();
    let (sender, due) = sync_channel(0);
    let fire = move |_: &TimerHandle<u32>, value| _ = (begin.send(()), sender.send(value));
    let timers = TimerService::start(TICK, fire).unwrap();
    timers.after(Duration::ZERO, 1).unwrap();
    begun.recv().unwrap();
    drop(due);
    drop(timers);
}

#[test]
fn a_callback_that_stops_its_own_service_gets_what_is_pending_and_is_the_last() {
    let held = Arc::new(Mutex::new(None));
    let (sender, stopped) = channel();
    let inside = Arc::clone(&held);
    let timers = TimerService::start(TICK, move |_, value: u32| {
        let service = inside.lock().unwrap().take();
        let mut all = service.map(TimerService::stop).unwrap_or_default();
        all.push(value);
        sender.send(all).unwrap();
    });
    let mut slot = held.lock().unwrap();
    let timers = slot.insert(timers.unwrap());
    for value in 0..20 {
        timers.after(if value % 2 == 0 { Duration::ZERO } else { NEVER }, value).unwrap();
    }
    drop(slot);
    let mut all = stopped.recv().unwrap();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..20));
    assert!(stopped.recv().is_err(), "the thread has ended, and its callback is gone");
}

#[test]
fn what_was_taken_out_with_its_own_timer_is_not_cancelled_by_a_callback_and_fires() {
    let ids = Arc::new(Mutex::new(Vec::new()));
    let (tell, told) = channel();
    let siblings = Arc::clone(&ids);
    let held = Held::with(move |timers, _| {
        let cancel = |id: &TimerId| (timers.cancel(*id), timers.reschedule(*id, NEVER));
        tell.send(siblings.lock().unwrap().iter().map(cancel).collect::<Vec<_>>()).unwrap();
    });
    ids.lock().unwrap().extend([1, 2, 3].map(|value| held.arm(0, value)));
    let mut fired = held.fired(3);
    fired.sort_unstable();
    assert_eq!(fired, [1, 2, 3]);
    assert_eq!(told.iter().collect::<Vec<_>>(), vec![vec![(None, false); 3]; 3]);
}

#[test]
fn a_receiver_that_is_gone_is_nobodys_trouble() {
    let (timers, due) = TimerService::with_channel(TICK).unwrap();
    drop(due);
    timers.after(Duration::ZERO, 1).unwrap();
    while !timers.is_empty() {
        thread::yield_now();
    }
}

#[test]
fn from_many_threads_every_value_is_fired_or_cancelled_once() {
    let (timers, due) = TimerService::with_channel(TICK).unwrap();
    let (timers, cancelled) = (&timers, &Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for number in 0..4 {
            scope.spawn(move || {
                for value in number * 5_000..(number + 1) * 5_000 {
                    let id = timers.after(Duration::from_micros(value * 7_919 % 3_000), value).unwrap();
                    if value % 3 > 0 {
                        cancelled.lock().unwrap().extend(timers.cancel(id));
                    }
                }
            });
        }
    });
    let mut ended = core::mem::take(&mut *cancelled.lock().unwrap());
    let missing = 20_000 - ended.len();
    ended.extend(due.iter().take(missing));
    ended.sort_unstable();
    assert!(ended.into_iter().eq(0..20_000));
    assert!(due.try_recv().is_err());
}
