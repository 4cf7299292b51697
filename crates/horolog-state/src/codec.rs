//! Records to bytes and back: `docs/format.md`, section "Record bodies".
//!
//! This is the only module that names `bincode`. Its bytes are fixed-width, little-endian and specified in
//! `docs/format.md`; golden files pin them and a decoder in the tests, written from that page alone, reads them, so the
//! crate can be replaced without changing a byte. Decoding is total: whatever the bytes, it gives a record or a typed
//! fault, allocates nothing, and never panics.
//!
//! 1. A length is compared with the bytes left before anything is read ([`RECORD_BYTES_MAX`] bounds all of it).
//! 2. Every byte of the body is used: trailing bytes are a fault.
//! 3. No collection of items is ever decoded, only borrowed byte strings.
//! 4. Every number that stands for a choice is checked: an unknown one is a fault, never a default.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::{NonZeroU32, NonZeroU64};

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::{BorrowDecode, Decode, Encode};
use horolog_wheel::{Tick, TimerId};

use crate::payload::PayloadView;
use crate::record::{
    Cancel, Clock, ClockReading, Complete, Dead, DeadReason, Deliver, Epoch, Fail, FailCause, Kind, Put,
    Record, Reschedule, Skip, SkipReason, Terms,
};
use crate::spec::{Grid, Misfire, Retry};
use crate::time::{DueTime, TickLen, Timeline};

/// The most bytes that a record's body may have, on write and on read alike.
pub const RECORD_BYTES_MAX: usize = 64 << 20;

/// The most bytes that a record adds around a timer's payload and key.
pub const RECORD_OVERHEAD_BYTES_MAX: usize = 256;

const CONFIG: Configuration<LittleEndian, Fixint, Limit<RECORD_BYTES_MAX>> = bincode::config::standard()
    .with_little_endian()
    .with_fixed_int_encoding()
    .with_limit::<RECORD_BYTES_MAX>();

/// Why a body is not a record of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// No version that this one knows wrote such a kind.
    #[error("unknown record kind {code:#04x}")]
    UnknownKind {
        /// The byte in the record's header.
        code: u8,
    },
    /// The body ends too early or is over [`RECORD_BYTES_MAX`], a length in it points past its end, or the byte before an
    /// option is neither 0 nor 1.
    #[error(
        "the body of a {kind:?} record of {len} bytes is cut short, or a length or an option in it is impossible"
    )]
    Malformed {
        /// The kind.
        kind: Kind,
        /// Its length in bytes.
        len: usize,
    },
    /// There are bytes after the record.
    #[error("a {kind:?} record ends at byte {used} of a body of {len}")]
    TrailingBytes {
        /// The kind.
        kind: Kind,
        /// Where the record ended.
        used: usize,
        /// The length of the body.
        len: usize,
    },
    /// A field holds a value that no version writes.
    #[error("a {kind:?} record has no meaning for {value:#x} in its field `{field}`")]
    Value {
        /// The kind.
        kind: Kind,
        /// The field, as `docs/format.md` names it.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
}

#[derive(Clone, Copy, Encode, Decode)]
struct DueWire {
    timeline: u8,
    tick: u64,
}

#[derive(Clone, Copy, Encode, Decode)]
struct GridWire {
    timeline: u8,
    anchor_ns: u64,
    interval_ns: u64,
    first_index: u64,
}

#[derive(Encode, BorrowDecode)]
struct TermsWire<'a> {
    key: &'a [u8],
    misfire: u8,
    failures_max: u32,
    deliveries_max: u32,
    backoff_base_ns: u64,
    backoff_max_ns: u64,
    grid: Option<GridWire>,
}

#[derive(BorrowDecode)]
struct PutWire<'a> {
    id: u64,
    due: DueWire,
    terms: Option<TermsWire<'a>>,
    payload: &'a [u8],
}

/// All of a [`PutWire`] but the payload's bytes, which follow.
#[derive(Encode)]
struct PutHeadWire<'a> {
    id: u64,
    due: DueWire,
    terms: Option<TermsWire<'a>>,
    payload_len: u64,
}

#[derive(Encode, Decode)]
struct RescheduleWire {
    id: u64,
    due: DueWire,
}

#[derive(Encode, Decode)]
struct CancelWire {
    id: u64,
}

