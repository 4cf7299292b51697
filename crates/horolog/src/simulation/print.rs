//! Short numbers that stand for much: the fingerprint of a state, and the running hash of a run.

use horolog_state::{DueTime, State, Timeline};

/// A hash that is the same in every process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Print(u64);

impl Print {
    pub(crate) const EMPTY: Self = Self(0xCBF2_9CE4_8422_2325);

    pub(crate) fn add(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 29);
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        self.add(bytes.len() as u64);
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
            self.add(u64::from_le_bytes(word));
        }
    }

    fn add_due(&mut self, due: DueTime) {
        self.add(u64::from(due.timeline == Timeline::Civil));
        self.add(due.tick.0);
    }

    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// All that can be seen of a state.
    pub(crate) fn of(state: &State) -> Self {
        let mut print = Self::EMPTY;
        print.add(state.applied().0);
        for timer in state.timers() {
            let phase = timer.phase as u64;
            let flags = u64::from(timer.doomed) | u64::from(timer.suspect) << 1;
            let slot = timer.recurrence.map_or(0, |recurrence| recurrence.next_index);
            let live = timer.recurrence.and_then(|it| it.live).map_or(0, |live| live.index + 1);
            let id = timer.id.raw();
            for number in
                [id, phase, flags, slot, live, timer.deliveries.into(), timer.failures.into(), timer.lsn.0]
            {
                print.add(number);
            }
            print.add_due(timer.due);
            print.add_bytes(timer.key);
            print.add_bytes(timer.payload);
        }
        print
    }
}
