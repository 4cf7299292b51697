//! `okaywal`: a log and nothing else. An entry for each commit, a chunk for each timer. It commits in groups.
//!
//! It is never checkpointed: what is pending has to stay in it, and there is no other place. Its one file is filled
//! with zeros beforehand, as it does with every new file; so it always overwrites, which is the least that a sync can
//! cost.
#![expect(clippy::expect_used, reason = "a bench stops at the first error")]

use std::io;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use okaywal::{Configuration, Entry as Record, EntryId, LogManager, SegmentReader, WriteAheadLog};

use crate::data::{Entry, KEY, Loaded, PAYLOAD, Pending};
use crate::disk;
use crate::store::{Caller, Place, Store};

/// More than a timer takes in the log, alone in its entry.
const TIMER_BYTES: usize = 128;

/// Enough for the rows that go on for some seconds.
const BYTES_MIN: usize = 128 << 20;

struct Okaywal {
    log: WriteAheadLog,
    found: Found,
}

/// The timers that were in the log when it was opened.
#[derive(Clone, Debug, Default)]
struct Found(Arc<Mutex<Vec<Pending>>>);

impl Found {
    fn lock(&self) -> MutexGuard<'_, Vec<Pending>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogManager for Found {
    fn recover(&mut self, entry: &mut Record<'_>) -> io::Result<()> {
        let chunks = entry.read_all_chunks()?.unwrap_or_default();
        let timers = chunks.iter().filter_map(|chunk| chunk.split_at_checked(KEY));
        self.lock().extend(timers.map(|(key, payload)| Pending::from_key(key, payload)));
        Ok(())
    }

    fn checkpoint_to(&mut self, _: EntryId, _: &mut SegmentReader, _: &WriteAheadLog) -> io::Result<()> {
        Err(io::Error::other("the log was to be kept"))
    }
}

pub(crate) fn open(place: &Place) -> Box<dyn Store> {
    let is_new = disk::is_empty(&place.dir);
    let bytes = (place.timers * TIMER_BYTES).max(BYTES_MIN);
    let found = Found::default();
    let log = Configuration::default_for(&place.dir)
        .preallocate_bytes(u32::try_from(bytes).unwrap_or(u32::MAX))
        .checkpoint_after_bytes(u64::MAX)
        .open(found.clone())
        .expect("a log");
    if is_new {
        disk::sync_files(&place.dir); // the zeros are on the disk before anything is timed
    }
    Box::new(Okaywal { log, found })
}

impl Okaywal {
    fn write(&self, entries: &[Entry]) {
        let mut writer = self.log.begin_entry().expect("an entry");
        for entry in entries {
            let mut chunk = [0; KEY + PAYLOAD];
            let (key, payload) = chunk.split_at_mut(KEY);
            key.copy_from_slice(&entry.key());
            payload.copy_from_slice(&entry.payload);
            writer.write_chunk(&chunk).expect("a chunk");
        }
        writer.commit().expect("durable");
    }
}

impl Store for Okaywal {
    fn caller(&self) -> Box<dyn Caller + '_> {
        Box::new(self)
    }

    fn load(&self) -> Loaded {
        Loaded::heap(mem::take(&mut self.found.lock()))
    }

    /// It has no index: what was found at the opening is looked through.
    fn holds(&self, _: u64, entry: &Entry) -> bool {
        self.found.lock().iter().any(|pending| pending.is(entry))
    }
}

impl Caller for &Okaywal {
    fn schedule(&mut self, entry: &Entry) -> u64 {
        self.write(std::slice::from_ref(entry));
        entry.id
    }

    fn batch(&mut self, entries: &[Entry]) {
        self.write(entries);
    }
}
