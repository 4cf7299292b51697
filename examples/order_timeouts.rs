//! A service to start from: orders that are not paid in time are called off, whatever happens to the process meanwhile.
//!
//! ```text
//! cargo run -p horolog-examples --example order_timeouts              # a demo of two seconds, in a temporary directory
//! cargo run -p horolog-examples --example order_timeouts -- DIRECTORY # the same, and the timers stay there
//! ```
//!
//! What a service needs of Horolog is all here:
//!
//! - an [`Engine`] over a directory, opened once and shared by all threads;
//! - a timer for each promise, named by a key that the service knows anyway, so that it keeps no table of timer ids;
//! - worker threads that take what is due from a channel, and say how it went;
//! - a shutdown in order, on Ctrl-C too, and a restart that goes on where the last life ended.
//!
//! The demo opens the same directory twice, as two lives of a service with a deployment between them. One order's time
//! runs out while nothing runs. It is called off as soon as the second life begins: a timer that lives in memory
//! would have been forgotten. To see it survive worse, give a directory, kill the demo with `kill -9`, and run it again.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use horolog::{CancelOutcome, Due, Engine, IfExists, Timer};
use serde::{Deserialize, Serialize};

type AnyError = Box<dyn Error + Send + Sync>;

/// How long workers may finish what they have begun, when the service ends. What is not finished then is not lost: it is
/// delivered again in the next life.
const GRACE: Duration = Duration::from_secs(5);

const WORKERS: usize = 2;

/// What a timer carries. Its payload is JSON, so a later version of this program can still read it.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    number: u32,
    item: String,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "order {} ({})", self.number, self.item)
    }
}

/// The service: what its HTTP handlers would call. It has no state of its own; all of it is in the engine.
struct Shop<'a> {
    engine: &'a Engine,
}

impl Shop<'_> {
    /// Takes an order. When this returns, its time-out is on disk: a power cut does not change that it will come.
    fn place(&self, number: u32, item: &str, pay_within: Duration) -> Result<(), AnyError> {
        let order = Order { number, item: item.to_owned() };
        let timeout = Timer::after(pay_within)
            .key(key(number))
            // A customer who presses the button twice has ordered once.
            .if_exists(IfExists::Keep)
            // If calling off fails, it is tried again after 100 ms, 200 ms, … and at least once a minute.
            .backoff(Duration::from_millis(100), Duration::from_secs(60))
            .payload_as(&order)?;
        self.engine.schedule(timeout)?;
        println!("  placed      {order}, to be paid within {pay_within:?}");
        Ok(())
    }

    /// A payment came in. Either the time-out is cancelled, durably, or it was too late; never both.
    fn pay(&self, number: u32) -> Result<(), AnyError> {
        let outcome = match self.engine.by_key(key(number)) {
            Some(timeout) => self.engine.cancel(timeout)?,
            None => CancelOutcome::NotFound,
        };
        match outcome {
            CancelOutcome::Cancelled => println!("  paid        order {number}, in time"),
            // A worker holds it at this moment: the customer gets the money back.
            CancelOutcome::InFlight => println!("  refunded    order {number}: it is just being called off"),
            CancelOutcome::AlreadyDone | CancelOutcome::NotFound => {
                println!("  refunded    order {number}: it was called off before");
            }
        }
        Ok(())
    }
}

fn key(number: u32) -> String {
    format!("order-{number}")
}

/// A worker thread: takes what is due until the engine is shut down. Several share the work without further ado.
fn work(engine: &Engine) {
    for due in engine.due() {
        // Whoever owns the `Due` has the order to itself, for as long as it takes. Letting it go without a word, by a
        // panic for example, counts as a failure.
        let outcome = match call_off(&due) {
            Ok(()) => due.complete(),
            Err(reason) => {
                println!("  failed      {reason}; it will be tried again");
                due.fail(reason)
            }
        };
        // `complete` does not wait for the disk. Its ticket would tell when the record is durable; we need not know, as
        // calling off twice does no harm. It is refused only after the grace of a shutdown is over.
        if let Err(refused) = outcome {
            println!("  unfinished  {refused}; it comes again in the next life");
        }
    }
}

/// The work itself. It may be done twice, if the process dies between the doing and the record of it, so it should be
/// harmless the second time: set a status, do not subtract a number. [`Due::occurrence`] is a key to tell by, the same
/// on every delivery.
fn call_off(due: &Due) -> Result<(), AnyError> {
    let order: Order = due.payload_as()?;
    if order.number == 1 && due.attempt() == 1 {
        return Err(format!("no answer from the warehouse about {order}").into());
    }
    println!("  called off  {order}, attempt {}, {:.1?} after its time", due.attempt(), due.lateness());
    Ok(())
}

/// One life of the service: opens the directory, starts workers, does `business`, and ends in order.
fn live(path: &Path, business: impl FnOnce(&Shop<'_>) -> Result<(), AnyError>) -> Result<(), AnyError> {
    // Only one process can have the directory open. Whatever came due since the last life is on its way already.
    let engine = Engine::open(path)?;
    println!("  opened      with {} orders waiting", engine.report().timers);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| work(&engine));
        }
        let outcome = business(&Shop { engine: &engine });
        // This ends the workers as well: their channel is closed once everything begun is finished and on disk.
        engine.shutdown(GRACE)?;
        outcome
    })?;
    println!("  closed");
    Ok(())
}

/// Waits, but not longer than until Ctrl-C; says whether to go on.
fn wait(stop: &Receiver<()>, time: Duration) -> bool {
    stop.recv_timeout(time).is_err_and(|error| error.is_timeout())
}

/// Waits until no order is open. A service would wait for Ctrl-C alone, in `stop.recv()`.
fn wait_for_all(shop: &Shop<'_>, stop: &Receiver<()>) {
    while shop.engine.stats().timers > 0 && wait(stop, Duration::from_millis(20)) {}
}

fn demo(path: &Path, stop: &Receiver<()>) -> Result<(), AnyError> {
    const MS: Duration = Duration::from_millis(1);

    println!("The first life:");
    let mut go_on = false;
    live(path, |shop| {
        shop.place(1, "a clock", 200 * MS)?;
        shop.place(2, "a lamp", 300 * MS)?;
        shop.pay(2)?;
        if !wait(stop, 500 * MS) {
            return Ok(());
        }
        go_on = true;
        shop.pay(1)?;
        shop.place(3, "a chair", 300 * MS)?;
        shop.place(4, "a table", 1_200 * MS)?;
        Ok(())
    })?;

    // The service is being deployed; no process knows of orders 3 and 4, only the directory does.
    if go_on {
        println!("\nNothing runs for 600 ms. Order 3 runs out of time.\n");
    }
    if !(go_on && wait(stop, 600 * MS)) {
        println!("\nStopped.");
        return Ok(());
    }

    println!("The second life:");
    live(path, |shop| {
        wait_for_all(shop, stop);
        Ok(())
    })
}

fn main() -> Result<(), AnyError> {
    // The handler may only send: what is to be done about it is decided where the service waits.
    let (stopper, stop) = bounded(1);
    ctrlc::set_handler(move || {
        // A second Ctrl-C while the first is being heeded changes nothing.
        let _ = stopper.try_send(());
    })?;

    match std::env::args_os().nth(1).map(PathBuf::from) {
        Some(path) => demo(&path, &stop),
        None => demo(tempfile::tempdir()?.path(), &stop),
    }
}
