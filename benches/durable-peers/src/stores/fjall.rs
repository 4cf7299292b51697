//! `fjall`: an insert, then `persist(SyncData)`. Callers stand in line at its journal.
#![expect(clippy::expect_used, reason = "a bench stops at the first error")]

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::data::{Entry, Loaded, Pending};
use crate::store::{BULK_BATCH, Caller, Place, Store};

struct Fjall {
    database: Database,
    timers: Keyspace,
}

pub(crate) fn open(place: &Place) -> Box<dyn Store> {
    let database = Database::builder(&place.dir).open().expect("a database");
    let timers = database.keyspace("timers", KeyspaceCreateOptions::default).expect("a keyspace");
    Box::new(Fjall { database, timers })
}

impl Fjall {
    fn write(&self, entries: &[Entry], durability: Option<PersistMode>) {
        let mut batch = self.database.batch().durability(durability);
        for entry in entries {
            batch.insert(&self.timers, entry.key(), entry.payload);
        }
        batch.commit().expect("written");
    }
}

impl Store for Fjall {
    fn caller(&self) -> Box<dyn Caller + '_> {
        Box::new(self)
    }

    fn load(&self) -> Loaded {
        let pending = self.timers.iter().map(|row| {
            let (key, payload) = row.into_inner().expect("a row");
            Pending::from_key(&key, &payload)
        });
        Loaded::heap(pending.collect())
    }

    fn bulk_once(&self, entries: &[Entry]) {
        entries.chunks(BULK_BATCH).for_each(|batch| self.write(batch, None));
        self.database.persist(PersistMode::SyncData).expect("durable");
    }

    fn holds(&self, _: u64, entry: &Entry) -> bool {
        self.timers.get(entry.key()).expect("an answer").is_some_and(|payload| *payload == entry.payload)
    }
}

impl Caller for &Fjall {
    fn schedule(&mut self, entry: &Entry) -> u64 {
        self.timers.insert(entry.key(), entry.payload).expect("inserted");
        self.database.persist(PersistMode::SyncData).expect("durable");
        entry.id
    }

    fn batch(&mut self, entries: &[Entry]) {
        self.write(entries, Some(PersistMode::SyncData));
    }
}
