//! Damage to a log that is at rest: everything that was proven durable is there, or the directory is refused.
//!
//! What the undamaged directory proves is D. Damage may take what lies behind D (the window of `docs/durability.md`), and
//! never in silence what lies before it. Where nothing or everything hangs on a byte ([`Anatomy`]), opening it with
//! everything or refusing it is demanded. Where what is left decides, and where a block is zero or a write is lost, a second
//! reader has to say the same.

use std::sync::Arc;

use horolog_recovery::recover;
use horolog_sim::{Fate, Fault, SimDisk, Trigger};
use horolog_storage::Op;
use horolog_wal::BLOCK_LEN;

use super::super::anatomy::{Anatomy, Must};
use super::super::second_reader::{Place, agrees};
use super::Enumeration;
use super::ledger::{Breach, Ledger};
use super::operation::Operation;
use super::process::{Life, log_options};
use super::reading::{Reading, Times, read};
use super::report::{Came, Matrix, Violation};

const SECTOR: usize = horolog_sim::SECTOR_LEN;
const BLOCK: usize = BLOCK_LEN as usize;

/// Damages what a sequence left, in every way, and judges each.
#[derive(Debug)]
pub(super) struct Damage<'a> {
    plan: &'a Enumeration,
    pub(super) matrix: Matrix,
}

/// A log at rest.
#[derive(Debug)]
struct Rest {
    disk: SimDisk,
    ledger: Ledger,
    reading: Reading,
    anatomy: Anatomy,
}

impl Rest {
    fn of(disk: SimDisk, ledger: Ledger) -> Result<Self, Breach> {
        let reading = read(&disk, &ledger, Times::Twice)?;
        let found = recover(&disk, &log_options());
        agrees(&disk, &found, Place::Any).map_err(|differ| Breach::of("two readers", differ))?;
        let found = found.map_err(|error| Breach::refused("I14", error))?;
        let anatomy = Anatomy::of(&found);
        Ok(Self { disk, ledger, reading, anatomy })
    }
}

impl<'a> Damage<'a> {
    pub(super) fn new(plan: &'a Enumeration) -> Self {
        Self { plan, matrix: Matrix::default() }
    }

    pub(super) fn sequence(&mut self, sequence: &[Operation]) -> Result<(), Box<Violation>> {
        let traced = self.plan.disk();
        traced.trace(true);
        let Life { disk, ledger, .. } = self.plan.live_on(traced, sequence, false)?;
        let writes = disk.take_trace().iter().filter(|line| line.op == Op::Write).count();
        let disk = disk.crash(&mut |_| Fate::Applied);
        let rest = Rest::of(disk, ledger)?;
        for (name, _) in rest.disk.files() {
            self.rot(&rest, &name)?;
        }
        (0..writes as u64).try_for_each(|nth| self.lose_write(&rest, sequence, nth))
    }

    /// One bit of each sector that holds data (or of each of its bytes), one at the end of each block that does, and each
    /// such block, zeroed.
    fn rot(&mut self, rest: &Rest, name: &str) -> Result<(), Box<Violation>> {
        let bytes = rest.disk.bytes(name).unwrap_or_default();
        for (sector, data) in bytes.chunks(SECTOR).enumerate() {
            let Some(first) = data.iter().position(|byte| *byte != 0) else { continue };
            let places = if self.plan.every_byte { 0..data.len() } else { first..first + 1 };
            places.into_iter().try_for_each(|place| self.flip(rest, name, sector * SECTOR + place))?;
        }
        let blocks = bytes.chunks(BLOCK).enumerate();
        for (block, data) in blocks.filter(|(_, data)| data.iter().any(|byte| *byte != 0)) {
            self.flip(rest, name, block * BLOCK + data.len() - 1)?;
            let mut zeroed = bytes.clone();
            zeroed.iter_mut().skip(block * BLOCK).take(BLOCK).for_each(|byte| *byte = 0);
            let disk = rest.disk.fork();
            disk.put(name, &zeroed);
            let must = rest.anatomy.must(&rest.disk, &disk);
            let judged = self.judge(rest, &disk, must).and_then(|()| second(&disk));
            judged.map_err(|it| it.before(|| format!("block {block} of {name} is zero")))?;
        }
        Ok(())
    }

