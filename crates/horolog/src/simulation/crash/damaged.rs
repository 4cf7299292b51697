//! Forks of an image that are damaged.

use std::sync::Arc;

use horolog_recovery::recover;
use horolog_sim::SimDisk;
use horolog_state::{Lsn, Request, When};
use horolog_storage::Storage;

use super::super::Node;
use super::super::anatomy::{Anatomy, Must};
use super::super::damage::Others;
use super::super::faults::{Armed, Lie};
use super::super::node::NotOpened;
use super::super::second_reader::{Place, agrees};
use super::super::verdict::{Checked, Invariant};
use super::super::world::World;
use super::Promise;
use crate::shell::{Hand, Heart};
use crate::timer::Durability;

impl World {
    /// F7, F16, F17, F22. I14: what nothing hangs on is survived, what is needed is refused, and whatever is read is no less than
    /// what is left of the proof; a second reader says the same, and if it is refused the same place.
    pub(super) fn damage(&mut self, armed: &Armed, known: Lsn) -> Checked<Lsn> {
        if armed.damages.is_empty() || armed.lied != Lie::No {
            return Ok(known);
        }
        let fork = Arc::new(self.disk.process_kill());
        let (foreign, twin) = (self.foreign(), self.twin());
        let others = Others { past: &self.past, foreign: &foreign, twin: &twin };
        let mut done = Vec::new();
        for damage in &armed.damages {
            let before = fork.image_hash();
            let one = damage.apply(&fork, &others).filter(|_| fork.image_hash() != before);
            one.iter().for_each(|one| self.counts.fault(one.class));
            done.extend(one);
        }
        let Some(first) = done.first() else { return Ok(known) };
        let disk = Arc::clone(&self.disk);
        let intact = recover(&*disk, &self.sizes.log);
        let agreed = agrees(&disk, &intact, Place::Any);
        self.must(agreed.is_ok(), Invariant::I14, || agreed.err().unwrap_or_default())?;
        let Ok(intact) = intact else { return Ok(known) };
        let must = Anatomy::of(&intact).must(&disk, &fork);
        let intact_valid = intact.report.valid;
        let exact = (must == Must::Open).then_some(intact_valid);
        let several = done.len() > 1 || self.scarred || first.deceives;
        let (may_refuse, doubtful) = (must != Must::Open, Some(Place::of(&disk, &fork)));
        let found =
            self.judge(&fork, Promise { exact, may_refuse, several, doubtful, ..Promise::NOTHING })?;
        let valid = found.as_ref().map(|found| found.report.valid);
        self.must(must != Must::Refuse || valid.is_none(), Invariant::I14, || {
            format!("what is needed was damaged, and it is read to {valid:?}")
        })?;
        self.counts.verdict(match (must, valid) {
            (Must::Open, _) => "damage of nothing that is needed: opened, and everything is there",
            (Must::Refuse, _) => "damage of what is needed: refused",
            (Must::Either, None) => "damage of what something may prove: refused",
            (Must::Either, Some(valid)) if valid == intact_valid => {
                "damage of what something may prove: opened, and everything is there"
            }
            (Must::Either, Some(_)) => "damage of what something may prove: opened, and nothing proves more",
        });
        let opened =
            Node::open(&Arc::new(fork.process_kill()), self.sizes.machine, &self.sizes.log, self.times());
        let same = match &opened {
            Ok((_, state)) => valid == Some(state.applied()),
            Err(NotOpened::Read(_)) => valid.is_none(),
            // No fault is on order: what can be read can be written.
            Err(NotOpened::Write(_)) => false,
        };
        self.must(same, Invariant::I15, || {
            format!(
                "verify read to {valid:?}, and the opening: {:?}",
                opened.as_ref().map(|it| it.1.applied())
            )
        })?;
        let writable = opened.is_ok();
        match valid {
            Some(valid) if writable && done.len() == 1 && armed.damages.iter().all(|it| it.stay) => {
                self.strange |= first.strange;
                self.scarred |= first.deceives;
                if valid < known {
                    self.past.clear();
                }
                self.disk = fork;
                Ok(valid)
            }
            _ => Ok(known),
        }
    }

    /// A directory of another log.
    fn foreign(&self) -> Arc<SimDisk> {
        let disk = Arc::new(SimDisk::new(self.sizes.seed ^ 0xF0E1_6000));
        self.live_on(&disk, 0);
        disk
    }

    /// A copy of an earlier image that was opened and used: its segments have the numbers of ours and salts of their own.
    fn twin(&self) -> Arc<SimDisk> {
        let disk = Arc::new(self.past.first().unwrap_or(&self.disk).process_kill());
        // Else the copy would draw a salt of ours: more than all our openings did.
        let _ = disk.entropy(&mut [0; 4096]);
        self.live_on(&disk, 40);
        disk
    }

    /// An opening, and so many timers.
    fn live_on(&self, disk: &Arc<SimDisk>, timers: u32) {
        let opened = Node::open(disk, self.sizes.machine, &self.sizes.log, self.times());
        let Ok((mut node, _)) = opened else { return };
        let now = node.timelines.now(self.times());
        for nth in 0..=timers {
            while let Some(job) = Heart::take_job(&mut node.machine, Hand::Log, now) {
                node.finish(job, now);
            }
            if nth < timers {
                let request = Request::new(When::After { delay_ns: u128::from(nth) });
                let _ = node.machine.schedule(&request, Durability::Synced, &now);
            }
        }
    }
}
