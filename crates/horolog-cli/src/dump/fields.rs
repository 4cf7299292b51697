//! The fields of a record, named as in `horolog_state::record`.

use horolog_state::{
    ClockReading, Deliver, DueTime, Epoch, Fail, Grid, Kind, Put, Record, Skip, Terms, Timeline, codec,
};
use serde_json::{Value, json};

use crate::render::hex;

/// In the order in which they are shown.
pub(super) type Fields = Vec<(&'static str, Value)>;

/// The name of a kind in `docs/format.md`, or its number.
pub(crate) fn kind_name(code: u8) -> String {
    Kind::from_code(code).map_or_else(|| format!("{code:#04x}"), |kind| kind.name().to_owned())
}

/// A body that this program cannot decode is shown as it is, with the reason.
pub(super) fn of(record: &horolog_wal::Record<'_>) -> Fields {
    match codec::decode(record.kind, record.body) {
        Ok(decoded) => decoded_fields(&decoded),
        Err(fault) => vec![("fault", fault.to_string().into()), ("body", bytes(record.body))],
    }
}

fn decoded_fields(record: &Record<'_>) -> Fields {
    let mut fields = match record {
        Record::Put(r) => put(r),
        Record::Reschedule(r) => vec![("due", due(r.due))],
        Record::Cancel(_) => Vec::new(),
        Record::Deliver(r) => deliver(r),
        Record::Skip(r) => skip(r),
        Record::Complete(r) => vec![("occurrence", json!(r.occurrence)), ("number", json!(r.number))],
        Record::Fail(r) => fail(r),
        Record::Dead(r) => vec![
            ("occurrence", json!(r.occurrence)),
            ("reason", json!(format!("{:?}", r.reason))),
            ("message", json!(r.message)),
        ],
        Record::Clock(r) => reading(r.reading),
        Record::Epoch(r) => epoch(r),
    };
    if let Some(id) = record.timer() {
        fields.insert(0, ("id", json!(id.to_string())));
    }
    fields
}

fn put(put: &Put<'_>) -> Fields {
    let mut fields = vec![("due", due(put.due))];
    if let Some(terms) = &put.terms {
        fields.push(("terms", self::terms(terms)));
    }
    fields.push(("payload", bytes(&put.payload)));
    fields
}

fn terms(terms: &Terms<'_>) -> Value {
    json!({
        "key": bytes(terms.key),
        "misfire": format!("{:?}", terms.misfire),
        "retry": {
            "failures_max": terms.retry.failures_max,
            "deliveries_max": terms.retry.deliveries_max,
            "backoff_base_ns": terms.retry.backoff_base_ns,
            "backoff_max_ns": terms.retry.backoff_max_ns,
        },
        "grid": terms.grid.map(|(grid, first_index)| self::grid(&grid, first_index)),
    })
}

fn grid(grid: &Grid, first_index: u64) -> Value {
    json!({
        "timeline": timeline(grid.timeline),
        "anchor_ns": grid.anchor_ns,
        "interval_ns": grid.interval_ns,
        "first_index": first_index,
    })
}

fn deliver(deliver: &Deliver) -> Fields {
    vec![
        ("occurrence", json!(deliver.occurrence)),
        ("covers_from", json!(deliver.covers_from)),
        ("number", json!(deliver.number)),
        ("epoch", json!(deliver.epoch)),
        ("next_due", json!(deliver.next_due.map(due))),
    ]
}

fn skip(skip: &Skip) -> Fields {
    vec![
        ("from", json!(skip.from)),
        ("to", json!(skip.to)),
        ("reason", json!(format!("{:?}", skip.reason))),
        ("next_due", json!(skip.next_due.map(due))),
    ]
}

fn fail(fail: &Fail<'_>) -> Fields {
    vec![
        ("occurrence", json!(fail.occurrence)),
        ("number", json!(fail.number)),
        ("cause", json!(format!("{:?}", fail.cause))),
        ("retry", json!(fail.retry.map(due))),
        ("message", json!(fail.message)),
    ]
}

fn epoch(epoch: &Epoch) -> Fields {
    let mut fields = vec![
        ("epoch", json!(epoch.epoch)),
        ("tick_len_ns", json!(epoch.tick_len.ns())),
        ("generation_floor", json!(epoch.generation_floor)),
    ];
    fields.extend(reading(epoch.reading));
    fields
}

fn reading(reading: ClockReading) -> Fields {
    vec![
        ("wall_ns", json!(reading.wall_ns)),
        ("boottime_ns", json!(reading.boottime_ns)),
        ("boot_id", json!(format!("{:032x}", reading.boot_id))),
        ("elapsed_ns", json!(reading.elapsed_ns)),
    ]
}

/// A due time, in ticks of its timeline.
pub(crate) fn due(due: DueTime) -> Value {
    json!({ "timeline": timeline(due.timeline), "tick": due.tick.0 })
}

fn timeline(timeline: Timeline) -> &'static str {
    match timeline {
        Timeline::Civil => "civil",
        Timeline::Elapsed => "elapsed",
    }
}

/// Text if they are text, else hexadecimal behind `0x`. So is text that begins like that: nothing has two meanings.
pub(crate) fn bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.starts_with("0x") => text.into(),
        _ => format!("0x{}", hex(bytes)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn bytes_that_differ_are_never_told_alike() {
        assert_eq!(bytes(b"order 42"), "order 42");
        assert_eq!(bytes(&[0xff, 7]), "0xff07");
        assert_eq!(bytes(b"0xff07"), "0x307866663037");
    }
}
