//! Snapshots: what META lists, the file, its sections, and what stands in them.

use super::bytes::{is_framed, u16_at, u32_at, u64_at, u128_at};
use super::segments::id_of;
use super::{BLOCK, End, Files, ID_END, Refusal};

/// A snapshot that META lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its number.
    pub id: u64,
    /// The records behind it are needed besides.
    pub begin: u64,
    /// The last record that any part of it has seen.
    pub end: u64,
    /// Its sections, if it is whole.
    pub sections: Option<Vec<Vec<u8>>>,
}

/// What META says of a snapshot.
pub(super) struct Entry {
    id: u64,
    begin: u64,
    end: u64,
    bytes: u64,
    count: u32,
    digest: u32,
}

pub(super) fn snapshot_id_in(name: &str) -> Option<u64> {
    id_of(name.strip_prefix("snap-")?.strip_suffix(".img")?)
}

impl Entry {
    /// `None` if the place is empty.
    pub(super) fn of(row: &[u8]) -> Option<Self> {
        let (id, begin, end) = (u64_at(row, 0), u64_at(row, 8), u64_at(row, 16));
        let (bytes, count, digest) = (u64_at(row, 24), u32_at(row, 32), u32_at(row, 36));
        (1..ID_END).contains(&id).then_some(Self { id, begin, end, bytes, count, digest })
    }

    /// Reads its file.
    pub(super) fn read(&self, files: &Files, uuid: u128) -> Result<Snapshot, End> {
        let Self { id, begin, end, .. } = *self;
        let name = format!("snap-{id:016x}.img");
        let bytes = files.get(&name).filter(|bytes| bytes.len() as u64 == self.bytes);
        let header = bytes.and_then(|bytes| bytes.get(..BLOCK)).filter(|it| is_framed(it, b"HOROSNAP"));
        if let Some(header) = header {
            if u16_at(header, 8) > 0 {
                return Err(Refusal::Newer.into());
            }
            if u16_at(header, 10) != 0 {
                return Err(Refusal::Unknown.into());
            }
        }
        let header = header.filter(|header| self.names(header, uuid));
        let sections = header.zip(bytes).and_then(|(header, bytes)| self.sections(header, &bytes[BLOCK..]));
        Ok(Snapshot { id, begin, end, sections })
    }

    fn names(&self, header: &[u8], uuid: u128) -> bool {
        u32_at(header, 12) == 4096
            && (u128_at(header, 16), u64_at(header, 32), u64_at(header, 40)) == (uuid, self.id, self.begin)
            && header[56] == 1
            && header[57..4088].iter().all(|byte| *byte == 0)
    }

    /// All of them, if nothing is wrong and nothing follows.
    fn sections(&self, header: &[u8], mut rest: &[u8]) -> Option<Vec<Vec<u8>>> {
        let (mut sections, mut digested) = (Vec::new(), Vec::new());
        for index in 0..self.count {
            let frame = rest.get(..32)?;
            let crc = crc32fast::hash(&[&header[16..40], &header[48..56], &frame[8..]].concat());
            let is_frame = frame[..4] == *b"HSEC" && u32_at(frame, 4) == crc && u32_at(frame, 28) == 0;
            let is_last = u32::from(index + 1 == self.count);
            let body = rest.get(32..32 + u32_at(frame, 12) as usize)?;
            let body_crc = crc32fast::hash(body);
            digested.extend(body_crc.to_le_bytes());
            let fits =
                u32_at(frame, 8) == index && u32_at(frame, 16) == body_crc && u32_at(frame, 20) == is_last;
            if !is_frame || !fits || u32_at(frame, 24) != crc32fast::hash(&digested) {
                return None;
            }
            sections.push(body.to_vec());
            rest = &rest[32 + body.len()..];
        }
        (rest.is_empty() && crc32fast::hash(&digested) == self.digest).then_some(sections)
    }
}

/// What stands in the sections of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sections {
    /// All slots, from the first on.
    pub slots: Vec<Slot>,
    /// The last section.
    pub globals: Globals,
}

/// A slot as it was at some record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The last record that the copy has seen.
    pub lsn: u64,
    /// Of the timer that lives there, or of the last one that did.
    pub generation: u32,
    /// `None` if nothing lives there.
    pub timer: Option<Timer>,
}

/// A timer in a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    /// 1 waiting, 2 in flight, 3 dead.
    pub phase: u8,
    /// Its deadline is on the civil timeline.
    pub civil: bool,
    /// It was cancelled in flight.
    pub cancelled: bool,
    /// It was in flight when a process ended.
    pub suspect: bool,
    /// The tick at which it is due.
    pub deadline: u64,
    /// The record that gave it that.
    pub lsn: u64,
    /// Deliveries and failures of the present occurrence.
    pub counts: (u32, u32),
    /// What a plain one-shot does not have.
    pub extras: Option<Extras>,
    /// The user's bytes.
    pub payload: Vec<u8>,
}

/// What a plain one-shot does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extras {
    /// A key, policies, a grid.
    pub terms: Option<Terms>,
    /// Where it stands on its grid.
    pub recurrence: Option<Recurrence>,
    /// Occurrence, reason, deliveries, message.
    pub letter: Option<(u64, u8, u32, String)>,
}

/// Where a timer stands on its grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recurrence {
    /// The timeline and the tick of the next occurrence on the schedule.
    pub next_due: (u8, u64),
    /// The occurrence that was taken off the grid and has not ended, and the first that it stands for.
    pub live: Option<(u64, u64)>,
}