    fn flip(&mut self, rest: &Rest, name: &str, offset: usize) -> Result<(), Box<Violation>> {
        let disk = rest.disk.fork();
        disk.flip(name, offset as u64, 1 << (offset % 8));
        self.judge(rest, &disk, rest.anatomy.must_of_byte(name, offset))
            .map_err(|it| it.before(|| format!("a bit of {name} at {offset} is flipped")))
    }

    /// The same sequence, in which one write is reported and never happens.
    fn lose_write(&mut self, rest: &Rest, sequence: &[Operation], nth: u64) -> Result<(), Box<Violation>> {
        let disk = self.plan.disk();
        disk.inject(Fault::LostWrite, Trigger::after(nth));
        let judged = match self.plan.live_on(Arc::clone(&disk), sequence, false) {
            Err(breach) if breach.refused => self.refused_midway(&disk),
            Err(breach) => Err(breach.into()),
            // What is written may hang on what is read on the way: this run has a ledger of its own.
            Ok(Life { disk, ledger, .. }) => {
                let proven = rest.reading.proven().min(ledger.last());
                let disk = disk.crash(&mut |_| Fate::Applied);
                let came = came_of(&disk, &ledger, proven);
                self.verdict(&disk, Must::Either, came)
            }
        };
        judged.map_err(|it| it.before(|| format!("write {nth} is lost")))
    }

    /// An opening or a reader in the midst of a sequence refused the directory: rightly, if a second reader does.
    fn refused_midway(&mut self, disk: &SimDisk) -> Result<(), Box<Violation>> {
        let came = match recover(disk, &log_options()) {
            Ok(found) => Err(Breach::of("I15", format_args!("refused, and read to {}", found.report.valid))),
            Err(error) => Err(Breach::refused("I14", error)),
        };
        self.verdict(disk, Must::Either, came)
    }

    fn judge(&mut self, rest: &Rest, disk: &SimDisk, must: Must) -> Result<(), Box<Violation>> {
        let came = came_of(disk, &rest.ledger, rest.reading.proven());
        let all = rest.reading.valid();
        let came = came.and_then(|valid| match must {
            Must::Open if valid != all => {
                Err(Breach::of("V", format_args!("nothing hangs on it, and {valid} of {all} is read")))
            }
            _ => Ok(valid),
        });
        self.verdict(disk, must, came)
    }

    /// Counts what came of it and says whether it may.
    fn verdict(
        &mut self,
        disk: &SimDisk,
        must: Must,
        came: Result<u64, Breach>,
    ) -> Result<(), Box<Violation>> {
        let (came, breach) = match came {
            Ok(_) => (Came::Right, None),
            Err(breach) if breach.refused => (Came::Refused, Some(breach)),
            Err(breach) => (Came::Wrong, Some(breach)),
        };
        self.matrix.count(must, came);
        match (must, came, breach) {
            (Must::Refuse, Came::Right, _) => {
                Err(Breach::of("V", "it is not what was written, and nobody has noticed").into())
            }
            (Must::Open, _, Some(breach)) | (_, Came::Wrong, Some(breach)) => Err(breach.into()),
            (Must::Either, ..) => second(disk),
            _ => Ok(()),
        }
    }
}

/// How far it is read, if that is what was written and all that was proven.
fn came_of(disk: &SimDisk, ledger: &Ledger, proven: u64) -> Result<u64, Breach> {
    let reading = read(disk, ledger, Times::Once)?;
    let valid = reading.valid();
    if valid < proven {
        return Err(Breach::of("D", format_args!("{proven} is proven, and {valid} is read")));
    }
    ledger.check(valid, reading.fingerprint)?;
    Ok(valid)
}

/// Two readers say the same.
fn second(disk: &SimDisk) -> Result<(), Box<Violation>> {
    let read = recover(disk, &log_options());
    agrees(disk, &read, Place::Any).map_err(|differ| Breach::of("two readers", differ).into())
}
