//! The same durable work over Horolog and over its peers, in one table. What the rows and columns are: `README.md`.
#![expect(clippy::expect_used, reason = "a bench stops at the first error")]

mod clock;
mod data;
mod disk;
mod metric;
mod options;
mod rows;
mod stat;
mod store;
mod stores;
mod syncs;
mod table;

use std::path::Path;
use std::process::{Command, ExitCode};

use disk::Scratch;
use horolog_benches::compare::{self, read_run, say};
use metric::Metric;
use options::{Asked, Options};
use rows::{Load, Row, Wrong, measure};
use store::{Place, Store};
use stores::{beanstalkd, fjall, okaywal, ours, raft, redb, redis, sqlite};
use table::Column;

/// What one peer measured in one run.
type Run = compare::Run<Metric>;

/// A column of the table.
#[derive(Clone, Copy)]
struct Peer {
    name: &'static str,
    open: fn(&Place) -> Box<dyn Store>,
    /// The server that has to be installed, and how it says its version.
    program: Option<(&'static str, &'static str)>,
    /// Has it an index, so that what it keeps can be found again?
    has_index: bool,
    /// Can it store many timers with one sync?
    has_batches: bool,
    /// More timers than that would take minutes in the row of bulk.
    bulk_max: usize,
}

/// An embedded store with everything.
const EMBEDDED: Peer = Peer {
    name: "ours",
    open: ours::open,
    program: None,
    has_index: true,
    has_batches: true,
    bulk_max: usize::MAX,
};

const PEERS: [Peer; 8] = [
    EMBEDDED,
    Peer { name: "raft-engine", open: raft::open, ..EMBEDDED },
    Peer { name: "fjall", open: fjall::open, ..EMBEDDED },
    Peer { name: "redb", open: redb::open, ..EMBEDDED },
    Peer { name: "sqlite", open: sqlite::open, ..EMBEDDED },
    Peer { name: "okaywal", open: okaywal::open, has_index: false, ..EMBEDDED },
    Peer { name: "redis", open: redis::open, program: Some((redis::PROGRAM, "--version")), ..EMBEDDED },
    Peer {
        name: "beanstalkd",
        open: beanstalkd::open,
        program: Some((beanstalkd::PROGRAM, "-v")),
        has_batches: false,
        bulk_max: 20_000,
        ..EMBEDDED
    },
];

impl Peer {
    fn named(name: &str) -> Option<Self> {
        PEERS.into_iter().find(|peer| peer.name == name)
    }

    fn is_ours(&self) -> bool {
        self.name == EMBEDDED.name
    }

    fn is_installed(&self) -> bool {
        self.program.is_none_or(|(program, _)| disk::find_program(program).is_some())
    }

    fn can(&self, row: Row) -> bool {
        match row {
            Row::Awaiting => self.is_ours(),
            Row::Batches | Row::BulkOnce => self.has_batches,
            _ => true,
        }
    }

    fn column(&self) -> String {
        format!("{}{}", self.name, if self.has_index { "" } else { "*" })
    }
}

fn main() -> ExitCode {
    let done = match options::read(std::env::args().skip(1)) {
        Ok(Asked::Table(options)) => table(&options),
        Ok(Asked::Syncs(options)) => syncs::print(&options),
        Ok(Asked::OneRun(peer, load)) => return one_run(&peer, &load),
        Err(error) => Err(format!("{error}\n\n{}", options::HELP)),
    };
    if let Err(error) = done {
        eprintln!("{error}");
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}

fn table(options: &Options) -> Result<(), String> {
    let scratch = Scratch::make(&options.dir)?;
    let mut columns: Vec<Column> = options.peers.iter().copied().map(Column::new).collect();
    let Options { runs, seconds, timers, pending, .. } = options;
    println!("runs: {runs}, each in a process of its own, {seconds} s each where a row goes on for a while");
    println!("bulk: {timers} timers; restart: {pending}; stores in {}", options.dir.display());
    columns.iter().filter_map(|column| version(&column.peer)).for_each(|version| println!("{version}"));
    println!("* a log alone, without an index\n");
    for row in &options.rows {
        take_turns(*row, options, &scratch, &mut columns);
    }
    say("");
    table::of(&columns).print();
    Ok(())
}

/// Runs of different peers take turns, so that what changes about the machine changes for all.
fn take_turns(row: Row, options: &Options, scratch: &Scratch, columns: &mut [Column]) {
    let takes_part = |column: &&mut Column| column.is_installed && column.peer.can(row);
    if row == Row::Restart {
        for column in columns.iter_mut().filter(takes_part) {
            say(&format!("fill: {}", column.peer.name));
            let filled = scratch.dir(&filled_name(&column.peer));
            child(&column.peer, &load(Row::Fill, 0, options, &filled));
        }
    }
    for run in 0..options.runs {
        for column in columns.iter_mut().filter(takes_part) {
            let peer = column.peer;
            say(&format!("{}, run {}: {}", row.name(), run + 1, peer.name));
            let name = format!("{}-{}-{run}", peer.name, row.name());
            let dir = match row {
                Row::Restart => scratch.copy(&scratch.path(&filled_name(&peer)), &name),
                _ => scratch.dir(&name),
            };
            column.runs.extend(child(&peer, &load(row, run, options, &dir)));
            disk::remove(&dir);
        }
    }
}

fn filled_name(peer: &Peer) -> String {
    format!("{}-filled", peer.name)
}

fn load(row: Row, run: u64, options: &Options, dir: &Path) -> Load {
    let timers = if matches!(row, Row::Restart | Row::Fill) { options.pending } else { options.timers };
    let place = Place { dir: dir.into(), timers, is_synced: row != Row::Fill };
    Load { row, run, seconds: options.seconds, place }
}

/// What a server says of itself; `None` if it is not installed.
fn version(peer: &Peer) -> Option<String> {
    let (program, option) = peer.program?;
    let output = Command::new(program).arg(option).output().ok()?;
    Some(format!("{}: {}", peer.name, String::from_utf8_lossy(&output.stdout).trim()))
}

/// One run in a process of its own: what the last peer did to the allocator is gone. `None` if the process failed.
fn child(peer: &Peer, load: &Load) -> Option<Run> {
    let program = std::env::current_exe().expect("the program knows where it is");
    let output = Command::new(program).args(options::one_run_arguments(peer, load)).output();
    let output = output.expect("the program starts a second time");
    let error = String::from_utf8_lossy(&output.stderr);
    if !error.trim().is_empty() {
        eprintln!("\n{}, {}: {}", peer.name, load.row.name(), error.trim());
    }
    if !output.status.success() {
        eprintln!("{}, {}: {}", peer.name, load.row.name(), output.status);
        return None;
    }
    Some(read_run(&String::from_utf8_lossy(&output.stdout), &Metric::ALL))
}

fn one_run(peer: &Peer, load: &Load) -> ExitCode {
    match measure(peer, load) {
        Ok(figures) => figures.iter().for_each(|(metric, value)| println!("{metric:?} {value}")),
        Err(Wrong) => load.row.metrics().iter().for_each(|metric| println!("{metric:?} wrong")),
    }
    ExitCode::SUCCESS
}