#[derive(Encode, Decode)]
struct DeliverWire {
    id: u64,
    occurrence: u64,
    covers_from: u64,
    number: u32,
    epoch: u64,
    next_due: Option<DueWire>,
}

#[derive(Encode, Decode)]
struct SkipWire {
    id: u64,
    from: u64,
    to: u64,
    reason: u8,
    next_due: Option<DueWire>,
}

#[derive(Encode, Decode)]
struct CompleteWire {
    id: u64,
    occurrence: u64,
    number: u32,
}

#[derive(Encode, BorrowDecode)]
struct FailWire<'a> {
    id: u64,
    occurrence: u64,
    number: u32,
    cause: u8,
    retry: Option<DueWire>,
    message: &'a [u8],
}

#[derive(Encode, BorrowDecode)]
struct DeadWire<'a> {
    id: u64,
    occurrence: u64,
    reason: u8,
    message: &'a [u8],
}

#[derive(Clone, Copy, Encode, Decode)]
struct ReadingWire {
    wall_ns: u64,
    boottime_ns: u64,
    boot_id: u128,
    elapsed_ns: u64,
}

#[derive(Encode, Decode)]
struct EpochWire {
    epoch: u64,
    tick_len_ns: u64,
    generation_floor: u32,
    reading: ReadingWire,
}

/// Appends the body of `record` to `out`.
///
/// Infallible for every record whose byte strings fit [`RECORD_BYTES_MAX`], which intake has checked before.
pub fn encode(record: &Record<'_>, out: &mut Vec<u8>) {
    if let Some(tail) = encode_head(record, out) {
        out.extend_from_slice(&tail);
    }
}

/// Appends the body of `record` to `out` but for a shared payload, which is its end and is returned.
pub fn encode_head(record: &Record<'_>, out: &mut Vec<u8>) -> Option<Arc<[u8]>> {
    match *record {
        Record::Put(ref r) => {
            put_head_wire(r).append(out);
            match r.payload {
                PayloadView::Shared(payload) => return Some(Arc::clone(payload)),
                PayloadView::Bytes(payload) => out.extend_from_slice(payload),
            }
        }
        Record::Reschedule(r) => RescheduleWire { id: r.id.raw(), due: due_wire(r.due) }.append(out),
        Record::Cancel(r) => CancelWire { id: r.id.raw() }.append(out),
        Record::Deliver(r) => DeliverWire {
            id: r.id.raw(),
            occurrence: r.occurrence,
            covers_from: r.covers_from,
            number: r.number,
            epoch: r.epoch,
            next_due: r.next_due.map(due_wire),
        }
        .append(out),
        Record::Skip(r) => SkipWire {
            id: r.id.raw(),
            from: r.from,
            to: r.to,
            reason: r.reason as u8,
            next_due: r.next_due.map(due_wire),
        }
        .append(out),
        Record::Complete(r) => {
            CompleteWire { id: r.id.raw(), occurrence: r.occurrence, number: r.number }.append(out);
        }
        Record::Fail(ref r) => FailWire {
            id: r.id.raw(),
            occurrence: r.occurrence,
            number: r.number,
            cause: r.cause as u8,
            retry: r.retry.map(due_wire),
            message: r.message.as_bytes(),
        }
        .append(out),
        Record::Dead(ref r) => DeadWire {
            id: r.id.raw(),
            occurrence: r.occurrence,
            reason: r.reason as u8,
            message: r.message.as_bytes(),
        }
        .append(out),
        Record::Clock(r) => reading_wire(r.reading).append(out),
        Record::Epoch(r) => EpochWire {
            epoch: r.epoch,
            tick_len_ns: r.tick_len.ns(),
            generation_floor: r.generation_floor,
            reading: reading_wire(r.reading),
        }
        .append(out),
    }
    None
}

