//! The process that kills: starts a life, waits for its instant, sends SIGKILL, reads what the life wrote down.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use horolog::{Clock, SystemClock};
use indicatif::ProgressBar;

use super::figures::Figures;
use super::ledger::{self, Entry};
use super::place::Place;
use super::plan::{Dice, Plan};
use super::verdict::{Verdict, Violation};
use crate::args::DrillArgs;
use crate::error::Trouble;

/// A life that does nothing for this long hangs.
const STALL: Duration = Duration::from_secs(30);

/// Timers of one life that the next one may cancel.
const CARRIED_MAX: usize = 2_000;

/// When a life is killed: once this serial number is announced, and then this much later.
#[derive(Clone, Copy, Debug)]
struct Instant {
    serial: u64,
    delay: Duration,
    calm: bool,
}

/// How a life ended.
enum End {
    Killed,
    ByItself(ExitStatus),
    Stalled,
}

/// Most kills are somewhere in the work at full speed, at an instant that the seed gives. One in five comes right after
/// the start, in or near the opening; one in five ends a calm life.
fn instants(seed: u64, timers: u64, kills: u32) -> Vec<Instant> {
    let mut dice = Dice::new(seed ^ 0x6b69_6c6c);
    let mut serials: Vec<u64> = (0..kills).map(|_| dice.below(timers)).collect();
    serials.sort_unstable();
    let delay_us = |dice: &mut Dice| match dice.below(10) {
        0..6 => dice.below(5_000),
        6..9 => dice.below(50_000),
        _ => dice.below(400_000),
    };
    let instant = |serial| match dice.below(5) {
        0 => Instant { serial: 0, delay: Duration::from_micros(dice.below(40_000)), calm: false },
        1 => Instant { serial: 0, delay: Duration::from_micros(50_000 + dice.below(950_000)), calm: true },
        _ => Instant { serial, delay: Duration::from_micros(delay_us(&mut dice)), calm: false },
    };
    serials.into_iter().map(instant).collect()
}

/// All lives, one after another.
pub(super) struct Parent<'a> {
    pub(super) args: &'a DrillArgs,
    pub(super) place: &'a Place,
    pub(super) verdict: Verdict,
    pub(super) figures: Figures,
    pub(super) kills: u32,
    bar: ProgressBar,
}

impl<'a> Parent<'a> {
    pub(super) fn new(args: &'a DrillArgs, place: &'a Place, bar: ProgressBar) -> Self {
        let (verdict, figures) = (Verdict::new(args.timers), Figures::default());
        Self { args, place, verdict, figures, kills: 0, bar }
    }

    /// Goes on until the work is done, or a life ends as it should not.
    pub(super) fn run(&mut self) -> Result<(), Trouble> {
        let instants = instants(self.args.seed, self.args.timers, self.args.kills);
        let mut carried = Vec::new();
        for (life, instant) in (1..).zip(instants.into_iter().map(Some).chain([None])) {
            self.bar.set_message(match instant {
                Some(_) => format!("life {life}, {} kills", self.kills),
                None => "last life, until no timer is left".to_owned(),
            });
            let end = self.live(life, &carried, instant)?;
            let entries = self.place.read_ledger(life)?;
            self.verdict.life(&entries);
            let calm = instant.is_some_and(|instant| instant.calm);
            self.figures.life(&entries, calm, |serial| self.verdict.was_moved(serial));
            carried = self.carry(&entries);
            if !self.go_on(life, end, instant.is_none())? {
                break;
            }
        }
        self.bar.finish_and_clear();
        Ok(())
    }

    fn go_on(&mut self, life: u32, end: End, last: bool) -> Result<bool, Trouble> {
        match end {
            End::Killed => {
                self.kills += 1;
                return Ok(true);
            }
            End::ByItself(status) if last && status.success() => {}
            End::ByItself(status) => {
                let words = format!("{status}\n{}", self.place.last_words(life));
                self.verdict.charge(Violation::Died { life, words: words.trim_end().to_owned() });
            }
            End::Stalled => self.verdict.charge(Violation::Stalled { life, seconds: STALL.as_secs() }),
        }
        Ok(false)
    }

    /// What the last life scheduled and the next one may cancel, by ids that must still be valid.
    fn carry(&self, entries: &[Entry]) -> Vec<(u64, u64)> {
        let acknowledged = entries.iter().filter_map(|entry| match *entry {
            Entry::Scheduled { serial, id, .. } => Some((serial, id)),
            _ => None,
        });
        let condemned = acknowledged.filter(|&(serial, _)| {
            Plan::of(self.args.seed, serial).cancelled && self.verdict.may_be_cancelled(serial)
        });
        let mut carried: Vec<_> = condemned.collect();
        // The latest ones have the longest to go.
        carried.drain(..carried.len().saturating_sub(CARRIED_MAX));
        carried
    }

