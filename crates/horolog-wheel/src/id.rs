//! The name of a timer, which is also its address.

use core::error::Error;
use core::fmt;
use core::num::NonZeroU64;
use core::str::FromStr;

#[cfg(test)]
mod tests;

/// The highest generation an id can have. A slot that has used it is retired.
///
/// Three bits are kept for the state of an entry, so that generation and state fit one 32-bit word.
pub const GENERATION_MAX: u32 = (1 << 29) - 1;

/// The name of a timer: its slot in the [`Slab`](crate::Slab), and which of that slot's lives it is.
///
/// A slot is used again, an id never is: each life has a higher generation. So an id needs no look-up to be
/// resolved, and a stale one finds nothing instead of a stranger. `Option<TimerId>` is as small as the id.
///
/// In text an id is `slot:generation`:
///
/// ```
/// use horolog_wheel::TimerId;
///
/// let id = TimerId::new(7, 3).expect("3 is a generation");
/// assert_eq!(id.to_string(), "7:3");
/// assert_eq!("7:3".parse(), Ok(id));
/// assert_eq!(TimerId::from_raw(id.raw()), Some(id));
/// assert_eq!(TimerId::new(7, 0), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerId(NonZeroU64);

impl TimerId {
    /// The id of life `generation` of `slot`; `None` unless the generation is in `1..=GENERATION_MAX`.
    #[must_use]
    pub const fn new(slot: u32, generation: u32) -> Option<Self> {
        Self::from_raw((generation as u64) << 32 | slot as u64)
    }

    /// Reads back what [`raw`](Self::raw) gave; `None` unless the generation is in `1..=GENERATION_MAX`.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Option<Self> {
        if raw >> 32 > GENERATION_MAX as u64 || raw >> 32 == 0 {
            return None;
        }
        match NonZeroU64::new(raw) {
            Some(raw) => Some(Self(raw)),
            None => None,
        }
    }

    /// The id as one number: the slot in the low 32 bits, the generation in the high 32. Never zero.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0.get()
    }

    /// The slot this timer lives in.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is the slot")]
    pub const fn slot(self) -> u32 {
        self.raw() as u32
    }

    /// Which life of its slot this timer is; at least 1.
    #[must_use]
    pub const fn generation(self) -> u32 {
        (self.raw() >> 32) as u32
    }
}

impl fmt::Display for TimerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.slot(), self.generation())
    }
}

impl fmt::Debug for TimerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TimerId({self})")
    }
}

impl FromStr for TimerId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let (slot, generation) = text.split_once(':').ok_or(ParseIdError)?;
        Self::new(number(slot)?, number(generation)?).ok_or(ParseIdError)
    }
}

/// Digits only: `u32::from_str` alone would take a leading plus, and one id should have one text.
fn number(digits: &str) -> Result<u32, ParseIdError> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    if plain { digits.parse().map_err(|_| ParseIdError) } else { Err(ParseIdError) }
}

/// The text is not a [`TimerId`] as [`Display`](fmt::Display) writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseIdError;

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a timer id is `slot:generation`, with a generation from 1 to {GENERATION_MAX}")
    }
}

impl Error for ParseIdError {}
