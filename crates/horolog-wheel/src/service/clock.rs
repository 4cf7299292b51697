//! Ticks since the service was started. Now is rounded down and deadlines up: never early.
#![expect(clippy::disallowed_methods, reason = "the service is where time is read")]

use core::time::Duration;
use std::time::Instant;

use crate::Tick;

#[derive(Clone, Copy, Debug)]
pub(super) struct TickClock {
    began: Instant,
    tick_ns: u128,
}

impl TickClock {
    pub(super) fn start(tick_len: Duration) -> Self {
        Self { began: Instant::now(), tick_ns: tick_len.as_nanos().max(1) }
    }

    /// The tick it is.
    pub(super) fn now(self) -> Tick {
        tick(self.began.elapsed().as_nanos() / self.tick_ns)
    }

    /// The first tick that is not before `delay` from now.
    pub(super) fn after(self, delay: Duration) -> Tick {
        self.round_up(self.began.elapsed().as_nanos() + delay.as_nanos())
    }

    /// The first tick that is not before `instant`; the present one if that has passed.
    pub(super) fn at(self, instant: Instant) -> Tick {
        let ns = instant.saturating_duration_since(self.began).as_nanos();
        if ns > self.began.elapsed().as_nanos() { self.round_up(ns) } else { tick(ns / self.tick_ns) }
    }

    /// How long it is until `tick`; nothing if it has come.
    pub(super) fn until(self, tick: Tick) -> Duration {
        let at = u128::from(tick.0).saturating_mul(self.tick_ns);
        let ns = at.saturating_sub(self.began.elapsed().as_nanos());
        // 584 years, and nobody minds to be woken then.
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    fn round_up(self, ns: u128) -> Tick {
        tick(ns.div_ceil(self.tick_ns))
    }
}

fn tick(number: u128) -> Tick {
    Tick(u64::try_from(number).unwrap_or(u64::MAX))
}
