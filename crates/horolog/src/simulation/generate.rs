//! From a seed to a list of steps, swarm style: every seed has sizes, weights and a set of fault classes of its own.
//!
//! A class that is off in one run leaves room for another to go deep: a run in which everything happens is a run in which
//! nothing goes on for long.

use horolog_sim::Rng;

use super::damage::HOWS;
use super::step::Step;

/// Classes of faults that a run may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// F1–F6: crashes, and crashes inside openings.
    Crash,
    /// F7, F16, F17, F22: damage of the image.
    Damage,
    /// F8, F11: reads that fail or lie.
    Read,
    /// F9, F10: writes that go astray or get lost.
    Lie,
    /// F12: writes that fail.
    Write,
    /// F13: syncs that fail.
    Sync,
    /// F14: a full disk.
    Full,
    /// F15: operations on names that are refused.
    Names,
    /// F15, F12, F13, F21 in openings.
    Opening,
    /// F19: clocks.
    Clock,
    /// F20: locks.
    Lock,
    /// F1: the machine stops after a change.
    Halt,
}

impl Class {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 12] = [
        ("crash", Self::Crash),
        ("damage", Self::Damage),
        ("read", Self::Read),
        ("lie", Self::Lie),
        ("write", Self::Write),
        ("sync", Self::Sync),
        ("full", Self::Full),
        ("names", Self::Names),
        ("opening", Self::Opening),
        ("clock", Self::Clock),
        ("lock", Self::Lock),
        ("halt", Self::Halt),
    ];
}

/// A number of steps and the classes of faults that they may have.
#[derive(Clone, Debug)]
pub struct Size {
    /// Steps of a run, about.
    pub steps: u32,
    /// The faults to choose from.
    pub classes: Vec<Class>,
}

impl Default for Size {
    fn default() -> Self {
        Self { steps: 80, classes: Class::ALL.iter().map(|(_, class)| *class).collect() }
    }
}

/// One run's own taste.
struct Taste {
    rng: Rng,
    classes: Vec<Class>,
    /// Weights of commands, consumers, hands, time and faults, in this order.
    weights: [u64; 5],
    /// The longest delay asked for, in milliseconds.
    ahead: u64,
    payload: u64,
    synced: bool,
}

/// The steps of a seed.
pub(crate) fn generate(seed: u64, size: &Size) -> Vec<Step> {
    let mut rng = Rng::new(seed);
    let classes: Vec<_> = size.classes.iter().copied().filter(|_| rng.one_in(2)).collect();
    let weights = [2, 2, 4, 1, 1].map(|most| 1 + rng.below(4 * most));
    let mut taste = Taste {
        classes,
        weights,
        ahead: [5, 200, 3_000, 30_000][small(&mut rng, 4) as usize],
        payload: [8, 100, 4_900][small(&mut rng, 3) as usize],
        synced: rng.one_in(3),
        rng,
    };
    let mut steps = vec![taste.world(seed)];
    let many = size.steps / 2 + taste.number(size.steps.into());
    while steps.len() < many as usize {
        taste.add(&mut steps);
    }
    steps
}

fn small(rng: &mut Rng, below: u64) -> u32 {
    u32::try_from(rng.below(below)).unwrap_or(0)
}

impl Taste {
    fn number(&mut self, below: u64) -> u32 {
        small(&mut self.rng, below)
    }

    /// Any number: an index, or a seed of its own.
    fn any(&mut self) -> u32 {
        self.number(1 << 16)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.rng.one_in(n)
    }

    fn has(&self, class: Class) -> bool {
        self.classes.contains(&class)
    }

    fn world(&mut self, seed: u64) -> Step {
        let [few, more, many] = [self.number(3), self.number(8), self.number(64)];
        Step::World {
            seed: u32::try_from(seed & 0xFFFF_FFFF).unwrap_or(0),
            segment: few,
            growth: self.number(3),
            buffer: self.number(20),
            due: more,
            turn: self.number(8),
            timers: many,
            cut: if self.one_in(4) { 1 + self.number(16) } else { 0 },
            roll: self.any(),
        }
    }

    fn within(&mut self) -> u32 {
        if self.synced || self.one_in(2) { 0 } else { 1 + self.number(100) }
    }

    fn ahead(&mut self) -> u32 {
        self.number(self.ahead)
    }

    fn bytes(&mut self) -> u32 {
        self.number(self.payload)
    }

    fn add(&mut self, steps: &mut Vec<Step>) {
        let sum: u64 = self.weights.iter().sum();
        let mut at = self.rng.below(sum);
        let mut which = 0;
        for weight in self.weights {
            if at < weight {
                break;
            }
            at -= weight;
            which += 1;
        }
        match which {
            0 => steps.push(self.command()),
            1 => steps.push(self.consumer()),
            2 => steps.push(self.hand()),
            3 => steps.push(self.time()),
            _ => self.trouble(steps),
        }
    }

