//! `wincode`, a living crate with bincode's format, reads what this crate's codec writes: the exit path is open.

use horolog_state::{Kind, Record, codec};
use wincode::{SchemaRead, SchemaWrite};

use crate::samples::samples;

#[derive(Debug, PartialEq, SchemaRead, SchemaWrite)]
struct Due {
    timeline: u8,
    tick: u64,
}

#[derive(Debug, PartialEq, SchemaRead, SchemaWrite)]
struct Grid {
    timeline: u8,
    anchor_ns: u64,
    interval_ns: u64,
    first_index: u64,
}

#[derive(Debug, PartialEq, SchemaRead, SchemaWrite)]
struct Terms {
    key: Vec<u8>,
    misfire: u8,
    failures_max: u32,
    deliveries_max: u32,
    backoff_base_ns: u64,
    backoff_max_ns: u64,
    grid: Option<Grid>,
}

#[derive(Debug, PartialEq, SchemaRead, SchemaWrite)]
struct Put {
    id: u64,
    due: Due,
    terms: Option<Terms>,
    payload: Vec<u8>,
}

#[derive(Debug, PartialEq, SchemaRead, SchemaWrite)]
struct Deliver {
    id: u64,
    occurrence: u64,
    covers_from: u64,
    number: u32,
    epoch: u64,
    next_due: Option<Due>,
}

#[derive(Debug, PartialEq, SchemaRead, SchemaWrite)]
struct Clock {
    wall_ns: u64,
    boottime_ns: u64,
    boot_id: u128,
    elapsed_ns: u64,
}

fn due(due: horolog_state::DueTime) -> Due {
    Due { timeline: due.timeline.code(), tick: due.tick.0 }
}

fn put(put: &horolog_state::Put<'_>) -> Put {
    let grid = |(grid, first_index): (horolog_state::Grid, u64)| Grid {
        timeline: grid.timeline.code(),
        anchor_ns: grid.anchor_ns,
        interval_ns: grid.interval_ns.get(),
        first_index,
    };
    let terms = |terms: horolog_state::Terms<'_>| Terms {
        key: terms.key.to_vec(),
        misfire: terms.misfire.code(),
        failures_max: terms.retry.failures_max.get(),
        deliveries_max: terms.retry.deliveries_max.get(),
        backoff_base_ns: terms.retry.backoff_base_ns,
        backoff_max_ns: terms.retry.backoff_max_ns,
        grid: terms.grid.map(grid),
    };
    Put { id: put.id.raw(), due: due(put.due), terms: put.terms.map(terms), payload: put.payload.to_vec() }
}

#[test]
fn wincode_reads_and_writes_the_bytes_of_put_deliver_and_clock() {
    for (name, record) in [Kind::Put, Kind::Deliver, Kind::Clock].into_iter().flat_map(samples) {
        let mut body = Vec::new();
        codec::encode(&record, &mut body);
        match record {
            Record::Put(r) => {
                assert_eq!(wincode::deserialize::<Put>(&body).unwrap(), put(&r), "{name}");
                assert_eq!(wincode::serialize(&put(&r)).unwrap(), body, "{name}");
            }
            Record::Deliver(r) => {
                let expected = Deliver {
                    id: r.id.raw(),
                    occurrence: r.occurrence,
                    covers_from: r.covers_from,
                    number: r.number,
                    epoch: r.epoch,
                    next_due: r.next_due.map(due),
                };
                assert_eq!(wincode::deserialize::<Deliver>(&body).unwrap(), expected, "{name}");
                assert_eq!(wincode::serialize(&expected).unwrap(), body, "{name}");
            }
            Record::Clock(r) => {
                let (wall_ns, boottime_ns) = (r.reading.wall_ns, r.reading.boottime_ns);
                let (boot_id, elapsed_ns) = (r.reading.boot_id, r.reading.elapsed_ns);
                let expected = Clock { wall_ns, boottime_ns, boot_id, elapsed_ns };
                assert_eq!(wincode::deserialize::<Clock>(&body).unwrap(), expected, "{name}");
                assert_eq!(wincode::serialize(&expected).unwrap(), body, "{name}");
            }
            other => panic!("not asked for: {other:?}"),
        }
    }
}
