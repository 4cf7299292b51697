//! Forks of an image that are read through a bad disk, and a lock that somebody else has.

use std::sync::Arc;

use horolog_sim::{Fault, Pattern, Trigger};
use horolog_state::Lsn;
use horolog_storage::{LOCK_FILE, Storage};
use horolog_wal::LogError;

use super::super::Node;
use super::super::evidence::{is_unlisted, proven};
use super::super::faults::{Armed, OpeningFault, file_name};
use super::super::node::NotOpened;
use super::super::print::Print;
use super::super::verdict::{Checked, Invariant};
use super::super::world::World;
use super::is_io;

impl World {
    /// F8, F11, F20: forks that are read through a bad disk, and a lock that somebody else has.
    pub(super) fn probe(&mut self, armed: &Armed, known: Lsn) -> Checked {
        for fault in &armed.opening {
            match *fault {
                OpeningFault::Unreadable { file, block, blocks } => {
                    self.probe_unreadable(file, block, blocks, known)?
                }
                OpeningFault::WrongRead { stale, after, file, block } => {
                    self.probe_wrong_read(stale, after, file, block)?;
                }
                OpeningFault::Locked { tries } => self.probe_lock(tries)?,
                OpeningFault::Refused { .. } => {}
            }
        }
        Ok(())
    }

    /// I14 for F8: an error of the disk, or all that is there; never less.
    fn probe_unreadable(&mut self, file: u32, block: u32, blocks: u32, known: Lsn) -> Checked {
        let fork = Arc::new(self.disk.process_kill());
        let Some(name) = file_name(&fork, file) else { return Ok(()) };
        self.counts.states += 1;
        let from = u64::from(block % 64) * 4096;
        fork.make_unreadable(&name, from..from + 4096 * (1 + u64::from(blocks % 4)));
        let times = self.times();
        let opened = Node::open(&fork, self.sizes.machine, &self.sizes.log, times);
        let well = match &opened {
            Ok((_, state)) => state.applied() == known,
            Err(NotOpened::Read(error)) => is_io(error),
            Err(NotOpened::Write(error)) => matches!(error, LogError::Storage(_)),
        };
        self.counts.verdict(if opened.is_ok() { "unreadable: not needed" } else { "unreadable: an error" });
        self.must(well, Invariant::I14, || {
            format!(
                "an unreadable block of {name} was taken for something else: {:?}",
                opened.map(|it| it.1.applied())
            )
        })
    }

    /// I14 for F11: what other files prove is still there, or the opening is refused.
    fn probe_wrong_read(&mut self, stale: bool, after: u32, file: u32, block: u32) -> Checked {
        let fork = Arc::new(self.disk.process_kill());
        let (Some(name), Some(other)) = (file_name(&fork, file), file_name(&fork, block)) else {
            return Ok(());
        };
        self.counts.states += 1;
        let offset = u64::from(block % 16) * 4096;
        let fault = if stale { Fault::StaleRead } else { Fault::MisdirectedRead { name: other, offset } };
        fork.inject(fault, Trigger::after(u64::from(after % 4)).on(Pattern::is(&name)));
        // What this file proves was perhaps not to be seen.
        let proven = proven(&fork, &|it| it == name || (self.scarred && is_unlisted(&fork, it)));
        let opened = Node::open(&fork, self.sizes.machine, &self.sizes.log, self.times());
        let Ok((node, state)) = opened else {
            self.counts.verdict("wrong read: refused");
            return Ok(());
        };
        drop(node);
        self.counts.verdict("wrong read: opened, and nothing proves more");
        let (valid, print) = (state.applied(), Print::of(&state));
        let whole = self.prints.get(&valid.0).map_or(valid == Lsn::ZERO, |it| *it == print);
        self.must(whole, Invariant::I2, || {
            format!("through a wrong read the state at {valid} is none that ever was")
        })?;
        let enough = valid.0 >= proven;
        self.must(enough, Invariant::I14, || {
            format!("through a wrong read {valid} was read, and {proven} is proven")
        })
    }

    /// F20: one winner; who dies with the lock does not keep it.
    fn probe_lock(&mut self, tries: u32) -> Checked {
        let fork = self.disk.process_kill();
        let dies = tries > 0;
        fork.lock_elsewhere(77, dies.then_some(u64::from(tries % 6)));
        let files = || fork.files().into_iter().filter(|(name, _)| name != LOCK_FILE).collect::<Vec<_>>();
        let before = files();
        let locked = fork.lock();
        if !tries.is_multiple_of(6) && locked.is_ok() {
            self.counts.fault("F20 who had the lock has died");
        }
        self.must(locked.is_ok() == dies, Invariant::I14, || {
            format!("the lock of another process: {locked:?}")
        })?;
        self.must(files() == before, Invariant::I11, || "who is locked out changed something".into())
    }
}
