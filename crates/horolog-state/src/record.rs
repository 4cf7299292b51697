//! The durable facts. One struct a kind; nothing else is ever written to the log.
//!
//! A record says what happened, with everything that `apply` needs: what comes next is a fact in it, computed beforehand
//! by `decide`. Cascades, positions in a wheel and "ready" are derived and never written.

use horolog_wheel::TimerId;

use crate::payload::PayloadView;
use crate::spec::{Grid, Misfire, Retry};
use crate::time::{DueTime, TickLen};

/// A timer was scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Put<'a> {
    /// The id it has for ever.
    pub id: TimerId,
    /// Its first due time.
    pub due: DueTime,
    /// What a plain one-shot does not have.
    pub terms: Option<Terms<'a>>,
    /// The user's bytes, verbatim.
    pub payload: PayloadView<'a>,
}

/// What a timer has beyond a plain one-shot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms<'a> {
    /// The user's name for it; empty for none.
    pub key: &'a [u8],
    /// What happens when it is late.
    pub misfire: Misfire,
    /// How often it is tried.
    pub retry: Retry,
    /// Its grid and the index of its first occurrence, if it recurs.
    pub grid: Option<(Grid, u64)>,
}

/// A waiting or dead timer got another due time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reschedule {
    /// The timer.
    pub id: TimerId,
    /// Its due time from now on.
    pub due: DueTime,
}

/// A timer was cancelled: at once, or, while an occurrence is in flight, when that occurrence ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// The timer.
    pub id: TimerId,
}

/// An occurrence was taken off the schedule and is about to be handed to user code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deliver {
    /// The timer.
    pub id: TimerId,
    /// The occurrence: 0 for a one-shot, the index on the grid for a recurring timer.
    pub occurrence: u64,
    /// The first of the occurrences that this one stands for; equal to `occurrence` unless some were missed.
    pub covers_from: u64,
    /// Which delivery of this occurrence it is: 1, 2, ….
    pub number: u32,
    /// The opening under which it was handed out.
    pub epoch: u64,
    /// When the next occurrence is due, for a recurring timer: the record that uses up a slot arms the next.
    pub next_due: Option<DueTime>,
}

/// Why occurrences did not fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SkipReason {
    /// They were late and the timer's policy is [`Misfire::Skip`].
    Misfire = 0,
    /// The occurrence before was still in flight.
    Overlap = 1,
}

/// Occurrences were passed over on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skip {
    /// The timer.
    pub id: TimerId,
    /// The first occurrence passed over.
    pub from: u64,
    /// The last occurrence passed over.
    pub to: u64,
    /// Why.
    pub reason: SkipReason,
    /// When the next occurrence is due; `None` ends the timer.
    pub next_due: Option<DueTime>,
}

/// An occurrence was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Complete {
    /// The timer.
    pub id: TimerId,
    /// The occurrence.
    pub occurrence: u64,
    /// The delivery that did it.
    pub number: u32,
}

/// How a delivery failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum FailCause {
    /// The handler said so.
    Reported = 0,
    /// The handler let go of the occurrence without a word.
    Dropped = 1,
    /// The handler panicked.
    Panicked = 2,
}

/// A delivery failed, and the occurrence is tried again or, when its timer was cancelled meanwhile, over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fail<'a> {
    /// The timer.
    pub id: TimerId,
    /// The occurrence.
    pub occurrence: u64,
    /// The delivery that failed.
    pub number: u32,
    /// How.
    pub cause: FailCause,
    /// When it is tried again; `None` only for a timer cancelled in flight.
    pub retry: Option<DueTime>,
    /// The handler's words, at most [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX) bytes.
    pub message: &'a str,
}

/// Why an occurrence was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DeadReason {
    /// It failed as often as its policy allows.
    Failures = 0,
    /// It was delivered as often as its policy allows; deliveries that a crash cut short count.
    Deliveries = 1,
    /// The next occurrence of its timer came due before it succeeded.
    Superseded = 2,
}

impl DeadReason {
    /// The reason of a byte.
    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Failures),
            1 => Some(Self::Deliveries),
            2 => Some(Self::Superseded),
            _ => None,
        }
    }
}

/// An occurrence was given up. A one-shot stays listed; a recurring timer goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dead<'a> {
    /// The timer.
    pub id: TimerId,
    /// The occurrence.
    pub occurrence: u64,
    /// Why.
    pub reason: DeadReason,
    /// The last words of its handler.
    pub message: &'a str,
}

