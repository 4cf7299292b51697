//! Ticks since the service was started. Now is rounded down and deadlines up, each once: never early, and less than a tick late.
#![expect(clippy::disallowed_methods, reason = "the service is where time is read")]

use core::time::Duration;
use std::time::Instant;

use crate::Tick;

#[cfg(test)]
mod tests;

#[derive(Clone, Copy, Debug)]
pub(super) struct TickClock {
    began: Instant,
    tick: TickLen,
}

impl TickClock {
    pub(super) fn start(tick_len: Duration) -> Self {
        Self { began: Instant::now(), tick: TickLen { ns: tick_len.as_nanos().max(1) } }
    }

    /// The tick it is.
    pub(super) fn now(self) -> Tick {
        self.tick.of(self.elapsed_ns())
    }

    /// The first tick that is not before `delay` from now.
    pub(super) fn after(self, delay: Duration) -> Tick {
        self.tick.after(self.elapsed_ns(), delay)
    }

    /// The first tick that is not before `instant`; the one it is in if that has passed.
    pub(super) fn at(self, instant: Instant) -> Tick {
        self.tick.at(self.elapsed_ns(), instant.saturating_duration_since(self.began))
    }

    /// How long it is until `tick`; nothing if it has come.
    pub(super) fn until(self, tick: Tick) -> Duration {
        self.tick.until(self.elapsed_ns(), tick)
    }

    fn elapsed_ns(self) -> u128 {
        self.began.elapsed().as_nanos()
    }
}

/// The arithmetic, which is told what time it is: nanoseconds since the start.
#[derive(Clone, Copy, Debug)]
struct TickLen {
    /// Not 0.
    ns: u128,
}

impl TickLen {
    /// The tick that `ns` is in.
    fn of(self, ns: u128) -> Tick {
        tick(ns / self.ns)
    }

    fn round_up(self, ns: u128) -> Tick {
        tick(ns.div_ceil(self.ns))
    }

    /// The sum is rounded, not what it is made of: that would be a tick later as often as not.
    fn after(self, now_ns: u128, delay: Duration) -> Tick {
        self.round_up(now_ns + delay.as_nanos())
    }

    fn at(self, now_ns: u128, since_start: Duration) -> Tick {
        let ns = since_start.as_nanos();
        if ns > now_ns { self.round_up(ns) } else { self.of(ns) }
    }

    fn until(self, now_ns: u128, tick: Tick) -> Duration {
        let at = u128::from(tick.0).saturating_mul(self.ns);
        // 584 years, and nobody minds to be woken then.
        Duration::from_nanos(u64::try_from(at.saturating_sub(now_ns)).unwrap_or(u64::MAX))
    }
}

fn tick(number: u128) -> Tick {
    Tick(u64::try_from(number).unwrap_or(u64::MAX))
}
