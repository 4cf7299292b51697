//! What does one timer cost in our wheel, and what in its peers? README.md says how to run it and how to read it.

mod child;
mod clock;
mod cycles;
mod data;
mod field;
mod metric;
mod options;
mod queue;
mod queues;
mod stat;
mod table;
mod workloads;

use data::Load;
use horolog_benches::compare::{self, Table, say};
use horolog_benches::counted::{Counted, OfThisThread};
use metric::Metric;
use options::{Asked, Options, Rows};
use queues::{btree::Tree, delay_queue::Delays, hash_wheel::HashWheel, heap::Heap};
use queues::{channel::Channel, locked::Locked, nexus::Nexus, pingora::Buckets};
use queues::{ours::Ours, ours::SharedOurs, sleep::SharedSleeps, sleep::Sleeps};
use table::Column;
use workloads::Workload;

#[global_allocator]
static MEMORY: Counted<OfThisThread> = Counted::new();

/// What one peer measured in one run.
type Run = compare::Run<Metric>;

/// A column of the table.
#[derive(Clone, Copy)]
struct Peer {
    name: &'static str,
    /// Is what cancelled timers leave behind bounded by the number of the pending ones?
    is_bounded: bool,
    workloads: fn(&Load, Rows) -> Vec<Workload>,
}

const PEERS: &[Peer] = &[
    Peer { name: "ours", is_bounded: true, workloads: workloads::of::<Ours, SharedOurs> },
    Peer { name: "heap", is_bounded: true, workloads: workloads::of::<Heap, Locked<Heap>> },
    Peer { name: "btree", is_bounded: true, workloads: workloads::of::<Tree, Locked<Tree>> },
    Peer { name: "delayqueue", is_bounded: true, workloads: workloads::of::<Delays, Locked<Delays>> },
    Peer { name: "tokio", is_bounded: true, workloads: workloads::of::<Sleeps, SharedSleeps<false>> },
    #[cfg(tokio_unstable)]
    Peer { name: "tokio-alt", is_bounded: false, workloads: workloads::of_shared::<SharedSleeps<true>> },
    Peer { name: "hhwt", is_bounded: false, workloads: workloads::of::<HashWheel, Channel<HashWheel>> },
    Peer { name: "nexus", is_bounded: true, workloads: workloads::of::<Nexus, Locked<Nexus>> },
    Peer { name: "pingora", is_bounded: false, workloads: workloads::of_shared::<Buckets> },
];

impl Peer {
    fn named(name: &str) -> Option<Self> {
        PEERS.iter().copied().find(|peer| peer.name == name)
    }

    fn is_ours(&self) -> bool {
        self.name == "ours"
    }

    fn column(&self) -> String {
        format!("{}{}", self.name, if self.is_bounded { "" } else { "*" })
    }
}

fn main() {
    match options::read(std::env::args().skip(1)) {
        Ok(Asked::Tables(options)) => tables(&options),
        Ok(Asked::OneRun(peer, load, rows, from)) => {
            child::run(&(peer.workloads)(&load, rows)[from..], &load)
        }
        Err(error) => {
            eprintln!("{error}\n\n{}", options::HELP);
            std::process::exit(2);
        }
    }
}

fn tables(options: &Options) {
    let Options { runs, spread, .. } = options;
    println!("deadlines: {}; runs: {runs}, each in a process of its own; one tick is 1 ms", spread.name());
    if let Some(limit) = options.stop_after {
        println!("> limit: it was not done within {} s and was stopped", limit.as_secs());
    }
    println!("* what cancelled timers leave behind is not bounded by the number of the pending ones\n");
    for timers in &options.sizes {
        println!("## {timers} timers\n");
        table(options, *timers).print();
    }
}

/// Runs of different peers take turns, so that what changes about the machine changes for all.
fn table(options: &Options, timers: usize) -> Table {
    let mut columns: Vec<Column> = options.peers.iter().map(|peer| (*peer, Vec::new())).collect();
    for run in 0..options.runs {
        let load = Load { timers, spread: options.spread, run };
        for (peer, runs) in &mut columns {
            say(&format!("{timers} timers, run {}: {}", run + 1, peer.name));
            runs.extend(child::spawn(peer, &load, options));
        }
    }
    say("");
    table::of(&columns)
}
