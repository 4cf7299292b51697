//! A state from its sections.

use alloc::vec::Vec;

use horolog_wheel::{GENERATION_MAX, OccupyError, Tick, TimerId};

use super::bytes::Reader;
use super::replay::{Piece, Replay};
use super::{GLOBALS, SLOTS, tag};
use crate::codec;
use crate::lsn::Lsn;
use crate::record::ClockReading;
use crate::state::{Facts, Phase, State, Totals};
use crate::time::TickLen;

/// Why bytes are not a snapshot of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotFault {
    /// A section ends too early.
    #[error("cut short at byte {at}, where {wanted} more were expected")]
    CutShort {
        /// Where.
        at: usize,
        /// Bytes that should have been there.
        wanted: usize,
    },
    /// There are bytes behind the end of a section.
    #[error("a section ends at byte {used} of {len}")]
    TrailingBytes {
        /// Where it ended.
        used: usize,
        /// Its length.
        len: usize,
    },
    /// Terms or a dead letter cannot be read.
    #[error("what stands at byte {at} cannot be read")]
    Malformed {
        /// Where.
        at: usize,
    },
    /// A field holds what no version writes.
    #[error("the field `{field}` is {value:#x}")]
    Value {
        /// The field, as `docs/format.md` names it.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
    /// Slots are missing, or come twice.
    #[error("slot {found} comes where slot {expected} was expected")]
    Order {
        /// The slot that should have come.
        expected: u32,
        /// The one that came.
        found: u32,
    },
    /// A slot cannot have what it says.
    #[error("slot {slot}")]
    Slot {
        /// The slot.
        slot: u32,
        /// Why.
        #[source]
        source: OccupyError,
    },
    /// The last section is missing.
    #[error("the last section is missing")]
    NoGlobals,
}

/// Takes the sections of a snapshot, in order, and gives what the records behind it are put into.
///
/// ```
/// use horolog_state::{Lsn, State, snapshot::{SnapshotLoader, SnapshotWalk}};
///
/// let state = State::new();
/// let (mut walk, mut sections) = (SnapshotWalk::new(&state), Vec::new());
/// let mut section = Vec::new();
/// while walk.step(&state, &mut section) {
///     sections.push(std::mem::take(&mut section));
/// }
/// let mut loader = SnapshotLoader::new(walk.begin());
/// sections.iter().try_for_each(|section| loader.section(section))?;
/// assert_eq!(loader.finish()?.into_state().applied(), Lsn::ZERO);
/// # Ok::<(), horolog_state::snapshot::SnapshotFault>(())
/// ```
#[derive(Debug)]
pub struct SnapshotLoader {
    state: State,
    pieces: Vec<Piece>,
    next_slot: u32,
    /// The moment of the globals, once they were read: nothing comes behind them.
    end: Option<Lsn>,
}

impl SnapshotLoader {
    /// Before the first section of a snapshot that began behind `begin`.
    #[must_use]
    pub fn new(begin: Lsn) -> Self {
        let mut state = State::new();
        state.begin_behind(begin);
        Self { state, pieces: Vec::new(), next_slot: 0, end: None }
    }

    /// Reads the next section.
    ///
    /// # Errors
    ///
    /// [`SnapshotFault`]: this is not the next section of a snapshot.
    pub fn section(&mut self, section: &[u8]) -> Result<(), SnapshotFault> {
        let mut reader = Reader::new(section);
        let kind = reader.u8()?;
        reader.bytes(3)?.iter().try_for_each(|byte| expect("reserved", u64::from(*byte), *byte == 0))?;
        expect("kind", kind.into(), self.end.is_none())?;
        match kind {
            SLOTS => self.slots(&mut reader)?,
            GLOBALS => self.globals(&mut reader)?,
            other => return Err(SnapshotFault::Value { field: "kind", value: other.into() }),
        }
        reader.end()
    }

    fn slots(&mut self, reader: &mut Reader<'_>) -> Result<(), SnapshotFault> {
        let (first, count, lsn) = (reader.u32()?, reader.u32()?, Lsn(reader.u64()?));
        if first != self.next_slot {
            return Err(SnapshotFault::Order { expected: self.next_slot, found: first });
        }
        expect("lsn", lsn.0, lsn >= self.state.applied())?;
        let end = first.checked_add(count);
        let end = end.ok_or(SnapshotFault::Value { field: "count", value: count.into() })?;
        (first..end).try_for_each(|slot| self.state.load_slot(slot, reader))?;
        self.next_slot = end;
        self.pieces.push(Piece { end, lsn });
        Ok(())
    }

