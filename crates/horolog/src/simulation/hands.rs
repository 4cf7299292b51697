//! What the threads of an engine do: the hands of the log, the timer thread, healing, shutting down.

use horolog_sim::Traced;
use horolog_storage::Op;

use super::model::ms;
use super::step::Step;
use super::verdict::{Checked, Invariant};
use super::world::World;
use crate::journal::perform;
use crate::machine::{HealRefused, Job, Level, Outcome};
use crate::shell::{Hand, Heart};

impl World {
    pub(crate) fn hand(&mut self, step: Step) -> Checked {
        match step {
            Step::Take { hand } => {
                self.take(match hand % 3 {
                    0 => Hand::Log,
                    1 => Hand::Write,
                    _ => Hand::Keep,
                });
                Ok(())
            }
            Step::Begin {} => {
                self.begin_sync();
                Ok(())
            }
            Step::Perform { nth } => match (nth as usize).checked_rem(self.taken.len()) {
                Some(at) => self.perform(at),
                None => Ok(()),
            },
            Step::Report { nth } => {
                let Some(at) = (nth as usize).checked_rem(self.done.len()) else { return Ok(()) };
                if at > 0 {
                    self.counts.fault("F18 reordered completions");
                }
                self.report(at);
                Ok(())
            }
            Step::Flush {} => self.flush(),
            Step::Keep {} => self.keep(),
            Step::Turn {} => {
                self.turn();
                Ok(())
            }
            Step::Heal {} => self.heal(),
            Step::Shutdown { held, off_ms } => self.shutdown(held > 0, off_ms),
            _ => Ok(()),
        }
    }

    pub(crate) fn take(&mut self, hand: Hand) -> bool {
        let now = self.now();
        let Some(node) = &mut self.node else { return false };
        if hand == Hand::Write {
            // Only a caller who waits for that takes no other job.
            let applied = node.machine.state().applied().0;
            Heart::awaited(&mut node.machine, applied, Level::Written);
        }
        let job = Heart::take_job(&mut node.machine, hand, now);
        let some = job.is_some();
        self.taken.extend(job);
        some
    }

    /// A sync that was taken is under way. What is done before it is performed overtakes it.
    fn begin_sync(&mut self) {
        let is_taken = self.taken.iter().any(|job| matches!(job, Job::Sync { .. }));
        if let Some(node) = self.node.as_ref().filter(|_| is_taken) {
            node.journal.begin_sync();
        }
    }

    /// Does a job. I9: one in which a sync fails is not reported as done, nor is any that comes after it and was to write or to
    /// sync.
    pub(crate) fn perform(&mut self, at: usize) -> Checked {
        let Some(node) = &self.node else { return Ok(()) };
        let job = self.taken.remove(at);
        if matches!(job, Job::Sync { .. }) && node.journal.is_overtaken() {
            self.counts.fault("F18 slow sync, overtaken by a rotation");
        }
        let (kind, failed_before) = (kind_of(&job), self.armed.sync_failed);
        self.disk.trace(self.armed.may_fail);
        let outcome = perform(&node.journal, job);
        let trace = if self.armed.may_fail { self.disk.take_trace() } else { Vec::new() };
        let fails = trace.iter().any(counts_and_fails);
        self.armed.sync_failed |= fails;
        self.armed.reverts |= self.armed.may_revert && trace.iter().any(is_failed_sync);
        let is_ok = outcome.result.is_ok();
        // Healing goes on in other files, and a log that has ended wants no spare.
        let over = failed_before && !matches!(outcome.job, Job::Spare | Job::Heal { .. });
        self.hash.add(u64::from(is_ok) << 8 | kind);
        self.done.push(outcome);
        self.must(!is_ok || !(fails || over), Invariant::I9, || {
            format!("a sync failed, and a job of kind {kind} was reported as done")
        })
    }

    pub(crate) fn report(&mut self, at: usize) {
        let now = self.now();
        let Some(node) = &mut self.node else { return };
        let outcome: Outcome = self.done.remove(at);
        Heart::report(&mut node.machine, outcome, now);
    }

    /// Everybody comes back.
    fn return_all(&mut self) -> Checked {
        while !self.taken.is_empty() {
            self.perform(0)?;
        }
        while !self.done.is_empty() {
            self.report(0);
            self.settle()?;
        }
        Ok(())
    }

    fn work(&mut self, hand: Hand) -> Checked {
        self.return_all()?;
        // A log that offers the same job for ever would keep us here.
        for _ in 0..1_000 {
            if !self.take(hand) {
                return Ok(());
            }
            self.return_all()?;
        }
        Err(self.violation(Invariant::Machine, "the log always offers another job"))
    }

    pub(crate) fn flush(&mut self) -> Checked {
        self.work(Hand::Log)
    }

    pub(crate) fn keep(&mut self) -> Checked {
        self.work(Hand::Keep)
    }

