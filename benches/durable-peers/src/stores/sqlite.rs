//! SQLite through `rusqlite`: write-ahead log, `synchronous=FULL`, an index on the deadline. One connection, behind a
//! lock.
#![expect(clippy::expect_used, reason = "a bench stops at the first error")]

use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};

use crate::data::{Entry, Loaded, Pending};
use crate::store::{Caller, Place, Store};

const SCHEMA: &str = "
    PRAGMA journal_mode=WAL;
    PRAGMA synchronous=FULL;
    CREATE TABLE IF NOT EXISTS timers (id INTEGER PRIMARY KEY, deadline INTEGER NOT NULL, payload BLOB NOT NULL);
    CREATE INDEX IF NOT EXISTS by_deadline ON timers (deadline);";
const INSERT: &str = "INSERT INTO timers (id, deadline, payload) VALUES (?1, ?2, ?3)";

struct Sqlite(Mutex<Connection>);

pub(crate) fn open(place: &Place) -> Box<dyn Store> {
    let connection = Connection::open(place.dir.join("timers.sqlite")).expect("a database");
    connection.execute_batch(SCHEMA).expect("a table");
    Box::new(Sqlite(Mutex::new(connection)))
}

impl Sqlite {
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).expect("ids and deadlines are small")
}

fn insert(connection: &Connection, entry: &Entry) {
    let mut insert = connection.prepare_cached(INSERT).expect("a statement");
    let row = params![signed(entry.id), signed(entry.deadline_ms), &entry.payload[..]];
    insert.execute(row).expect("inserted");
}

impl Store for Sqlite {
    fn caller(&self) -> Box<dyn Caller + '_> {
        Box::new(self)
    }

    fn load(&self) -> Loaded {
        let connection = self.connection();
        let mut all = connection.prepare("SELECT deadline, id, payload FROM timers").expect("a statement");
        let mut rows = all.query([]).expect("rows");
        let mut pending = Vec::new();
        while let Some(row) = rows.next().expect("a row") {
            let number = |column| row.get::<_, i64>(column).map_or(0, i64::cast_unsigned);
            let payload = row.get_ref(2).expect("a column");
            pending.push(Pending::new(number(0), number(1), payload.as_blob().expect("bytes")));
        }
        Loaded::heap(pending)
    }

    fn holds(&self, _: u64, entry: &Entry) -> bool {
        let query = "SELECT payload FROM timers WHERE id = ?1 AND deadline = ?2";
        let key = params![signed(entry.id), signed(entry.deadline_ms)];
        let payload = self.connection().query_row(query, key, |row| row.get::<_, Vec<u8>>(0)).optional();
        payload.expect("an answer").is_some_and(|payload| payload == entry.payload)
    }
}

impl Caller for &Sqlite {
    fn schedule(&mut self, entry: &Entry) -> u64 {
        insert(&self.connection(), entry);
        entry.id
    }

    fn batch(&mut self, entries: &[Entry]) {
        let mut connection = self.connection();
        let transaction = connection.transaction().expect("a transaction");
        entries.iter().for_each(|entry| insert(&transaction, entry));
        transaction.commit().expect("durable");
    }
}
