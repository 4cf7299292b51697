//! Many callers on one executor of one thread, each of which awaits its ticket and goes on with the next. Only ours.

use futures::executor::block_on;
use futures::future::join_all;

use super::blocked::{Tally, Window};
use super::{Load, Outcome};
use crate::clock::now;
use crate::metric::Metric;
use crate::stores::ours::Ours;

/// Callers.
const AWAITING: u64 = 512;

pub(super) const METRICS: &[Metric] = &[Metric::AwaitingRate, Metric::AwaitingMiddle, Metric::AwaitingTail];

pub(super) fn run(load: &Load) -> Outcome {
    let store = &Ours::open(&load.place);
    let window = &Window::new(load);
    let caller = |thread| async move {
        let (mut tally, mut entries) = (Tally::default(), load.entries(thread));
        while window.is_open() {
            let entry = entries.draw_one();
            let begin = now();
            store.schedule(&entry).await;
            tally.note(begin, window);
        }
        tally
    };
    let tallies = block_on(join_all((0..AWAITING).map(caller)));
    Tally::outcome(tallies, load, METRICS)
}
