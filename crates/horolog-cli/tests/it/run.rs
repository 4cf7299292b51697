//! Jobs on a schedule: made up after a crash, stopped in order, refused with a line number.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use tempfile::TempDir;

use crate::{code, eventually, horolog, pause, stderr, stdout, text};

struct Place {
    dir: TempDir,
}

impl Place {
    fn new(jobs: &str) -> Self {
        let place = Self { dir: tempfile::tempdir().expect("a directory") };
        place.rewrite(jobs);
        place
    }

    fn rewrite(&self, jobs: &str) {
        fs::write(self.jobs(), jobs.replace("DIR", text(self.dir.path()))).expect("a jobs file");
    }

    fn jobs(&self) -> PathBuf {
        self.dir.path().join("jobs.toml")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn lines(&self, name: &str) -> usize {
        fs::read_to_string(self.file(name)).map_or(0, |text| text.lines().count())
    }

    /// What it says goes to the file `log`.
    fn start(&self, log: &str, more: &[&str]) -> Running {
        let output = fs::OpenOptions::new().create(true).append(true).open(self.file(log)).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_horolog"));
        command.arg("run").arg(self.jobs()).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        Running(command.spawn().expect("the binary starts"))
    }

    fn log(&self, log: &str) -> String {
        fs::read_to_string(self.file(log)).unwrap_or_default()
    }
}

/// Killed with the test that started it.
struct Running(Child);

impl Running {
    fn kill(mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("waited for");
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, signal).expect("signalled");
    }

