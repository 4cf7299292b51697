//! Faults that are ordered from the disk, and what is kept for the next crash.

use horolog_sim::{Errno, Fault, Pattern, SimDisk, SyncFailure, Trigger};
use horolog_storage::Op;

use super::damage::Damage;
use super::step::Step;
use super::verdict::{Checked, Invariant};
use super::world::World;

/// What was ordered and has an effect later.
#[derive(Debug, Default)]
pub(crate) struct Armed {
    /// Something was ordered that may end the log.
    pub(crate) may_fail: bool,
    /// The disk may be full.
    pub(crate) full: bool,
    /// A sync failed; the log was neither healed nor opened since.
    pub(crate) sync_failed: bool,
    /// A sync that fails may take bytes out of the page cache.
    pub(crate) may_revert: bool,
    /// One has, or will.
    pub(crate) reverts: bool,
    /// The disk said yes and did not: what is proven durable may be gone, which has to be noticed.
    pub(crate) lied: Lie,
    /// The machine stops: nothing more is promised.
    pub(crate) halted: bool,
    /// The next openings that are cut short, like everything with them.
    pub(crate) cuts: Vec<Cut>,
    /// Faults of the next opening.
    pub(crate) opening: Vec<OpeningFault>,
    pub(crate) damages: Vec<Damage>,
}

/// How the disk lied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lie {
    #[default]
    No,
    /// A write did not go where it should: everybody sees the same.
    Written,
    /// A sync did nothing: programs see what a power cut takes.
    Synced,
}

/// An opening that does not end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) changes: u32,
    pub(crate) cut: u32,
    pub(crate) roll: u32,
}

/// What an opening meets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OpeningFault {
    /// F8.
    Unreadable { file: u32, block: u32, blocks: u32 },
    /// F11.
    WrongRead { stale: bool, after: u32, file: u32, block: u32 },
    /// F12, F13, F15, F21.
    Refused { op: u32, after: u32, errno: u32, times: u32 },
    /// F20.
    Locked { tries: u32 },
}

const ERRNOS: [Errno; 8] = [
    Errno::Io,
    Errno::TooManyOpen,
    Errno::NoAccess,
    Errno::ReadOnly,
    Errno::NotFound,
    Errno::Full,
    Errno::Quota,
    Errno::TooLarge,
];

const NAME_OPS: [Op; 6] = [Op::Create, Op::Open, Op::Rename, Op::Remove, Op::SyncDir, Op::Entropy];

const OPENING_OPS: [Op; 10] = [
    Op::Read,
    Op::Open,
    Op::List,
    Op::Len,
    Op::Create,
    Op::Write,
    Op::Sync,
    Op::Rename,
    Op::SyncDir,
    Op::Remove,
];

pub(crate) fn pick<T: Clone>(from: &[T], nth: u32) -> Option<T> {
    from.get((nth as usize).checked_rem(from.len())?).cloned()
}

/// The errno that a step names.
pub(crate) fn errno_of(nth: u32) -> Option<Errno> {
    pick(&ERRNOS, nth)
}

/// Which files: all, META, segments.
fn names(file: u32) -> Pattern {
    match file % 3 {
        0 => Pattern::Any,
        1 => Pattern::is("META"),
        _ => Pattern::ends(".wal"),
    }
}

/// The name of a file of the log, by index.
pub(crate) fn file_name(disk: &SimDisk, nth: u32) -> Option<String> {
    let names: Vec<_> =
        disk.files().into_iter().map(|(name, _)| name).filter(|name| name != "LOCK").collect();
    pick(&names, nth)
}

impl World {
    /// Orders a fault of the running machine.
    pub(crate) fn order(&mut self, step: Step) -> Checked {
        match step {
            Step::FailWrite { after, errno, bytes, file } => self.fail_write(after, errno, bytes, file),
            Step::FailSync { after, how, delay, file } => self.fail_sync(after, how, delay, file),
            Step::FailName { op, after, errno, times } => self.fail_name(op, after, errno, times),
            Step::LoseWrite { after, file } => {
                self.armed.lied = self.armed.lied.max(Lie::Written);
                self.armed.may_fail = true;
                self.disk.inject(Fault::LostWrite, Trigger::after(after.into()).on(names(file)));
            }
            Step::StrayWrite { after, file, block } => {
                let Some(name) = file_name(&self.disk, file) else { return Ok(()) };
                self.armed.lied = self.armed.lied.max(Lie::Written);
                self.armed.may_fail = true;
                let offset = u64::from(block % 64) * 4096;
                let fault = Fault::MisdirectedWrite { name, offset };
                self.disk.inject(fault, Trigger::after(after.into()));
            }
            Step::Capacity { kib } => {
                self.armed.full = true;
                self.disk.set_capacity_bytes(Some(self.disk.used_bytes() + (u64::from(kib) << 10)));
            }
            Step::Halt { changes } => {
                (self.armed.may_fail, self.armed.halted) = (true, true);
                self.disk.halt_after(changes.into());
            }
            _ => {}
        }
        Ok(())
    }

