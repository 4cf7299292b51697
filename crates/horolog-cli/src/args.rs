//! What can be typed. Every page of help is enough to work from.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// The exit codes that scripts may rely on are in the help of each command.
const EXAMPLES: &str = "\
Examples:
  horolog drill                      kill a process 25 times: was a timer lost?
  horolog drill --kills 100 --seed 7 longer, with a workload of your choice
  horolog run jobs.toml              run commands, make up what a crash missed
  horolog run jobs.toml --check      validate the file, show the next runs
  horolog inspect timers/            what is in a directory of timers
  horolog dump timers/ --json        every record of its log
  horolog verify timers/             exit code 0 sound, 1 damaged, 2 cannot tell
  horolog repair --help              what to do with a damaged directory
  horolog bench-disk .               what this disk gives, and the engine on it

`horolog help COMMAND` says more about each.";

const DRILL_HELP: &str = "\
Kill a process again and again and check every promise

A child process schedules, cancels and completes timers at full speed in a real
directory, and writes down what the engine acknowledged, outside the engine. It
is killed with SIGKILL at random instants and started again. At the end every
promise is checked: nothing acknowledged is lost, nothing is early, nothing that
was durably completed or cancelled is delivered again, batches are whole.";

const DRILL_AFTER: &str = "\
Without --dir the drill works below TMPDIR; name a directory on the disk that
you mean to trust.

Exit code: 0 every promise held, 1 one was broken or a process failed, 2 the
drill could not be held.";

const RUN_HELP: &str = "\
A jobs file:

  [job.backup]
  every = \"7d\"
  command = \"tar czf /backup/home.tgz /home\"
  missed = \"once\"      # made up once after downtime; \"skip\": not at all
  timeout = \"2h\"       # then it is killed, which counts as a failure

  [job.greeting]
  at = \"2026-12-24T18:00:00+01:00[Europe/Berlin]\"
  command = \"echo Merry Christmas\"

`missed` and `timeout` may be left out: once, and no timeout. Durations are sums
of ms, s, m, h, d and w, as in \"1h 30m\". `every` begins one interval after the
job is first seen, and keeps its phase over restarts and over edits of anything
but `every`; a run that was missed before `missed` was edited is not made up. A
command that fails is tried again after 1 s, 2 s, 4 s, … (an hour at most) until
its next run is due or it has failed 20 times; `horolog inspect` lists what was
given up. Runs of one job never overlap. Commands run under /bin/sh.

The schedule is kept in FILE.horolog/. A run that a crash or a stop interrupted
runs again at the next start, so a command must bear being run twice.

Exit code: 0 stopped by SIGINT or SIGTERM, or nothing left to do; 2 the file or
the directory cannot be used.";

const REPAIR_HELP: &str = "\
What is kept is every record from the first one to the last that can be read
without a gap. DIR is only read, and not locked: stop its process first. Every
LSN that is lost is listed, with what can still be read of it, and every timer
that a lost record names. Nothing is written unless all records up to
--accept-loss-after are kept; name a number that is too high to see the list
without writing anything. Timers that are kept keep their ids, and no id that
was lost is given again. NEW must not exist, or be empty.

A disk that cannot be read is copied first, with a tool that passes over what is
unreadable; then the copy is repaired.

Exit code: 0 NEW is complete, 1 refused for what is in DIR, 2 DIR could not be
read or NEW not be written.";

const BENCH_DISK_HELP: &str = "\
Measure a disk, and what the engine makes of it

First the bare disk: one thread that writes 4 KiB, 64 KiB or 1 MiB and syncs,
again and again,

  growing    to the end of a file that becomes longer
  unwritten  to blocks that are reserved (fallocate) and were never written
  zeroed     to blocks that were written with zeros and synced before
  zeroed, O_DIRECT|O_DSYNC
             the same past the page cache, without a call to sync

and then the engine, with timers of 64 bytes: schedule, which returns when its
timer is durable, by one thread and by 8 at once, and submit, which does not
wait, until all of them are durable.

All rows are measured in turn, in three rounds. p50, p99 and max are taken over
all calls; calls and MB a second are the middle round's.";

const BENCH_DISK_AFTER: &str = "\
The lone schedule writes one block to zeros and syncs it: `zeroed 4 KiB` is the
same without the engine, and the ratio of the two says what the engine adds.
Submit writes much at a time, as `zeroed 1 MiB` does. A disk that lies about
syncs, or a memory file system, makes all of this meaningless.

