//! Does anybody notice? Plants the bugs that others have shipped, one at a time, and demands that each is found.
//!
//! `RUSTFLAGS='--cfg horolog_planted' cargo run --release --target-dir target/planted -p horolog-tests --bin planted`
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[cfg(horolog_planted)]
mod search {
    use std::panic::{self, AssertUnwindSafe};
    use std::process::ExitCode;
    use std::time::{Duration, Instant};

    use clap::Parser;
    use horolog::simulation::enumerate::Enumeration;
    use horolog::simulation::planted::{Bug, plant};
    use horolog::simulation::{Size, run_seed};

    /// Plant the bugs that others have shipped, and demand that the enumeration or the simulation finds each.
    #[derive(Debug, Parser)]
    #[command(name = "planted")]
    struct Args {
        /// Sequences of up to so many operations are enumerated
        #[arg(long, default_value_t = 1)]
        length: usize,
        /// Crashes in a row
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=3))]
        depth: u32,
        /// So many seconds for each of the two, and each bug
        #[arg(long, default_value_t = 20)]
        seconds: u64,
        /// Bugs with this in their name
        #[arg(long, default_value = "")]
        only: String,
    }

    /// How a search ended.
    struct Search {
        /// What was found, if anything.
        found: Option<String>,
        tried: u64,
        took: Duration,
    }

    #[expect(clippy::disallowed_methods, reason = "how long a bug lives is what this is about")]
    fn now() -> Instant {
        Instant::now()
    }

    pub(super) fn main() -> ExitCode {
        let args = Args::parse();
        // A panic is a way to be found, and is told in its line.
        panic::set_hook(Box::new(|_| {}));
        let most = Duration::from_secs(args.seconds);
        println!("{:<20} {:>12} {:>9}  {:>12} {:>9}", "bug", "states", "s", "seeds", "s");
        if let Some(found) = control(&args) {
            println!("found without any bug: {found}");
            return ExitCode::from(1);
        }
        let mut missed = Vec::new();
        for bug in Bug::ALL {
            let name = format!("{bug:?}");
            if !name.contains(&args.only) {
                continue;
            }
            plant(Some(bug));
            let enumerated = timed(|tried| enumerate(&args, most, tried));
            let simulated = timed(|tried| simulate(most, tried));
            print(&name, &enumerated, &simulated);
            if enumerated.found.is_none() && simulated.found.is_none() {
                missed.push(name);
            }
        }
        if missed.is_empty() {
            println!("every bug is found");
            return ExitCode::SUCCESS;
        }
        println!("NOT FOUND: {}", missed.join(", "));
        ExitCode::from(1)
    }

    /// As far as any search goes, nothing is found in a build without a bug.
    fn control(args: &Args) -> Option<String> {
        plant(None);
        let most = Duration::from_secs(args.seconds);
        let whole = timed(|tried| enumerate(args, Duration::MAX, tried));
        whole.found.or_else(|| timed(|tried| simulate(most, tried)).found)
    }

    fn timed(search: impl FnOnce(&mut u64) -> Option<String>) -> Search {
        let began = now();
        let mut tried = 0;
        let caught = panic::catch_unwind(AssertUnwindSafe(|| search(&mut tried)));
        let found = caught.unwrap_or_else(|_| Some("a panic".to_owned()));
        Search { found, tried, took: now() - began }
    }

    fn enumerate(args: &Args, most: Duration, tried: &mut u64) -> Option<String> {
        let began = now();
        for length in 0..=args.length {
            let plan = Enumeration {
                length,
                depth: args.depth,
                damage: true,
                every_byte: true,
                threads: threads(),
                ..Enumeration::default()
            };
            let outcome = plan.run(&mut |_| now() - began < most);
            *tried += outcome.tally.states();
            if let Some(violation) = outcome.violation {
                return Some(violation.breach.to_string());
            }
            if !outcome.complete {
                break;
            }
        }
        None
    }

    fn simulate(most: Duration, tried: &mut u64) -> Option<String> {
        let began = now();
        let size = Size::default();
        for seed in 0.. {
            *tried = seed + 1;
            if let Err(broken) = run_seed(seed, &size) {
                return Some(broken.violation);
            }
            if now() - began >= most {
                break;
            }
        }
        None
    }

    fn threads() -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }

    fn print(name: &str, enumerated: &Search, simulated: &Search) {
        let column = |search: &Search| match search.found {
            Some(_) => format!("{:>12} {:>9.2}", search.tried, search.took.as_secs_f64()),
            None => format!("{:>12} {:>9}", search.tried, "not found"),
        };
        println!("{name:<20} {}  {}", column(enumerated), column(simulated));
        for (by, search) in [("enumeration", enumerated), ("simulation", simulated)] {
            if let Some(found) = &search.found {
                let line: String = found.lines().next().unwrap_or_default().chars().take(110).collect();
                println!("    {by}: {line}");
            }
        }
    }
}

#[cfg(horolog_planted)]
fn main() -> ExitCode {
    search::main()
}

/// A build that can have no bug planted.
#[cfg(not(horolog_planted))]
fn main() -> ExitCode {
    println!("no bug can be planted in this build: RUSTFLAGS='--cfg horolog_planted' cargo run ...");
    ExitCode::from(2)
}
