//! The `horolog` program.
//!
//! `drill` proves the engine's promises on this machine, `run` runs commands on a schedule, `inspect`, `dump` and
//! `verify` read a directory of timers without writing a byte, `repair` makes a new one of what is left of a damaged
//! one, `bench-disk` measures a disk and what the engine makes of it.
#![forbid(unsafe_code)]

mod args;
mod bar;
mod bench_disk;
mod drill;
mod dump;
mod error;
mod inspect;
mod present;
mod read_only;
mod render;
mod repair;
mod run;
mod signals;
mod spread;
mod verify;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use error::Trouble;

/// A program that a pipe left early (`horolog dump DIR | head`) ends quietly, as others do.
fn main() -> ExitCode {
    match dispatch(Args::parse().command) {
        Ok(code) => ExitCode::from(code),
        Err(trouble) if trouble.is_broken_pipe() => ExitCode::SUCCESS,
        Err(trouble) => {
            let _ = writeln!(std::io::stderr().lock(), "{}", trouble.report());
            ExitCode::from(trouble.exit_code())
        }
    }
}

fn dispatch(command: Command) -> Result<u8, Trouble> {
    match command {
        Command::Drill(options) => drill::drill(&options),
        Command::DrillChild(options) => drill::child::live(&options).map(|()| 0),
        Command::Run(options) => run::run(&options),
        Command::Inspect(at) => inspect::inspect(&at.dir),
        Command::Dump(options) => dump::dump(&options.dir, options.json, horolog_wal::Lsn(options.from)),
        Command::Verify(at) => verify::verify(&at.dir),
        Command::Repair(options) => repair::repair(&options),
        Command::BenchDisk(options) => bench_disk::bench_disk(&options),
    }
}
