//! What the shell needs from outside: clocks, the journal, consumers, and the timer thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::Waker;
use std::time::Duration;

use crossbeam_channel::{Receiver, Select, Sender, TrySendError, bounded};
use horolog_state::Now;

use crate::clock::{Clock, Timelines};
use crate::due::Due;
use crate::error::Indeterminate;
use crate::journal::{self, Journal};
use crate::machine::{Begun, Failure, Job, Machine, Outcome, Turn};
use crate::shell::{Outside, Shell, wake};
use crate::sync::Mutex;

/// How long the timer thread waits for a channel that is being emptied to be half empty.
const REFILL_WAIT: Duration = Duration::from_millis(2);

/// The engine's inside: the machine in its shell.
pub(crate) type Core = Shell<Machine, Services>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Services {
    clock: Arc<dyn Clock>,
    timelines: Timelines,
    journal: Arc<dyn Journal>,
    /// `None` once the engine is shut down: consumers see the end of the channel then.
    due_sender: Mutex<Option<Sender<Due>>>,
    due_receiver: Receiver<Due>,
    /// Occurrences that have left the machine and are not in the channel yet.
    sending: AtomicUsize,
    /// Occurrences that were begun and that no consumer will receive: the engine is being shut down.
    taken_back: AtomicU64,
    /// The timer thread has timers ready and no room for them.
    starved: AtomicBool,
    timer_kick: Sender<()>,
    timer_kicked: Receiver<()>,
    stopping: AtomicBool,
    consumers: Mutex<Consumers>,
    core: OnceLock<Weak<Core>>,
}

/// Wakers of those who await an occurrence, in the order in which they came.
#[derive(Debug, Default)]
struct Consumers {
    waiting: BTreeMap<u64, Waker>,
    places: u64,
}

impl Services {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        timelines: Timelines,
        journal: Arc<dyn Journal>,
        due_capacity: usize,
    ) -> Self {
        let (due_sender, due_receiver) = bounded(due_capacity);
        let (timer_kick, timer_kicked) = bounded(1);
        Self {
            clock,
            timelines,
            journal,
            due_sender: Mutex::new(Some(due_sender)),
            due_receiver,
            sending: AtomicUsize::new(0),
            taken_back: AtomicU64::new(0),
            starved: AtomicBool::new(false),
            timer_kick,
            timer_kicked,
            stopping: AtomicBool::new(false),
            consumers: Mutex::new(Consumers::default()),
            core: OnceLock::new(),
        }
    }

    /// Tells the services whom outcomes are to be reported to.
    pub(crate) fn belong_to(&self, core: &Arc<Core>) {
        // A second call would name the same core: `Engine` makes one of each.
        let _ = self.core.set(Arc::downgrade(core));
    }

    /// The threads have ended, and the lock of the directory is about to be released.
    pub(crate) fn let_go(&self) {
        self.journal.let_go();
    }

    pub(crate) fn due_receiver(&self) -> &Receiver<Due> {
        &self.due_receiver
    }

    /// Files the waker of somebody who awaits an occurrence, in the place it had before.
    pub(crate) fn file_consumer(&self, place: Option<u64>, waker: &Waker) -> u64 {
        // Cloned, and the one before it dropped, without the lock: a waker is user code.
        let waker = waker.clone();
        let mut consumers = self.consumers.lock();
        let place = place.unwrap_or_else(|| {
            consumers.places += 1;
            consumers.places
        });
        let replaced = consumers.waiting.insert(place, waker);
        drop(consumers);
        drop(replaced);
        place
    }

    /// Forgets somebody who awaits no longer.
    pub(crate) fn unfile_consumer(&self, place: u64) {
        let forgotten = self.consumers.lock().waiting.remove(&place);
        // Dropped without the lock: a waker is user code.
        drop(forgotten);
    }

    /// The engine is shut down: nothing will come.
    pub(crate) fn has_ended(&self) -> bool {
        self.due_sender.lock().is_none()
    }

    /// Wakes everybody who awaits an occurrence: there is one, or there will be none.
    pub(crate) fn wake_consumers(&self) {
        let waiting = std::mem::take(&mut self.consumers.lock().waiting);
        for waker in waiting.into_values() {
            wake(waker);
        }
    }

    /// Takes what no consumer has received out of the channel and ends it. Those occurrences stay in flight for the
    /// log, and are delivered again at the next opening.
    pub(crate) fn end_consumers(&self) {
        self.due_sender.lock().take();
        for due in self.due_receiver.try_iter() {
            self.take_back(due);
        }
        self.wake_consumers();
    }

    fn take_back(&self, due: Due) {
        due.settle();
        self.taken_back.fetch_add(1, Ordering::AcqRel);
    }

    /// Occurrences in flight that nobody holds.
    pub(crate) fn taken_back(&self) -> u64 {
        self.taken_back.load(Ordering::Acquire)
    }

    /// A consumer has ended an occurrence: if the timer thread waits for room and half of it is free, it goes on. Fewer
    /// and larger batches of deliveries cost less than one for each place that becomes free.
    pub(crate) fn consumed(&self) {
        if self.starved.load(Ordering::Acquire) && self.half_is_free() {
            self.kick_timer();
        }
    }

    fn half_is_free(&self) -> bool {
        let capacity = self.due_receiver.capacity().unwrap_or(usize::MAX);
        self.due_receiver.len() * 2 <= capacity
    }

    pub(crate) fn stop_timer(&self) {
        self.stopping.store(true, Ordering::Release);
        self.kick_timer();
    }

    /// Occurrences that consumers have not received.
    ///
    /// `sending` is read first: an occurrence on its way from there to the channel is counted twice rather than not at
    /// all, so the channel never holds more than its capacity.
    fn queued(&self) -> usize {
        let sending = self.sending.load(Ordering::Acquire);
        sending + self.due_receiver.len()
    }

    /// Waits until it is time for another turn; `false` when the engine is being shut down.
    fn wait_for_turn(&self, turn: Turn, consumers: Option<&Sender<Due>>) -> bool {
        if !turn.more {
            let sleep = Duration::from_nanos(turn.sleep_ns.max(1));
            match consumers.filter(|_| turn.starved) {
                Some(_) if turn.on_their_way => self.wait_for_kick(sleep),
                Some(consumers) => self.wait_for_room(consumers, sleep),
                None => self.wait_for_kick(sleep),
            }
        }
        let _ = self.timer_kicked.try_recv();
        !self.stopping.load(Ordering::Acquire)
    }

    fn wait_for_kick(&self, sleep: Duration) {
        let mut select = Select::new();
        select.recv(&self.timer_kicked);
        // A time-out and a kick mean the same: look again.
        let _ = select.ready_timeout(sleep);
    }

    /// Timers are ready and consumers have no room. A full channel wakes this thread when a consumer takes an occurrence;
    /// others follow within [`REFILL_WAIT`], so that their successors are begun together. While occurrences are on their
    /// way to the channel, their arrival is the next thing to happen: it kicks.
    fn wait_for_room(&self, consumers: &Sender<Due>, sleep: Duration) {
        if self.due_receiver.is_full() {
            let mut select = Select::new();
            select.recv(&self.timer_kicked);
            select.send(consumers);
            let _ = select.ready_timeout(sleep);
        }
        if !self.half_is_free() || self.sending.load(Ordering::Acquire) > 0 {
            self.wait_for_kick(sleep.min(REFILL_WAIT));
        }
    }
}