/// What a machine's clocks said at one moment, and what the elapsed timeline was then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockReading {
    /// UTC wall time, nanoseconds since the Unix epoch.
    pub wall_ns: u64,
    /// Time since boot, suspend included, in nanoseconds.
    pub boottime_ns: u64,
    /// Which boot that is; 0 where the system cannot say.
    pub boot_id: u128,
    /// The elapsed timeline, in nanoseconds after its zero.
    pub elapsed_ns: u64,
}

/// The clocks, noted down so that a restart can go on with the elapsed timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// What they said.
    pub reading: ClockReading,
}

/// A directory was opened for writing. Every occurrence that was in flight is due again; every generation floor rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// 1, 2, 3, …: one an opening.
    pub epoch: u64,
    /// Nanoseconds a tick; the same in every epoch of a directory.
    pub tick_len: TickLen,
    /// A lower bound for generations, drawn at random when the directory is created: an id of another directory is unknown
    /// here. High in the epoch of a repair: an id that was lost never comes again. 0 in all others.
    pub generation_floor: u32,
    /// The clocks at this moment.
    pub reading: ClockReading,
}

/// A durable fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the struct of its name")]
pub enum Record<'a> {
    Put(Put<'a>),
    Reschedule(Reschedule),
    Cancel(Cancel),
    Deliver(Deliver),
    Skip(Skip),
    Complete(Complete),
    Fail(Fail<'a>),
    Dead(Dead<'a>),
    Clock(Clock),
    Epoch(Epoch),
}

/// The number of a record kind in the log. Kinds from 0x80 may be passed over by a reader that does not know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "each kind is the struct of its name")]
pub enum Kind {
    Put = 0x01,
    Reschedule = 0x02,
    Cancel = 0x03,
    Deliver = 0x04,
    Skip = 0x05,
    Complete = 0x06,
    Fail = 0x07,
    Dead = 0x08,
    Clock = 0x09,
    Epoch = 0x0a,
}

impl Kind {
    /// Every kind, in the order of the numbers.
    pub const ALL: [Self; 10] = [
        Self::Put,
        Self::Reschedule,
        Self::Cancel,
        Self::Deliver,
        Self::Skip,
        Self::Complete,
        Self::Fail,
        Self::Dead,
        Self::Clock,
        Self::Epoch,
    ];

    /// The byte in the record's header.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Its name in `docs/format.md`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Put => "Put",
            Self::Reschedule => "Reschedule",
            Self::Cancel => "Cancel",
            Self::Deliver => "Deliver",
            Self::Skip => "Skip",
            Self::Complete => "Complete",
            Self::Fail => "Fail",
            Self::Dead => "Dead",
            Self::Clock => "Clock",
            Self::Epoch => "Epoch",
        }
    }

    /// The kind of a byte.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

impl Record<'_> {
    /// The kind of this record.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Put(_) => Kind::Put,
            Self::Reschedule(_) => Kind::Reschedule,
            Self::Cancel(_) => Kind::Cancel,
            Self::Deliver(_) => Kind::Deliver,
            Self::Skip(_) => Kind::Skip,
            Self::Complete(_) => Kind::Complete,
            Self::Fail(_) => Kind::Fail,
            Self::Dead(_) => Kind::Dead,
            Self::Clock(_) => Kind::Clock,
            Self::Epoch(_) => Kind::Epoch,
        }
    }

    /// The timer it is about; `None` for facts about the engine.
    #[must_use]
    pub const fn timer(&self) -> Option<TimerId> {
        match self {
            Self::Put(r) => Some(r.id),
            Self::Reschedule(r) => Some(r.id),
            Self::Cancel(r) => Some(r.id),
            Self::Deliver(r) => Some(r.id),
            Self::Skip(r) => Some(r.id),
            Self::Complete(r) => Some(r.id),
            Self::Fail(r) => Some(r.id),
            Self::Dead(r) => Some(r.id),
            Self::Clock(_) | Self::Epoch(_) => None,
        }
    }
    /// The timer whose entry has to be out of the wheels before this record is applied: its due time changes or ends
    /// here, while it may still be armed.
    #[must_use]
    pub const fn disarms(&self) -> Option<TimerId> {
        match self {
            Self::Reschedule(_) | Self::Cancel(_) | Self::Fail(_) | Self::Dead(_) => self.timer(),
            _ => None,
        }
    }
}
