//! How often each peer syncs: the calls of its process, and of its server's, counted by `strace`.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a bench reads what strace wrote, and stops at the first error"
)]

use std::fs;
use std::process::{Command, Stdio};

use crate::disk::{Scratch, find_program};
use crate::options::{Options, one_run_arguments};
use crate::rows::{Load, Row};
use crate::store::Place;
use crate::{Peer, say};

const CALLS: [&str; 5] = ["fsync", "fdatasync", "sync_file_range", "msync", "syncfs"];

/// Schedules that are counted, one after the other.
const SCHEDULES: usize = 50;

/// Each peer is opened and closed twice, once with nothing in between and once with the schedules: the difference is
/// theirs.
pub(crate) fn print(options: &Options) -> Result<(), String> {
    find_program("strace").ok_or("strace is not installed")?;
    let scratch = Scratch::make(&options.dir)?;
    println!("calls while a store is opened and closed / the same with {SCHEDULES} lone schedules\n");
    println!("| peer | {} | more syncs |", CALLS.join(" | "));
    println!("| --- |{}", " --- |".repeat(CALLS.len() + 1));
    for peer in &options.peers {
        if !peer.is_installed() {
            println!("| {} | not installed |{}", peer.name, " |".repeat(CALLS.len()));
            continue;
        }
        say(&format!("syncs: {}", peer.name));
        let [without, with] = [0, SCHEDULES].map(|schedules| calls(peer, schedules, &scratch));
        say("");
        let (without, with) = (without?, with?);
        let cells: String = without.iter().zip(with).map(|(a, b)| format!(" {a} / {b} |")).collect();
        let more = with.iter().sum::<u64>().saturating_sub(without.iter().sum());
        println!("| {} |{cells} {more} |", peer.name);
    }
    Ok(())
}

fn calls(peer: &Peer, schedules: usize, scratch: &Scratch) -> Result<[u64; CALLS.len()], String> {
    let dir = scratch.dir(&format!("{}-{schedules}", peer.name));
    let counted = dir.with_extension("strace");
    let place = Place { dir, timers: schedules, is_synced: true };
    let load = Load { row: Row::Count, run: 0, seconds: 1.0, place };
    let program = std::env::current_exe().expect("the program knows where it is");
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-e", &format!("trace={}", CALLS.join(",")), "-o"]).arg(&counted);
    command.arg(program).args(one_run_arguments(peer, &load)).stdout(Stdio::null());
    let status = command.status().map_err(|error| format!("strace: {error}"))?;
    if !status.success() {
        return Err(format!("{}: strace: {status}", peer.name));
    }
    let summary = fs::read_to_string(counted).map_err(|error| format!("strace: {error}"))?;
    Ok(CALLS.map(|call| count(&summary, call)))
}

/// The fourth column of the line that ends in the call's name; no line, no calls.
fn count(summary: &str, call: &str) -> u64 {
    let line = summary.lines().find(|line| line.split_whitespace().next_back() == Some(call));
    line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()).unwrap_or(0)
}
