//! `horolog run`: commands on a schedule that survives.

mod check;
mod command;
pub(crate) mod duration;
pub(crate) mod file;
mod stored;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvError, Sender, after, bounded, select, unbounded};
use horolog::{Batch, Due, Engine};

use crate::args::RunArgs;
use crate::error::Trouble;
use crate::render::{instant, note};
use crate::signals::stop_requests;
use command::Ended;
use file::Job;
use stored::{Definition, Reconciled, Stored};

pub(crate) fn run(args: &RunArgs) -> Result<u8, Trouble> {
    let jobs = file::read(&args.file)?;
    let dir = args.dir.clone().unwrap_or_else(|| beside(args));
    if args.check {
        return check::check(&jobs, &dir);
    }
    let stop = stop_requests()?;
    let engine = Arc::new(Engine::open(&dir).map_err(Trouble::Open)?);
    for job in &jobs {
        announce(job, stored::reconcile(&engine, job)?, &engine);
    }
    let jobs = jobs.into_iter().map(|job| (job.name.clone(), Arc::new(job))).collect();
    Runner::new(engine, jobs).run(&stop, args.grace)?;
    Ok(0)
}

/// `jobs.toml.horolog`, beside `jobs.toml`.
fn beside(args: &RunArgs) -> PathBuf {
    let mut name = args.file.clone().into_os_string();
    name.push(".horolog");
    name.into()
}

fn announce(job: &Job, reconciled: Reconciled, engine: &Engine) {
    let next = stored::find(engine, &job.name).map_or_else(String::new, |found| {
        let since = found.info.deadline.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        format!("next run {}", instant(since.as_nanos()))
    });
    note(
        &job.name,
        &match reconciled {
            Reconciled::New => format!("new, {next}"),
            Reconciled::Unchanged => next,
            Reconciled::Changed => format!("definition changed, {next}"),
            Reconciled::AlreadyDone => "done before, does not run again".to_owned(),
            Reconciled::GivenUp => {
                "was given up after too many failures; change `at` to run it again".to_owned()
            }
        },
    );
}

/// One message a run that is over, with what kept the engine from recording its end.
type Finished = Result<(), Trouble>;

struct Runner {
    engine: Arc<Engine>,
    jobs: BTreeMap<String, Arc<Job>>,
    running: usize,
    finished: (Sender<Finished>, Receiver<Finished>),
    /// Closes when running commands are to be killed.
    kill: (Option<Sender<()>>, Receiver<()>),
}

impl Runner {
    fn new(engine: Arc<Engine>, jobs: BTreeMap<String, Arc<Job>>) -> Self {
        let (kill, killed) = bounded(0);
        Self { engine, jobs, running: 0, finished: unbounded(), kill: (Some(kill), killed) }
    }

    fn run(mut self, stop: &Receiver<()>, grace: Duration) -> Result<(), Trouble> {
        let served = self.serve(stop, grace);
        let shut_down = self.shut_down();
        served.and(shut_down)
    }

    /// Until it is told to stop, or nothing is left to do, or the engine cannot record what is done any more.
    fn serve(&mut self, stop: &Receiver<()>, grace: Duration) -> Result<(), Trouble> {
        let (due, finished) = (self.engine.due(), self.finished.1.clone());
        while self.running > 0 || !self.is_over() {
            select! {
                recv(due) -> due => match due {
                    Ok(due) => self.begin(due)?,
                    // The engine has stopped by itself; its shutdown tells why.
                    Err(_) => return Ok(()),
                },
                recv(finished) -> end => self.ended(end)?,
                recv(stop) -> _ => return self.drain(stop, grace),
            }
        }
        note("horolog", "nothing left to do");
        Ok(())
    }

    fn ended(&mut self, end: Result<Finished, RecvError>) -> Result<(), Trouble> {
        self.running -= 1;
        end.unwrap_or(Ok(()))
    }

    /// Running commands may end. A second signal ends the patience.
    #[expect(clippy::disallowed_methods, reason = "the grace that the user gave is a length of time")]
    fn drain(&mut self, stop: &Receiver<()>, grace: Duration) -> Result<(), Trouble> {
        if self.running > 0 {
            let words =
                format!("stopping; {} commands may end within {}", self.running, duration::show(grace));
            note("horolog", &words);
        }
        let (grace_is_over, finished) = (after(grace), self.finished.1.clone());
        while self.running > 0 {
            select! {
                recv(finished) -> end => self.ended(end)?,
                recv(grace_is_over) -> _ => break,
                recv(stop) -> _ => break,
            }
        }
        Ok(())
    }

