//! Every sequence of operations up to a length, every crash, every verdict: the enumeration of `docs/durability.md`.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use horolog::simulation::enumerate::{
    DEPTH_MAX, DIRECTED, Enumeration, Operation, Outcome, Tally, Violation,
};

const AFTER_HELP: &str = "\
A crash of depth 1 stops the machine after any operation of the disk; one of
depth 2 stops the opening that follows, and one of depth 3 the opening after that.

Exit code: 0 every promise held, 1 one was broken or a row of the crash table
was not reached, 2 the enumeration could not be carried out.";

/// Enumerate what a crash can leave, and hold every state against what was promised.
#[derive(Debug, Parser)]
#[command(name = "enumerate", after_help = AFTER_HELP)]
struct Args {
    /// Sequences of up to so many operations
    #[arg(long, default_value_t = 2)]
    length: usize,
    /// Crashes in a row, for sequences of 0, 1, 2, … operations; the last counts for all longer ones
    #[arg(long, default_value = "2", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=3))]
    depth: Vec<u32>,
    /// All subsets of up to so many choices; of more, a sample
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=24))]
    subsets: u32,
    /// Damages what sequences of up to so many operations leave
    #[arg(long, default_value_t = 2)]
    damage: usize,
    /// Tears and flips every byte, not a few of each sector
    #[arg(long)]
    every_byte: bool,
    /// Of the disk, and of every sample
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Ends after so many minutes, complete or not
    #[arg(long)]
    minutes: Option<u64>,
    /// Sequences at a time; by default as many as there are processors
    #[arg(long)]
    threads: Option<usize>,
    /// This sequence alone, as in "schedule,rotate"; "" for the first opening
    #[arg(long, conflicts_with = "length")]
    only: Option<String>,
}

impl Args {
    fn depth_of(&self, length: usize) -> u32 {
        self.depth.get(length).or(self.depth.last()).copied().unwrap_or(1)
    }

    fn plan(&self, length: usize, only: Option<Vec<Operation>>) -> Enumeration {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Enumeration {
            length,
            depth: self.depth_of(length),
            subsets_max: self.subsets,
            every_byte: self.every_byte,
            damage: length <= self.damage,
            seed: self.seed,
            threads: self.threads.unwrap_or(processors),
            only,
        }
    }

    /// What is to be done, in order.
    fn plans(&self) -> Result<Vec<Enumeration>, String> {
        let Some(typed) = &self.only else {
            let directed = DIRECTED.iter().filter(|it| it.len() <= self.length + 1);
            let directed =
                directed.map(|it| Enumeration { depth: 2, ..self.plan(it.len(), Some(it.to_vec())) });
            return Ok((0..=self.length).map(|length| self.plan(length, None)).chain(directed).collect());
        };
        let names = typed.split(',').filter(|name| !name.is_empty());
        let only: Vec<Operation> =
            names.map(|name| name.parse().map_err(|error| format!("{error}"))).collect::<Result<_, _>>()?;
        Ok(vec![self.plan(only.len(), Some(only))])
    }

