//! A position on a wheel's axis.

use core::fmt;

/// A position on a wheel's axis, counted in ticks from wherever its owner put zero.
///
/// How long a tick is, and which clock it follows, is known to the owner of the wheel alone. Every value is
/// ordinary, `Tick::MAX` included.
///
/// ```
/// use horolog_wheel::Tick;
///
/// assert_eq!(Tick(5).saturating_add(7), Tick(12));
/// assert_eq!(Tick::MAX.saturating_add(1), Tick::MAX);
/// assert_eq!(Tick(12).saturating_since(Tick(5)), 7);
/// assert_eq!(Tick(5).saturating_since(Tick(12)), 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tick(pub u64);

impl Tick {
    /// The first tick.
    pub const ZERO: Self = Self(0);
    /// The last tick.
    pub const MAX: Self = Self(u64::MAX);

    /// The tick `ticks` later, or the last one there is.
    #[must_use]
    pub const fn saturating_add(self, ticks: u64) -> Self {
        Self(self.0.saturating_add(ticks))
    }

    /// Ticks from `earlier` to this one; zero if it is not earlier.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
