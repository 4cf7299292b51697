//! The crash table of `docs/durability.md`: which of its rows were reached, and how often.

use super::moment::{Moment, Positions, Step};
use super::reading::{Files, Reading};

/// A state after a crash, and where it came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) moment: &'a Moment,
    pub(super) reading: &'a Reading,
    /// The process died and the system lives on.
    pub(super) killed: bool,
    /// Crashes so far, this one included.
    pub(super) depth: u32,
    /// The opening that was cut short had found a LINK that was written and not synced.
    pub(super) after_unsynced_link: bool,
    /// It had found a META whose name was not durable.
    pub(super) after_unsynced_meta: bool,
}

/// A row: its words in the table, or a part of it, and when a state belongs to it.
type Row = (&'static str, fn(&Seen<'_>) -> bool);

/// How many rows there are.
pub(super) const ROWS: usize = TABLE.len();

/// What has to be reached. `docs/durability.md` says under "Every crash of every short sequence" which rows are not here.
pub(super) const TABLE: &[Row] = &[
    ("a record is applied", |it| it.killed && it.valid() < it.promised().applied),
    ("its batch is written; the process dies", |it| it.killed && it.promised().is_ahead() && it.is_written()),
    ("its batch is written; the power fails: whole", |it| {
        it.cut() && it.promised().is_ahead() && it.is_written()
    }),
    ("its batch is written; the power fails: torn", |it| {
        it.cut() && it.step() == Step::Write && it.is_torn(1)
    }),
    ("two batches are written ahead: the second only", |it| it.cut() && it.depth == 1 && it.is_torn(2)),
    ("it is synced and not yet answered", |it| it.cut() && it.step() == Step::Sync && it.is_unstamped()),
    ("it is answered; no later batch or MARK", |it| {
        it.cut()
            && it.is_unstamped()
            && it.promised().durable > it.reading.proven()
            && it.promised().durable > 0
    }),
    ("rotation: the spare is made", |it| it.cut() && it.step() == Step::Spare),
    ("rotation: the SEAL is written", |it| it.cut() && it.step() == Step::Seal),
    ("rotation: the SEAL is synced, nothing behind it", |it| it.step() == Step::SealSynced),
    ("rotation: the LINK is written, and lost or there", |it| it.cut() && it.step() == Step::RotationLink),
    ("rotation: a sync that it overtook returns", |it| it.step() == Step::OvertakenSync),
    ("a LINK is not synced; death, then the power fails", |it| it.cut() && it.after_unsynced_link),
    ("half of an update of META", |it| it.cut() && it.reading.report.meta_bad_slots > 0),
    ("an update of META in one slot of its pair", |it| it.cut() && it.files().meta_between),
    ("opening: its segment is made, not listed", |it| it.reopens() && it.step() == Step::Making),
    ("opening: listed, no LINK", |it| it.reopens() && it.step() == Step::Listed),
    ("opening: the LINK is written", |it| it.reopens() && it.step() == Step::OpeningLink),
    ("opening: the LINK is synced, META not", |it| it.reopens() && it.step() == Step::LinkSynced),
    ("opening: META calls it the head", |it| it.reopens() && it.step() == Step::Head),
    ("any step of the first opening", |it| {
        it.moment.first_life && it.step().is_of_an_opening() && it.valid() == 0
    }),
    ("META's name is not durable; death, then the power fails", |it| it.cut() && it.after_unsynced_meta),
    ("opening, again and again", |it| it.depth > 2 && it.step().is_of_an_opening()),
    ("Deliver is applied, not written", |it| it.killed && it.promised().delivered > it.valid()),
    ("Deliver is written; the process dies", |it| it.killed && it.is_delivered() && it.promised().is_ahead()),
    ("Deliver is written; the power fails: in flight", |it| {
        it.cut() && it.is_delivered() && it.promised().delivered > it.promised().durable
    }),
    ("Deliver is written; the power fails: forgotten", |it| {
        let delivered = it.promised().delivered;
        it.cut() && delivered > it.valid() && delivered <= it.promised().written
    }),
    ("the handler is done, Complete is not written", |it| {
        it.killed && it.promised().completed > it.valid() && it.reading.report.in_flight > 0
    }),
    ("Complete is durable", |it| {
        let completed = it.promised().completed;
        it.cut() && completed > 0 && completed <= it.promised().durable
    }),
    ("any step of making a snapshot", |it| it.cut() && it.step() == Step::Snapshot),
    ("META lists the snapshot", |it| it.reading.report.snapshot.is_some()),
    ("a snapshot has its name, META does not list it", |it| it.files().unlisted_snapshot),
    ("META lists it, the one that went is still there", |it| it.files().replaced_snapshot),
    ("retiring: META does not say so", |it| it.step() == Step::Retire && !it.files().log_begins_later),
    ("retiring: META says so, the files are there", |it| it.step() == Step::Retire && it.files().retired),
    ("the log begins behind the first record", |it| it.files().log_begins_later),
    ("using a file again: half-made", |it| it.step() == Step::Reuse && it.files().half_made),
    ("using a file again: listed, or not yet", |it| it.step() == Step::Reuse && !it.files().half_made),
    ("a file in its second life is the head", |it| it.files().second_life),
    ("shutdown, with occurrences still held", |it| {
        it.reading.report.clean && it.reading.report.in_flight > 0
    }),
    ("the MARK with CLEAN", |it| it.reading.report.clean),
];

impl Positions {
    fn is_ahead(&self) -> bool {
        self.written > self.durable
    }
}

impl Seen<'_> {
    fn promised(&self) -> &Positions {
        &self.moment.promised
    }

    fn files(&self) -> &Files {
        &self.reading.files
    }

    fn step(&self) -> Step {
        self.moment.step
    }

    fn valid(&self) -> u64 {
        self.reading.valid()
    }

    fn cut(&self) -> bool {
        !self.killed
    }

    fn is_written(&self) -> bool {
        self.valid() >= self.promised().written
    }

    fn is_torn(&self, blocks: u64) -> bool {
        self.reading.report.torn_bytes >= blocks * u64::from(horolog_wal::BLOCK_LEN)
    }

    fn is_unstamped(&self) -> bool {
        self.valid() >= self.promised().durable && self.valid() > self.reading.proven()
    }

    fn is_delivered(&self) -> bool {
        let delivered = self.promised().delivered;
        delivered > 0 && delivered <= self.valid() && self.reading.report.in_flight > 0
    }

    fn reopens(&self) -> bool {
        !self.moment.first_life && self.step().is_of_an_opening()
    }
}
