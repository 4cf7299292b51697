//! A list of steps from beginning to end.

use horolog_state::TimerId;

use super::print::Print;
use super::step::Step;
use super::verdict::{Checked, Counts, Invariant, Violation};
use super::world::World;

/// So many rounds bring everything to its end.
const ROUNDS_MAX: u32 = 300;

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) counts: Counts,
    pub(crate) hash: Print,
}

/// Runs the steps, then lets everything that is left come and be completed.
pub(crate) fn run(steps: &[Step]) -> Checked<Run> {
    let first = steps.first().copied().unwrap_or(Step::Pass { ms: 0 });
    let mut world = World::new(first)?;
    for (at, step) in steps.iter().enumerate() {
        world.step = at;
        world.counts.steps += 1;
        world.take_step(*step)?;
        world.settle()?;
    }
    world.step = steps.len();
    world.drain()?;
    world.count_effects();
    Ok(Run { counts: world.counts, hash: world.hash })
}

/// The same twice; whatever differs is chance that nobody ordered.
pub(crate) fn run_twice(steps: &[Step]) -> Checked<Run> {
    let mut one = run(steps)?;
    let two = run(steps)?;
    one.counts.check(Invariant::Determinism);
    if one.hash == two.hash {
        return Ok(one);
    }
    let what = format!("{:x}, and again {:x}", one.hash.number(), two.hash.number());
    Err(Box::new(Violation { invariant: Invariant::Determinism, what, step: steps.len() }))
}

impl World {
    fn take_step(&mut self, step: Step) -> Checked {
        match step {
            Step::World { .. } => Ok(()),
            Step::After { .. }
            | Step::At { .. }
            | Step::Extreme { .. }
            | Step::Keyed { .. }
            | Step::Every { .. }
            | Step::Crafted { .. }
            | Step::Cancel { .. }
            | Step::Reschedule { .. }
            | Step::Batch { .. }
            | Step::Receive {}
            | Step::Complete { .. }
            | Step::Fail { .. }
            | Step::Drop { .. } => self.command(step),
            Step::Take { .. }
            | Step::Begin {}
            | Step::Perform { .. }
            | Step::Report { .. }
            | Step::Flush {}
            | Step::Keep {}
            | Step::Turn {}
            | Step::Heal {}
            | Step::Shutdown { .. } => self.hand(step),
            Step::Pass { .. } | Step::Suspend { .. } | Step::WallOn { .. } | Step::WallBack { .. } => {
                self.move_clock(step);
                Ok(())
            }
            Step::WriteBack { of_eight, roll } => {
                let mut rng = horolog_sim::Rng::new(roll.into());
                self.disk.write_back(&mut |_| rng.below(8) < of_eight.into());
                Ok(())
            }
            Step::Look {} => self.look(),
            Step::Second {} => self.second_opener(),
            Step::Crash { .. } => self.crash(step),
            Step::Space {} => self.make_space(),
            Step::FailWrite { .. }
            | Step::FailSync { .. }
            | Step::FailName { .. }
            | Step::LoseWrite { .. }
            | Step::StrayWrite { .. }
            | Step::Capacity { .. }
            | Step::Halt { .. } => self.order(step),
            Step::CutOpening { .. }
            | Step::Unreadable { .. }
            | Step::WrongRead { .. }
            | Step::FailOpening { .. }
            | Step::Locked { .. }
            | Step::Damage { .. } => {
                self.arm(step);
                Ok(())
            }
        }
    }

    /// I3: everything that is left comes due and is completed. Nothing is lost. I10: by itself, once there is room.
    fn drain(&mut self) -> Checked {
        self.make_space()?;
        self.disk.clear_faults();
        if self.armed.halted || self.failure().is_some() {
            self.restart()?;
        }
        self.model.begin_to_end();
        for round in 0..ROUNDS_MAX {
            if self.failure().is_some() {
                self.heal()?;
            }
            if self.failure().is_some() {
                self.restart()?;
            }
            self.pass(if round < 40 { 500 } else { 60_000 });
            let now = self.now();
            if let Some(node) = &self.node {
                self.model.owe(node.machine.state(), &now);
            }
            self.turn();
            self.settle()?;
            self.finish_jobs()?;
            while !self.channel.is_empty() {
                self.receive()?;
            }
            for held in (0..self.held.len()).rev() {
                self.complete(u32::try_from(held).unwrap_or(0), 0)?;
            }
            self.settle()?;
            if self.is_drained() {
                return self.end_well();
            }
        }
        let left = self.left();
        Err(self.violation(Invariant::I3, format!("these never come: {left:?}")))
    }

    fn is_drained(&self) -> bool {
        self.left().is_empty()
    }

    fn left(&self) -> Vec<TimerId> {
        self.node.as_ref().map_or_else(Vec::new, |node| self.model.left(node.machine.state()))
    }

    /// The state in memory is what callers know, and so is what an opening finds.
    fn end_well(&mut self) -> Checked {
        self.finish_jobs()?;
        let found = self.node.as_ref().map_or(Ok(()), |node| self.model.agrees(node.machine.state()));
        self.agree(Invariant::I1, found)?;
        self.restart()
    }
}
