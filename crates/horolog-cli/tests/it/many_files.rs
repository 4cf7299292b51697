//! Directories of many segments, under a limit of open files and beside a writer that lets segments go.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use horolog_state::{ClockReading, DueTime, Epoch, Put, Record, Tick, TickLen, Timeline, TimerId, codec};
use horolog_storage::OsStorage;
use horolog_wal::{BatchBuf, LogOptions, Lsn, Stamp, Syncer, Writer, open_writer, read_log};

use crate::{code, horolog, stderr, stdout, text};

/// The owner of a log of segments of 64 KiB, with one timer a record and 3 000 bytes a timer.
struct Owner {
    path: PathBuf,
    writer: Writer,
    syncer: Syncer,
}

impl Owner {
    fn new(dir: &Path) -> Self {
        let options = LogOptions { segment_bytes_max: 64 << 10, ..LogOptions::small() };
        let path = dir.join("timers");
        let storage = Arc::new(OsStorage::open_or_create(&path).expect("a directory"));
        let view = read_log(&*storage, &options).expect("nothing is there");
        let (writer, syncer) = open_writer(storage.clone(), &view, &options, 0).expect("a new log");
        let mut owner = Self { path, writer, syncer };
        let (reading, tick_len) = (ClockReading::default(), TickLen::MILLISECOND);
        owner.write(&Record::Epoch(Epoch { epoch: 1, tick_len, generation_floor: 0, reading }));
        owner
    }

    fn write(&mut self, record: &Record<'_>) {
        let first_lsn = self.writer.tail().next();
        let mut batch = BatchBuf::new();
        batch.push(record.kind().code(), 0, |out| codec::encode(record, out));
        self.writer.append(&mut batch, Stamp { first_lsn, ..Stamp::default() }, 0).expect("written");
    }

    fn schedule(&mut self, timers: u32) {
        for _ in 0..timers {
            let slot = u32::try_from(self.writer.tail().0 - 1).expect("a slot");
            let id = TimerId::new(slot, 1).expect("an id");
            let due = DueTime { timeline: Timeline::Civil, tick: Tick(u64::MAX >> 1) };
            self.write(&Record::Put(Put { id, due, terms: None, payload: (&[b'x'; 3_000]).into() }));
        }
        self.syncer.sync().expect("synced");
    }

    fn retire(&mut self, below: u64) {
        let plan = self.writer.retire_below(Lsn(below)).expect("there is something to let go");
        plan.carry_out().expect("the disk works");
    }

    fn segments(&self) -> usize {
        let storage = OsStorage::open_existing(&self.path).expect("a directory");
        read_log(&storage, &LogOptions::default()).expect("sound").segments.len()
    }
}

#[test]
#[cfg(unix)]
fn a_directory_with_more_segments_than_files_may_be_open_is_read_and_repaired() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut owner = Owner::new(dir.path());
    owner.schedule(2_000);
    assert!(owner.segments() > 100);
    let path = owner.path;
    let limited = |args: &[&str]| {
        let script = "ulimit -n 16 && exec \"$0\" \"$@\"";
        let binary = env!("CARGO_BIN_EXE_horolog");
        Command::new("sh").args(["-c", script, binary]).args(args).output().expect("a shell")
    };
    for tool in ["verify", "inspect", "dump"] {
        let output = limited(&[tool, text(&path)]);
        assert_eq!(code(&output), Some(0), "{tool}: {}", stderr(&output));
        assert_eq!(stdout(&output), stdout(&horolog(&[tool, text(&path)])), "{tool}");
    }
    let new = dir.path().join("new");
    let output = limited(&["repair", text(&path), "--to", text(&new), "--accept-loss-after", "2001"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert!(stdout(&limited(&["verify", text(&new)])).contains("2000 timers"));
}

/// Who prints waits until somebody reads what it printed: a pipe holds a small part of this log.
#[test]
fn a_dump_of_a_log_that_is_retired_meanwhile_prints_each_record_once_and_says_which_are_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut owner = Owner::new(dir.path());
    owner.schedule(2_000);
    let mut child = Command::new(env!("CARGO_BIN_EXE_horolog"))
        .args(["dump", "--json", text(&owner.path)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output"));
    let mut first = String::new();
    lines.read_line(&mut first).expect("a line");
    owner.retire(1_500);
    owner.schedule(50);
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("text");
    let said = child.wait_with_output().expect("it ends");
    assert_eq!(code(&said), Some(0), "{}", stderr(&said));

    let records = first.lines().chain(rest.lines());
    let lsns: Vec<u64> = records
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON")["lsn"].as_u64().expect("an LSN")
        })
        .collect();
    assert_eq!((lsns.first(), lsns.last()), (Some(&1), Some(&2_001)), "up to what was there at first");
    let gaps: Vec<_> = lsns.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
    let [[before, after]] = gaps[..] else { panic!("one gap, and not {gaps:?}") };
    assert!(before < after && *after <= 1_501, "{before} to {after}");
    assert_eq!(stderr(&said), format!("records {} to {} are not there\n", before + 1, after - 1));
}
