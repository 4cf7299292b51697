//! `raft-engine`, as a key-value log: one group, `write` with `sync`. It commits in groups.
#![expect(clippy::expect_used, reason = "a bench stops at the first error")]

use raft_engine::{Config, Engine, LogBatch};

use crate::data::{Entry, Loaded, PAYLOAD, Pending};
use crate::store::{BULK_BATCH, Caller, Place, Store};

/// The one group that all timers are in.
const GROUP: u64 = 1;

struct Raft(Engine);

pub(crate) fn open(place: &Place) -> Box<dyn Store> {
    let dir = place.dir.to_str().expect("a path of text").to_owned();
    Box::new(Raft(Engine::open(Config { dir, ..Config::default() }).expect("an engine")))
}

impl Raft {
    fn write(&self, entries: &[Entry], is_synced: bool) {
        let mut batch = LogBatch::with_capacity(entries.len());
        for entry in entries {
            batch.put(GROUP, entry.key().to_vec(), entry.payload.to_vec()).expect("it is small enough");
        }
        self.0.write(&mut batch, is_synced).expect("written");
    }
}

impl Store for Raft {
    fn caller(&self) -> Box<dyn Caller + '_> {
        Box::new(self)
    }

    fn load(&self) -> Loaded {
        let mut pending = Vec::new();
        let keep = |key: &[u8], payload: &[u8]| {
            pending.push(Pending::from_key(key, payload));
            true
        };
        self.0.scan_raw_messages(GROUP, None, None, false, keep).expect("a scan");
        Loaded::heap(pending)
    }

    fn bulk_once(&self, entries: &[Entry]) {
        entries.chunks(BULK_BATCH).for_each(|batch| self.write(batch, false));
        self.0.sync().expect("durable");
    }

    fn holds(&self, _: u64, entry: &Entry) -> bool {
        self.0.get(GROUP, &entry.key()).is_some_and(|payload| payload[..] == entry.payload[..PAYLOAD])
    }
}

impl Caller for &Raft {
    fn schedule(&mut self, entry: &Entry) -> u64 {
        self.write(std::slice::from_ref(entry), true);
        entry.id
    }

    fn batch(&mut self, entries: &[Entry]) {
        self.write(entries, true);
    }
}