/// Reads the body of a record of kind `code`, borrowing its byte strings.
///
/// # Errors
///
/// A [`RecordFault`] that says what is wrong; nothing is skipped or guessed.
pub fn decode(code: u8, body: &[u8]) -> Result<Record<'_>, RecordFault> {
    let kind = Kind::from_code(code).ok_or(RecordFault::UnknownKind { code })?;
    let check = Check { kind };
    Ok(match kind {
        Kind::Put => Record::Put(check.put(read(kind, body)?)?),
        Kind::Reschedule => {
            let w: RescheduleWire = read(kind, body)?;
            Record::Reschedule(Reschedule { id: check.id(w.id)?, due: check.due(w.due)? })
        }
        Kind::Cancel => {
            let w: CancelWire = read(kind, body)?;
            Record::Cancel(Cancel { id: check.id(w.id)? })
        }
        Kind::Deliver => Record::Deliver(check.deliver(&read(kind, body)?)?),
        Kind::Skip => Record::Skip(check.skip(&read(kind, body)?)?),
        Kind::Complete => {
            let w: CompleteWire = read(kind, body)?;
            Record::Complete(Complete { id: check.id(w.id)?, occurrence: w.occurrence, number: w.number })
        }
        Kind::Fail => Record::Fail(check.fail(&read(kind, body)?)?),
        Kind::Dead => Record::Dead(check.dead(&read(kind, body)?)?),
        Kind::Clock => Record::Clock(Clock { reading: reading(read(kind, body)?) }),
        Kind::Epoch => Record::Epoch(check.epoch(&read(kind, body)?)?),
    })
}

/// Bytes at the end of a vector: the only writer that `encode` has, and one that cannot fail.
struct Tail<'a>(&'a mut Vec<u8>);

impl bincode::enc::write::Writer for Tail<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

trait Append: Encode + Sized {
    fn append(&self, out: &mut Vec<u8>) {
        // The writer is infallible and no type here refuses to be encoded: there is no error to hand on.
        let outcome = bincode::encode_into_writer(self, Tail(out), CONFIG);
        debug_assert!(outcome.is_ok(), "a wire struct was refused by its encoder");
    }
}

impl<T: Encode> Append for T {}

fn read<'a, T: BorrowDecode<'a, ()>>(kind: Kind, body: &'a [u8]) -> Result<T, RecordFault> {
    let len = body.len();
    let (value, used) =
        bincode::borrow_decode_from_slice(body, CONFIG).map_err(|_| RecordFault::Malformed { kind, len })?;
    if used == len { Ok(value) } else { Err(RecordFault::TrailingBytes { kind, used, len }) }
}

fn due_wire(due: DueTime) -> DueWire {
    DueWire { timeline: due.timeline.code(), tick: due.tick.0 }
}

fn reading_wire(r: ClockReading) -> ReadingWire {
    ReadingWire {
        wall_ns: r.wall_ns,
        boottime_ns: r.boottime_ns,
        boot_id: r.boot_id,
        elapsed_ns: r.elapsed_ns,
    }
}

fn reading(w: ReadingWire) -> ClockReading {
    ClockReading {
        wall_ns: w.wall_ns,
        boottime_ns: w.boottime_ns,
        boot_id: w.boot_id,
        elapsed_ns: w.elapsed_ns,
    }
}

fn put_head_wire<'a>(put: &Put<'a>) -> PutHeadWire<'a> {
    PutHeadWire {
        id: put.id.raw(),
        due: due_wire(put.due),
        terms: put.terms.map(|terms| TermsWire {
            key: terms.key,
            misfire: terms.misfire.code(),
            failures_max: terms.retry.failures_max.get(),
            deliveries_max: terms.retry.deliveries_max.get(),
            backoff_base_ns: terms.retry.backoff_base_ns,
            backoff_max_ns: terms.retry.backoff_max_ns,
            grid: terms.grid.map(|(grid, first_index)| GridWire {
                timeline: grid.timeline.code(),
                anchor_ns: grid.anchor_ns,
                interval_ns: grid.interval_ns.get(),
                first_index,
            }),
        }),
        payload_len: put.payload.len() as u64,
    }
}

/// From numbers to meaning: what decodes is a record, or a fault that names the field.
struct Check {
    kind: Kind,
}

impl Check {
    fn fault(&self, field: &'static str, value: u64) -> RecordFault {
        RecordFault::Value { kind: self.kind, field, value }
    }

    fn id(&self, raw: u64) -> Result<TimerId, RecordFault> {
        TimerId::from_raw(raw).ok_or_else(|| self.fault("id", raw))
    }

    fn timeline(&self, code: u8) -> Result<Timeline, RecordFault> {
        Timeline::from_code(code).ok_or_else(|| self.fault("timeline", code.into()))
    }

    fn due(&self, wire: DueWire) -> Result<DueTime, RecordFault> {
        Ok(DueTime { timeline: self.timeline(wire.timeline)?, tick: Tick(wire.tick) })
    }