impl Outside<Machine> for Services {
    fn now(&self) -> Now {
        self.timelines.now(self.clock.times())
    }

    fn perform(&self, job: Job) -> Outcome {
        journal::perform(&*self.journal, job)
    }

    fn will_send(&self, count: usize) {
        self.sending.fetch_add(count, Ordering::AcqRel);
    }

    fn send(&self, outgoing: Vec<Begun>) {
        let count = outgoing.len();
        if let Some(core) = self.core.get().and_then(Weak::upgrade) {
            for begun in outgoing {
                let due = Due::new(begun, &core);
                // Held while sending, so that nothing enters the channel once it has been emptied for the last time.
                let sender = self.due_sender.lock();
                let Some(sender) = &*sender else {
                    self.take_back(due);
                    continue;
                };
                match sender.try_send(due) {
                    Ok(()) => {}
                    // Room was counted before it was begun, and this engine holds a receiver. Were it otherwise, the
                    // occurrence would come again at the next opening: late, not lost.
                    Err(TrySendError::Full(due) | TrySendError::Disconnected(due)) => self.take_back(due),
                }
            }
        }
        self.sending.fetch_sub(count, Ordering::AcqRel);
        if self.starved.load(Ordering::Acquire) {
            self.kick_timer();
        }
        self.wake_consumers();
    }

    fn kick_timer(&self) {
        // A full channel means that it will look anyway.
        let _ = self.timer_kick.try_send(());
    }
}

impl Core {
    /// The life of the timer thread: turns, and sleep until the next one.
    pub(crate) fn run_timer(&self) {
        let consumers = self.outside().due_sender.lock().clone();
        loop {
            // Set before the look: whatever makes room after it will kick.
            self.outside().starved.store(true, Ordering::Release);
            let turn = self.hold(|machine, now| machine.advance(&now, self.outside().queued()));
            self.outside().starved.store(turn.starved, Ordering::Release);
            if !self.outside().wait_for_turn(turn, consumers.as_ref()) {
                return;
            }
        }
    }

    /// What failed, for somebody whose record it carried.
    pub(crate) fn indeterminate(&self) -> Indeterminate {
        // It may have been healed since.
        let failure = self.hold(|machine, _| machine.last_failure().cloned());
        let unknown = || Arc::new(Failure::Panicked { thread: "an unknown thread" });
        Indeterminate { failure: failure.unwrap_or_else(unknown) }
    }
}
