//! What each byte of a directory is for, and what must become of the log if it rots: by the offsets of `docs/format.md` alone,
//! without the code that is tested here.
//!
//! It is for directories that are sound, and of files that were not used before.

use std::collections::BTreeMap;

use horolog_sim::SimDisk;

const BLOCK: usize = 4096;
const HEADER: usize = 64;
const LINK: u64 = 1;
const SEAL: u64 = 2;
const CLEAN: u64 = 8;

/// What reading gives, exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Read {
        /// V.
        valid: u64,
        /// D.
        durable: u64,
        torn_bytes: u64,
        clean: bool,
        bad_slots: u32,
    },
    Refused {
        segment: u64,
        offset: u64,
        /// The records that are lost, as far as they are known.
        lost: (Option<u64>, Option<u64>),
    },
}

/// A batch, and what its LINK says if it has one.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Where it begins.
    pub(crate) at: usize,
    /// Where the last of its bytes that is not zero ends.
    pub(crate) end: usize,
    /// Where the block after its last one begins.
    blocks_end: usize,
    pub(crate) last_lsn: u64,
    stamp: u64,
    flags: u64,
    pub(crate) prev_chain: u64,
    pub(crate) chain: u64,
    link: Option<Boundary>,
}

/// The end of a batch, as a LINK names it.
#[derive(Debug, Clone, Copy)]
struct Boundary {
    segment: u64,
    last_lsn: u64,
    chain: u64,
}

fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    bytes[at..at + len].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The batches of a segment, up to the first block that begins with none.
pub(crate) fn batches(bytes: &[u8]) -> Vec<Batch> {
    let (mut found, mut at) = (Vec::new(), BLOCK);
    while bytes.get(at..at + 4) == Some(b"HBAT") {
        let end = at + HEADER + number(bytes, at + 44, 4) as usize;
        // A LINK and a SEAL are records without an LSN.
        let (records, flags) = (number(bytes, at + 48, 4), number(bytes, at + 56, 2));
        let body = at + HEADER + 12;
        let boundary = || Boundary {
            segment: number(bytes, body, 8),
            last_lsn: number(bytes, body + 8, 8),
            chain: number(bytes, body + 16, 8),
        };
        let blocks_end = end.next_multiple_of(BLOCK);
        found.push(Batch {
            at,
            end: at + 1 + bytes[at..end].iter().rposition(|byte| *byte != 0).unwrap(),
            blocks_end,
            last_lsn: number(bytes, at + 8, 8) - 1 + records - u64::from(flags & (LINK | SEAL) != 0),
            stamp: number(bytes, at + 16, 8),
            flags,
            prev_chain: number(bytes, at + 24, 8),
            chain: number(bytes, at + 4, 4) | number(bytes, at + 52, 4) << 32,
            link: (flags & LINK != 0).then(boundary),
        });
        at = blocks_end;
    }
    found
}

/// A sound directory, taken apart.
pub(crate) struct Places {
    /// Of the segments, by id.
    segments: BTreeMap<u64, Vec<Batch>>,
    /// The newest segment with a batch.
    head: u64,
    /// The segments before it, each with its end, by id.
    linked: BTreeMap<u64, Boundary>,
    /// What META knows to be durable.
    witness: u64,
    is_head_in_meta: bool,
    /// The oldest segment that META lists.
    first_listed: u64,
}

pub(crate) fn segment_id(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_prefix("seg-")?.strip_suffix(".wal")?, 16).ok()
}

impl Places {
    pub(crate) fn of(disk: &SimDisk) -> Self {
        let meta = disk.bytes("META").unwrap();
        let slot = meta.chunks(BLOCK).max_by_key(|slot| number(slot, 32, 8)).unwrap();
        let names = disk.files().into_iter().map(|(name, _)| name);
        let segments: BTreeMap<_, _> = names
            .filter_map(|name| Some((segment_id(&name)?, batches(&disk.bytes(&name).unwrap()))))
            .collect();
        let head = *segments.iter().rev().find(|(_, batches)| !batches.is_empty()).unwrap().0;
        let mut linked = BTreeMap::new();
        let mut link = segments[&head][0].link.unwrap();
        let first = number(slot, 56, 8);
        while link.segment >= first {
            linked.insert(link.segment, link);
            link = segments[&link.segment][0].link.unwrap();
        }
        Self {
            head,
            linked,
            witness: number(slot, 48, 8),
            is_head_in_meta: number(slot, 64, 8) == head,
            first_listed: number(slot, 128, 8),
            segments,
        }
    }

    /// What an undamaged directory gives.
    pub(crate) fn sound(&self) -> Verdict {
        let batches = &self.segments[&self.head];
        let last = batches.last().unwrap();
        let (durable, clean) = (self.proven(batches.iter()), last.flags & CLEAN != 0);
        Verdict::Read { valid: last.last_lsn, durable, torn_bytes: 0, clean, bad_slots: 0 }
    }

    /// What must come of a flipped bit in this byte.
    pub(crate) fn if_flipped(&self, name: &str, offset: usize) -> Verdict {
        let Verdict::Read { valid, durable, torn_bytes, clean, .. } = self.sound() else { unreachable!() };
        let Some(id) = segment_id(name) else {
            // Each slot of META has a twin, and a checksum over all of it. Other files do not say how far the log goes.
            let bad_slots = u32::from(name == "META");
            return Verdict::Read { valid, durable, torn_bytes, clean, bad_slots };
        };
        match self.linked.get(&id) {
            Some(end) => self.in_linked(id, *end, offset),
            None if id == self.head => self.in_head(offset),
            // A segment is listed after its header is durable.
            None if offset < BLOCK && id >= self.first_listed => self.not_as_listed(id, 0),
            // A spare, or one that nobody needs: what is in it says nothing.
            None => self.sound(),
        }
    }