    fn command(&mut self) -> Step {
        let (ms, within) = (self.ahead(), self.within());
        match self.number(16) {
            0..=5 => Step::After { ms, bytes: self.bytes(), within },
            6 => Step::At { ms, bytes: self.bytes(), within },
            7 => Step::Extreme { end: self.number(2), within },
            8 => {
                Step::Keyed { ms, key: self.number(4), policy: self.number(4), tries: self.number(4), within }
            }
            9 => Step::Every {
                ms: 1 + self.number(2_000),
                key: self.number(4),
                policy: self.number(8),
                within,
            },
            10 | 11 => Step::Cancel { nth: self.any(), within },
            12 => Step::Reschedule { nth: self.any(), ms, civil: self.number(2), within },
            13 if self.one_in(4) => Step::Crafted { block: self.any(), within },
            _ => Step::Batch { held: self.any(), ms, cancels: self.number(2), nth: self.any(), within },
        }
    }

    fn consumer(&mut self) -> Step {
        match self.number(8) {
            0..=3 => Step::Receive {},
            4 | 5 => Step::Complete { held: self.any(), within: self.within() },
            6 => Step::Fail { held: self.any() },
            _ => Step::Drop { held: self.any() },
        }
    }

    fn hand(&mut self) -> Step {
        match self.number(16) {
            0..=3 => Step::Take { hand: self.number(3) },
            4..=6 => Step::Perform { nth: self.number(4) },
            12 => Step::Begin {},
            7..=9 => Step::Report { nth: if self.one_in(3) { self.number(3) } else { 0 } },
            10 | 11 => Step::Flush {},
            13 => Step::Keep {},
            _ => Step::Turn {},
        }
    }

    fn time(&mut self) -> Step {
        let by = [3, 50, 2_000, 10_000][self.number(4) as usize];
        let ms = 1 + self.number(by);
        match self.number(8) {
            0 if self.has(Class::Clock) => Step::Suspend { ms },
            1 if self.has(Class::Clock) => Step::WallOn { ms },
            2 if self.has(Class::Clock) => Step::WallBack { ms },
            3 => Step::WriteBack { of_eight: self.number(9), roll: self.any() },
            4 if self.has(Class::Lock) => Step::Second {},
            5 => Step::Look {},
            _ => Step::Pass { ms },
        }
    }

    /// A fault, and the crash that shows what it did; or time to notice it and to heal.
    fn trouble(&mut self, steps: &mut Vec<Step>) {
        let class = self.rng.pick(&self.classes).copied().unwrap_or(Class::Crash);
        if class == Class::Halt {
            self.halt(steps);
            return self.crash(steps);
        }
        if matches!(class, Class::Sync | Class::Write) && self.one_in(4) {
            self.overtake(steps);
        }
        steps.extend(self.fault(class));
        let needs_a_crash = [Class::Crash, Class::Damage, Class::Read, Class::Opening, Class::Lock];
        if needs_a_crash.contains(&class) {
            self.crash(steps);
        }
        if self.one_in(2) {
            self.work(steps);
            steps.push(Step::Heal {});
        }
    }

    fn fault(&mut self, class: Class) -> Vec<Step> {
        let soon = u64::from(self.number(8));
        let (after, file) = (self.number(soon), self.number(3));
        let one = match class {
            Class::Crash | Class::Halt => return Vec::new(),
            Class::Damage => return (0..1 + self.number(8) / 7).map(|_| self.damage()).collect(),
            Class::Read if self.one_in(2) => {
                Step::Unreadable { file: self.any(), block: self.number(10), blocks: self.number(4) }
            }
            Class::Read => {
                let stale = self.number(2);
                Step::WrongRead { stale, after: self.number(12), file: self.any(), block: self.any() }
            }
            Class::Lie if self.one_in(2) => Step::LoseWrite { after, file },
            Class::Lie => Step::StrayWrite { after, file: self.any(), block: self.any() },
            Class::Write => {
                let bytes = if self.one_in(2) { 0 } else { self.number(5_000) };
                Step::FailWrite { after, errno: self.number(8), bytes, file }
            }
            Class::Sync => Step::FailSync { after, how: self.number(4), delay: self.number(20), file },
            Class::Full if self.one_in(3) => Step::Space {},
            Class::Full => Step::Capacity { kib: self.number(100) },
            Class::Names => {
                let (op, after, errno) = (self.number(6), self.number(3), self.number(8));
                Step::FailName { op, after, errno, times: self.number(3) }
            }
            Class::Opening => {
                let (op, after, errno) = (self.number(10), self.number(12), self.number(8));
                Step::FailOpening { op, after, errno, times: self.number(2) }
            }
            Class::Clock => Step::WallBack { ms: self.number(10_000) },
            Class::Lock => Step::Locked { tries: self.number(6) },
        };
        vec![one]
    }

