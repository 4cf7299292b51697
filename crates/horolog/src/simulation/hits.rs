//! Faults that took effect, by class: what a program saw, and not what was ordered.

use horolog_sim::{Effect, Errno};
use horolog_storage::Op;

use super::world::World;

/// The effects that runs can reach. F1 to F22 are the classes of the study of crashes; each is here.
pub(crate) const HITS: [&str; 58] = [
    "F1 halt after a change",
    "F2 torn sector",
    "F3 a later sector without an earlier one",
    "F4 nothing of what was not synced",
    "F4 a size without the bytes",
    "F4 noise or zeros in the place of a sector",
    "F5 a change of names lost",
    "F5 both names after a rename",
    "F6 opening cut short",
    "F6 the same, depth 2",
    "F6 the same, depth 3",
    "F7 bit flip",
    "F7 burst",
    "F7 blocks",
    "F8 unreadable sector",
    "F8 a read that fails",
    "F9 misdirected write",
    "F10 lost write",
    "F11 misdirected read",
    "F11 stale read",
    "F12 failed write",
    "F12 short write",
    "F13 failed sync, pages clean",
    "F13 failed sync, evicted later",
    "F13 failed sync, reverted",
    "F13 failed sync, told by the next",
    "F14 no room",
    "F14 refused as if there were no room",
    "F15 a file that is not found",
    "F15 failed operation on names",
    "F15 failed rename",
    "F15 failed sync of the directory",
    "F15 no permission",
    "F15 read-only file system",
    "F15 too many open files",
    "F16 a file of another log",
    "F16 a segment of a copy that went its own way",
    "F16 an older epoch of a file",
    "F16 an older file",
    "F16 duplicated",
    "F16 grown",
    "F16 removed",
    "F16 shrunk",
    "F16 swapped",
    "F17 payload that holds a frame",
    "F17 stale frame",
    "F18 reordered completions",
    "F18 slow sync",
    "F18 slow sync, overtaken by a rotation",
    "F19 another boot",
    "F19 suspend",
    "F19 wall clock set back",
    "F19 wall clock set forward",
    "F20 lock of another process",
    "F20 who had the lock has died",
    "F21 no memory",
    "F22 one slot of META",
    "F22 several slots of META",
];

impl World {
    /// Counts what this disk, and all that were made from it, have shown.
    pub(crate) fn count_effects(&mut self) {
        for (effect, times) in self.disk.effects() {
            let class = class_of(effect);
            *self.counts.faults.entry(class).or_default() += times;
        }
    }
}

fn class_of(effect: Effect) -> &'static str {
    match effect {
        Effect::Torn => "F2 torn sector",
        Effect::Reordered => "F3 a later sector without an earlier one",
        Effect::AllLost => "F4 nothing of what was not synced",
        Effect::SizeOnly => "F4 a size without the bytes",
        Effect::Spoilt => "F4 noise or zeros in the place of a sector",
        Effect::NameLost => "F5 a change of names lost",
        Effect::BothNames => "F5 both names after a rename",
        Effect::Unreadable => "F8 unreadable sector",
        Effect::StrayWrite => "F9 misdirected write",
        Effect::LostWrite => "F10 lost write",
        Effect::WrongRead => "F11 misdirected read",
        Effect::StaleRead => "F11 stale read",
        Effect::ShortWrite => "F12 short write",
        Effect::MarkedClean => "F13 failed sync, pages clean",
        Effect::Evicted => "F13 failed sync, evicted later",
        Effect::Reverted => "F13 failed sync, reverted",
        Effect::ToldLate => "F13 failed sync, told by the next",
        Effect::NoRoom => "F14 no room",
        Effect::Locked => "F20 lock of another process",
        Effect::Refused(op, errno) => class_of_refusal(op, errno),
        _ => "an effect without a class",
    }
}

fn class_of_refusal(op: Op, errno: Errno) -> &'static str {
    match (op, errno) {
        (Op::Read, Errno::NoMemory) => "F21 no memory",
        (Op::Read, _) => "F8 a read that fails",
        (_, Errno::Full | Errno::Quota | Errno::TooLarge) => "F14 refused as if there were no room",
        (Op::Write, _) => "F12 failed write",
        (_, Errno::TooManyOpen) => "F15 too many open files",
        (_, Errno::NoAccess) => "F15 no permission",
        (_, Errno::ReadOnly) => "F15 read-only file system",
        (_, Errno::NotFound) => "F15 a file that is not found",
        (Op::Rename, _) => "F15 failed rename",
        (Op::SyncDir, _) => "F15 failed sync of the directory",
        _ => "F15 failed operation on names",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_an_effect() {
        let has = |class: u32| HITS.iter().any(|hit| hit.starts_with(&format!("F{class} ")));
        assert!((1..=22).all(has));
    }

    #[test]
    fn whatever_a_disk_shows_is_one_of_the_effects() {
        use Effect::{AllLost, BothNames, Evicted, Locked, LostWrite, MarkedClean, NameLost, NoRoom};
        use Effect::{Refused, Torn, Unreadable, WrongRead};
        use Effect::{Reordered, Reverted, ShortWrite, SizeOnly, Spoilt, StaleRead, StrayWrite, ToldLate};
        let lost = [Torn, Reordered, AllLost, SizeOnly, Spoilt, NameLost, BothNames, LostWrite, StrayWrite];
        let read = [Unreadable, WrongRead, StaleRead, Refused(Op::Read, Errno::NoMemory)];
        let told = [ShortWrite, MarkedClean, Evicted, Reverted, ToldLate, NoRoom, Locked];
        let refused = [Op::Read, Op::Write, Op::Create, Op::SyncDir].map(|op| Refused(op, Errno::Io));
        let full = Refused(Op::Create, Errno::Full);
        for effect in lost.into_iter().chain(read).chain(told).chain(refused).chain([full]) {
            assert!(HITS.contains(&class_of(effect)), "{effect:?} is {}", class_of(effect));
        }
    }
}