Everything is done in DIR/horolog-bench-disk, which must not be there and is
removed at the end. How long it takes, how much is written and how much room is
needed is said at the start; nothing is begun if the room is not there. Measure
on a machine that does nothing else.

--json prints one object a row: times in ns, rates in calls and bytes a second,
null for what was not measured; `refused` says what the file system does not do.

Exit code: 0 measured, 2 it could not be.";

/// Durable timers: prove the engine here, run jobs with it, look into its files.
#[derive(Debug, Parser)]
#[command(name = "horolog", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Kill a process again and again and check every promise
    #[command(long_about = DRILL_HELP, after_long_help = DRILL_AFTER)]
    Drill(DrillArgs),
    #[command(hide = true)]
    DrillChild(ChildArgs),
    /// Run commands on a schedule and make up missed runs after a crash
    #[command(after_long_help = RUN_HELP)]
    Run(RunArgs),
    /// Say what is in a directory of timers; writes nothing
    Inspect(DirArgs),
    /// Print every record of the log; writes nothing
    ///
    /// Exit code: 0, 1 if the log is damaged (after what can be read before the damage), 2 if it cannot be read.
    Dump(DumpArgs),
    /// Say whether a directory would open; writes nothing
    ///
    /// Reads everything as an opening would. Exit code: 0 sound, 1 damaged, 2 cannot tell.
    Verify(DirArgs),
    /// Make a new directory of what can be kept of a damaged one
    #[command(after_long_help = REPAIR_HELP)]
    Repair(RepairArgs),
    /// Measure a disk, and what the engine makes of it
    #[command(long_about = BENCH_DISK_HELP, after_long_help = BENCH_DISK_AFTER)]
    BenchDisk(BenchDiskArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DrillArgs {
    /// Timers to schedule in all
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u64).range(1..=50_000_000))]
    pub(crate) timers: u64,
    /// How often the process is killed
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) kills: u32,
    /// Fixes the workload and the instants of the kills, as far as a scheduler of threads allows
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Work in DIR and leave everything there for a look [default: a temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// One life of the process that is killed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ChildArgs {
    /// The directory of the engine.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// Where to write down what was acknowledged.
    #[arg(long)]
    pub(crate) ledger: PathBuf,
    /// Timers of earlier lives to cancel.
    #[arg(long)]
    pub(crate) carried: Option<PathBuf>,
    #[arg(long)]
    pub(crate) seed: u64,
    /// The first serial number that no life before has used.
    #[arg(long)]
    pub(crate) first: u64,
    /// One beyond the last serial number.
    #[arg(long)]
    pub(crate) end: u64,
    /// Schedule a few timers at a time, so that a single caller and an idle log are seen too.
    #[arg(long)]
    pub(crate) calm: bool,
    /// Work until no timer is left, then shut down in order.
    #[arg(long)]
    pub(crate) last: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The jobs file
    pub(crate) file: PathBuf,
    /// Where the schedule is kept [default: FILE.horolog]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// How long running commands may go on after SIGINT or SIGTERM
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub(crate) grace: Duration,
    /// Validate the file and show the next run of each job; nothing is run or written
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DirArgs {
    /// A directory of timers
    pub(crate) dir: PathBuf,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DumpArgs {
    /// A directory of timers
    pub(crate) dir: PathBuf,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Begin at this record; beyond a damage, with what can be read there
    #[arg(long, value_name = "LSN", default_value_t = 1, hide_default_value = true)]
    pub(crate) from: u64,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RepairArgs {
    /// A directory of timers
    pub(crate) dir: PathBuf,
    /// Where to write what is kept
    #[arg(long, value_name = "NEW")]
    pub(crate) to: PathBuf,
    /// The last record that must be kept: the loss of all after it is accepted
    #[arg(long, value_name = "LSN")]
    pub(crate) accept_loss_after: u64,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BenchDiskArgs {
    /// A directory on the disk
    pub(crate) dir: PathBuf,
    /// How long each row is measured in a round, from 0.01 to 30
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_seconds)]
    pub(crate) seconds: Duration,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

fn parse_seconds(text: &str) -> Result<Duration, crate::bench_disk::BadSeconds> {
    crate::bench_disk::parse_seconds(text)
}

fn parse_duration(text: &str) -> Result<Duration, crate::run::duration::BadDuration> {
    crate::run::duration::parse(text)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        super::Args::command().debug_assert();
    }
}