    fn reproduce(&self, depth: u32, violation: &Violation) -> String {
        let Self { subsets, seed, .. } = self;
        let names: Vec<_> = violation.sequence.iter().map(ToString::to_string).collect();
        let bytes = if self.every_byte { " --every-byte" } else { "" };
        format!(
            "cargo run --release -p horolog-tests --bin enumerate -- --only {:?} --depth {depth} \
             --subsets {subsets} --seed {seed}{bytes}",
            names.join(",")
        )
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args, &mut io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            let _ = writeln!(io::stderr().lock(), "{error}");
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a program for people says how long it takes")]
fn now() -> Instant {
    Instant::now()
}

/// Says whether every promise held.
fn run(args: &Args, out: &mut dyn Write) -> Result<bool, Box<dyn std::error::Error>> {
    let plans = args.plans()?;
    let began = now();
    let deadline = args.minutes.map(|minutes| began + Duration::from_secs(60 * minutes));
    let mut all = Tally::default();
    writeln!(out, "length depth  sequences    moments       states     distinct   states/s")?;
    for plan in &plans {
        let plan_began = now();
        let outcome = plan.run(&mut |_| deadline.is_none_or(|deadline| now() < deadline));
        let took = now() - plan_began;
        lines(out, plan, &outcome, took)?;
        all.add(&outcome.tally);
        if let Some(violation) = &outcome.violation {
            matrix(out, &all)?;
            writeln!(out, "\n{violation}\nagain: {}", args.reproduce(plan.depth, violation))?;
            return Ok(false);
        }
        if !outcome.complete {
            writeln!(out, "NOT COMPLETE: the time was over at sequences of {} operations", plan.length)?;
            break;
        }
    }
    let missed: Vec<_> = if args.only.is_none() { all.rows_missed().collect() } else { Vec::new() };
    table(out, &all)?;
    matrix(out, &all)?;
    summary(out, &plans, &all, now() - began)?;
    let reaches_all = plans.iter().any(|plan| plan.length >= 2) && plans.iter().any(|plan| plan.depth > 2);
    if reaches_all && !missed.is_empty() {
        writeln!(out, "NOT REACHED: {}", missed.join("; "))?;
    }
    Ok((!reaches_all || missed.is_empty()) && false_verdicts(&all) == (0, 0))
}

/// What sequences of one length gave, a line for each depth.
fn lines(out: &mut dyn Write, plan: &Enumeration, outcome: &Outcome, took: Duration) -> io::Result<()> {
    let Tally { sequences, moments, tried, distinct, opened, sampled, choices_max, .. } = &outcome.tally;
    let per_second = per_second(outcome.tally.states(), took);
    for (at, ((moments, tried), distinct)) in moments.iter().zip(tried).zip(distinct).enumerate() {
        let depth = at + 1;
        if depth > plan.depth as usize {
            continue;
        }
        let (length, speed) = (plan.length, if depth == 1 { per_second } else { 0 });
        let speed = if speed > 0 { speed.to_string() } else { String::new() };
        writeln!(
            out,
            "{length:>6} {depth:>5} {sequences:>10} {moments:>10} {tried:>12} {distinct:>12} {speed:>10}"
        )?;
    }
    let how = if *sampled == 0 {
        "all subsets everywhere".to_owned()
    } else {
        format!("at {sampled} moments of depth 1 not all subsets: a sample of 2^{}", plan.subsets_max)
    };
    writeln!(
        out,
        "       {how}; {choices_max} choices at most; {opened} openings crashed in turn; {took:.1?}"
    )
}

/// States a second on one processor's share of the time is up to the reader: this is of all threads together.
fn per_second(states: u64, took: Duration) -> u64 {
    u64::try_from(u128::from(states) * 1_000 / took.as_millis().max(1)).unwrap_or(u64::MAX)
}

fn table(out: &mut dyn Write, all: &Tally) -> io::Result<()> {
    writeln!(out, "\ncrash table: states that belong to each row")?;
    for (row, count) in all.table() {
        writeln!(out, "  {row:<54} {count:>12}")?;
    }
    Ok(())
}

fn matrix(out: &mut dyn Write, all: &Tally) -> io::Result<()> {
    writeln!(out, "\n                            opened right      refused   opened wrong")?;
    for (name, matrix) in [("crash", all.crashes), ("damage", all.damage)] {
        for (must, cells) in matrix.rows().filter(|(_, cells)| cells.iter().any(|cell| *cell > 0)) {
            let [right, refused, wrong] = cells;
            writeln!(out, "  {name:<8} {must:<16} {right:>13} {refused:>12} {wrong:>14}")?;
        }
    }
    let (alarms, accepts) = false_verdicts(all);
    writeln!(out, "  false alarms {alarms}, false accepts {accepts}")
}

/// False alarms, and false accepts.
fn false_verdicts(all: &Tally) -> (u64, u64) {
    let (crash, damage) = (all.crashes, all.damage);
    (crash.false_alarms() + damage.false_alarms(), crash.false_accepts() + damage.false_accepts())
}

fn summary(out: &mut dyn Write, plans: &[Enumeration], all: &Tally, took: Duration) -> io::Result<()> {
    let depths: Vec<_> =
        plans.iter().map(|plan| format!("{} at depth {}", plan.length, plan.depth)).collect();
    let subsets = if all.sampled == 0 { "complete" } else { "complete but for the moments above" };
    let torn = if plans.iter().any(|plan| plan.every_byte) { "every byte" } else { "bytes 1, 8, 64 and 511" };
    writeln!(
        out,
        "\nsequences of length {}: {subsets}, for
  depth 1: after every operation of the disk, all subsets of the sectors, sizes and names that are
    pending and differ from the medium, and the death of the process
  depth 2 to {DEPTH_MAX}: in the opening of each of these, and of each of those in turn, after every
    operation of the disk: nothing, all, all but one thing, and the death of the process
sampled, at depth 1: one sector at a time torn at {torn} from either side, zero,
  or noise (two rolls), with all the rest there; grown files full of noise or of old blocks; no
  opening is crashed after these",
        depths.join(", ")
    )?;
    writeln!(out, "{} states in {took:.1?}, {} a second", all.states(), per_second(all.states(), took))
}
