//! What the service adds to [`SharedTimers`], in every order, tried by loom.

use super::*;
use crate::sync::models::{model, spawn};

/// A timer that is due at once: its value is there when it fires.
#[test]
fn a_value_is_in_place_before_its_timer_can_fire() {
    model(|| {
        let timers = Arc::new(SharedOptions::new().shards(1).build(Tick::ZERO));
        let values = Arc::new(Values::new(1));
        let (arming, kept) = (Arc::clone(&timers), Arc::clone(&values));
        let thread = spawn(move || {
            let armed = kept.put(0, 'v', |key| arming.insert_from(0, Tick::ZERO, key));
            assert!(armed.is_ok());
        });
        let mut expired = Vec::new();
        assert_eq!(timers.advance(Tick(1), 9, &mut expired), Progress::Done);
        for timer in expired.drain(..) {
            assert_eq!(values.take(timer.word), Some('v'));
        }
        drop(thread.join());
    });
}

/// A service that is told to stop while it falls asleep does.
#[test]
fn a_service_that_falls_asleep_hears_that_it_is_to_stop() {
    model(|| {
        let bell = Arc::new(Bell::new());
        let is_stopping = Arc::new(AtomicBool::new(false));
        let (waiting, told) = (Arc::clone(&bell), Arc::clone(&is_stopping));
        let thread = spawn(move || {
            while !told.load(Ordering::Acquire) {
                waiting.wait(None);
            }
        });
        is_stopping.store(true, Ordering::Release);
        bell.ring();
        drop(thread.join());
    });
}

/// One shard, and no thread that lets time pass. A tick is so long that it stays the first.
fn without_thread<T>() -> TimerService<T> {
    TimerService::without_thread(SharedOptions::new().shards(1), Duration::from_secs(1 << 20))
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
