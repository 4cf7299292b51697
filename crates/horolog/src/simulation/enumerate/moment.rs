//! A place at which the machine may stop: the disk as it is then, and what is promised there.

use horolog_sim::{SimDisk, Traced};
use horolog_storage::Op;

/// How far the records have come, as their owner knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Positions {
    /// A power cut takes nothing up to here.
    pub(super) durable: u64,
    /// The death of the process takes nothing up to here.
    pub(super) written: u64,
    /// Nothing behind this was ever asked for.
    pub(super) applied: u64,
    /// The last record that a delivery was begun with; 0 for none.
    pub(super) delivered: u64,
    /// The last record of a completion; 0 for none.
    pub(super) completed: u64,
}

/// What had just been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// An opening makes its files, and META does not list them.
    Making,
    /// META lists the segment of an opening.
    Listed,
    /// The LINK of an opening is written.
    OpeningLink,
    /// It is synced, and META does not call its segment the head.
    LinkSynced,
    /// META says so.
    Head,
    /// A batch is written.
    Write,
    /// A rotation has written the SEAL.
    Seal,
    /// It is synced.
    SealSynced,
    /// A rotation has written the LINK.
    RotationLink,
    Sync,
    /// A sync has returned, of another segment than the one that is written by now.
    OvertakenSync,
    Mark,
    Witness,
    Spare,
    /// The same, of the file of a retired segment.
    Reuse,
    /// A step of a snapshot.
    Snapshot,
    /// Segments that no snapshot needs are let go.
    Retire,
}

impl Step {
    pub(super) fn is_of_an_opening(self) -> bool {
        matches!(self, Self::Making | Self::Listed | Self::OpeningLink | Self::LinkSynced | Self::Head)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Moment {
    pub(super) disk: SimDisk,
    pub(super) promised: Positions,
    pub(super) step: Step,
    /// Nothing was ever acknowledged by this log, or by any before it.
    pub(super) first_life: bool,
    /// The last operation of the disk, for whoever reads a violation.
    pub(super) what: String,
}

pub(super) fn is_mutation(line: &Traced) -> bool {
    !matches!(line.op, Op::List | Op::Open | Op::Len | Op::Read | Op::Entropy)
}

/// The steps of an opening, by what it does to which file.
pub(super) fn steps_of_an_opening(lines: &[Traced]) -> Vec<Step> {
    let mut step = Step::Making;
    // A new META that lists the segment gets its name after the segment has its own.
    let (mut is_made, mut is_placed) = (false, false);
    let steps = lines.iter().map(|line| {
        let is_segment = line.name.ends_with(".wal") && !line.name.contains(' ');
        is_placed |= is_made && line.op == Op::Rename && line.name.contains("META");
        is_made |= line.op == Op::Rename && line.name.contains("seg-");
        step = match (step, line.op) {
            (Step::Making, Op::SyncDir) if is_placed => Step::Listed,
            (Step::Listed, Op::Write) if is_segment => Step::OpeningLink,
            (Step::OpeningLink, Op::Sync) if is_segment => Step::LinkSynced,
            (Step::LinkSynced, Op::Sync) if line.name == "META" => Step::Head,
            (step, _) => step,
        };
        step
    });
    steps.collect()
}

/// The steps of making a spare: one that was a segment before begins with another name.
pub(super) fn steps_of_a_spare(lines: &[Traced]) -> Vec<Step> {
    let is_reused = lines.first().is_some_and(|line| line.op == Op::Rename);
    vec![if is_reused { Step::Reuse } else { Step::Spare }; lines.len()]
}

/// The steps of a write: the last of one that goes on in another segment are SEAL, LINK and the batch, and a sync behind the
/// SEAL if the log waits for one.
pub(super) fn steps_of_a_write(lines: &[Traced]) -> Vec<Step> {
    let waits = lines.iter().rev().nth(2).is_some_and(|line| line.op == Op::Sync);
    let last: &[_] = match lines.len() {
        ..3 => return vec![Step::Write; lines.len()],
        _ if waits => &[Step::Seal, Step::SealSynced, Step::RotationLink, Step::Write],
        _ => &[Step::Seal, Step::RotationLink, Step::Write],
    };
    let spare = lines.get(..lines.len() - last.len()).unwrap_or_default();
    let mut steps = steps_of_a_spare(spare);
    steps.extend(last);
    steps
}