    fn stop(mut self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        self.0.wait().expect("waited for").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_missed_run_is_made_up_once_after_a_kill() {
    let place = Place::new("[job.tick]\nevery = \"200ms\"\ncommand = \"echo run >> DIR/out\"\n");
    let first = place.start("first.log", &[]);
    eventually("two runs", || place.lines("out") >= 2);
    first.kill();
    let before = place.lines("out");
    // Not a wait for something: this is the downtime in which runs are missed.
    pause(Duration::from_millis(1_300));
    assert_eq!(place.lines("out"), before, "nothing runs while nothing runs");

    let second = place.start("second.log", &[]);
    eventually("two runs more", || place.lines("out") >= before + 2);
    assert_eq!(second.stop(), Some(0));
    let log = place.log("second.log");
    assert_eq!(log.matches("makes up for").count(), 1, "{log}");
    assert!(!log.contains("tick: new"), "the timer was kept: {log}");
}

#[test]
fn a_one_shot_runs_once_and_never_again() {
    let place = Place::new("[job.once]\nat = \"2020-01-01T00:00:00Z\"\ncommand = \"echo run >> DIR/out\"\n");
    for log in ["first.log", "second.log"] {
        let mut run = place.start(log, &[]);
        assert_eq!(run.0.wait().expect("waited for").code(), Some(0), "{}", place.log(log));
        assert!(place.log(log).contains("nothing left to do"), "{}", place.log(log));
    }
    assert_eq!(place.lines("out"), 1);
    assert!(place.log("second.log").contains("done before"), "{}", place.log("second.log"));
}

#[test]
fn an_edit_of_the_command_keeps_the_phase() {
    let job = |every: &str, more: &str| format!("[job.a]\nevery = \"{every}\"\ncommand = \"true\"\n{more}");
    let next_of = |place: &Place| {
        let table = stdout(&horolog(&["run", text(&place.jobs()), "--check"]));
        let next = table.lines().last().and_then(|line| line.split("  ").last()).expect("a row").trim();
        let next = next.rsplit_once(' ').expect("a time and its zone").0;
        next.parse::<DateTime>().expect("a time")
    };
    // An interval runs on a clock of its own, shown in terms of the wall clock: the two are read one after the other.
    let same =
        |one: DateTime, other: DateTime| one.duration_since(other).abs() < SignedDuration::from_secs(1);
    let settle = |place: &Place, log: &str, words: &str| {
        let run = place.start(log, &[]);
        eventually(words, || place.log(log).contains(words));
        assert_eq!(run.stop(), Some(0));
    };
    let place = Place::new(&job("7d", ""));
    settle(&place, "1.log", "a: new");
    let next = next_of(&place);
    place.rewrite(&job("7d", "timeout = \"1m\"\n"));
    settle(&place, "2.log", "a: next run");
    assert!(same(next_of(&place), next), "{} and {next}", next_of(&place));
    place.rewrite(&job("7d", "missed = \"skip\"\n"));
    settle(&place, "3.log", "a: definition changed");
    assert!(same(next_of(&place), next), "{} and {next}", next_of(&place));
    place.rewrite(&job("8d", "missed = \"skip\"\n"));
    settle(&place, "4.log", "a: definition changed");
    assert!(!same(next_of(&place), next));
}

#[test]
fn a_failing_command_is_tried_again() {
    let command = "echo run >> DIR/out; test $(wc -l < DIR/out) -ge 2";
    let place = Place::new(&format!("[job.b]\nat = \"2020-01-01T00:00:00Z\"\ncommand = \"{command}\"\n"));
    let mut run = place.start("log", &[]);
    assert_eq!(run.0.wait().expect("waited for").code(), Some(0), "{}", place.log("log"));
    assert!(place.log("log").contains("exit status 1"), "{}", place.log("log"));
    assert!(place.log("log").contains("attempt 2"), "{}", place.log("log"));
    assert_eq!(place.lines("out"), 2);
}

#[test]
fn a_stop_lets_a_running_command_end() {
    let command = "echo begun >> DIR/out; while ! test -e DIR/go; do sleep 0.01; done; echo ended >> DIR/out";
    let place = Place::new(&format!("[job.slow]\nat = \"2020-01-01T00:00:00Z\"\ncommand = \"{command}\"\n"));
    let mut run = place.start("log", &["--grace", "60s"]);
    eventually("the command runs", || place.lines("out") == 1);
    run.signal(rustix::process::Signal::INT);
    eventually("the stop is seen", || place.log("log").contains("stopping"));
    fs::write(place.file("go"), "").expect("written");
    assert_eq!(run.0.wait().expect("waited for").code(), Some(0), "{}", place.log("log"));
    assert_eq!(place.lines("out"), 2);
}

#[test]
fn what_outlives_the_grace_is_killed_and_runs_again_at_the_next_start() {
    let command = "echo begun >> DIR/out; test -e DIR/go || exec sleep 600";
    let place = Place::new(&format!("[job.slow]\nat = \"2020-01-01T00:00:00Z\"\ncommand = \"{command}\"\n"));
    let run = place.start("1.log", &["--grace", "1ms"]);
    eventually("the command runs", || place.lines("out") == 1);
    assert_eq!(run.stop(), Some(0), "{}", place.log("1.log"));
    assert!(place.log("1.log").contains("interrupted"), "{}", place.log("1.log"));
    fs::write(place.file("go"), "").expect("written");
    let mut again = place.start("2.log", &[]);
    assert_eq!(again.0.wait().expect("waited for").code(), Some(0), "{}", place.log("2.log"));
    assert_eq!(place.lines("out"), 2);
}

#[test]
fn a_second_runner_is_told_who_has_the_directory() {
    let place = Place::new("[job.a]\nevery = \"1h\"\ncommand = \"true\"\n");
    let run = place.start("log", &[]);
    eventually("it runs", || place.log("log").contains("a: new"));
    let output = horolog(&["run", text(&place.jobs())]);
    assert_eq!(code(&output), Some(2));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let words = format!("is locked by process {} on {host}", run.0.id());
    assert!(stderr(&output).contains(&words), "{}", stderr(&output));
    assert!(stderr(&output).contains("what to do: stop that process"), "{}", stderr(&output));
    assert_eq!(run.stop(), Some(0));
}

#[test]
fn a_wrong_file_is_refused_with_its_line() {
    let refused = |jobs: &str, words: &str| {
        let place = Place::new(jobs);
        let output = horolog(&["run", text(&place.jobs())]);
        assert_eq!(code(&output), Some(2), "{jobs}");
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
        assert!(stderr(&output).contains("what to do: "), "{}", stderr(&output));
        assert!(!exists(&place.file("jobs.toml.horolog")), "nothing was made");
    };
    refused("[job.a]\nevery = \"1d\"\ncomand = \"x\"\n", "jobs.toml, line 3: unknown field `comand`");
    refused("[job.a]\nevery = \"1 day\"\ncommand = \"x\"\n", "jobs.toml, line 2: `1 day` is not a duration");
    refused("[job.a]\nevery = \"1d\"\ncommand = \"x\"\nmissed = \"twice\"\n", "jobs.toml, line 4: ");
    refused("[jobs.a]\nevery = \"1d\"\n", "jobs.toml, line 1: unknown field `jobs`");
    refused("", "has no job");
    let output = horolog(&["run", "/nowhere/jobs.toml"]);
    assert_eq!(code(&output), Some(2));
    assert!(stderr(&output).contains("what to do: check the path"), "{}", stderr(&output));
}

fn exists(path: &Path) -> bool {
    path.exists()
}

#[test]
fn check_runs_and_writes_nothing() {
    let place = Place::new(
        "[job.b]\nevery = \"1w\"\ncommand = \"true\"\ntimeout = \"2h\"\n[job.a]\nat = \"2030-01-01T00:00:00Z\"\ncommand = \"true\"\n",
    );
    let output = horolog(&["run", text(&place.jobs()), "--check"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let table = stdout(&output);
    assert!(
        table.contains("every 1w") && table.contains("2h") && table.contains("(if started now)"),
        "{table}"
    );
    assert!(!exists(&place.file("jobs.toml.horolog")));
}

#[test]
fn check_does_not_take_a_directory_that_it_cannot_look_into_for_a_first_start() {
    let place = Place::new("[job.a]\nevery = \"1d\"\ncommand = \"true\"\n");
    let beyond_a_file = place.jobs().join("timers");
    let output = horolog(&["run", text(&place.jobs()), "--check", "--dir", text(&beyond_a_file)]);
    assert_eq!(code(&output), Some(2), "{}", stdout(&output));
    assert!(stderr(&output).contains(text(&beyond_a_file)), "{}", stderr(&output));
}
