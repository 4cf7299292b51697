//! `inspect`, `dump` and `verify`: what they say, what they exit with, and that they write nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use horolog::{Engine, Timer};

use crate::{code, horolog, stderr, stdout, text};

const TOOLS: [&str; 3] = ["inspect", "dump", "verify"];

/// Twenty timers far ahead, one of them with a key, closed in order.
pub(crate) fn scheduled(dir: &Path) -> PathBuf {
    let path = dir.join("timers");
    let engine = Engine::open(&path).expect("a new directory");
    for number in 0..20 {
        let at = UNIX_EPOCH + Duration::from_secs(4_000_000_000 + number);
        let timer = Timer::at(at).payload(format!("order {number}"));
        let timer = if number == 7 { timer.key("seventh").payload([0xff, 7]) } else { timer };
        engine.schedule(timer).expect("scheduled");
    }
    engine.shutdown(Duration::ZERO).expect("closed in order");
    path
}

pub(crate) fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = entries.map(|path| (path.clone(), fs::read(path).expect("a file"))).collect();
    files.sort();
    files
}

/// Damages the first segment where the first orders are.
pub(crate) fn flip_a_byte(dir: &Path) {
    let segments = files(dir).into_iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "wal"));
    let with_order = |(_, bytes): &(PathBuf, Vec<u8>)| bytes.windows(8).any(|window| window == b"order 11");
    let (path, mut bytes) = segments.into_iter().find(with_order).expect("a segment with order 11");
    let at = bytes.windows(8).position(|window| window == b"order 11").expect("order 11");
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("damaged");
}

#[test]
fn a_sound_directory_is_sound() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = scheduled(dir.path());
    let output = horolog(&["verify", text(&path)]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("sound\n20 timers (0 dead, 0 in flight)"), "{}", stdout(&output));
}

#[test]
fn a_flipped_byte_is_damage_and_what_is_before_it_is_dumped() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = scheduled(dir.path());
    flip_a_byte(&path);
    let output = horolog(&["verify", text(&path)]);
    assert_eq!(code(&output), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("lost"), "{}", stderr(&output));
    assert!(stderr(&output).contains("what to do: keep a copy"), "{}", stderr(&output));

    let output = horolog(&["dump", text(&path)]);
    assert_eq!(code(&output), Some(1));
    let dumped = stdout(&output);
    assert!(dumped.contains("order 10") && !dumped.contains("order 12"), "{dumped}");
    assert_eq!(code(&horolog(&["inspect", text(&path)])), Some(1));
}

#[test]
fn what_cannot_be_read_is_neither_sound_nor_damaged() {
    let dir = tempfile::tempdir().expect("a directory");
    for tool in TOOLS {
        let output = horolog(&[tool, text(&dir.path().join("nowhere"))]);
        assert_eq!(code(&output), Some(2), "{tool}");
        assert!(stderr(&output).contains("what to do: check the path"), "{}", stderr(&output));
    }
    let path = scheduled(dir.path());
    fs::create_dir(path.join("seg-00000000000000ff.wal")).expect("a directory in place of a segment");
    assert_eq!(code(&horolog(&["verify", text(&path)])), Some(2));
}

#[test]
fn somebody_elses_directory_is_not_called_damaged() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("letter.txt"), "dear reader").expect("written");
    let output = horolog(&["verify", text(dir.path())]);
    assert_eq!(code(&output), Some(2));
    assert!(stderr(&output).contains("letter.txt"), "{}", stderr(&output));
}

#[test]
fn reading_leaves_every_byte_as_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = scheduled(dir.path());
    let before = files(&path);
    for tool in TOOLS {
        assert_eq!(code(&horolog(&[tool, text(&path)])), Some(0), "{tool}");
    }
    assert_eq!(files(&path), before);
    flip_a_byte(&path);
    let before = files(&path);
    for tool in TOOLS {
        assert_eq!(code(&horolog(&[tool, text(&path)])), Some(1), "{tool}");
    }
    assert_eq!(files(&path), before);
}

#[test]
fn inspect_lists_what_is_due_next() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = scheduled(dir.path());
    let said = stdout(&horolog(&["inspect", text(&path)]));
    for words in [
        "openings              1",
        "timers             20",
        "\"order 0\"",
        "\"seventh\"",
        "0xff07",
        "and 10 more",
    ] {
        assert!(said.contains(words), "{words} in\n{said}");
    }
    assert!(!said.contains("order 10"), "{said}");
}

#[test]
fn dump_prints_a_record_a_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = scheduled(dir.path());
    let lines = stdout(&horolog(&["dump", text(&path)]));
    assert!(lines.starts_with("       1 Epoch      epoch=1 tick_len_ns=1000000"), "{lines}");
    assert_eq!(lines.matches(" Put ").count(), 20);

    let json = stdout(&horolog(&["dump", "--json", text(&path)]));
    let records: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let lsns: Vec<u64> = records.iter().filter_map(|record| record["lsn"].as_u64()).collect();
    assert_eq!(lsns, (1..=records.len() as u64).collect::<Vec<_>>());
    let seventh = records.iter().find(|record| record["terms"]["key"] == "seventh").expect("the keyed one");
    assert_eq!(seventh["payload"], "0xff07");
    assert_eq!(seventh["due"]["timeline"], "civil");
}

#[test]
fn dump_begins_where_it_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = scheduled(dir.path());
    let from = |lsn: &str| stdout(&horolog(&["dump", "--from", lsn, text(&path)]));
    assert_eq!(from("1"), stdout(&horolog(&["dump", text(&path)])));
    assert!(from("13").starts_with("      13 Put "), "{}", from("13"));
    assert_eq!(from("1").lines().skip(12).collect::<Vec<_>>(), from("13").lines().collect::<Vec<_>>());
    assert_eq!(from("1000"), "");
    let json = stdout(&horolog(&["dump", "--json", "--from", "22", text(&path)]));
    let record: serde_json::Value = serde_json::from_str(&json).expect("one record");
    assert_eq!(record["lsn"], 22);
}

#[test]
fn of_a_damaged_log_dump_prints_what_is_before_the_damage_or_what_is_behind_it_on_demand() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = scheduled(dir.path());
    flip_a_byte(&path);
    let from = |lsn: &str| {
        let output = horolog(&["dump", "--from", lsn, text(&path)]);
        assert_eq!(code(&output), Some(1));
        stdout(&output)
    };
    assert!(from("5").contains("order 10") && !from("5").contains("order 12"), "{}", from("5"));
    // Order 11 is record 13.
    assert!(from("13").starts_with("      14 Put ") && from("13").contains("order 19"), "{}", from("13"));
}

#[test]
fn a_directory_in_use_can_be_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("timers");
    let engine = Engine::open(&path).expect("a new directory");
    engine.schedule(Timer::after(Duration::from_secs(3_600)).payload(b"later")).expect("scheduled");
    for tool in TOOLS {
        assert_eq!(code(&horolog(&[tool, text(&path)])), Some(0), "{tool}");
    }
}

#[test]
fn help_and_version_are_there() {
    let help = stdout(&horolog(&["--help"]));
    assert!(help.contains("Examples:") && !help.contains("drill-child"), "{help}");
    assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    assert_eq!(stdout(&horolog(&["--version"])), format!("horolog {}\n", env!("CARGO_PKG_VERSION")));
}
