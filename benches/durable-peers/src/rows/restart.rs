//! From the opening of a full directory until all timers are ready to fire and a command has been answered.

use super::{Load, Wrong};
use crate::Peer;
use crate::clock::now;
use crate::metric::{Figures, Metric};

pub(super) const METRICS: &[Metric] = &[Metric::Restart];

/// Another thread's numbers than those the directory was filled with: its id is free.
const OTHER_THREAD: u64 = 1;

pub(super) fn run(peer: &Peer, load: &Load) -> Result<Figures, Wrong> {
    let entry = load.entries(OTHER_THREAD).draw_one();
    let begin = now();
    let store = (peer.open)(&load.place);
    let loaded = store.load();
    store.caller().schedule(&entry);
    let seconds = now().duration_since(begin).as_secs_f64();
    let expected = load.place.timers as u64;
    if loaded.len() != expected {
        eprintln!("{} timers of {expected} are there", loaded.len());
        return Err(Wrong);
    }
    Ok(vec![(Metric::Restart, seconds * 1e3)])
}
