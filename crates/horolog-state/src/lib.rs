//! The vocabulary and the rules of Horolog: ids, times, records, codec, decide and apply. No clock, no file, no thread.
//!
//! Read it in the order of the data: a [`Request`] is *decided* ([`decide`]) into a [`Record`], the record gets its
//! [`Lsn`], is *applied* to the [`State`], which says what it gives ([`Effect`]), and is *encoded* ([`codec`]). A restart
//! decodes the same records and applies them with the same function.
//!
//! ```
//! use horolog_state::{Limits, Lsn, Now, Record, Request, ScheduleDecision, State, TickLen, When, decide};
//!
//! let mut state = State::new();
//! let (tick_len, now) = (TickLen::MILLISECOND, Now::new(TickLen::MILLISECOND, 0, 0));
//! let limits = Limits { timers_max: 10, payload_bytes_max: 100, memory_bytes_max: 16 << 20 };
//! let request = Request { payload: b"order 42".into(), ..Request::new(When::After { delay_ns: 30_000_000_000 }) };
//!
//! let id = state.slab_mut().reserve().ok_or("no id left")?;
//! let ScheduleDecision::Put(put) = decide::schedule(&state, &request, &limits, id, tick_len, &now)? else {
//!     return Err("nothing has a key here".into());
//! };
//! let effect = state.apply(Lsn(1), &Record::Put(put))?;
//! assert_eq!(effect.arm.map(|due| due.tick.0), Some(30_000));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod codec;
pub mod decide;
mod lsn;
mod paged;
mod payload;
mod pool;
mod record;
pub mod snapshot;
mod spec;
mod state;
mod time;

pub use decide::{
    CancelDecision, CancelOutcome, IfExists, KEY_BYTES_MAX, Limits, MESSAGE_BYTES_MAX, Request,
    RescheduleRefusal, ScheduleDecision, ScheduleRefusal, StaleToken, Token,
};
pub use horolog_wheel::{GENERATION_MAX, Lookup, Tick, TimerId};
pub use lsn::Lsn;
pub use payload::{Discarded, Payload, PayloadView};
pub use record::{
    Cancel, Clock, ClockReading, Complete, Dead, DeadReason, Deliver, Epoch, Fail, FailCause, Kind, Put,
    Record, Reschedule, Skip, SkipReason, Terms,
};
pub use spec::{Anchor, Grid, Misfire, Resolved, Retry, When, misfire_threshold_ticks, retry_due};
pub use state::{
    ApplyError, DeadLetter, Effect, LiveOccurrence, Misfit, Phase, Recurrence, Standing, State, TimerView,
    Totals,
};
pub use time::{DueTime, Now, TickLen, Timeline};
