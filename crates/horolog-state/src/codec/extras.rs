//! What a snapshot says of a timer that is more than a plain one-shot: `docs/format.md`, "Snapshot sections".

use alloc::string::String;
use alloc::vec::Vec;

use super::{
    Append, BorrowDecode, CONFIG, Check, Decode, DueWire, Encode, GridWire, Kind, TermsWire, due_wire,
};
use crate::record::DeadReason;
use crate::state::{DeadLetter, LiveOccurrence, Recurrence, Terms};

/// The grid stands in the terms, with the next occurrence in the place of the first.
#[derive(Clone, Copy, Encode, Decode)]
struct RecurrenceWire {
    next_due: DueWire,
    live: Option<LiveWire>,
}

#[derive(Clone, Copy, Encode, Decode)]
struct LiveWire {
    index: u64,
    covers_from: u64,
}

#[derive(Encode, BorrowDecode)]
struct LetterWire<'a> {
    occurrence: u64,
    reason: u8,
    deliveries: u32,
    message: &'a [u8],
}

#[derive(Encode, BorrowDecode)]
struct ExtrasWire<'a> {
    terms: Option<TermsWire<'a>>,
    recurrence: Option<RecurrenceWire>,
    letter: Option<LetterWire<'a>>,
}

/// Appends what a timer has besides its facts.
pub(crate) fn encode_extras(terms: Option<&Terms>, letter: Option<&DeadLetter>, out: &mut Vec<u8>) {
    let recurrence = terms.and_then(|terms| terms.recurrence);
    let wire = ExtrasWire {
        terms: terms.map(|terms| TermsWire {
            key: &terms.key,
            misfire: terms.misfire.code(),
            failures_max: terms.retry.failures_max.get(),
            deliveries_max: terms.retry.deliveries_max.get(),
            backoff_base_ns: terms.retry.backoff_base_ns,
            backoff_max_ns: terms.retry.backoff_max_ns,
            grid: recurrence.map(|recurrence| GridWire {
                timeline: recurrence.grid.timeline.code(),
                anchor_ns: recurrence.grid.anchor_ns,
                interval_ns: recurrence.grid.interval_ns.get(),
                first_index: recurrence.next_index,
            }),
        }),
        recurrence: recurrence.map(|recurrence| RecurrenceWire {
            next_due: due_wire(recurrence.next_due),
            live: recurrence.live.map(|live| LiveWire { index: live.index, covers_from: live.covers_from }),
        }),
        letter: letter.map(|letter| LetterWire {
            occurrence: letter.occurrence,
            reason: letter.reason as u8,
            deliveries: letter.deliveries,
            message: letter.message.as_bytes(),
        }),
    };
    wire.append(out);
}

/// What a timer has besides its facts.
pub(crate) type Extras = (Option<Terms>, Option<DeadLetter>);

/// Reads it from the start of `bytes`, and says how many of them it took. `None` if it cannot be read.
pub(crate) fn decode_extras(bytes: &[u8]) -> Option<(Extras, usize)> {
    let (wire, used): (ExtrasWire<'_>, usize) = bincode::borrow_decode_from_slice(bytes, CONFIG).ok()?;
    let terms = match (wire.terms, wire.recurrence) {
        (Some(terms), recurrence) => Some(terms_of(terms, recurrence)?),
        (None, None) => None,
        (None, Some(_)) => return None,
    };
    let letter = match wire.letter {
        Some(letter) => Some(letter_of(&letter)?),
        None => None,
    };
    Some(((terms, letter), used))
}

/// The numbers of a `Put` mean the same here.
const CHECK: Check = Check { kind: Kind::Put };

fn terms_of(wire: TermsWire<'_>, recurrence: Option<RecurrenceWire>) -> Option<Terms> {
    let terms = CHECK.terms(wire).ok()?;
    let recurrence = match (terms.grid, recurrence) {
        (Some((grid, next_index)), Some(wire)) => Some(Recurrence {
            grid,
            next_index,
            next_due: CHECK.due(wire.next_due).ok()?,
            live: wire.live.map(|live| LiveOccurrence { index: live.index, covers_from: live.covers_from }),
        }),
        (None, None) => None,
        _ => return None,
    };
    Some(Terms { key: terms.key.into(), misfire: terms.misfire, retry: terms.retry, recurrence })
}

fn letter_of(wire: &LetterWire<'_>) -> Option<DeadLetter> {
    Some(DeadLetter {
        occurrence: wire.occurrence,
        reason: DeadReason::from_code(wire.reason)?,
        deliveries: wire.deliveries,
        message: String::from(core::str::from_utf8(wire.message).ok()?),
    })
}
