//! `repair`: what it keeps, what it says is lost, and that it never writes to the old directory.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, UNIX_EPOCH};

use horolog::{Engine, OpenError, Options, Timer, TimerId};

use crate::tools::{files, flip_a_byte, scheduled};
use crate::{code, horolog, stderr, stdout, text};

fn repair(old: &Path, new: &Path, accepted: u64) -> Output {
    horolog(&["repair", text(old), "--to", text(new), "--accept-loss-after", &accepted.to_string()])
}

/// Five openings, each with a segment and six records of its own: its `Epoch`, four timers, and a `Clock` at its end.
fn five_openings(dir: &Path) -> (PathBuf, Vec<TimerId>) {
    let path = dir.join("timers");
    let mut ids = Vec::new();
    for opening in 0..5 {
        let engine = Engine::open(&path).expect("opened");
        ids.extend((0..4).map(|number| engine.schedule(order(4 * opening + number)).expect("scheduled")));
        engine.shutdown(Duration::ZERO).expect("closed in order");
    }
    (path, ids)
}

/// The record of a timer.
fn lsn_of(order: u64) -> u64 {
    6 * (order / 4) + 2 + order % 4
}

fn order(number: u64) -> Timer {
    Timer::at(UNIX_EPOCH + Duration::from_secs(4_000_000_000 + number)).payload(format!("order {number}"))
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let all = files(dir).into_iter().map(|(path, _)| path);
    all.filter(|path| path.extension().is_some_and(|extension| extension == "wal")).collect()
}

/// The new directory opens, has exactly these timers, and gives none of the ids away again.
#[track_caller]
fn holds(new: &Path, kept: &[TimerId], ever: &[TimerId]) {
    let verified = horolog(&["verify", text(new)]);
    assert_eq!(code(&verified), Some(0), "{}", stderr(&verified));
    let engine = Engine::open(new).expect("a repaired directory opens");
    for (number, id) in ever.iter().enumerate() {
        let found = engine.get(*id).map(|timer| timer.payload.to_vec());
        let expected = kept.contains(id).then(|| format!("order {number}").into_bytes());
        assert_eq!(found, expected, "order {number}");
    }
    let new: Vec<_> =
        (0..30).map(|number| engine.schedule(order(100 + number)).expect("scheduled")).collect();
    let ids: HashSet<_> = new.iter().chain(ever).collect();
    assert_eq!(ids.len(), new.len() + ever.len(), "an id came again");
}

/// A directory with five openings and the ids of its timers, and a place for a new one.
struct Scene {
    _dir: tempfile::TempDir,
    old: PathBuf,
    new: PathBuf,
    ids: Vec<TimerId>,
}

impl Scene {
    fn set() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (old, ids) = five_openings(dir.path());
        Self { old, new: dir.path().join("new"), ids, _dir: dir }
    }

    /// Keeps the timers before `order`, and no record more than that needs.
    #[track_caller]
    fn keeps(&self, orders: usize, kept: u64) -> String {
        let before = files(&self.old);
        let output = repair(&self.old, &self.new, kept);
        assert_eq!(code(&output), Some(0), "{}{}", stdout(&output), stderr(&output));
        assert_eq!(files(&self.old), before, "the old directory is as it was");
        let said = stdout(&output);
        assert!(said.contains(&format!("kept: LSN 1 to {kept}, {orders} timers")), "{said}");
        holds(&self.new, &self.ids[..orders], &self.ids);
        said
    }
}

#[test]
fn a_flipped_byte_in_the_middle_loses_what_is_behind_it_and_all_of_that_is_listed() {
    let scene = Scene::set();
    flip_a_byte(&scene.old);
    let said = scene.keeps(11, lsn_of(11) - 1);
    for words in
        ["LSN 17: unreadable", "  20 Put ", "  29 Put ", "record: checksum", "one lost record cannot be read"]
    {
        assert!(said.contains(words), "{words} in\n{said}");
    }
    for id in &scene.ids[12..] {
        assert!(said.contains(&format!("\n  {id} was not there yet; lost: LSN")), "{id} in\n{said}");
    }
    assert!(!said.contains(&scene.ids[11].to_string()), "nothing names the one that is unreadable");
}

#[test]
fn a_missing_segment_loses_its_records_and_those_behind_it() {
    for nth in 1..5 {
        let scene = Scene::set();
        fs::remove_file(&segments(&scene.old)[nth]).expect("removed");
        let said = scene.keeps(4 * nth, 6 * nth as u64);
        assert!(said.contains("the segment is missing"), "{said}");
        if nth < 4 {
            assert!(said.contains(&format!("LSN {} to {}: unreadable", 6 * nth + 1, 6 * nth + 6)), "{said}");
        }
    }
}

