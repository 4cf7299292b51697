//! What the service adds to [`SharedTimers`], in every order, tried by loom.

use std::time::Instant;

use super::*;
use crate::sync::AtomicU64;
use crate::sync::models::{model, spawn};

/// One shard, and no thread: a model runs what that would run in one of its own. A tick is so long that it stays the first, and
/// what has passed is due at once.
fn without_thread<T>() -> TimerService<T> {
    TimerService::without_thread(SharedOptions::new().shards(1), Duration::from_secs(1 << 20))
}

/// A timer that is due at once: its value is there when it fires.
#[test]
fn a_value_is_in_place_before_its_timer_can_fire() {
    model(|| {
        let timers = without_thread();
        let arming = timers.handle();
        let thread = spawn(move || assert!(arming.at(Instant::now(), 'v').is_ok()));
        let mut expired = Vec::new();
        assert_eq!(timers.0.timers.advance(Tick(1), 9, &mut expired), Progress::Done);
        for timer in expired.drain(..) {
            assert_eq!(timers.0.values.take(timer.word), Some('v'));
        }
        drop(thread.join());
    });
}

/// A service that is told to stop while it falls asleep does.
#[test]
fn a_service_that_falls_asleep_hears_that_it_is_to_stop() {
    model(|| {
        let timers = without_thread::<char>();
        let own = timers.handle();
        let thread = spawn(move || own.run(|_, _| {}));
        assert_eq!(timers.stop(), []);
        assert!(thread.join().is_ok());
    });
}

/// A timer that is due wakes a service that falls asleep, and fires.
#[test]
fn a_service_that_falls_asleep_hears_of_a_timer_that_is_due() {
    model(|| {
        let timers = without_thread();
        let fired = Arc::new(Bell::new());
        let (own, ringer) = (timers.handle(), Arc::clone(&fired));
        let thread = spawn(move || own.run(|_, _: char| ringer.ring()));
        timers.at(Instant::now(), 'a').expect("there is room");
        fired.wait(None);
        assert_eq!(timers.stop(), []);
        assert!(thread.join().is_ok());
    });
}

/// What is armed while the service stops is refused, fires or is left, once.
#[test]
fn beside_a_stop_a_timer_that_is_due_is_refused_or_fires_or_is_left() {
    model(|| {
        let timers = without_thread();
        let fired = Arc::new(AtomicU64::new(0));
        let (own, counted) = (timers.handle(), Arc::clone(&fired));
        let thread = spawn(move || own.run(|_, _: char| _ = counted.fetch_add(1, Ordering::Relaxed)));
        let arming = timers.handle();
        let insert = spawn(move || arming.at(Instant::now(), 'a').is_ok());
        let left = timers.stop();
        assert!(thread.join().is_ok());
        let was_taken = insert.join().expect("it ends");
        let ends = fired.load(Ordering::Relaxed) + left.len() as u64;
        assert_eq!(ends, u64::from(was_taken));
    });
}

/// Keys begin again when all values are taken. A cancel that has its key by then does not meet what is armed later.
#[test]
fn beside_a_stop_a_cancel_gets_its_own_value_and_none_is_lost() {
    model(|| {
        let timers = without_thread();
        let id = timers.after(Duration::MAX, 'a').expect("there is room");
        let (one, other) = (timers.handle(), timers.handle());
        let cancel = spawn(move || one.cancel(id));
        let insert = spawn(move || other.after(Duration::MAX, 'b').is_ok());
        let left = timers.stop();
        let cancelled = cancel.join().expect("it ends");
        assert!(matches!(cancelled, None | Some('a')), "got {cancelled:?}");
        assert_eq!(cancelled.is_none(), left.contains(&'a'));
        assert_eq!(
            insert.join().expect("it ends"),
            left.contains(&'b'),
            "refused and kept, or taken and lost"
        );
    });
}
