//! `horolog::Engine`, with its defaults.
#![expect(clippy::expect_used, reason = "a bench stops at the first error")]

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use horolog::{Batch, Engine, ScheduleError, ScheduleFault, Ticket, Timer, TimerId, Unavailable};

use crate::data::{Entry, Loaded};
use crate::store::{Caller, Place, Store};

/// One ticket in so many is kept while submitting, to be waited for when the engine has no room.
const SUBMITTED_A_TICKET: usize = 4_096;

pub(crate) struct Ours {
    engine: Engine,
}

pub(crate) fn open(place: &Place) -> Box<dyn Store> {
    Box::new(Ours::open(place))
}

fn instant(entry: &Entry) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(entry.deadline_ms)
}

fn timer(entry: &Entry) -> Timer {
    Timer::at(instant(entry)).payload(entry.payload)
}

impl Ours {
    pub(crate) fn open(place: &Place) -> Self {
        Self { engine: Engine::open(&place.dir).expect("a directory of timers") }
    }

    /// Stores one timer without blocking the thread.
    pub(crate) async fn schedule(&self, entry: &Entry) {
        let ticket = self.engine.submit(timer(entry)).expect("there is room for all who wait");
        ticket.await.expect("durable");
    }

    /// Submits without waiting, but for room.
    fn submit(&self, entry: &Entry, tickets: &mut VecDeque<Ticket<TimerId>>) -> Ticket<TimerId> {
        let mut timer = timer(entry);
        loop {
            let refused = match self.engine.submit(timer) {
                Err(ScheduleError::NotScheduled(refused)) => refused,
                taken => return taken.expect("a ticket"),
            };
            assert!(is_busy(&refused.fault), "{refused}");
            let earliest = tickets.pop_front().expect("somebody fills the buffer");
            earliest.wait().expect("durable");
            timer = *refused.timer;
        }
    }
}

fn is_busy(fault: &ScheduleFault) -> bool {
    matches!(fault, ScheduleFault::Unavailable(Unavailable::Busy { .. }))
}

impl Store for Ours {
    fn caller(&self) -> Box<dyn Caller + '_> {
        Box::new(&self.engine)
    }

    fn load(&self) -> Loaded {
        Loaded::Counted(self.engine.stats().timers)
    }

    fn holds(&self, name: u64, entry: &Entry) -> bool {
        let info = TimerId::from_raw(name).and_then(|id| self.engine.get(id));
        info.is_some_and(|info| info.deadline == instant(entry) && info.payload[..] == entry.payload)
    }

    fn bulk(&self, entries: &[Entry]) {
        let mut tickets = VecDeque::new();
        let mut last = None;
        for (index, entry) in entries.iter().enumerate() {
            let ticket = self.submit(entry, &mut tickets);
            if index % SUBMITTED_A_TICKET == 0 {
                tickets.push_back(ticket);
            } else {
                last = Some(ticket);
            }
        }
        // Each covers all before it.
        tickets.into_iter().chain(last).for_each(|ticket| _ = ticket.wait().expect("durable"));
    }

    /// It is the same call: the log syncs whenever it can, and `submit` waits for no sync.
    fn bulk_once(&self, entries: &[Entry]) {
        self.bulk(entries);
    }

    /// The log becomes a snapshot, which is loaded sooner.
    fn tidy(&self) {
        self.engine.compact_now().expect("a snapshot");
    }
}

impl Caller for &Engine {
    fn schedule(&mut self, entry: &Entry) -> u64 {
        Engine::schedule(self, timer(entry)).expect("durable").raw()
    }

    fn batch(&mut self, entries: &[Entry]) {
        let batch = entries.iter().fold(Batch::new(), |batch, entry| batch.schedule(timer(entry)));
        self.apply(batch).expect("durable");
    }
}