    fn globals(&mut self, reader: &mut Reader<'_>) -> Result<(), SnapshotFault> {
        let slots = reader.u32()?;
        if slots != self.next_slot {
            return Err(SnapshotFault::Order { expected: slots, found: self.next_slot });
        }
        let end = Lsn(reader.u64()?);
        let newest = self.pieces.iter().map(|piece| piece.lsn).max().unwrap_or(self.state.applied());
        expect("lsn", end.0, end >= newest)?;
        self.state.load_globals(reader)?;
        self.end = Some(end);
        Ok(())
    }

    /// What the records behind the snapshot's begin are put into.
    ///
    /// # Errors
    ///
    /// [`SnapshotFault::NoGlobals`] if the last section never came.
    pub fn finish(self) -> Result<Replay, SnapshotFault> {
        let end = self.end.ok_or(SnapshotFault::NoGlobals)?;
        Ok(Replay::on(self.state, self.pieces, end))
    }
}

fn expect(field: &'static str, value: u64, holds: bool) -> Result<(), SnapshotFault> {
    if holds { Ok(()) } else { Err(SnapshotFault::Value { field, value }) }
}

impl State {
    fn load_slot(&mut self, slot: u32, reader: &mut Reader<'_>) -> Result<(), SnapshotFault> {
        let bits = reader.u8()?;
        let generation = reader.u32()?;
        let phase = Phase::from_code(bits & 7).filter(|phase| *phase != Phase::Ended);
        let phase = phase.ok_or(SnapshotFault::Value { field: "tag", value: bits.into() })?;
        let id = TimerId::new(slot, generation);
        let no_id = SnapshotFault::Value { field: "generation", value: generation.into() };
        if phase == Phase::Vacant {
            expect("tag", bits.into(), bits == 0)?;
            return match id {
                Some(id) => {
                    self.slab_mut().remember(id).map_err(|source| SnapshotFault::Slot { slot, source })
                }
                None if generation == 0 => Ok(()),
                None => Err(no_id),
            };
        }
        let id = id.ok_or(no_id)?;
        let (deadline, lsn) = (Tick(reader.u64()?), Lsn(reader.u64()?));
        expect("lsn", lsn.0, lsn <= Lsn::MAX)?;
        let payload_len = reader.u32()? as usize;
        let has = |bit| bits & bit != 0;
        let (deliveries, failures) = if has(tag::COUNTS) { (reader.u32()?, reader.u32()?) } else { (0, 0) };
        let (terms, letter) =
            if has(tag::EXTRAS) { reader.with_rest(codec::decode_extras)? } else { (None, None) };
        let payload = reader.bytes(payload_len)?;
        let mut facts = Facts::VACANT;
        (facts.lsn, facts.phase, facts.deliveries, facts.failures) = (lsn, phase, deliveries, failures);
        (facts.civil, facts.doomed, facts.suspect) = (has(tag::CIVIL), has(tag::DOOMED), has(tag::SUSPECT));
        self.load(id, deadline, facts, terms, letter, payload)
            .map_err(|source| SnapshotFault::Slot { slot, source })
    }

    fn load_globals(&mut self, reader: &mut Reader<'_>) -> Result<(), SnapshotFault> {
        let epoch = reader.u64()?;
        let tick_len_ns = reader.u64()?;
        let tick_len = TickLen::from_ns(tick_len_ns);
        let (wall_ns, boottime_ns, elapsed_ns) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let mut next = || reader.u64();
        let totals = Totals {
            scheduled: next()?,
            cancelled: next()?,
            finished: next()?,
            expired: next()?,
            deliveries: next()?,
            completed: next()?,
            failures: next()?,
            dead: next()?,
            skipped_misfire: next()?,
            skipped_overlap: next()?,
            coalesced: next()?,
        };
        let reading = ClockReading { wall_ns, boottime_ns, boot_id: reader.u128()?, elapsed_ns };
        self.set_globals(epoch, tick_len, reading, totals);
        self.load_floors(reader)
    }

    fn load_floors(&mut self, reader: &mut Reader<'_>) -> Result<(), SnapshotFault> {
        let (origin, base, count) = (reader.u32()?, reader.u32()?, reader.u32()?);
        for floor in [origin, base] {
            expect("floor", floor.into(), floor <= GENERATION_MAX)?;
        }
        if origin > 0 {
            self.slab_mut().set_floor_base(origin);
        }
        if base > 0 {
            self.slab_mut().set_floor_base(base);
        }
        for segment in 0..count {
            let floor = reader.u32()?;
            let fits = floor <= GENERATION_MAX && self.slab_mut().raise_floor(segment, floor);
            expect("floor", floor.into(), fits)?;
        }
        Ok(())
    }
}