#[test]
fn without_the_first_segment_nothing_can_be_kept() {
    let scene = Scene::set();
    fs::remove_file(&segments(&scene.old)[0]).expect("removed");
    let output = repair(&scene.old, &scene.new, 0);
    assert_eq!(code(&output), Some(1));
    assert!(stderr(&output).contains("nothing can be kept"), "{}", stderr(&output));
    assert!(stdout(&output).contains("  30 Clock"), "{}", stdout(&output));
    assert!(!scene.new.exists());
}

#[test]
fn without_meta_or_with_four_bad_slots_of_it_nothing_is_lost() {
    let damage: [fn(&Path); 2] = [
        |meta| fs::remove_file(meta).expect("removed"),
        |meta| fs::write(meta, vec![7; 16384]).expect("damaged"),
    ];
    for damage in damage {
        let scene = Scene::set();
        damage(&scene.old.join("META"));
        assert_eq!(code(&horolog(&["verify", text(&scene.old)])), Some(1));
        let said = scene.keeps(20, 30);
        assert!(said.contains("META") && said.contains("lost: nothing that has left a trace"), "{said}");
    }
}

#[test]
fn of_a_truncated_segment_everything_before_the_cut_is_kept() {
    let scene = Scene::set();
    let cut = &segments(&scene.old)[2];
    let bytes = fs::read(cut).expect("a segment");
    let at = bytes.windows(8).position(|window| window == b"order 10").expect("order 10");
    fs::write(cut, &bytes[..at]).expect("cut");
    let said = scene.keeps(10, lsn_of(10) - 1);
    assert!(said.contains("bytes in place of"), "{said}");
}

#[test]
fn a_damaged_segment_header_loses_what_only_it_could_tell() {
    let scene = Scene::set();
    let path = &segments(&scene.old)[3];
    let mut bytes = fs::read(path).expect("a segment");
    bytes[50] ^= 1;
    fs::write(path, &bytes).expect("damaged");
    let said = scene.keeps(12, 18);
    assert!(said.contains("unreadable  -") && said.contains("segment header: checksum"), "{said}");
}

#[test]
fn a_sound_directory_loses_nothing() {
    let scene = Scene::set();
    let said = scene.keeps(20, 30);
    assert!(said.contains(": no damage\n") && said.contains("lost: nothing that has left a trace"), "{said}");
    let records = |dir: &Path| {
        let dumped = stdout(&horolog(&["dump", text(dir)]));
        dumped.lines().take(30).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(records(&scene.old), records(&scene.new));
}

#[test]
fn a_cancel_that_is_lost_is_told_with_the_timer_that_lives_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let (old, ids) = five_openings(dir.path());
    let engine = Engine::open(&old).expect("opened");
    let doomed = engine.schedule(order(20)).expect("scheduled");
    engine.cancel(ids[3]).expect("cancelled");
    engine.shutdown(Duration::ZERO).expect("closed in order");
    let path = segments(&old)[5].clone();
    let mut bytes = fs::read(&path).expect("a segment");
    let at = bytes.windows(8).position(|window| window == b"order 20").expect("order 20");
    bytes[at] ^= 1;
    fs::write(&path, &bytes).expect("damaged");

    let new = dir.path().join("new");
    let output = repair(&old, &new, 31);
    let said = stdout(&output);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert!(said.contains(&format!("  {} waiting, due 2096-", ids[3])), "{said}");
    assert!(said.contains("payload \"order 3\"; lost: LSN 33 Cancel"), "{said}");
    assert!(!said.contains(&doomed.to_string()), "{said}");
    holds(&new, &ids, &ids);
}

#[test]
fn more_than_can_be_kept_is_not_promised_and_what_can_be_is_named() {
    let scene = Scene::set();
    flip_a_byte(&scene.old);
    let before = files(&scene.old);
    for accepted in [17, 18, u64::MAX] {
        let output = repair(&scene.old, &scene.new, accepted);
        assert_eq!(code(&output), Some(1));
        let advice = stderr(&output);
        assert!(advice.contains("kept up to LSN 16 only"), "{advice}");
        assert!(advice.contains("--accept-loss-after 16"), "{advice}");
        // What would be lost is said before anybody has to accept it.
        assert!(stdout(&output).contains("LSN 17: unreadable"), "{}", stdout(&output));
        assert!(!scene.new.exists(), "nothing is written");
    }
    assert_eq!(files(&scene.old), before);
    // Whoever accepts the loss of more keeps all that can be kept.
    let output = repair(&scene.old, &scene.new, 3);
    assert_eq!(code(&output), Some(0));
    holds(&scene.new, &scene.ids[..11], &scene.ids);
}

#[test]
fn nothing_is_written_into_a_directory_that_holds_something() {
    let scene = Scene::set();
    let before = files(&scene.old);
    fs::create_dir(&scene.new).expect("a directory");
    fs::write(scene.new.join("letter.txt"), "dear reader").expect("written");
    // The last one leads into the old directory once what it names on the way was made.
    let below = ["below", "../timers/below", "../not-there/../timers/below"].map(|it| scene.old.join(it));
    for to in [&scene.new, &scene.old].into_iter().chain(&below) {
        let output = repair(&scene.old, to, 1);
        assert_eq!(code(&output), Some(2), "{}", to.display());
        assert!(stderr(&output).contains("what to do: name a"), "{}", stderr(&output));
    }
    assert_eq!(files(&scene.old), before);
    assert_eq!(files(&scene.new).len(), 1);
    fs::remove_file(scene.new.join("letter.txt")).expect("removed");
    assert_eq!(code(&repair(&scene.old, &scene.new, 30)), Some(0), "an empty one is as good as none");
}