    /// What waits, a MARK and its sync, and the word to META that comes behind one with CLEAN.
    pub(crate) fn finish_jobs(&mut self) -> Checked {
        self.flush()?;
        self.keep()?;
        self.flush()?;
        self.keep()
    }

    pub(crate) fn turn(&mut self) {
        let (now, waiting) = (self.now(), self.channel.len());
        if let Some(node) = &mut self.node {
            let turn = node.machine.advance(&now, waiting);
            self.hash.add(turn.sleep_ns);
        }
    }

    /// After a failure everybody comes back, and the log is continued in another file, if the disk lets it.
    pub(crate) fn heal(&mut self) -> Checked {
        if self.failure().is_none() {
            return Ok(());
        }
        self.return_all()?;
        let applied = self.applied();
        let Some(node) = &mut self.node else { return Ok(()) };
        let job = match node.machine.begin_heal() {
            Ok(job) => job,
            // More was applied since than the buffer holds.
            Err(HealRefused::Beyond(_)) => return Ok(()),
            Err(other) => {
                return Err(self.violation(Invariant::Machine, format!("not to be healed: {other:?}")));
            }
        };
        // Timers go on meanwhile.
        self.turn();
        self.taken.push(job);
        self.perform(0)?;
        self.report(0);
        let Some(node) = &mut self.node else { return Ok(()) };
        let healed = node.machine.take_healed();
        let durable = node.machine.positions().durable;
        let goes_on = self.failure().is_none();
        self.must(goes_on == healed.is_ok(), Invariant::Machine, || "healed and failed at once".into())?;
        if healed.is_err() && self.armed.halted {
            self.counts.row("heal: cut short");
        }
        if healed.is_ok() {
            self.counts.heals += 1;
            (self.armed.sync_failed, self.armed.reverts) = (false, false);
            self.must(durable >= applied.0, Invariant::I1, || {
                format!("healed to {durable} and applied is {applied}")
            })?;
        }
        self.settle()
    }

    /// In order: intake is closed, what nobody received is taken back, what is held may end, all is written and marked.
    fn shutdown(&mut self, completes: bool, off_ms: u32) -> Checked {
        let now = self.now();
        let Some(node) = &mut self.node else { return Ok(()) };
        node.machine.close_intake();
        self.channel.clear();
        while completes && !self.held.is_empty() {
            let before = self.held.len();
            self.complete(0, 0)?;
            if self.held.len() == before {
                break;
            }
        }
        self.return_all()?;
        // What finds no room now never will.
        self.armed.may_fail |= self.armed.full;
        let Some(node) = &mut self.node else { return Ok(()) };
        let applied = node.machine.close(&now);
        self.settle()?;
        self.finish_jobs()?;
        let is_durable = self.positions().durable >= applied.0;
        let failed = self.failure().is_some();
        self.must(is_durable || failed, Invariant::I1, || {
            "a shutdown left records that are not durable".into()
        })?;
        self.counts.fault("shutdown in order");
        self.close(off_ms, !failed)
    }

    pub(crate) fn pass(&mut self, by: u32) {
        self.clock.pass(ms(by));
        self.civil_ns_max = self.civil_ns_max.max(self.clock.wall_ns());
    }

    /// F19.
    pub(crate) fn move_clock(&mut self, step: Step) {
        match step {
            Step::Pass { ms: by } => {
                if self.taken.iter().any(|job| matches!(job, Job::Sync { .. })) && by >= 1_000 {
                    self.counts.fault("F18 slow sync");
                }
                self.clock.pass(ms(by));
            }
            Step::Suspend { ms: by } => {
                self.counts.fault("F19 suspend");
                self.clock.suspend(ms(by));
            }
            Step::WallOn { ms: by } => {
                self.counts.fault("F19 wall clock set forward");
                self.clock.set_wall_forward(ms(by));
            }
            Step::WallBack { ms: by } => {
                self.counts.fault("F19 wall clock set back");
                self.clock.set_wall_back(ms(by));
                self.model.clock_set_back();
            }
            _ => {}
        }
        self.civil_ns_max = self.civil_ns_max.max(self.clock.wall_ns());
    }
}

fn kind_of(job: &Job) -> u64 {
    match job {
        Job::Write { .. } => 1,
        Job::Sync { .. } => 2,
        Job::Mark { .. } => 3,
        Job::Witness { .. } => 4,
        Job::Spare => 5,
        Job::Heal { .. } => 6,
        Job::Snapshot(_) => 7,
    }
}

fn is_failed_sync(line: &Traced) -> bool {
    matches!(line.op, Op::Sync | Op::SyncDir) && !line.outcome.starts_with("ok")
}

/// A failed sync of a file that is not still being made: such a one is given up, and no harm is done.
fn counts_and_fails(line: &Traced) -> bool {
    is_failed_sync(line) && !line.name.ends_with(".tmp")
}