    /// Whether META lists a segment, or a LINK names it.
    pub(crate) fn is_needed(&self, id: u64) -> bool {
        id >= self.first_listed || self.linked.contains_key(&id)
    }

    /// What must come of a segment that is not there, not as long as its header says, or another one's.
    pub(crate) fn if_unusable(&self, id: u64) -> Verdict {
        self.if_flipped(&format!("seg-{id:016x}.wal"), 0)
    }

    /// What must come of a segment that ends with this many of its batches: of an earlier copy.
    pub(crate) fn if_cut(&self, id: u64, batches: usize) -> Verdict {
        let all = &self.segments[&id];
        match self.linked.get(&id) {
            // None is missing. There may have been a SEAL besides, which a power cut took: nobody syncs it.
            _ if batches >= all.len() => self.sound(),
            Some(end) => self.in_linked(id, *end, all[batches].at),
            None if id == self.head && batches == 0 => {
                assert!(self.is_head_in_meta);
                self.not_as_listed(id, BLOCK)
            }
            None if id == self.head => {
                let durable = self.proven(all[..batches].iter());
                self.weighed(&all[batches - 1], all[batches].at, durable, 0)
            }
            None => self.sound(),
        }
    }

    /// META lists the segment or calls it the head, so that what it held cannot be known.
    fn not_as_listed(&self, segment: u64, offset: usize) -> Verdict {
        let witness = Some(self.witness).filter(|lsn| *lsn > 0);
        Verdict::Refused { segment, offset: offset as u64, lost: (None, witness) }
    }

    /// A segment is pinned by the LINK of the next one, up to where that says. What lies behind is ignored for ever.
    fn in_linked(&self, id: u64, end: Boundary, offset: usize) -> Verdict {
        let batches = &self.segments[&id];
        let pinned = batches.iter().position(|batch| batch.chain == end.chain).unwrap();
        let last = Some(end.last_lsn);
        if offset < BLOCK {
            return Verdict::Refused { segment: id, offset: 0, lost: (None, last) };
        }
        match batches[..=pinned].iter().position(|batch| (batch.at..batch.blocks_end).contains(&offset)) {
            Some(hit) => {
                let first = hit.checked_sub(1).map(|before| batches[before].last_lsn + 1);
                Verdict::Refused { segment: id, offset: batches[hit].at as u64, lost: (first, last) }
            }
            None => self.sound(),
        }
    }

    fn in_head(&self, offset: usize) -> Verdict {
        let batches = &self.segments[&self.head];
        let hit = batches.iter().position(|batch| (batch.at..batch.blocks_end).contains(&offset));
        match hit {
            _ if offset < BLOCK => self.not_as_listed(self.head, 0),
            Some(0) if self.is_head_in_meta => self.not_as_listed(self.head, BLOCK),
            // Then it was never begun, and the segment before it should go on there.
            Some(0) => {
                let before = batches[0].link.unwrap().last_lsn;
                let lost = (Some(before + 1), Some(self.proven_without(0, offset < BLOCK + HEADER)));
                assert!(lost.0 <= lost.1, "something is proven behind the segment before");
                Verdict::Refused { segment: self.head, offset: BLOCK as u64, lost }
            }
            hit => self.at_the_end(batches, hit.unwrap_or(batches.len()), offset),
        }
    }

    /// The log ends before batch `hit` of the head, or is cut short there, or goes on in zeros that are none any more.
    fn at_the_end(&self, batches: &[Batch], hit: usize, offset: usize) -> Verdict {
        let begin = batches.get(hit).map_or(batches[hit - 1].blocks_end, |batch| batch.at);
        let in_header = batches.get(hit).is_some_and(|batch| offset < batch.at + HEADER);
        // To the end of the last block with anything in it: of the last batch, or of the flipped bit.
        let end = batches[batches.len() - 1].end.max(offset + 1).next_multiple_of(BLOCK);
        self.weighed(&batches[hit - 1], begin, self.proven_without(hit, in_header), end - begin)
    }

    /// The last valid batch of the log is `last`, and reading stops at `begin`.
    fn weighed(&self, last: &Batch, begin: usize, durable: u64, torn_bytes: usize) -> Verdict {
        let valid = last.last_lsn;
        if durable > valid {
            let lost = (Some(valid + 1), Some(durable));
            return Verdict::Refused { segment: self.head, offset: begin as u64, lost };
        }
        let clean = torn_bytes == 0 && last.flags & CLEAN != 0;
        Verdict::Read { valid, durable, torn_bytes: torn_bytes as u64, clean, bad_slots: 0 }
    }

    /// What is proven durable if batch `hit` of the head is damaged. The stamp of a batch counts, valid or not, if its header
    /// can be read.
    fn proven_without(&self, hit: usize, in_header: bool) -> u64 {
        let batches = self.segments[&self.head].iter().enumerate();
        self.proven(batches.filter(|(at, _)| *at != hit || !in_header).map(|(_, batch)| batch))
    }

    /// What META, the LINK of the head, and the stamps of these batches prove durable.
    fn proven<'a>(&self, batches: impl Iterator<Item = &'a Batch>) -> u64 {
        let stamp = batches.map(|batch| batch.stamp).max().unwrap_or(0);
        // Where a LINK is damaged, the segment before it says no more than it.
        self.witness.max(self.segments[&self.head][0].link.unwrap().last_lsn).max(stamp)
    }
}
