//! Forks of an image that are damaged.

use std::sync::Arc;

use horolog_recovery::recover;
use horolog_sim::SimDisk;
use horolog_state::Lsn;

use super::super::Node;
use super::super::anatomy::{Anatomy, Must};
use super::super::faults::{Armed, Lie};
use super::super::node::NotOpened;
use super::super::second_reader::Place;
use super::super::verdict::{Checked, Invariant};
use super::super::world::World;
use super::Promise;
use crate::shell::{Hand, Heart};

impl World {
    /// F7, F16, F17, F22. I14: what nothing hangs on is survived, what is needed is refused, and whatever is read is no less than
    /// what is left of the proof; a second reader says the same, and if it is refused the same place.
    pub(super) fn damage(&mut self, armed: &Armed, known: Lsn) -> Checked<Lsn> {
        if armed.damages.is_empty() || armed.lied != Lie::No {
            return Ok(known);
        }
        let fork = Arc::new(self.disk.process_kill());
        let foreign = self.foreign();
        let mut done = Vec::new();
        for damage in &armed.damages {
            let before = fork.image_hash();
            let one = damage.apply(&fork, &self.past, &foreign).filter(|_| fork.image_hash() != before);
            one.iter().for_each(|one| self.counts.fault(one.class));
            done.extend(one);
        }
        let Some(first) = done.first() else { return Ok(known) };
        let disk = Arc::clone(&self.disk);
        let Ok(intact) = recover(&*disk, &self.sizes.log) else { return Ok(known) };
        let must = Anatomy::of(&intact).must(&disk, &fork);
        let intact_valid = intact.report.valid;
        let exact = (must == Must::Open).then_some(intact_valid);
        let several = done.len() > 1 || self.scarred;
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
            Err(NotOpened::Write(_)) => true,
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
        let opened = Node::open(&disk, self.sizes.machine, &self.sizes.log, self.times());
        if let Ok((mut node, _)) = opened {
            let now = node.timelines.now(self.times());
            while let Some(job) = Heart::take_job(&mut node.machine, Hand::Log, now) {
                node.finish(job, now);
            }
        }
        disk
    }
}