    /// The machine stops: anywhere, in a rotation, or while a failed log is healed.
    fn halt(&mut self, steps: &mut Vec<Step>) {
        match self.number(3) {
            0 => {
                self.fill(steps);
                steps.push(Step::Halt { changes: self.number(6) });
                self.fill(steps);
            }
            1 => {
                steps.push(Step::FailSync { after: 0, how: self.number(3), delay: self.number(20), file: 0 });
                steps.push(Step::After { ms: self.ahead(), bytes: self.bytes(), within: 0 });
                steps.push(Step::Flush {});
                steps.push(Step::Halt { changes: self.number(16) });
                steps.push(Step::Heal {});
            }
            _ => {
                steps.push(Step::Halt { changes: self.number(12) });
                self.work(steps);
            }
        }
    }

    /// Until a segment is full, and longer.
    fn fill(&mut self, steps: &mut Vec<Step>) {
        for _ in 0..1 + self.number(4) {
            steps.push(Step::After { ms: self.ahead(), bytes: 4_000, within: self.within() });
            steps.push(Step::Flush {});
        }
    }

    /// Commands and hands, and a flush.
    fn work(&mut self, steps: &mut Vec<Step>) {
        for _ in 0..1 + self.number(6) {
            steps.push(if self.one_in(2) { self.hand() } else { self.command() });
        }
        steps.push(Step::Flush {});
    }

    /// A sync has come back, and nobody was told.
    fn leave_untold(&mut self, steps: &mut Vec<Step>) {
        steps.push(Step::Flush {});
        steps.push(Step::After { ms: self.ahead(), bytes: self.bytes(), within: 0 });
        for _ in 0..2 {
            steps.push(Step::Report { nth: 0 });
            steps.push(Step::Take { hand: 0 });
            steps.push(Step::Perform { nth: 0 });
        }
    }

    /// Somebody waits for records that are written while a sync is under way, until they have no room in the segment.
    fn overtake(&mut self, steps: &mut Vec<Step>) {
        steps.push(Step::Flush {});
        steps.push(Step::Keep {});
        steps.push(Step::After { ms: self.ahead(), bytes: self.bytes(), within: 0 });
        steps.extend([Step::Take { hand: 1 }, Step::Perform { nth: 0 }, Step::Report { nth: 0 }]);
        steps.push(Step::Take { hand: 0 });
        if !self.one_in(3) {
            steps.push(Step::Begin {});
        }
        let rounds = 1 + self.number(6);
        self.write_on(steps, rounds);
        if !self.one_in(3) {
            steps.extend([Step::Perform { nth: 0 }, Step::Report { nth: 0 }]);
            // Behind what the sync vouches for, and into the segment after that.
            let rounds = self.number(2) * self.number(8);
            self.write_on(steps, rounds);
        }
    }

    /// Records are written for who waits for no more, while a sync is under way or not.
    fn write_on(&mut self, steps: &mut Vec<Step>, rounds: u32) {
        for _ in 0..rounds {
            steps.push(Step::After { ms: self.ahead(), bytes: 4_000, within: 1 + self.number(100) });
            steps.extend([Step::Take { hand: 1 }, Step::Perform { nth: 1 }, Step::Report { nth: 0 }]);
        }
    }

    fn damage(&mut self) -> Step {
        let (how, file) = (self.number(HOWS.into()), self.any());
        Step::Damage { how, file, at: self.any(), with: self.any(), stay: self.number(2) }
    }

    fn crash(&mut self, steps: &mut Vec<Step>) {
        if self.one_in(8) {
            steps.push(Step::Shutdown { held: self.number(2), off_ms: self.number(5_000) });
            return;
        }
        if self.one_in(6) {
            self.leave_untold(steps);
        } else if self.one_in(4) {
            self.overtake(steps);
        }
        if self.has(Class::Crash) {
            for _ in 0..self.number(8).saturating_sub(4) {
                let (changes, cut) = (self.number(20), self.number(3));
                steps.push(Step::CutOpening { changes, cut, roll: self.any() });
            }
        }
        steps.push(Step::Crash {
            cut: self.number(5).min(2),
            keep: self.number(9),
            tear: if self.one_in(2) { 0 } else { self.number(9) },
            names: self.number(2),
            blank: self.number(3),
            roll: self.any(),
            off_ms: self.number(5_000),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Class, Size, generate};
    use crate::simulation::step::Step;

    #[test]
    fn every_word_comes_up_and_every_list_can_be_read_back() {
        let mut words = BTreeSet::new();
        for seed in 0..200 {
            let steps = generate(seed, &Size::default());
            let text: String = steps.iter().map(|step| format!("{step}\n")).collect();
            assert_eq!(Step::parse_all(&text).as_deref(), Ok(&steps[..]));
            words.extend(steps.iter().map(Step::word));
        }
        let missing: Vec<_> = Step::WORDS.iter().filter(|word| !words.contains(*word)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn a_run_has_no_fault_of_a_class_that_was_not_asked_for() {
        let size = Size { classes: vec![Class::Clock], ..Size::default() };
        let steps = (0..50).flat_map(|seed| generate(seed, &size));
        let foreign = |step: &Step| {
            matches!(
                step,
                Step::Damage { .. } | Step::FailSync { .. } | Step::Capacity { .. } | Step::Halt { .. }
            )
        };
        assert_eq!(steps.filter(foreign).count(), 0);
    }
}