    fn fail_write(&mut self, after: u32, errno: u32, bytes: u32, file: u32) {
        let Some(errno) = errno_of(errno) else { return };
        self.armed.may_fail = true;
        self.armed.full |= is_no_room(errno);
        let fault = match bytes {
            0 => Fault::Refused(Op::Write, errno),
            _ => Fault::ShortWrite { bytes: bytes.into(), errno },
        };
        self.disk.inject(fault, Trigger::after(after.into()).on(names(file)));
    }

    fn fail_sync(&mut self, after: u32, how: u32, delay: u32, file: u32) {
        let failure = match how % 4 {
            0 => SyncFailure::MarkedClean,
            1 => SyncFailure::Evicted { after: delay.into() },
            2 => SyncFailure::Reverted,
            _ => SyncFailure::ToldByTheNext,
        };
        self.armed.may_fail = true;
        self.armed.may_revert |= matches!(how % 4, 1 | 2);
        if how % 4 == 3 {
            self.armed.lied = Lie::Synced;
        }
        self.disk.inject(Fault::Sync(failure), Trigger::after(after.into()).on(names(file)));
    }

    fn fail_name(&mut self, op: u32, after: u32, errno: u32, times: u32) {
        let Some((op, errno)) = pick(&NAME_OPS, op).zip(errno_of(errno)) else { return };
        // Where a segment is wanted at once and cannot be made for another reason than room, the log ends.
        let full = is_no_room(errno);
        self.armed.may_fail |= op == Op::SyncDir || !full;
        self.armed.full |= full;
        let trigger = Trigger::after(after.into()).times(u64::from(times) + 1);
        self.disk.inject(Fault::Refused(op, errno), trigger);
    }

    /// Keeps what the next crash is to meet.
    pub(crate) fn arm(&mut self, step: Step) {
        match step {
            Step::CutOpening { changes, cut, roll } if self.armed.cuts.len() < 3 => {
                self.armed.cuts.push(Cut { changes, cut, roll });
            }
            Step::Unreadable { file, block, blocks } => {
                self.armed.opening.push(OpeningFault::Unreadable { file, block, blocks });
            }
            Step::WrongRead { stale, after, file, block } => {
                self.armed.opening.push(OpeningFault::WrongRead { stale: stale > 0, after, file, block });
            }
            Step::FailOpening { op, after, errno, times } => {
                self.armed.opening.push(OpeningFault::Refused { op, after, errno, times });
            }
            Step::Locked { tries } => self.armed.opening.push(OpeningFault::Locked { tries }),
            Step::Damage { how, file, at, with, stay } if self.armed.damages.len() < 3 => {
                self.armed.damages.push(Damage { how, file, at, with, stay: stay > 0 });
            }
            _ => {}
        }
    }

    /// F14: there is room again. I10: a few seconds later new work is taken, and nobody asked for it.
    pub(crate) fn make_space(&mut self) -> Checked {
        self.disk.set_capacity_bytes(None);
        if self.armed.halted || self.failure().is_some() {
            return Ok(());
        }
        if self.armed.full && !self.armed.may_fail {
            self.disk.clear_faults();
            for _ in 0..4 {
                self.pass(3_000);
                self.finish_jobs()?;
            }
            let refused = self.is_refused_as_full();
            self.must(!refused, Invariant::I10, || {
                "there is room and new work is refused as if there were none".into()
            })?;
            self.armed.full = false;
        }
        Ok(())
    }
}

fn is_no_room(errno: Errno) -> bool {
    matches!(errno, Errno::Full | Errno::Quota | Errno::TooLarge)
}

/// A fault of an opening, ordered from its disk.
pub(crate) fn refuse(disk: &SimDisk, op: u32, after: u32, errno: u32, times: u32) -> Option<Op> {
    let op = pick(&OPENING_OPS, op)?;
    let errno = if op == Op::Read && errno % 2 == 1 { Errno::NoMemory } else { errno_of(errno)? };
    disk.inject(Fault::Refused(op, errno), Trigger::after(after.into()).times(u64::from(times) + 1));
    Some(op)
}
