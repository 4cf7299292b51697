//! A drill that is small enough for every run of the tests.

use crate::{code, horolog, stderr, stdout, text};

#[test]
fn a_tiny_drill_holds() {
    let output = horolog(&["drill", "--timers", "2000", "--kills", "3", "--seed", "42"]);
    assert_eq!(code(&output), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("Every promise held"), "{}", stdout(&output));
}

#[test]
fn json_is_one_object_with_the_figures() {
    let output = horolog(&["drill", "--timers", "2000", "--kills", "3", "--seed", "7", "--json"]);
    assert_eq!(code(&output), Some(0), "{}{}", stdout(&output), stderr(&output));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found["held"], true);
    assert_eq!(found["kills"], 3);
    assert_eq!(found["seed"], 7);
    assert_eq!(found["submitted"], 2000);
    assert_eq!(found["violations"], serde_json::json!([]));
    assert!(found["lateness_full_load"]["max_ns"].is_u64());
    assert!(found["open"]["count"].as_u64() > Some(0));
}

#[test]
fn a_named_directory_stays_and_is_never_taken_from_somebody() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = dir.path().join("drill");
    let args = ["drill", "--timers", "200", "--kills", "1", "--seed", "3", "--dir", text(&place)];
    let output = horolog(&args);
    assert_eq!(code(&output), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert_eq!(code(&horolog(&["verify", text(&place.join("timers"))])), Some(0));
    assert!(place.join("life-0001.ledger").exists());

    let again = horolog(&args);
    assert_eq!(code(&again), Some(2));
    assert!(stderr(&again).contains("is not empty"), "{}", stderr(&again));
    assert!(stderr(&again).contains("what to do: "), "{}", stderr(&again));
}

#[test]
fn a_drill_without_kills_holds_too() {
    let output = horolog(&["drill", "--timers", "500", "--kills", "0"]);
    assert_eq!(code(&output), Some(0), "{}{}", stdout(&output), stderr(&output));
}