    fn due_option(&self, wire: Option<DueWire>) -> Result<Option<DueTime>, RecordFault> {
        wire.map(|wire| self.due(wire)).transpose()
    }

    fn message<'a>(&self, bytes: &'a [u8]) -> Result<&'a str, RecordFault> {
        core::str::from_utf8(bytes).map_err(|error| self.fault("message", error.valid_up_to() as u64))
    }

    fn count(&self, field: &'static str, value: u32) -> Result<NonZeroU32, RecordFault> {
        NonZeroU32::new(value).ok_or_else(|| self.fault(field, 0))
    }

    fn grid(&self, wire: GridWire) -> Result<(Grid, u64), RecordFault> {
        let interval_ns = NonZeroU64::new(wire.interval_ns).ok_or_else(|| self.fault("interval_ns", 0))?;
        let timeline = self.timeline(wire.timeline)?;
        Ok((Grid { timeline, anchor_ns: wire.anchor_ns, interval_ns }, wire.first_index))
    }

    fn terms<'a>(&self, wire: TermsWire<'a>) -> Result<Terms<'a>, RecordFault> {
        Ok(Terms {
            key: wire.key,
            misfire: Misfire::from_code(wire.misfire)
                .ok_or_else(|| self.fault("misfire", wire.misfire.into()))?,
            retry: Retry {
                failures_max: self.count("failures_max", wire.failures_max)?,
                deliveries_max: self.count("deliveries_max", wire.deliveries_max)?,
                backoff_base_ns: wire.backoff_base_ns,
                backoff_max_ns: wire.backoff_max_ns,
            },
            grid: wire.grid.map(|grid| self.grid(grid)).transpose()?,
        })
    }

    fn put<'a>(&self, wire: PutWire<'a>) -> Result<Put<'a>, RecordFault> {
        Ok(Put {
            id: self.id(wire.id)?,
            due: self.due(wire.due)?,
            terms: wire.terms.map(|terms| self.terms(terms)).transpose()?,
            payload: wire.payload.into(),
        })
    }

    fn deliver(&self, wire: &DeliverWire) -> Result<Deliver, RecordFault> {
        Ok(Deliver {
            id: self.id(wire.id)?,
            occurrence: wire.occurrence,
            covers_from: wire.covers_from,
            number: wire.number,
            epoch: wire.epoch,
            next_due: self.due_option(wire.next_due)?,
        })
    }

    fn skip(&self, wire: &SkipWire) -> Result<Skip, RecordFault> {
        let reason = match wire.reason {
            0 => SkipReason::Misfire,
            1 => SkipReason::Overlap,
            other => return Err(self.fault("reason", other.into())),
        };
        Ok(Skip {
            id: self.id(wire.id)?,
            from: wire.from,
            to: wire.to,
            reason,
            next_due: self.due_option(wire.next_due)?,
        })
    }

    fn fail<'a>(&self, wire: &FailWire<'a>) -> Result<Fail<'a>, RecordFault> {
        let cause = match wire.cause {
            0 => FailCause::Reported,
            1 => FailCause::Dropped,
            2 => FailCause::Panicked,
            other => return Err(self.fault("cause", other.into())),
        };
        Ok(Fail {
            id: self.id(wire.id)?,
            occurrence: wire.occurrence,
            number: wire.number,
            cause,
            retry: self.due_option(wire.retry)?,
            message: self.message(wire.message)?,
        })
    }

    fn dead<'a>(&self, wire: &DeadWire<'a>) -> Result<Dead<'a>, RecordFault> {
        let reason =
            DeadReason::from_code(wire.reason).ok_or_else(|| self.fault("reason", wire.reason.into()))?;
        let message = self.message(wire.message)?;
        Ok(Dead { id: self.id(wire.id)?, occurrence: wire.occurrence, reason, message })
    }

    fn epoch(&self, wire: &EpochWire) -> Result<Epoch, RecordFault> {
        Ok(Epoch {
            epoch: wire.epoch,
            tick_len: TickLen::from_ns(wire.tick_len_ns).ok_or_else(|| self.fault("tick_len_ns", 0))?,
            generation_floor: wire.generation_floor,
            reading: reading(wire.reading),
        })
    }
}

mod extras;

pub(crate) use extras::{decode_extras, encode_extras};

#[cfg(test)]
mod tests;
