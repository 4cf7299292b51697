//! The number of a record, as the rules see it.

use core::fmt;

/// The log sequence number of a record: 1, 2, 3, … with no gaps; 0 stands before the first record.
///
/// It is the same number as the log's own. This crate does no IO and so does not depend on the log; it keeps the number
/// to order timers and to say on which record a refusal rests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The place before the first record.
    pub const ZERO: Self = Self(0);

    /// The last number: at ten million records a second it comes after nine centuries. Beyond it nothing is applied.
    pub const MAX: Self = Self((1 << 58) - 1);

    /// The number of the record that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
