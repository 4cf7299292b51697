//! The same shop without threads: ten thousand orders, tickets awaited, and what is due awaited too.
//!
//! ```text
//! cargo run -p horolog-examples --example async_orders
//! ```
//!
//! Horolog needs no runtime and brings none. [`Ticket`](horolog::Ticket) and [`Engine::next_due`] are plain futures that any
//! executor can poll; this one is `futures_lite::future::block_on`, on the main thread, so the shop's numbers live in
//! `Cell`s and nothing is locked. See `order_timeouts` first: it has the threads, the restart, and more words.
//!
//! Three things are worth a look:
//!
//! - Submitting does not wait. Ten thousand records share a few syncs of the disk, and each order is still confirmed only
//!   when its own time-out is durable.
//! - A payment races with its order's time-out, and exactly one of them wins.
//! - There is no `sleep` here: when something is to happen later, that is a timer too.

use std::cell::Cell;
use std::error::Error;
use std::time::Duration;

use futures_lite::future;
use horolog::{CancelOutcome, Durability, Engine, Timer, TimerId};

const ORDERS: u32 = 10_000;
const PAY_WITHIN: Duration = Duration::from_millis(600);
const CLOSING_TIME: Duration = Duration::from_millis(1_500);
const CLOSING_KEY: &str = "closing time";

/// The numbers of the day.
#[derive(Debug, Default)]
struct Shop {
    placed: Cell<u32>,
    paid: Cell<u32>,
    paid_too_late: Cell<u32>,
    called_off: Cell<u32>,
}

fn count(number: &Cell<u32>) {
    number.set(number.get() + 1);
}

/// Takes all orders at once, and confirms each when its time-out survives a power cut.
async fn place_orders(engine: &Engine, shop: &Shop) -> Result<Vec<TimerId>, Box<dyn Error>> {
    let mut tickets = Vec::new();
    for number in 0..ORDERS {
        // The id is known at once and stays valid over restarts. The promise is not given yet.
        tickets.push(engine.submit(Timer::after(PAY_WITHIN).payload(number.to_le_bytes()))?);
    }
    let mut orders = Vec::new();
    for ticket in tickets {
        // Now it is. (A web handler would await its own ticket, and answer its own customer.)
        orders.push(ticket.await?);
        count(&shop.placed);
    }
    Ok(orders)
}

/// Two of three customers pay. A cancel is a promise as well: once it is answered, the time-out never comes.
async fn pay_orders(engine: &Engine, shop: &Shop, orders: &[TimerId]) -> Result<(), Box<dyn Error>> {
    let paying = orders.iter().enumerate().filter(|(customer, _)| customer % 3 != 0);
    let cancels: Result<Vec<_>, _> =
        paying.map(|(_, order)| engine.submit_cancel(*order, Durability::Synced)).collect();
    for cancel in cancels? {
        match cancel.await? {
            CancelOutcome::Cancelled => count(&shop.paid),
            // On a slow day the time-out wins.
            CancelOutcome::InFlight | CancelOutcome::AlreadyDone | CancelOutcome::NotFound => {
                count(&shop.paid_too_late);
            }
        }
    }
    Ok(())
}

/// The customers' side.
async fn customers(engine: &Engine, shop: &Shop) -> Result<(), Box<dyn Error>> {
    engine.submit(Timer::after(CLOSING_TIME).key(CLOSING_KEY))?.await?;
    let orders = place_orders(engine, shop).await?;
    println!("{} orders placed, each with a durable time-out of {PAY_WITHIN:?}", shop.placed.get());
    pay_orders(engine, shop, &orders).await?;
    println!("{} of them paid in time, {} too late", shop.paid.get(), shop.paid_too_late.get());
    println!("the engine has {} timers now", engine.stats().timers);
    Ok(())
}

/// The other side: calls orders off as their time runs out, until the shop closes.
async fn time_outs(engine: &Engine, shop: &Shop) -> Result<(), Box<dyn Error>> {
    let mut latest = Duration::ZERO;
    // `None` would mean that somebody has shut the engine down.
    while let Some(due) = engine.next_due().await {
        if due.key() == CLOSING_KEY.as_bytes() {
            // The last record of the day: this time we do wait until it is durable, and all before it with it.
            due.complete()?.await?;
            break;
        }
        latest = latest.max(due.lateness());
        count(&shop.called_off);
        // Does not wait; if the process died before the record is on disk, this order would be delivered again.
        let _durable_soon = due.complete()?;
    }
    println!("{} orders called off, the latest {latest:.1?} after its time", shop.called_off.get());
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let engine = Engine::open(directory.path())?;
    let shop = Shop::default();

    future::block_on(future::try_zip(customers(&engine, &shop), time_outs(&engine, &shop)))?;

    let ended = shop.paid.get() + shop.called_off.get();
    println!("{ended} of {ORDERS} orders came to an end, one way or the other");
    engine.shutdown(Duration::from_secs(1))?;
    Ok(())
}
