//! Openings that do not come to their end.

use std::sync::Arc;

use horolog_sim::Errno;
use horolog_state::Lsn;
use horolog_wal::LogError;

use super::super::Node;
use super::super::faults::{Armed, Cut, Lie, OpeningFault, errno_of, refuse};
use super::super::node::NotOpened;
use super::super::rows;
use super::super::verdict::{Checked, Invariant};
use super::super::world::World;
use super::{End, Promise, is_io};

impl World {
    /// Every opening that does not come to its end. Nothing is given back where a disk that lied is refused at last.
    pub(super) fn openings(
        &mut self,
        armed: &Armed,
        mut promise: Promise,
        known: Lsn,
        is_kill: bool,
    ) -> Checked<Option<Lsn>> {
        let mut known = Some(known);
        if let (Some(last), true) = (known, armed.full) {
            known = self.open_without_room(armed, promise, last)?;
        }
        if let Some(last) = known {
            known = self.cut_openings(armed, &mut promise, last, is_kill)?;
        }
        match known {
            Some(last) => self.refused_openings(armed, promise, last),
            None => Ok(None),
        }
    }

    /// F6: openings that are cut short, in a row. What they leave says the same.
    fn cut_openings(
        &mut self,
        armed: &Armed,
        promise: &mut Promise,
        known: Lsn,
        is_kill: bool,
    ) -> Checked<Option<Lsn>> {
        let (mut known, mut settled) = (known, !is_kill);
        for (depth, cut) in armed.cuts.iter().enumerate() {
            let Cut { changes, cut, roll } = *cut;
            self.disk.halt_after(changes.into());
            let opened = Node::open(&self.disk, self.sizes.machine, &self.sizes.log, self.times());
            if let Ok((_, state)) = &opened {
                // It was shown: it stays.
                promise.durable = promise.durable.max(state.applied());
                promise.floor = promise.floor.max(state.applied());
            }
            let shown = opened.is_ok();
            drop(opened);
            if !shown {
                let depths = ["F6 opening cut short", "F6 the same, depth 2", "F6 the same, depth 3"];
                self.counts.fault(depths.get(depth).unwrap_or(&"F6"));
            }
            if cut % 3 > 0 {
                promise.floor = promise.durable;
            }
            promise.exact = (settled || shown).then_some(known).filter(|_| !promise.may_refuse);
            self.check_disk(&self.disk.clone())?;
            let end = End { cut: cut % 3, keep: roll % 9, tear: roll / 9 % 3, roll, ..End::kill() };
            self.disk = Arc::new(end.image(&self.disk, 1));
            settled |= end.cut > 0;
            let disk = Arc::clone(&self.disk);
            let Some(found) = self.judge(&disk, *promise)? else { return Ok(None) };
            rows::in_opening(self, &found, shown);
            known = found.report.valid;
        }
        Ok(Some(known))
    }

    /// F13: a sync that failed in the life before is told in this one, to an opening.
    pub(super) fn hear_of_old_errors(&mut self) -> Checked {
        for _ in 0..4 {
            let opened = Node::open(&self.disk, self.sizes.machine, &self.sizes.log, self.times());
            let told = opened.map(drop);
            let goes_on = told.is_ok();
            let well =
                matches!(told, Ok(()) | Err(NotOpened::Write(LogError::Storage(_) | LogError::Poisoned)));
            self.must(well, Invariant::I15, || {
                format!("an old error of the disk came as another: {told:?}")
            })?;
            self.check_left()?;
            self.disk = Arc::new(self.disk.process_kill());
            if goes_on {
                break;
            }
        }
        Ok(())
    }

    /// F14: an opening needs room for a segment. Without it, it says so, and what was there stays.
    fn open_without_room(&mut self, armed: &Armed, promise: Promise, known: Lsn) -> Checked<Option<Lsn>> {
        let opened = Node::open(&self.disk, self.sizes.machine, &self.sizes.log, self.times());
        let well = match &opened {
            Ok((_, state)) => state.applied() == known,
            Err(NotOpened::Read(_)) => false,
            Err(NotOpened::Write(error)) => error.is_full() || armed.lied == Lie::Synced,
        };
        let exact = opened.is_ok().then_some(known).filter(|_| !promise.may_refuse);
        let told = opened.map(|(_, state)| state.applied());
        self.must(well, Invariant::I10, || format!("an opening on a disk that may be full: {told:?}"))?;
        self.check_left()?;
        self.disk = Arc::new(self.disk.process_kill());
        self.disk.set_capacity_bytes(None);
        let disk = Arc::clone(&self.disk);
        let found = self.judge(&disk, Promise { exact, ..promise })?;
        Ok(found.map(|found| found.report.valid))
    }

    /// F12, F13, F15, F21: openings that meet an error say so, and the next one finds the old truth.
    fn refused_openings(&mut self, armed: &Armed, promise: Promise, known: Lsn) -> Checked<Option<Lsn>> {
        let mut known = known;
        for fault in &armed.opening {
            let OpeningFault::Refused { op, after, errno, times } = *fault else { continue };
            if refuse(&self.disk, op, after, errno, times).is_none() {
                continue;
            }
            let opened = Node::open(&self.disk, self.sizes.machine, &self.sizes.log, self.times());
            let well = match &opened {
                Ok(_) => true,
                // Who is told that a file is not there cannot know better.
                Err(_) if errno_of(errno) == Some(Errno::NotFound) => true,
                Err(NotOpened::Read(error)) => is_io(error),
                Err(NotOpened::Write(error)) => matches!(error, LogError::Storage(_) | LogError::Poisoned),
            };
            let shown = opened.is_ok();
            self.must(well, Invariant::I14, || {
                format!(
                    "an error of the disk was taken for something else: {:?}",
                    opened.as_ref().map(|_| ())
                )
            })?;
            drop(opened);
            let exact = shown.then_some(known).filter(|_| !promise.may_refuse);
            self.check_left()?;
            self.disk = Arc::new(self.disk.process_kill());
            let disk = Arc::clone(&self.disk);
            let Some(found) = self.judge(&disk, Promise { exact, ..promise })? else {
                return Ok(None);
            };
            known = found.report.valid;
        }
        Ok(Some(known))
    }
}
