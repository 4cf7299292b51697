//! What may happen in a run, as a list that can be printed, read back, cut and made simpler.
//!
//! # Invariants
//!
//! 1. A step is a word and a few small numbers. No step depends on what chance another one took: every part of a list is a
//!    run as well.
//! 2. A number that is too large for what is there wraps around (ids, files, jobs), and zero is always the simplest choice.
//! 3. `Step::parse(step.to_string()) == step`. Numbers that are zero are left out.

use std::fmt;

/// Gives each step its word, its numbers by name, and the way back.
macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident = $word:literal { $($field:ident),* })*) => {
        /// One thing that happens.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Step {
            $($(#[$doc])* $name { $($field: u32),* },)*
        }

        impl Step {
            /// All words.
            #[cfg(test)]
            pub(crate) const WORDS: &[&'static str] = &[$($word),*];

            /// Its word.
            pub(crate) fn word(&self) -> &'static str {
                match self { $(Self::$name { .. } => $word,)* }
            }

            /// Its numbers, each with its name.
            pub(crate) fn numbers(&self) -> Vec<(&'static str, u32)> {
                match *self { $(Self::$name { $($field),* } => vec![$((stringify!($field), $field)),*],)* }
            }

            /// The step of that word whose numbers are those that `number` gives for their names.
            fn of(word: &str, number: &dyn Fn(&str) -> u32) -> Option<Self> {
                match word {
                    $($word => Some(Self::$name { $($field: number(stringify!($field))),* }),)*
                    _ => None,
                }
            }
        }
    };
}

steps! {
    /// Always the first: how large everything is. `segment` and `growth` double, the others add.
    /// With `cut` the very first opening is cut short by a power cut after so many changes, of which `roll` says what arrives.
    World = "world" { seed, segment, growth, buffer, due, turn, timers, cut, roll }
    /// A one-shot after a delay. `within` 0 is synced; else it is written, and synced within so many milliseconds.
    After = "after" { ms, bytes, within }
    /// A one-shot at an instant so far ahead.
    At = "at" { ms, bytes, within }
    /// A one-shot at the beginning of time, or at its end.
    Extreme = "extreme" { end, within }
    /// A one-shot with a key, and a limit of tries. `policy`: 1 keep the one that has the key, 2 skip when late.
    Keyed = "keyed" { ms, key, policy, tries, within }
    /// A recurring timer. `policy`: 1 keep, 2 skip, 4 on the civil grid.
    Every = "every" { ms, key, policy, within }
    /// A one-shot whose payload is a frame of the log itself.
    Crafted = "crafted" { block, within }
    /// Cancels the timer of this index.
    Cancel = "cancel" { nth, within }
    /// Gives the timer of this index another due time.
    Reschedule = "reschedule" { nth, ms, civil, within }
    /// Completes what is held and schedules another one; `cancels` cancels the one of index `nth` besides.
    Batch = "batch" { held, ms, cancels, nth, within }
    /// A consumer receives.
    Receive = "receive" {}
    /// A consumer completes.
    Complete = "complete" { held, within }
    /// A consumer says that it failed.
    Fail = "fail" { held }
    /// A consumer lets go.
    Drop = "drop" { held }
    /// A hand takes a job: 0 of the log, 1 a write only, 2 to keep.
    Take = "take" { hand }
    /// A sync that was taken is under way, and ends when it is performed.
    Begin = "begin" {}
    /// A hand does a job.
    Perform = "perform" { nth }
    /// A hand reports a job; it may be a later one first.
    Report = "report" { nth }
    /// The log hands do all there is to do.
    Flush = "flush" {}
    /// The keeping hand does all there is to do.
    Keep = "keep" {}
    /// A turn of the timer thread.
    Turn = "turn" {}
    /// Time passes.
    Pass = "pass" { ms }
    /// Time passes while the machine sleeps.
    Suspend = "suspend" { ms }
    /// Somebody sets the wall clock forward.
    WallOn = "wall-on" { ms }
    /// Somebody sets the wall clock back.
    WallBack = "wall-back" { ms }
    /// The kernel writes back so many of eight sectors.
    WriteBack = "write-back" { of_eight, roll }
    /// Somebody reads the directory while it is open.
    Look = "look" {}
    /// Somebody else tries to open it.
    Second = "second" {}
    /// After a failure: the log is healed.
    Heal = "heal" {}
    /// The engine is closed in order and opened again; with `held` consumers complete what they have.
    Shutdown = "shutdown" { held, off_ms }
    /// The machine stops after so many more changes; what follows fails until the crash.
    Halt = "halt" { changes }
    /// The end of the process (`cut` 0), of the kernel (1), of the power (2), and the next opening. Of eight things that
    /// are pending `keep` arrive, of eight of these `tear` do not arrive whole. `names` 1: as in a journal. `blank`: what
    /// a file shows where nothing arrived.
    Crash = "crash" { cut, keep, tear, names, blank, roll, off_ms }
    /// The next opening is cut short after so many changes, like the whole machine by `cut`.
    CutOpening = "cut-opening" { changes, cut, roll }
    /// F12: a write fails after so many; `bytes` of it arrive, or half of it if that is 0.
    FailWrite = "fail-write" { after, errno, bytes, file }
    /// F13: a sync fails. `how`: clean pages, evicted after `delay`, told by the next, reverted.
    FailSync = "fail-sync" { after, how, delay, file }
    /// F14, F15: an operation on names is refused `times` times.
    FailName = "fail-name" { op, after, errno, times }
    /// F10: a write is lost and reported.
    LoseWrite = "lose-write" { after, file }
    /// F9: a write goes to another place.
    StrayWrite = "stray-write" { after, file, block }
    /// F14: the disk has only so many KiB left.
    Capacity = "capacity" { kib }
    /// F14: there is room again.
    Space = "space" {}
    /// F8: before the next opening some blocks cannot be read.
    Unreadable = "unreadable" { file, block, blocks }
    /// F11: in the next opening a read gives another place (`stale` 0) or what was there before the last sync.
    WrongRead = "wrong-read" { stale, after, file, block }
    /// F12, F13, F15, F21: in the next opening an operation is refused.
    FailOpening = "fail-opening" { op, after, errno, times }
    /// F20: at the next opening the lock is held for so many tries by a process that dies; 0: for ever.
    Locked = "locked" { tries }
    /// F7, F16, F17, F22: the image that the next crash leaves is damaged; with `stay` life goes on with it if it opens.
    Damage = "damage" { how, file, at, with, stay }
}

