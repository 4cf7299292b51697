//! One folder a scene in `tests/golden/v0` of the repository: `directory.hex` and `verdict.txt`.
#![expect(
    clippy::disallowed_methods,
    reason = "golden files lie in the repository, and are put into a directory"
)]

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::sync::Once;

use horolog_storage::OsStorage;

use crate::agreement::{agreed, disk_of};
use crate::hex::{Files, unpack};
use crate::scenes::{SCENES, Scene};
use crate::verdict::text;
use horolog_sim::decoder::{Base, Role, Verdict};

fn path(scene: &Scene, file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/v0").join(scene.name).join(file)
}

/// A golden file. All are remade before the first is read, if that was asked for.
fn golden(scene: &Scene, file: &str) -> String {
    static REMADE: Once = Once::new();
    REMADE.call_once(|| {
        if std::env::var_os("HOROLOG_REMAKE_GOLDEN").is_some() {
            SCENES.iter().for_each(remake);
        }
    });
    let path = path(scene, file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn remake(scene: &Scene) {
    fs::create_dir_all(path(scene, "")).unwrap();
    let files = scene.files();
    fs::write(path(scene, "directory.hex"), directory(scene, &files)).unwrap();
    fs::write(path(scene, "verdict.txt"), verdict(scene, &files)).unwrap();
}

fn directory(scene: &Scene, files: &Files) -> String {
    format!("# A golden directory, {}: {}. Format version 0.\n{}", scene.name, scene.story, pack(files))
}

fn verdict(scene: &Scene, files: &Files) -> String {
    format!("# What reading {} gives: {}.\n{}", scene.name, scene.story, text(&disk_of(files)))
}

/// The inverse of [`unpack`].
fn pack(files: &Files) -> String {
    const LINE: usize = 32;
    let mut text = String::new();
    for (name, bytes) in files {
        let _ = writeln!(text, "\nfile {name} {}", bytes.len());
        let lines = bytes.chunks(LINE).enumerate();
        for (at, line) in lines.filter(|(_, line)| line.iter().any(|byte| *byte != 0)) {
            let digits: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
            let _ = writeln!(text, "{:06x} {digits}", at * LINE);
        }
    }
    text
}

fn golden_files(scene: &Scene) -> Files {
    unpack(&golden(scene, "directory.hex"))
}

#[test]
fn a_golden_directory_is_made_byte_for_byte_as_it_was() {
    for scene in &SCENES {
        let files = scene.files();
        assert_eq!(unpack(&pack(&files)), files, "{}", scene.name);
        assert!(golden(scene, "directory.hex") == directory(scene, &files), "{} has other bytes", scene.name);
    }
}

#[test]
fn a_golden_directory_gives_its_verdict_on_a_simulated_disk_and_on_a_real_one() {
    for scene in &SCENES {
        let (files, expected) = (golden_files(scene), golden(scene, "verdict.txt"));
        assert_eq!(verdict(scene, &files), expected, "{}", scene.name);
        let dir = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, bytes)| fs::write(dir.path().join(name), bytes).unwrap());
        let said = text(&OsStorage::open_existing(dir.path()).unwrap());
        assert!(expected.ends_with(&format!("\n{said}")), "{}: {said}", scene.name);
    }
}

#[test]
fn a_decoder_written_from_the_specification_agrees_on_every_golden_directory() {
    for scene in &SCENES {
        agreed(&golden_files(scene), 0).unwrap_or_else(|differ| panic!("{}: {differ}", scene.name));
    }
}

/// The scenes are there for these; a remake that loses one of them would go unnoticed otherwise.
#[test]
fn the_golden_directories_are_what_they_are_called() {
    let index = |name: &str| SCENES.iter().position(|scene| scene.name == name).unwrap();
    let found = |name: &str| agreed(&golden_files(&SCENES[index(name)]), 0).unwrap();
    let log = |name: &str| match found(name) {
        Verdict::Log(log) => *log,
        other => panic!("{name}: {other:?}"),
    };
    let roles = |name: &str| log(name).roles.into_iter().map(|(_, role)| role).collect::<Vec<_>>();
    assert_eq!(found("begun"), Verdict::Empty);
    assert_eq!((log("new").valid, log("clean").clean), (0, true));
    assert_eq!((log("torn").valid, log("torn").durable, log("torn").torn_bytes), (4, 4, 4096));
    assert!(
        matches!(found("rotten"), Verdict::Corruption(it) if it.lost.map(|it| (it.first, it.last)) == Some((3, 4)))
    );
    assert_eq!(log("poisoned-and-reopened").records.len(), 8);
    assert_eq!(roles("rotated"), [Role::Linked, Role::Linked, Role::Head, Role::Blank, Role::Blank]);
    let during = log("rotated-during-a-sync");
    assert_eq!(roles("rotated-during-a-sync"), [Role::Linked, Role::Head]);
    let linked = during.records.iter().filter(|it| it.segment == 1).map(|it| it.lsn).max().unwrap();
    assert!(linked < during.durable && during.durable < during.valid);
    assert_eq!(roles("healed"), [Role::Linked, Role::Head]);
    assert_eq!(log("full-meta-pair-torn").bad_slots, 2);
    let snapshots = |name: &str| {
        let log = log(name);
        assert_eq!(log.first, 7, "{name}: the beginning was let go");
        (log.base(), log.snapshots.iter().map(|it| (it.id, it.sections.is_some())).collect::<Vec<_>>())
    };
    for name in ["snapshots", "snapshot-half-made", "snapshot-not-listed"] {
        assert_eq!(snapshots(name), (Base::Snapshot(2), vec![(2, true), (1, true)]), "{name}");
    }
    let has = |name: &str, file: &str| golden_files(&SCENES[index(name)]).contains_key(file);
    assert!(has("snapshot-half-made", "snap-0000000000000003.img.tmp"));
    assert!(has("snapshot-not-listed", "snap-0000000000000003.img"));
    assert_eq!(snapshots("snapshot-rotten"), (Base::Snapshot(1), vec![(2, false), (1, true)]));
    assert_eq!(snapshots("snapshots-rotten"), (Base::Nothing, vec![(2, false), (1, false)]));
}