    fn live(&self, life: u32, carried: &[(u64, u64)], instant: Option<Instant>) -> Result<End, Trouble> {
        let carried_path = self.place.carried(life);
        ledger::write_carried(&carried_path, carried).map_err(|source| Trouble::File {
            what: "cannot write",
            path: carried_path.clone(),
            source,
        })?;
        let mut child = self.start(life, &carried_path, instant)?;
        // Held while the child may live: it ends with its parent.
        let _stdin = child.stdin.take();
        let progress = child.stdout.take().map(follow_progress).transpose()?;
        let end = match (instant, progress) {
            (Some(instant), Some(progress)) => self.wait_for(&progress, instant),
            (None, Some(progress)) => self.wait_for_end(&progress, life),
            (_, None) => End::Stalled,
        };
        let waiting = |source| Trouble::System { what: "wait for a process", source };
        if !matches!(end, End::ByItself(_)) {
            child.kill().map_err(waiting)?;
        }
        let status = child.wait().map_err(waiting)?;
        Ok(match end {
            End::ByItself(_) => End::ByItself(status),
            // It ended an instant before the signal.
            End::Killed if status.code().is_some() => End::ByItself(status),
            other => other,
        })
    }

    fn start(&self, life: u32, carried: &Path, instant: Option<Instant>) -> Result<Child, Trouble> {
        let failed = |source| Trouble::System { what: "start a process", source };
        let program: PathBuf = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        command.arg("drill-child").arg("--dir").arg(self.place.timers());
        command.arg("--ledger").arg(self.place.ledger(life)).arg("--carried").arg(carried);
        let numbers = [
            ("--seed", self.args.seed),
            ("--first", self.verdict.next_serial()),
            ("--end", self.args.timers),
        ];
        for (name, number) in numbers {
            command.arg(name).arg(number.to_string());
        }
        match instant {
            None => command.arg("--last"),
            Some(instant) if instant.calm => command.arg("--calm"),
            Some(_) => &mut command,
        };
        let stderr = self.place.open_last_words(life)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        command.spawn().map_err(failed)
    }

    /// The instant of the kill.
    fn wait_for(&self, progress: &Receiver<u64>, instant: Instant) -> End {
        // A life that is to be killed at work gets to work first, even if the one before went further than planned.
        let mut announced = 0;
        while announced < instant.serial {
            match progress.recv_timeout(STALL) {
                Ok(next) => announced = self.show(next),
                Err(RecvTimeoutError::Timeout) => return End::Stalled,
                Err(RecvTimeoutError::Disconnected) => return End::ByItself(ExitStatus::default()),
            }
        }
        let clock = SystemClock::new();
        let now_ns = || clock.times().boottime_ns;
        let kill_ns = now_ns().saturating_add(u64::try_from(instant.delay.as_nanos()).unwrap_or(u64::MAX));
        loop {
            let left = Duration::from_nanos(kill_ns.saturating_sub(now_ns()));
            match progress.recv_timeout(left) {
                Ok(next) => {
                    self.show(next);
                }
                Err(RecvTimeoutError::Timeout) => return End::Killed,
                Err(RecvTimeoutError::Disconnected) => return End::ByItself(ExitStatus::default()),
            }
        }
    }

    /// The end of the last life, for as long as its ledger grows.
    fn wait_for_end(&self, progress: &Receiver<u64>, life: u32) -> End {
        let ledger_len = || self.place.ledger_len(life);
        let mut len = ledger_len();
        loop {
            match progress.recv_timeout(STALL) {
                Ok(next) => {
                    self.show(next);
                }
                Err(RecvTimeoutError::Timeout) if ledger_len() == len => return End::Stalled,
                Err(RecvTimeoutError::Timeout) => len = ledger_len(),
                Err(RecvTimeoutError::Disconnected) => return End::ByItself(ExitStatus::default()),
            }
        }
    }

    fn show(&self, next_serial: u64) -> u64 {
        self.bar.set_position(next_serial.min(self.args.timers));
        next_serial
    }
}

/// The child tells the next serial number after each chunk of work. The channel closes with the child.
fn follow_progress(mut stdout: ChildStdout) -> Result<Receiver<u64>, Trouble> {
    let (sender, receiver) = crossbeam_channel::unbounded();
    let read = move || {
        let mut word = [0; 8];
        while stdout.read_exact(&mut word).is_ok() && sender.send(u64::from_le_bytes(word)).is_ok() {}
    };
    let spawned = std::thread::Builder::new().name("drill-progress".to_owned()).spawn(read);
    spawned.map_err(|source| Trouble::System { what: "start a thread", source })?;
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_instants_every_time() {
        let show = |seed| format!("{:?}", instants(seed, 1_000, 25));
        assert_eq!(show(4), show(4));
        assert_ne!(show(4), show(5));
        assert_eq!(instants(4, 1_000, 25).len(), 25);
    }
}
