//! Damage to a log that is at rest: everything that was proven durable is there, or the directory is refused.
//!
//! What the undamaged directory proves is D. Damage may take what lies behind D (the window of `docs/durability.md`), and
//! never in silence what lies before it.

use horolog_sim::{Fate, Fault, SimDisk, Trigger};
use horolog_storage::Op;
use horolog_wal::BLOCK_LEN;

use super::Enumeration;
use super::ledger::{Breach, Ledger};
use super::operation::Operation;
use super::process::Life;
use super::reading::{Reading, Times, read};
use super::report::{Verdicts, Violation};

const SECTOR: usize = horolog_sim::SECTOR_LEN;

/// Damages what a sequence left, in every way, and judges each.
#[derive(Debug)]
pub(super) struct Damage<'a> {
    plan: &'a Enumeration,
    pub(super) verdicts: Verdicts,
}

/// A log at rest.
#[derive(Debug)]
struct Rest {
    disk: SimDisk,
    ledger: Ledger,
    reading: Reading,
}

impl<'a> Damage<'a> {
    pub(super) fn new(plan: &'a Enumeration) -> Self {
        Self { plan, verdicts: Verdicts::default() }
    }

    pub(super) fn sequence(&mut self, sequence: &[Operation]) -> Result<(), Box<Violation>> {
        let traced = self.plan.disk();
        traced.trace(true);
        let Life { disk, ledger, .. } = self.plan.live_on(traced, sequence, false)?;
        let writes = disk.take_trace().iter().filter(|line| line.op == Op::Write).count();
        let disk = disk.crash(&mut |_| Fate::Applied);
        let reading = read(&disk, &ledger, Times::Twice)?;
        let rest = Rest { disk, ledger, reading };
        for (name, _) in rest.disk.files() {
            self.rot(&rest, &name)?;
        }
        (0..writes as u64).try_for_each(|nth| self.lose_write(&rest, sequence, nth))
    }

    /// One bit of each sector that holds data (or of each of its bytes), and each block that does, zeroed.
    fn rot(&mut self, rest: &Rest, name: &str) -> Result<(), Box<Violation>> {
        let bytes = rest.disk.bytes(name).unwrap_or_default();
        for (sector, data) in bytes.chunks(SECTOR).enumerate() {
            let Some(first) = data.iter().position(|byte| *byte != 0) else { continue };
            let places = if self.plan.every_byte { 0..data.len() } else { first..first + 1 };
            for place in places {
                let offset = (sector * SECTOR + place) as u64;
                let disk = rest.disk.fork();
                disk.flip(name, offset, 1 << (offset % 8));
                self.judge(rest, &disk)
                    .map_err(|it| it.before(|| format!("a bit of {name} at {offset} is flipped")))?;
            }
        }
        let block_len = BLOCK_LEN as usize;
        for (block, _) in
            bytes.chunks(block_len).enumerate().filter(|(_, block)| block.iter().any(|it| *it != 0))
        {
            let mut zeroed = bytes.clone();
            zeroed.iter_mut().skip(block * block_len).take(block_len).for_each(|byte| *byte = 0);
            let disk = rest.disk.fork();
            disk.put(name, &zeroed);
            self.judge(rest, &disk).map_err(|it| it.before(|| format!("block {block} of {name} is zero")))?;
        }
        Ok(())
    }

    /// The same sequence, in which one write is reported and never happens.
    fn lose_write(&mut self, rest: &Rest, sequence: &[Operation], nth: u64) -> Result<(), Box<Violation>> {
        let disk = self.plan.disk();
        disk.inject(Fault::LostWrite, Trigger::after(nth));
        let told = |it: Box<Violation>| it.before(|| format!("write {nth} is lost"));
        match self.plan.live_on(disk, sequence, false) {
            // An opening in the midst of the sequence has noticed it.
            Err(breach) if breach.refused => self.verdicts.refused += 1,
            Err(breach) => return Err(told(breach.into())),
            Ok(life) => self.judge(rest, &life.disk.crash(&mut |_| Fate::Applied)).map_err(told)?,
        }
        Ok(())
    }

    fn judge(&mut self, rest: &Rest, disk: &SimDisk) -> Result<(), Box<Violation>> {
        match read(disk, &rest.ledger, Times::Once) {
            Err(breach) if breach.refused => self.verdicts.refused += 1,
            Err(breach) => return Err(breach.into()),
            Ok(reading) if reading.valid() < rest.reading.proven() => {
                let what =
                    format_args!("{} is proven, and {} is read", rest.reading.proven(), reading.valid());
                return Err(Breach::of("D", what).into());
            }
            Ok(reading) => {
                rest.ledger.check(reading.valid(), reading.fingerprint)?;
                self.verdicts.right += 1;
            }
        }
        Ok(())
    }
}
