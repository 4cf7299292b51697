//! What the bytes of a sound directory are there for, and so what damage of them must come to.
//!
//! | bytes that have changed | verdict |
//! | --- | --- |
//! | of one slot of META, if all four were valid | opened, with everything |
//! | behind what counts of a segment; of a spare behind its header; of a file that nobody lists | opened, with everything |
//! | of a snapshot, if another one that is whole, or the log from record 1, takes its place | opened, with everything |
//! | the same, if nothing does | refused |
//! | of a linked segment up to the end of the batch that the LINK names, padding and header too | refused |
//! | of the header or the length of any listed segment; such a segment is gone | refused |
//! | of the valid part of the head | as far as stamps and META prove what was there: refused; else it is a torn tail |
//! | of several slots of META, or of all of it | by what the slots that are left say, and what contradicts them |
//! | the same, where a batch goes on that a crash had taken: an older life's bytes | by what is there then |
//! | a segment's name on a file that was not there | by its header |
//!
//! Roles and ends are those that the log's own reader gave of the sound directory, when a second reader had said the same of
//! it. What became of its bytes is seen with that one's eyes ([`horolog_sim::decoder`]).
//!
//! The last four say [`Must::Either`]: no part of the page promises the one or the other of all of them.

use horolog_recovery::Recovered;
use horolog_sim::SimDisk;
use horolog_sim::decoder::SegmentFile;
use horolog_wal::{BLOCK_LEN, SegmentRole};

const BLOCK: usize = BLOCK_LEN as usize;

/// What has to come of a damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Must {
    /// It is opened, and everything is there.
    Open,
    /// What is left decides.
    Either,
    /// It is refused.
    Refuse,
}

pub(crate) fn snapshot_name(id: u64) -> String {
    format!("snap-{id:016x}.img")
}

/// A segment of the log.
#[derive(Debug)]
struct Part {
    name: String,
    role: SegmentRole,
    /// Where the part of it ends that counts.
    end: usize,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Anatomy {
    uuid: u128,
    bad_slots: u32,
    segments: Vec<Part>,
    /// The snapshots that are whole.
    snapshots: Vec<String>,
    /// The log begins with record 1.
    is_whole: bool,
}

impl Anatomy {
    pub(crate) fn of(found: &Recovered<'_>) -> Self {
        let log = &found.log;
        let segments = log.segments.iter().map(|it| Part {
            name: it.name.clone(),
            role: it.role,
            end: usize::try_from(it.end_offset).unwrap_or(usize::MAX),
        });
        let is_rotten = |id: u64| found.rotten.iter().any(|rotten| rotten.snapshot == id);
        let snapshots = log.snapshots().map(|it| it.id).filter(|id| !is_rotten(*id));
        Self {
            uuid: log.uuid,
            bad_slots: log.meta_bad_slots,
            segments: segments.collect(),
            snapshots: snapshots.map(snapshot_name).collect(),
            is_whole: log.first_lsn.0 <= 1,
        }
    }

    /// What has to come of `after`, which was the sound directory `before`.
    pub(crate) fn must(&self, before: &SimDisk, after: &SimDisk) -> Must {
        let (before, after) = (before.image(), after.image());
        let mut must = Must::Open;
        let mut snapshots_left = self.snapshots.len();
        let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
        for name in names.filter(|name| before.get(*name) != after.get(*name)) {
            let (was, is) = (before.get(name).map(Vec::as_slice), after.get(name).map(Vec::as_slice));
            must = must.max(match name.as_str() {
                "META" => match self.of_meta(was, is) {
                    // Whatever else has changed: what is needed is another question then.
                    Must::Either => return Must::Either,
                    must => must,
                },
                name if name.ends_with(".wal") => self.of_segment(name, was, is),
                _ => Must::Open,
            });
            snapshots_left -= usize::from(self.snapshots.contains(name));
        }
        let stands = self.is_whole || snapshots_left > 0;
        if stands { must } else { Must::Refuse }
    }

    /// The same, of one byte of one file.
    pub(crate) fn must_of_byte(&self, name: &str, at: usize) -> Must {
        let stands = self.is_whole || self.snapshots.iter().any(|it| it != name);
        match self.segments.iter().find(|part| part.name == name) {
            Some(part) => part.must(at),
            None if name == "META" && self.bad_slots > 0 => Must::Either,
            None => {
                if stands {
                    Must::Open
                } else {
                    Must::Refuse
                }
            }
        }
    }

    fn of_meta(&self, was: Option<&[u8]>, is: Option<&[u8]>) -> Must {
        let Some((was, is)) = was.zip(is).filter(|(was, is)| was.len() == is.len()) else {
            return Must::Either;
        };
        let changed = was.chunks(BLOCK).zip(is.chunks(BLOCK)).filter(|(was, is)| was != is).count();
        if changed == 1 && self.bad_slots == 0 { Must::Open } else { Must::Either }
    }

    fn of_segment(&self, name: &str, was: Option<&[u8]>, is: Option<&[u8]>) -> Must {
        let part = self.segments.iter().find(|part| part.name == name);
        let Some(part) = part.filter(|part| part.role != SegmentRole::Unlisted) else {
            // A header that is not damaged says whose file it is, and whose it says counts.
            return match is.and_then(|is| SegmentFile::of(name, is)) {
                Some(file) if file.uuid() == self.uuid => Must::Either,
                Some(_) => Must::Refuse,
                None => Must::Open,
            };
        };
        let Some((was, is)) = was.zip(is).filter(|(was, is)| was.len() == is.len()) else {
            return Must::Refuse;
        };
        let changed = was.iter().zip(is).enumerate().filter(|(_, (was, is))| was != is);
        let must = changed.map(|(at, _)| part.must(at)).max().unwrap_or(Must::Open);
        if part.goes_on(is) { must.max(Must::Either) } else { must }
    }
}

impl Part {
    /// A batch begins behind what counted, in a segment that can go on.
    fn goes_on(&self, is: &[u8]) -> bool {
        let file = SegmentFile::of(&self.name, is).filter(|_| self.role != SegmentRole::Linked);
        file.is_some_and(|file| file.has_header_at(self.end))
    }

    /// What has to come of it if this byte of it changes.
    fn must(&self, at: usize) -> Must {
        match self.role {
            SegmentRole::Unlisted => Must::Open,
            _ if at < BLOCK => Must::Refuse,
            SegmentRole::Linked if at < self.end => Must::Refuse,
            SegmentRole::Head if at < self.end => Must::Either,
            _ => Must::Open,
        }
    }
}