#[test]
fn the_old_directory_is_not_locked() {
    let scene = Scene::set();
    fs::remove_file(scene.old.join("LOCK")).expect("removed");
    scene.keeps(20, 30);
    assert!(!scene.old.join("LOCK").exists());
    // Nor is it in the way that somebody else has the lock.
    let _engine = Engine::open(&scene.old).expect("opened");
    let output = repair(&scene.old, &scene.new.with_file_name("another"), 30);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
}

/// The limit of a file's size stands for any write that fails.
#[test]
fn a_repair_that_cannot_be_written_leaves_no_log_and_can_be_done_elsewhere() {
    let scene = Scene::set();
    let script = "trap '' XFSZ; ulimit -f 200; exec \"$0\" \"$@\"";
    let mut limited = Command::new("sh");
    limited.args(["-c", script, env!("CARGO_BIN_EXE_horolog"), "repair", text(&scene.old)]);
    let output = limited.args(["--to", text(&scene.new), "--accept-loss-after", "30"]).output().expect("sh");
    assert_eq!(code(&output), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("is no log and can be removed"), "{}", stderr(&output));
    let opened = Options::new().create(false).open(&scene.new);
    assert!(matches!(opened, Err(OpenError::Empty { .. })));
    assert_eq!(code(&repair(&scene.old, &scene.new, 30)), Some(2), "it is not gone on with");
    fs::remove_dir_all(&scene.new).expect("removed");
    scene.keeps(20, 30);
}

#[test]
fn a_repaired_directory_can_be_damaged_and_repaired_again() {
    let mut scene = Scene::set();
    flip_a_byte(&scene.old);
    scene.keeps(11, 16);
    let newer = scene.new.with_file_name("newer");
    let engine = Engine::open(&scene.new).expect("opened");
    let ids: Vec<_> = (0..4).map(|number| engine.schedule(order(50 + number)).expect("scheduled")).collect();
    engine.shutdown(Duration::ZERO).expect("closed in order");
    fs::remove_file(segments(&scene.new).pop().expect("a segment")).expect("removed");
    fs::remove_file(scene.new.join("META")).expect("removed");
    let output = repair(&scene.new, &newer, 17);
    assert_eq!(code(&output), Some(0), "{}{}", stdout(&output), stderr(&output));
    scene.ids.truncate(11);
    let verified = horolog(&["verify", text(&newer)]);
    assert_eq!(code(&verified), Some(0), "{}", stderr(&verified));
    let engine = Engine::open(&newer).expect("opened");
    assert!(scene.ids.iter().all(|id| engine.get(*id).is_some()));
    let new: Vec<_> = (0..30).map(|number| engine.schedule(order(90 + number)).expect("scheduled")).collect();
    assert!(new.iter().all(|id| !ids.contains(id)));
}

#[test]
fn json_has_an_object_a_line() {
    let scene = Scene::set();
    flip_a_byte(&scene.old);
    let output = horolog(&[
        "repair",
        text(&scene.old),
        "--to",
        text(&scene.new),
        "--accept-loss-after",
        "16",
        "--json",
    ]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let said = stdout(&output);
    let lines: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |what: &str| lines.iter().filter(|line| line["what"] == what).collect::<Vec<_>>();
    assert_eq!(of("damage").len(), 1);
    assert_eq!((&of("kept")[0]["last"], &of("kept")[0]["timers"]), (&16.into(), &11.into()));
    assert_eq!((&of("lost")[0]["first"], &of("lost")[0]["last"]), (&17.into(), &30.into()));
    assert_eq!((&of("unreadable")[0]["first"], &of("unreadable")[0]["last"]), (&17.into(), &17.into()));
    assert_eq!((of("record").len(), of("timer").len()), (13, 8));
    assert_eq!(of("record")[2]["payload"], "order 12");
    assert_eq!((&of("in doubt")[0]["timers"], &of("written")[0]["last"]), (&11.into(), &17.into()));
}

#[test]
fn what_cannot_be_read_is_not_repaired() {
    let dir = tempfile::tempdir().expect("a directory");
    let new = dir.path().join("new");
    assert_eq!(code(&repair(&dir.path().join("nowhere"), &new, 1)), Some(2));
    let path = scheduled(dir.path());
    fs::create_dir(path.join("seg-00000000000000ff.wal")).expect("a directory in place of a segment");
    assert_eq!(code(&repair(&path, &new, 1)), Some(2));
    assert!(!new.exists());
}
