//! A hierarchical timing wheel: every tick of `u64`, no clock, no overflow list.
//!
//! The core is a pure data structure. It reads no clock, does no I/O and waits for
//! nothing: the caller says what time it is, and what has become due comes back as values. `no_std` with
//! `alloc`, no dependencies.
//!
//! | type | holds | knows nothing of |
//! |------|-------|------------------|
//! | [`Slab`] | entries, ids, payload words | time |
//! | [`Wheel`] | slots and time | payloads |
//! | [`Timers`] | one of each, joined | threads |
#![cfg_attr(feature = "std", doc = "| [`SharedTimers`] | a [`Timers`] for each thread | clocks |")]
#![cfg_attr(feature = "std", doc = "| [`TimerService`] | that, a clock, a thread, values of any type | |")]
//!
//! Whoever wants timers that fire by themselves takes `TimerService`; whoever has a loop and a clock of their own,
//! [`Timers`], or `SharedTimers` if other threads arm timers too (both of the feature `std`, on by default). Whoever must
//! keep ids over restarts, or run two time axes over one set of timers, takes a [`Slab`] and a [`Wheel`] for each axis.
//!
//! ```
//! use horolog_wheel::{Progress, Tick, Timers};
//!
//! let mut timers = Timers::new(Tick(1_000));
//! let tea = timers.insert(Tick(1_180), 42).ok_or("no free slot")?;
//! let egg = timers.insert(Tick(1_300), 43).ok_or("no free slot")?;
//! timers.cancel(egg);
//!
//! let mut expired = Vec::new();
//! assert_eq!(timers.advance(Tick(1_180), 256, &mut expired), Progress::Done);
//! assert_eq!(expired[0].id, tea);
//! assert_eq!(expired[0].word, 42);
//! assert_eq!(timers.next_wake(), None);
//! # Ok::<(), &str>(())
//! ```
//!
//! # What holds for every call
//!
//! - Any `u64` is an ordinary tick, as a deadline and as now: no maximum duration, no clamp, no sentinel.
//! - Never early: an entry comes out of [`Wheel::advance`] only when the wheel's time has reached its
//!   deadline.
//! - Never lost: whatever is armed comes out, is cancelled, or is still armed, for every sequence of jumps
//!   and budgets.
//! - Bounded: [`Wheel::advance`] touches at most `budget` entries, those it only moves included.
//! - No call panics, whatever it is given. Stale ids find nothing. (Those of another queue may name a
//!   stranger here: every queue begins with the same ids.)
#![no_std]

extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod bit_tree;
mod bits;
mod chunk;
mod geometry;
mod id;
mod item;
mod level;
mod prefetch;
#[cfg(feature = "std")]
mod service;
#[cfg(feature = "std")]
mod shared;
mod slab;
#[cfg(feature = "std")]
mod sync;
mod tick;
mod timers;
mod violation;
mod wheel;

#[cfg(test)]
mod testing;

pub use id::{GENERATION_MAX, ParseIdError, TimerId};
#[cfg(feature = "std")]
pub use service::{Refused, RefusedBecause, TimerHandle, TimerService};
#[cfg(feature = "std")]
pub use shared::{Full, SharedOptions, SharedTimers};
pub use slab::{Entry, Lane, Lookup, OccupyError, SEGMENT_SLOTS, Slab};
pub use tick::Tick;
pub use timers::{Expired, Timers};
pub use violation::Violation;
pub use wheel::{Progress, Wheel};
