//! A queue that cannot leave its thread, behind a channel: other threads send what they want, and the owner does it.
#![expect(clippy::expect_used, reason = "a bench stops at the first error")]

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use crate::clock::now;
use crate::queue::{Producer, SharedQueue, TimerQueue};

/// Who finds so many ahead waits: an owner that is behind does not take all memory.
const ROOM: usize = 8_192;

/// The owner looks at the clock once in so many.
const COMMANDS_A_LOOK: usize = 256;

pub(crate) enum Command {
    Insert { deadline: u64, payload: u64 },
    Cancel(u64),
    Flush(SyncSender<()>),
}

/// A queue whose timers are named by their payloads: a handle is there before the owner has seen the timer.
pub(crate) struct Channel<Q> {
    queue: Q,
    sender: SyncSender<Command>,
    commands: Receiver<Command>,
}

impl<Q: TimerQueue<Handle = u64>> Channel<Q> {
    fn obey(&mut self, command: Command) {
        match command {
            Command::Insert { deadline, payload } => _ = self.queue.insert(deadline, payload),
            Command::Cancel(payload) => _ = self.queue.cancel(payload),
            Command::Flush(done) => done.send(()).expect("a producer waits"),
        }
    }
}

impl<Q: TimerQueue<Handle = u64>> SharedQueue for Channel<Q> {
    type Producer = SyncSender<Command>;

    fn with<R>(work: impl FnOnce(&mut Self) -> R) -> R {
        let (sender, commands) = sync_channel(ROOM);
        Q::with(|queue| work(&mut Self { queue, sender, commands }))
    }

    fn producer(&self) -> SyncSender<Command> {
        self.sender.clone()
    }

    fn advance(&mut self, now: u64, fired: &mut Vec<u64>) {
        self.queue.advance(now, fired);
    }

    fn wait_until(&mut self, then: Instant) {
        loop {
            for _ in 0..COMMANDS_A_LOOK {
                let Ok(command) = self.commands.try_recv() else { break };
                self.obey(command);
            }
            let left = then.saturating_duration_since(now());
            let Ok(command) = self.commands.recv_timeout(left) else { return };
            self.obey(command);
            if left.is_zero() {
                return;
            }
        }
    }
}

impl Producer for SyncSender<Command> {
    type Handle = u64;

    #[inline]
    fn insert(&mut self, deadline: u64, payload: u64) -> u64 {
        self.send(Command::Insert { deadline, payload }).expect("there is an owner");
        payload
    }

    /// Nobody says whether it was pending.
    #[inline]
    fn cancel(&mut self, handle: u64) -> bool {
        self.send(Command::Cancel(handle)).is_ok()
    }

    fn flush(&mut self) {
        let (done, is_done) = sync_channel(1);
        self.send(Command::Flush(done)).expect("there is an owner");
        is_done.recv().expect("the owner goes on until all are done");
    }
}