    /// The engine stops first: what is killed after it has no outcome, so the next start runs it again.
    fn shut_down(mut self) -> Result<(), Trouble> {
        let outcome = self.engine.shutdown(Duration::ZERO).map_err(Trouble::engine);
        self.kill.0 = None;
        while self.running > 0 {
            // Nothing is recorded any more, so nothing can be kept from being recorded.
            let _ = self.finished.1.recv();
            self.running -= 1;
        }
        outcome
    }

    fn is_over(&self) -> bool {
        self.jobs.values().all(|job| stored::is_over(&self.engine, job))
    }

    fn begin(&mut self, due: Due) -> Result<(), Trouble> {
        let name = stored::name_of(due.key());
        let stored: Option<Stored> = due.payload_as().ok();
        match (self.jobs.get(&name), stored) {
            (Some(job), Some(stored)) if !stored.done && stored.definition == Definition::of(job) => {
                self.start(Arc::clone(job), stored.definition, due)
            }
            (Some(_), _) => self.pass_over(due),
            (None, _) => {
                note(&name, "is not in the file any more; forgotten");
                self.engine.cancel(due.id()).map_err(Trouble::engine)?;
                self.pass_over(due)
            }
        }
    }

    /// A run of a definition that is gone: an edit never causes a run.
    fn pass_over(&self, due: Due) -> Result<(), Trouble> {
        due.complete().map(drop).map_err(|refused| Trouble::engine(refused.fault))
    }

    fn start(&mut self, job: Arc<Job>, definition: Definition, due: Due) -> Result<(), Trouble> {
        let engine = Arc::clone(&self.engine);
        let (finished, kill) = (self.finished.0.clone(), self.kill.1.clone());
        let work = move || {
            let end = perform(&engine, &job, definition, due, &kill);
            // A runner that is gone waits for nobody.
            let _ = finished.send(end);
        };
        let spawned = std::thread::Builder::new().name("horolog-job".to_owned()).spawn(work);
        spawned.map_err(|source| Trouble::System { what: "start a thread", source })?;
        self.running += 1;
        Ok(())
    }
}

/// One run of a job, from its start to the engine's record of its end.
fn perform(engine: &Engine, job: &Job, definition: Definition, due: Due, kill: &Receiver<()>) -> Finished {
    note(&job.name, &begun(&due));
    let (outcome, words) = match command::execute(&job.name, &job.command, job.timeout, kill) {
        Ended::Well => (end_well(engine, definition, due), "done".to_owned()),
        Ended::Badly(why) => {
            let outcome = due.fail(&why).map(drop).map_err(|refused| Trouble::engine(refused.fault));
            (outcome, format!("failed: {why}; it is tried again, unless it has failed too often"))
        }
        // The engine has been shut down: letting go of the run now leaves it to the next start.
        Ended::Interrupted => (Ok(()), "interrupted; it runs again at the next start".to_owned()),
    };
    match &outcome {
        Ok(()) => note(&job.name, &words),
        Err(_) => {
            note(&job.name, &format!("{words}, and that was not recorded: it runs again at the next start"))
        }
    }
    outcome
}

fn begun(due: &Due) -> String {
    let again = if due.attempt() > 1 { format!(", attempt {}", due.attempt()) } else { String::new() };
    let missed = due.missed().map_or_else(String::new, |missed| {
        let first = missed.first.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        format!(", makes up for {} missed since {}", missed.count, instant(first.as_nanos()))
    });
    format!("started{again}{missed}")
}

/// A one-shot leaves a note behind, in one batch with its completion.
fn end_well(engine: &Engine, definition: Definition, due: Due) -> Result<(), Trouble> {
    if definition.recurs() {
        let ticket = due.complete().map_err(|refused| Trouble::engine(refused.fault))?;
        return ticket.wait().map_err(Trouble::engine);
    }
    let note = stored::done_note(due.key(), definition)?;
    engine.apply(Batch::new().complete(due).schedule(note)).map(drop).map_err(Trouble::engine)
}
