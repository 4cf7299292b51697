//! Times as the engine keeps them: ticks on one of two timelines, and the only bridge between ticks and nanoseconds.
//!
//! A *deadline* asks for a nanosecond; a tick is the unit the wheel knows. Deadlines round **up** to a tick, the present
//! rounds **down**, so nothing fires early. A tick of `n` means `n * tick_len_ns` nanoseconds after the timeline's zero;
//! both timelines start at the Unix epoch when a directory is created, and part when the wall clock is set or the
//! machine sleeps through a reboot.

use core::num::NonZeroU64;

use horolog_wheel::Tick;

/// The axis on which a due time lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Timeline {
    /// UTC wall time: for instants that people name. It moves when somebody sets the clock.
    Civil = 0,
    /// Time that has passed, suspend included: for delays, intervals and back-off. Nobody can set it.
    Elapsed = 1,
}

impl Timeline {
    /// The byte that stands for this timeline in a record.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The timeline of a byte; `None` for a byte that no version wrote.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Civil),
            1 => Some(Self::Elapsed),
            _ => None,
        }
    }
}

/// A due time: a tick on a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DueTime {
    /// Which axis the tick lies on.
    pub timeline: Timeline,
    /// The first tick at which the timer may fire.
    pub tick: Tick,
}

/// The present on both timelines: in nanoseconds, and rounded down to ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds since the Unix epoch.
    pub civil_ns: u64,
    /// Nanoseconds on the elapsed timeline.
    pub elapsed_ns: u64,
    /// The civil tick.
    pub civil: Tick,
    /// The elapsed tick.
    pub elapsed: Tick,
}

impl Now {
    /// The present, from nanoseconds.
    #[must_use]
    pub fn new(tick_len: TickLen, civil_ns: u64, elapsed_ns: u64) -> Self {
        let tick = |ns: u64| tick_len.tick_down(ns.into());
        Self { civil_ns, elapsed_ns, civil: tick(civil_ns), elapsed: tick(elapsed_ns) }
    }

    /// The present on one timeline.
    #[must_use]
    pub const fn on(&self, timeline: Timeline) -> Tick {
        match timeline {
            Timeline::Civil => self.civil,
            Timeline::Elapsed => self.elapsed,
        }
    }

    /// Whether `due` has come.
    #[must_use]
    pub fn has_reached(&self, due: DueTime) -> bool {
        due.tick <= self.on(due.timeline)
    }

    /// How many ticks ago `due` was; zero if it is still to come.
    #[must_use]
    pub fn ticks_since(&self, due: DueTime) -> u64 {
        self.on(due.timeline).0.saturating_sub(due.tick.0)
    }

    /// How many ticks remain until `due`; zero if it has come.
    #[must_use]
    pub fn ticks_until(&self, due: DueTime) -> u64 {
        due.tick.0.saturating_sub(self.on(due.timeline).0)
    }
}

/// Nanoseconds a tick; fixed when a directory is created and kept with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TickLen(NonZeroU64);

impl TickLen {
    /// One millisecond, the default.
    pub const MILLISECOND: Self = match NonZeroU64::new(1_000_000) {
        Some(ns) => Self(ns),
        None => unreachable!(),
    };

    /// A tick of `ns` nanoseconds; `None` for zero.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Option<Self> {
        match NonZeroU64::new(ns) {
            Some(ns) => Some(Self(ns)),
            None => None,
        }
    }

    /// Nanoseconds a tick.
    #[must_use]
    pub const fn ns(self) -> u64 {
        self.0.get()
    }

    /// The first tick that is not before `ns` after zero. Beyond the last tick there is the last tick.
    #[must_use]
    pub fn tick_up(self, ns: u128) -> Tick {
        saturate(ns.div_ceil(u128::from(self.ns())))
    }

    /// The last tick that is not after `ns` after zero.
    #[must_use]
    pub fn tick_down(self, ns: u128) -> Tick {
        saturate(ns / u128::from(self.ns()))
    }

    /// The nanoseconds after zero at which `tick` begins.
    #[must_use]
    pub fn start_ns(self, tick: Tick) -> u128 {
        u128::from(tick.0) * u128::from(self.ns())
    }

    /// How many whole ticks cover `ns`, at least one for a positive span.
    #[must_use]
    pub const fn ticks_in(self, ns: u64) -> u64 {
        ns.div_ceil(self.ns())
    }
}

/// A tick from a wide number: beyond the end of time there is the end of time.
fn saturate(ticks: u128) -> Tick {
    Tick(u64::try_from(ticks).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_round_up_and_the_present_rounds_down() {
        let len = TickLen::MILLISECOND;
        assert_eq!(len.tick_up(1), Tick(1));
        assert_eq!(len.tick_up(1_000_000), Tick(1));
        assert_eq!(len.tick_up(1_000_001), Tick(2));
        assert_eq!(len.tick_down(1_999_999), Tick(1));
    }

    #[test]
    fn the_end_of_time_is_a_tick_like_any_other() {
        let len = TickLen::from_ns(1).expect("one nanosecond");
        assert_eq!(len.tick_up(u128::MAX), Tick(u64::MAX));
        assert_eq!(len.start_ns(Tick(u64::MAX)), u128::from(u64::MAX));
    }

    #[test]
    fn an_unknown_timeline_byte_is_refused() {
        assert_eq!(Timeline::from_code(2), None);
        for timeline in [Timeline::Civil, Timeline::Elapsed] {
            assert_eq!(Timeline::from_code(timeline.code()), Some(timeline));
        }
    }
}
