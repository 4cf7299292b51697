//! The golden directories of `tests/golden`, as the program sees them.

#[path = "../../../horolog-wal/tests/golden/hex.rs"]
mod hex;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use horolog::Engine;

use crate::{code, horolog, stderr, stdout, text};

/// The folders of the golden directories.
fn scenes() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/v0");
    let entries = fs::read_dir(folder).expect("the folder is there");
    let scenes: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    assert!(scenes.len() >= 14, "{scenes:?}");
    scenes
}

/// Puts the files of a scene into `dir`, and gives what is to be said of them.
fn unpacked(scene: &Path, dir: &Path) -> String {
    let golden = |file: &str| fs::read_to_string(scene.join(file)).expect("a golden file");
    for (name, bytes) in hex::unpack(&golden("directory.hex")) {
        fs::write(dir.join(name), bytes).expect("written");
    }
    golden("verdict.txt")
}

fn field<'a>(verdict: &'a str, name: &str) -> Option<&'a str> {
    verdict.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn verify_says_of_every_golden_directory_what_stands_beside_it() {
    for scene in scenes() {
        let dir = tempfile::tempdir().expect("a directory");
        let verdict = unpacked(&scene, dir.path());
        let output = horolog(&["verify", text(dir.path())]);
        if let Some(refused) = field(&verdict, "refused") {
            assert_eq!(code(&output), Some(1), "{scene:?}");
            assert!(stderr(&output).contains(refused), "{}", stderr(&output));
            continue;
        }
        if field(&verdict, "incomplete").is_some() {
            let lines = verdict.lines().filter_map(|line| line.strip_prefix("snapshot "));
            assert_eq!((code(&output), lines.count()), (Some(1), 2), "{scene:?}");
            let (first, said) = (field(&verdict, "first").expect("a fact"), stderr(&output));
            assert!(said.contains(&format!("the log begins with record {first},")), "{said}");
            continue;
        }
        assert_eq!(code(&output), Some(0), "{scene:?}: {}", stderr(&output));
        let said = stdout(&output);
        let facts = ["durable", "valid", "torn_bytes"].map(|name| field(&verdict, name).expect("a fact"));
        let [durable, valid, torn] = facts;
        let words = format!("durable to {durable}, read to {valid}; {torn} torn bytes");
        let is_new = valid == "0" && said.contains("a new directory");
        assert!(is_new || said.contains(&words), "{words} in {said}");
        assert_eq!(said.contains("; closed in order"), field(&verdict, "clean") == Some("yes"), "{said}");
    }
}

/// What a version wrote once can be opened by every later one that reads the format, and not only be read.
#[test]
fn an_engine_goes_on_with_every_golden_directory_that_is_sound() {
    for scene in scenes() {
        let dir = tempfile::tempdir().expect("a directory");
        let verdict = unpacked(&scene, dir.path());
        let opened = Engine::open(dir.path());
        if ["refused", "incomplete"].iter().any(|it| field(&verdict, it).is_some()) {
            assert!(opened.is_err(), "{scene:?}");
            continue;
        }
        let engine = opened.unwrap_or_else(|error| panic!("{scene:?}: {error:?}"));
        engine.shutdown(Duration::ZERO).expect("closed in order");
        let output = horolog(&["verify", text(dir.path())]);
        assert!(stdout(&output).contains("; closed in order"), "{scene:?}: {}", stdout(&output));
    }
}
