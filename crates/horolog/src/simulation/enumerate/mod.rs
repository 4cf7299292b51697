//! Every sequence of operations up to a length, every place at which the machine may stop, every state that the disk may be
//! found in: each with an exact verdict.
//!
//! An operation is a command or two to the real machine, and the jobs that belong to it ([`Operation`]). A process that does
//! them runs over the simulated disk, which keeps how it was after each of its operations. From each of these moments
//! follow the states of a crash: all subsets of what was pending, torn sectors, noise; and each of them may be opened, and
//! crash again in the midst of that.
//!
//! # What has to hold
//!
//! - I1: what was promised is there.
//! - I2: what is there is a prefix of what was asked for, with batches whole.
//! - I3: a timer that ended has ended; every other one is there.
//! - I4: reading twice gives the same, and an opening that is cut short changes nothing visible.
//! - I5: LSNs are dense, and go on over lives.
//! - I6: no durable block of a segment is written again.
//! - I7: other noise gets the same verdict.
//! - I11: reading changes nothing.
//! - I13: an opening that ends leaves no file but the log's, and no file open.
//! - I14: no crash makes a directory refuse.
//! - I15: `verify` says what an opening does.
//! - D: nothing is proven durable that a crash of the same moment could take.
//!
//! # What is left out
//!
//! Jobs are done one after the other, so a spare is never half made while a batch is synced; and no operation of the disk
//! fails, so nothing is healed. A simulation by seed is for these.

mod damage;
mod ledger;
mod moment;
mod operation;
mod process;
mod reading;
mod remains;
mod report;
mod script;
mod search;
mod table;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use horolog_sim::{Pattern, SimDisk};

pub use ledger::Breach;
pub use operation::{NoOperation, Operation};
pub use report::{DEPTH_MAX, Matrix, Tally, Violation};

use super::anatomy::Must;
use damage::Damage;
use operation::sequences;
use process::{Life, Process};
use report::Came;
use search::Search;

/// What is to be enumerated.
#[derive(Clone, Debug)]
pub struct Enumeration {
    /// Operations of a sequence.
    pub length: usize,
    /// Crashes in a row, [`DEPTH_MAX`] at most.
    pub depth: u32,
    /// All subsets of so many choices are tried; of more, as many as that would be are drawn.
    pub subsets_max: u32,
    /// Sectors tear, and bits flip, at every byte.
    pub every_byte: bool,
    /// The state that each sequence leaves is damaged as well.
    pub damage: bool,
    /// Of the disk, and of what is drawn.
    pub seed: u64,
    /// Sequences at a time.
    pub threads: usize,
    /// This sequence alone.
    pub only: Option<Vec<Operation>>,
}

impl Default for Enumeration {
    fn default() -> Self {
        Self {
            length: 1,
            depth: 1,
            subsets_max: 12,
            every_byte: false,
            damage: false,
            seed: 1,
            threads: 1,
            only: None,
        }
    }
}

/// What takes a few operations to come about, and is to be crashed twice: segments are let go; a file of theirs is used again,
/// in a rotation that finds no spare.
pub const DIRECTED: [&[Operation]; 2] =
    [&[Operation::Rotate, Operation::Compact], &[Operation::Rotate, Operation::Compact, Operation::Rotate]];

/// How far it has come.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Sequences that are done.
    pub done: usize,
    /// All of them.
    pub of: usize,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was counted, in the sequences that are done.
    pub tally: Tally,
    /// Whether all sequences were done.
    pub complete: bool,
    /// The first sequence that broke a promise.
    pub violation: Option<Violation>,
}

/// What came of one sequence, by its number.
type Done = (usize, Tally, Result<(), Box<Violation>>);

impl Enumeration {
    /// Tries everything. `go_on` is asked after each sequence, and may end it.
    pub fn run(&self, go_on: &mut dyn FnMut(&Progress) -> bool) -> Outcome {
        let sequences = self.only.clone().map_or_else(|| sequences(self.length), |only| vec![only]);
        let (next, stop, worst) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicUsize::new(usize::MAX));
        let (send, done) = mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                let (send, sequences, next, stop, worst) = (send.clone(), &sequences, &next, &stop, &worst);
                scope.spawn(move || {
                    while let Some((at, sequence)) = take(sequences, next)
                        && !stop.load(Ordering::Relaxed)
                        && at < worst.load(Ordering::Relaxed)
                    {
                        let (tally, verdict) = self.judge(sequence);
                        if verdict.is_err() {
                            worst.fetch_min(at, Ordering::Relaxed);
                        }
                        if send.send((at, tally, verdict)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(send);
            collect(&done, sequences.len(), &stop, go_on)
        })
    }

    /// One sequence, with its crashes and its damage.
    fn judge(&self, sequence: &[Operation]) -> (Tally, Result<(), Box<Violation>>) {
        let depth = self.depth.min(u32::try_from(DEPTH_MAX).unwrap_or(u32::MAX));
        let mut search = Search::new(self, depth);
        let mut damage = Damage::new(self);
        let verdict = match search.sequence(sequence) {
            Ok(()) if self.damage => damage.sequence(sequence),
            Err(violation) => {
                let came = if violation.breach.refused { Came::Refused } else { Came::Wrong };
                search.tally.crashes.count(Must::Open, came);
                Err(violation)
            }
            done => done,
        };
        let mut tally = search.tally;
        tally.damage = damage.matrix;
        let named = |it: Box<Violation>| Box::new(Violation { sequence: sequence.to_vec(), ..*it });
        (tally, verdict.map_err(named))
    }

    /// An empty disk on which durable blocks are watched.
    fn disk(&self) -> Arc<SimDisk> {
        let disk = SimDisk::new(self.seed);
        disk.watch_rewrites(Pattern::ends(".wal"));
        Arc::new(disk)
    }

    /// Opens an empty directory and carries out a sequence; its last operation, or the opening, can be recorded.
    fn live_on(&self, disk: Arc<SimDisk>, sequence: &[Operation], is_recorded: bool) -> Result<Life, Breach> {
        let life = Life::first(disk);
        let Some((last, before)) = sequence.split_last() else {
            if is_recorded {
                life.record(true);
            }
            return Process::open(life, 0).map(Process::end);
        };
        let mut process = Process::open(life, 0)?;
        for operation in before {
            process = process.carry_out(*operation)?;
        }
        if is_recorded {
            process.life.record(true);
        }
        process.carry_out(*last).map(Process::end)
    }
}

/// The next sequence to be done.
fn take<'a>(sequences: &'a [Vec<Operation>], next: &AtomicUsize) -> Option<(usize, &'a [Operation])> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    sequences.get(at).map(|sequence| (at, &sequence[..]))
}

fn collect(
    done: &mpsc::Receiver<Done>,
    of: usize,
    stop: &AtomicBool,
    go_on: &mut dyn FnMut(&Progress) -> bool,
) -> Outcome {
    let mut tally = Tally::default();
    let mut first: Option<(usize, Box<Violation>)> = None;
    let mut count = 0;
    for (at, one, verdict) in done {
        tally.add(&one);
        count += 1;
        if let Err(violation) = verdict
            && first.as_ref().is_none_or(|(first, _)| at < *first)
        {
            first = Some((at, violation));
        }
        if !go_on(&Progress { done: count, of }) {
            stop.store(true, Ordering::Relaxed);
        }
    }
    let violation = first.map(|(_, violation)| *violation);
    Outcome { tally, complete: count == of && violation.is_none(), violation }
}
