//! `redb`, every commit with `Durability::Immediate`. One writer at a time: callers stand in line.
#![expect(clippy::expect_used, reason = "a bench stops at the first error")]

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use crate::data::{Entry, KEY, Loaded, PAYLOAD, Pending};
use crate::store::{Caller, Place, Store};

const TIMERS: TableDefinition<'_, &[u8; KEY], &[u8; PAYLOAD]> = TableDefinition::new("timers");

struct Redb(Database);

pub(crate) fn open(place: &Place) -> Box<dyn Store> {
    let store = Redb(Database::create(place.dir.join("timers.redb")).expect("a database"));
    store.write(&[]); // the table is there from now on
    Box::new(store)
}

impl Redb {
    fn write(&self, entries: &[Entry]) {
        let mut transaction = self.0.begin_write().expect("a transaction");
        transaction.set_durability(Durability::Immediate).expect("nothing is done yet");
        {
            let mut table = transaction.open_table(TIMERS).expect("a table");
            for entry in entries {
                table.insert(&entry.key(), &entry.payload).expect("inserted");
            }
        }
        transaction.commit().expect("durable");
    }
}

impl Store for Redb {
    fn caller(&self) -> Box<dyn Caller + '_> {
        Box::new(self)
    }

    fn load(&self) -> Loaded {
        let transaction = self.0.begin_read().expect("a transaction");
        let table = transaction.open_table(TIMERS).expect("a table");
        let pending = table.iter().expect("an iterator").map(|row| {
            let (key, payload) = row.expect("a row");
            Pending::from_key(key.value(), payload.value())
        });
        Loaded::heap(pending.collect())
    }

    fn holds(&self, _: u64, entry: &Entry) -> bool {
        let transaction = self.0.begin_read().expect("a transaction");
        let table = transaction.open_table(TIMERS).expect("a table");
        table.get(&entry.key()).expect("an answer").is_some_and(|payload| *payload.value() == entry.payload)
    }
}

impl Caller for &Redb {
    fn schedule(&mut self, entry: &Entry) -> u64 {
        self.write(std::slice::from_ref(entry));
        entry.id
    }

    fn batch(&mut self, entries: &[Entry]) {
        self.write(entries);
    }
}