impl Step {
    /// The same step with other numbers, in their order.
    pub(crate) fn with(&self, numbers: &[u32]) -> Self {
        let names = self.numbers();
        let number = |wanted: &str| {
            let at = names.iter().position(|(name, _)| *name == wanted);
            at.and_then(|at| numbers.get(at)).copied().unwrap_or(0)
        };
        Self::of(self.word(), &number).unwrap_or(*self)
    }

    /// Reads a line that [`Step`]'s `Display` wrote.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut parts = line.split_whitespace();
        let word = parts.next()?;
        let mut numbers = Vec::new();
        for part in parts {
            let (name, number) = part.split_once('=')?;
            numbers.push((name, number.parse::<u32>().ok()?));
        }
        let number = |wanted: &str| numbers.iter().find(|(name, _)| *name == wanted).map_or(0, |it| it.1);
        Self::of(word, &number)
    }

    /// Reads a trace: a step a line; empty lines and what follows `#` do not count.
    pub(crate) fn parse_all(trace: &str) -> Result<Vec<Self>, String> {
        let lines = trace.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        lines
            .filter(|line| !line.is_empty())
            .map(|line| Self::parse(line).ok_or_else(|| format!("not a step: {line}")))
            .collect()
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        for (name, number) in self.numbers() {
            if number != 0 {
                write!(f, " {name}={number}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Step;

    #[test]
    fn a_trace_is_read_as_it_was_written() {
        let steps = [
            Step::World {
                seed: 7,
                segment: 1,
                growth: 0,
                buffer: 2,
                due: 3,
                turn: 4,
                timers: 5,
                cut: 0,
                roll: 0,
            },
            Step::Receive {},
            Step::Crash { cut: 2, keep: 4, tear: 1, names: 0, blank: 2, roll: 99, off_ms: 5 },
        ];
        let trace: String = steps.iter().map(|step| format!("{step}   # a remark\n\n")).collect();
        assert_eq!(Step::parse_all(&trace).as_deref(), Ok(&steps[..]));
        assert!(Step::parse_all("no-such-step").is_err() && Step::parse_all("pass ms").is_err());
    }
}
