//! What is stored: seeded timers.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use horolog_benches::Rng;

use crate::clock;

/// Bytes of a payload.
pub(crate) const PAYLOAD: usize = 64;

/// Bytes of a key: the deadline and the id, both big-endian, so that keys are in the order of time.
pub(crate) const KEY: usize = 16;

const HOUR_MS: u64 = 3_600_000;

/// A timer as it is handed to each store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Milliseconds since the Unix epoch.
    pub(crate) deadline_ms: u64,
    pub(crate) id: u64,
    /// Random: no store gains by compressing it.
    pub(crate) payload: [u8; PAYLOAD],
}

impl Entry {
    pub(crate) fn key(&self) -> [u8; KEY] {
        let mut key = [0; KEY];
        let (deadline, id) = key.split_at_mut(KEY / 2);
        deadline.copy_from_slice(&self.deadline_ms.to_be_bytes());
        id.copy_from_slice(&self.id.to_be_bytes());
        key
    }
}

/// A generator of entries: seeded, and cheap beside what is measured.
pub(crate) struct Entries {
    rng: Rng,
    next_id: u64,
    begin_ms: u64,
}

impl Entries {
    /// Those of one thread of a run: all peers get the same ones, but for the time of day.
    pub(crate) fn new(run: u64, thread: u64) -> Self {
        let rng = Rng::numbered((run << 48) ^ (thread << 32));
        // Nothing comes due while it is measured.
        Self { rng, next_id: thread << 32 | 1, begin_ms: clock::unix_ms() + HOUR_MS }
    }

    /// The next one, due in one to 24 hours.
    pub(crate) fn draw_one(&mut self) -> Entry {
        let deadline_ms = self.begin_ms + self.rng.below(23 * HOUR_MS);
        let mut payload = [0; PAYLOAD];
        for word in payload.chunks_exact_mut(8) {
            word.copy_from_slice(&self.rng.draw().to_le_bytes());
        }
        let id = self.next_id;
        self.next_id += 1;
        Entry { deadline_ms, id, payload }
    }

    pub(crate) fn draw_many(&mut self, count: usize) -> Vec<Entry> {
        (0..count).map(|_| self.draw_one()).collect()
    }
}

/// A timer in the memory of a service that keeps its timers in a store: what a peer without a wheel has to have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) deadline_ms: u64,
    pub(crate) id: u64,
    pub(crate) payload: Box<[u8]>,
}

impl Pending {
    pub(crate) fn new(deadline_ms: u64, id: u64, payload: &[u8]) -> Self {
        Self { deadline_ms, id, payload: payload.into() }
    }

    pub(crate) fn from_key(key: &[u8], payload: &[u8]) -> Self {
        let number = |from: usize| {
            let bytes = key.get(from..from + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u64::from_be_bytes)
        };
        Self::new(number(0), number(8), payload)
    }

    pub(crate) fn is(&self, entry: &Entry) -> bool {
        (self.deadline_ms, self.id) == (entry.deadline_ms, entry.id) && *self.payload == entry.payload
    }
}

impl Ord for Pending {
    /// The earliest is the greatest: a heap gives it first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.deadline_ms, other.id).cmp(&(self.deadline_ms, self.id))
    }
}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// All timers of a store, ready to fire.
pub(crate) enum Loaded {
    Heap(BinaryHeap<Pending>),
    /// The store fires them itself, and says how many there are.
    Counted(u64),
}

impl Loaded {
    /// As a heap, made in one go.
    pub(crate) fn heap(pending: Vec<Pending>) -> Self {
        Self::Heap(BinaryHeap::from(pending))
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Heap(heap) => heap.len() as u64,
            Self::Counted(count) => *count,
        }
    }
}
