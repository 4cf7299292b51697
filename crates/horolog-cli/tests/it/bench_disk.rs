//! `bench-disk`: that every row is there, and nothing else afterwards. No figure is looked at.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::tools::files;
use crate::{code, horolog, stderr, stdout, text};

const OWN_NAME: &str = "horolog-bench-disk";

fn bench_disk(dir: &Path, options: &[&str]) -> Output {
    horolog(&[&["bench-disk", text(dir), "--seconds", "0.01"], options].concat())
}

/// A directory with somebody's letter in it.
fn in_use() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("letter.txt"), "dear reader").expect("written");
    dir
}

#[test]
fn every_row_is_printed_and_the_directory_is_as_it_was() {
    let dir = in_use();
    let before = files(dir.path());
    let output = bench_disk(dir.path(), &[]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let said = stdout(&output);
    let raw_rows =
        ["growing, fdatasync", "unwritten, fdatasync", "zeroed, fdatasync", "zeroed, O_DIRECT|O_DSYNC"];
    for row in raw_rows {
        for size in ["4 KiB", "64 KiB", "1 MiB"] {
            let is_it = |line: &&str| line.starts_with(row) && line.contains(&format!("  {size}  "));
            assert_eq!(said.lines().filter(is_it).count(), 1, "{row} {size} in\n{said}");
        }
    }
    for words in [
        "schedule, one thread",
        "schedule, 8 threads",
        "submit, durable at the end",
        "a disk that lies",
        "compare ",
    ] {
        assert_eq!(said.to_lowercase().matches(words).count(), 1, "{words} in\n{said}");
    }
    assert_eq!(files(dir.path()), before);
}

#[test]
fn where_and_how_much_is_said_beforehand() {
    let dir = in_use();
    let said = stderr(&bench_disk(dir.path(), &[]));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(lines[0].contains(OWN_NAME) && lines[0].contains("removes it"), "{said}");
    assert!(lines[1].contains("3 rounds of 15 rows, 10.0 ms each: 450 ms"), "{said}");
    assert!(lines[2].contains("writes ") && lines[2].contains("MiB at most"), "{said}");
}

#[test]
fn json_is_an_object_a_row() {
    let dir = in_use();
    let output = bench_disk(dir.path(), &["--json"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let rows: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let named = |name: &str| rows.iter().filter(|row| row["row"] == name).collect::<Vec<_>>();
    for name in ["growing", "unwritten", "zeroed", "zeroed_direct"] {
        let sizes: Vec<_> = named(name).iter().filter_map(|row| row["write_bytes"].as_u64()).collect();
        assert_eq!(sizes, [4 << 10, 64 << 10, 1 << 20], "{name}");
    }
    for name in ["growing", "zeroed", "schedule", "schedule_8_threads"] {
        let complete = |row: &&Value| {
            row["refused"].is_null()
                && ["calls", "p50_ns", "p99_ns", "max_ns", "calls_per_s", "bytes_per_s"]
                    .iter()
                    .all(|key| row[key].as_u64() > Some(0))
        };
        assert!(named(name).iter().all(complete), "{name} in {rows:#?}");
    }
    assert!(named("schedule")[0]["p50_to_zeroed_4k"].as_f64() > Some(0.0));
    let submit = named("submit")[0];
    assert!(submit["calls"].as_u64() > Some(0) && submit["bytes_per_s"].as_u64() > Some(0), "{submit}");
    assert_eq!(rows.len(), 15);
}

#[test]
fn a_file_is_no_place_to_measure() {
    let dir = in_use();
    for (name, advice) in
        [("letter.txt", "name the directory, not a file in it"), ("nowhere", "check the path")]
    {
        let output = bench_disk(&dir.path().join(name), &[]);
        assert_eq!(code(&output), Some(2));
        assert!(stderr(&output).contains(&format!("what to do: {advice}")), "{}", stderr(&output));
    }
}

#[test]
fn what_has_its_name_is_left_alone() {
    let dir = in_use();
    let own = dir.path().join(OWN_NAME);
    fs::create_dir(&own).expect("a directory");
    fs::write(own.join("raw"), "of somebody").expect("written");
    let output = bench_disk(dir.path(), &[]);
    assert_eq!(code(&output), Some(2));
    assert!(stderr(&output).contains("is there already"), "{}", stderr(&output));
    assert!(stdout(&output).is_empty(), "{}", stdout(&output));
    assert_eq!(fs::read(own.join("raw")).expect("still there"), b"of somebody");
}

#[test]
fn a_signal_ends_it_and_leaves_nothing() {
    let dir = in_use();
    let before = files(dir.path());
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_horolog"))
        .args(["bench-disk", text(dir.path()), "--seconds", "0.1"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the binary starts");
    crate::eventually("the directory is there", || dir.path().join(OWN_NAME).exists());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
    assert_eq!(child.wait().expect("an end").code(), Some(2));
    assert_eq!(files(dir.path()), before);
}

#[test]
fn seconds_out_of_bounds_are_refused() {
    let dir = in_use();
    for bad in ["0", "31", "soon"] {
        let output = horolog(&["bench-disk", text(dir.path()), "--seconds", bad]);
        assert_eq!(code(&output), Some(2), "{bad}");
        assert!(stderr(&output).contains("from 0.01 to 30"), "{}", stderr(&output));
    }
}