/// A key, policies, a grid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Empty for none.
    pub key: Vec<u8>,
    /// 0 fire once, 1 skip.
    pub misfire: u8,
    /// Most failures, most deliveries.
    pub most: (u32, u32),
    /// First and longest wait, in nanoseconds.
    pub backoff_ns: (u64, u64),
    /// Timeline, anchor, interval, next occurrence.
    pub grid: Option<(u8, u64, u64, u64)>,
}

/// The last section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Globals {
    /// How many slots there are.
    pub slots: u32,
    /// The last record applied.
    pub end: u64,
    /// Of the last Epoch record.
    pub epoch: u64,
    /// Of the last Epoch record.
    pub tick_len_ns: u64,
    /// Wall, boot and elapsed time, as last noted down.
    pub clocks_ns: [u64; 3],
    /// In the order of the page.
    pub totals: [u64; 11],
    /// As last noted down.
    pub boot_id: u128,
    /// The lower bounds of generations: the first, that of segments to come.
    pub bounds: (u32, u32),
    /// Those of the segments of slots.
    pub floors: Vec<u32>,
}

impl Sections {
    /// What the sections of a whole snapshot say; `None` if that is not as the page has it.
    #[must_use]
    pub fn decode(sections: &[Vec<u8>]) -> Option<Self> {
        let (last, before) = sections.split_last()?;
        let mut slots = Vec::new();
        for section in before {
            let mut bytes = Bytes(section);
            let head = [bytes.u8()?, bytes.u8()?, bytes.u8()?, bytes.u8()?];
            let (first, count, lsn) = (bytes.u32()?, bytes.u32()?, bytes.u64()?);
            if head != [1, 0, 0, 0] || first as usize != slots.len() {
                return None;
            }
            for _ in 0..count {
                slots.push(Slot::decode(&mut bytes, lsn)?);
            }
            bytes.end()?;
        }
        let globals = Globals::decode(&mut Bytes(last))?;
        (globals.slots as usize == slots.len()).then_some(Self { slots, globals })
    }
}

impl Slot {
    fn decode(bytes: &mut Bytes<'_>, lsn: u64) -> Option<Self> {
        let (tag, generation) = (bytes.u8()?, bytes.u32()?);
        let has = |bit: u8| tag >> bit & 1 == 1;
        if tag == 0 {
            return Some(Self { lsn, generation, timer: None });
        }
        let phase = (1..=3).contains(&(tag & 7)).then_some(tag & 7)?;
        let (deadline, record, payload_len) = (bytes.u64()?, bytes.u64()?, bytes.u32()?);
        let counts = if has(6) { (bytes.u32()?, bytes.u32()?) } else { (0, 0) };
        let extras = if has(7) { Some(Extras::decode(bytes)?) } else { None };
        let payload = bytes.take(payload_len as usize)?.to_vec();
        let (civil, cancelled, suspect) = (has(3), has(4), has(5));
        let timer =
            Timer { phase, civil, cancelled, suspect, deadline, lsn: record, counts, extras, payload };
        Some(Self { lsn, generation, timer: Some(timer) })
    }
}

impl Extras {
    fn decode(bytes: &mut Bytes<'_>) -> Option<Self> {
        let terms = bytes.option(Terms::decode)?;
        let recurrence = bytes.option(|bytes| {
            let next_due = (bytes.u8()?, bytes.u64()?);
            let live = bytes.option(|bytes| Some((bytes.u64()?, bytes.u64()?)))?;
            Some(Recurrence { next_due, live })
        })?;
        let letter = bytes.option(|bytes| {
            let (occurrence, reason, deliveries) = (bytes.u64()?, bytes.u8()?, bytes.u32()?);
            Some((occurrence, reason, deliveries, String::from_utf8(bytes.counted()?).ok()?))
        })?;
        let has_grid = terms.as_ref().is_some_and(|terms| terms.grid.is_some());
        (has_grid == recurrence.is_some()).then_some(Self { terms, recurrence, letter })
    }
}

impl Terms {
    fn decode(bytes: &mut Bytes<'_>) -> Option<Self> {
        Some(Self {
            key: bytes.counted()?,
            misfire: bytes.u8()?,
            most: (bytes.u32()?, bytes.u32()?),
            backoff_ns: (bytes.u64()?, bytes.u64()?),
            grid: bytes.option(|bytes| Some((bytes.u8()?, bytes.u64()?, bytes.u64()?, bytes.u64()?)))?,
        })
    }
}

impl Globals {
    fn decode(bytes: &mut Bytes<'_>) -> Option<Self> {
        if bytes.take(4)? != [2, 0, 0, 0] {
            return None;
        }
        let (slots, end, epoch, tick_len_ns) = (bytes.u32()?, bytes.u64()?, bytes.u64()?, bytes.u64()?);
        let clocks_ns = [bytes.u64()?, bytes.u64()?, bytes.u64()?];
        let mut totals = [0; 11];
        for total in &mut totals {
            *total = bytes.u64()?;
        }
        let boot_id = u128_at(bytes.take(16)?, 0);
        let (bounds, count) = ((bytes.u32()?, bytes.u32()?), bytes.u32()?);
        let floors = (0..count).map(|_| bytes.u32()).collect::<Option<_>>()?;
        bytes.end()?;
        Some(Self { slots, end, epoch, tick_len_ns, clocks_ns, totals, boot_id, bounds, floors })
    }
}

/// The bytes that are still to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4).map(|bytes| u32_at(bytes, 0))
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8).map(|bytes| u64_at(bytes, 0))
    }

    /// Bytes with their length in front.
    fn counted(&mut self) -> Option<Vec<u8>> {
        let len = usize::try_from(self.u64()?).ok()?;
        self.take(len).map(<[u8]>::to_vec)
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.u8()? {
            0 => Some(None),
            1 => read(self).map(Some),
            _ => None,
        }
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}
