//! What `check` found broken.

use core::error::Error;
use core::fmt;

/// An invariant that does not hold: what [`Wheel::check`](crate::Wheel::check) and
/// [`Slab::check`](crate::Slab::check) report.
///
/// It means a bug in this crate, or a wheel that was given two different slabs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant, by its number in the documentation of the structure: `"W2"`, `"S1"`.
    pub invariant: &'static str,
    /// What does not hold.
    pub what: &'static str,
    /// The slot of the slab in which it shows, if it shows in one.
    pub slot: Option<u32>,
}

impl Violation {
    /// `Ok` if the invariant holds.
    pub(crate) fn unless(
        holds: bool,
        invariant: &'static str,
        what: &'static str,
        slot: impl Into<Option<u32>>,
    ) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self { invariant, what, slot: slot.into() }) }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)?;
        self.slot.map_or(Ok(()), |slot| write!(f, " (slot {slot})"))
    }
}

impl Error for Violation {}
