//! No peer's figure counts before it has been shown to keep what it says it keeps.

use std::path::Path;

use super::*;
use crate::PEERS;
use crate::data::{Entry, Loaded};
use crate::disk::Scratch;
use crate::store::Caller;

/// On the disk that the package is built on.
fn scratch() -> Scratch {
    let program = std::env::current_exe().expect("the tests know where they are");
    Scratch::make(program.parent().expect("a directory")).expect("a directory on a disk")
}

fn place(scratch: &Scratch, name: &str) -> Place {
    Place { dir: scratch.dir(name), timers: 100, is_synced: true }
}

fn installed() -> impl Iterator<Item = Peer> {
    PEERS.into_iter().filter(Peer::is_installed)
}

/// Schedules some timers, closes the store, opens it again: are they all there, as they were handed in?
fn keeps(open: impl Fn(&Place) -> Box<dyn Store>, place: &Place) -> bool {
    let entries = Entries::new(0, 0).draw_many(20);
    let names: Vec<u64> = {
        let store = open(place);
        let mut caller = store.caller();
        entries.iter().map(|entry| caller.schedule(entry)).collect()
    };
    let store = open(place);
    let holds_all = names.iter().zip(&entries).all(|(name, entry)| store.holds(*name, entry));
    let are_all_loaded = match store.load() {
        Loaded::Heap(heap) => {
            let mut sorted = entries.clone();
            sorted.sort_by_key(|entry| std::cmp::Reverse(entry.key()));
            let found = heap.into_sorted_vec();
            found.len() == sorted.len() && found.iter().zip(&sorted).all(|(pending, entry)| pending.is(entry))
        }
        Loaded::Counted(count) => count == entries.len() as u64,
    };
    holds_all && are_all_loaded
}

#[test]
fn every_peer_gives_back_what_it_has_acknowledged() {
    let scratch = scratch();
    for peer in installed() {
        assert!(keeps(peer.open, &place(&scratch, peer.name)), "{}", peer.name);
    }
}

#[test]
fn every_peer_knows_a_timer_that_it_was_never_given() {
    let scratch = scratch();
    let entry = Entries::new(0, 0).draw_one();
    for peer in installed() {
        let store = (peer.open)(&place(&scratch, peer.name));
        assert!(!store.holds(entry.id, &entry), "{}", peer.name);
        assert_eq!(store.load().len(), 0, "{}", peer.name);
    }
}

#[test]
fn every_peer_keeps_its_batches_and_what_comes_in_bulk() {
    let scratch = scratch();
    for peer in installed() {
        let place = place(&scratch, peer.name);
        let mut entries = Entries::new(0, 0);
        {
            let store = (peer.open)(&place);
            store.caller().batch(&entries.draw_many(30));
            store.bulk(&entries.draw_many(2_500));
            if peer.can(Row::BulkOnce) {
                store.bulk_once(&entries.draw_many(1_500));
            }
        }
        let expected = if peer.can(Row::BulkOnce) { 4_030 } else { 2_530 };
        assert_eq!((peer.open)(&place).load().len(), expected, "{}", peer.name);
    }
}

#[test]
fn every_row_that_a_peer_can_gives_all_its_figures() {
    let scratch = scratch();
    for peer in installed() {
        for row in Row::ALL.into_iter().filter(|row| peer.can(*row)) {
            let place = place(&scratch, &format!("{}-{}", peer.name, row.name()));
            let load = Load { row, run: 0, seconds: 0.1, place };
            if row == Row::Restart {
                assert_eq!(measure(&peer, &Load { row: Row::Fill, ..load.clone() }), Ok(Vec::new()));
            }
            let figures = measure(&peer, &load).expect("it keeps what it acknowledges");
            let metrics: Vec<Metric> = figures.iter().map(|(metric, _)| *metric).collect();
            let mut expected = row.metrics().to_vec();
            expected.retain(|metric| *metric != Metric::BulkBytes || peer.has_index);
            assert_eq!(metrics, expected, "{} {row:?}", peer.name);
            assert!(figures.iter().all(|(_, value)| value.is_finite()), "{} {figures:?}", peer.name);
        }
    }
}

/// A store that says yes and does nothing.
struct Deaf;

impl Store for Deaf {
    fn caller(&self) -> Box<dyn Caller + '_> {
        Box::new(Self)
    }

    fn load(&self) -> Loaded {
        Loaded::Counted(0)
    }

    fn holds(&self, _: u64, _: &Entry) -> bool {
        false
    }
}

impl Caller for Deaf {
    fn schedule(&mut self, entry: &Entry) -> u64 {
        entry.id
    }

    fn batch(&mut self, _: &[Entry]) {}
}

#[test]
fn a_store_that_keeps_nothing_is_wrong_in_every_row() {
    let scratch = scratch();
    assert!(!keeps(|_| Box::new(Deaf), &place(&scratch, "keeps")));
    let peer = Peer { open: |_| Box::new(Deaf), ..crate::EMBEDDED };
    // `awaiting` is ours alone, and opens nothing else.
    for row in Row::ALL.into_iter().filter(|row| *row != Row::Awaiting) {
        let load = Load { row, run: 0, seconds: 0.01, place: place(&scratch, row.name()) };
        assert_eq!(measure(&peer, &load), Err(Wrong), "{row:?}");
    }
}

#[test]
fn a_directory_in_memory_is_refused() {
    let refused = disk::refuse_memory(Path::new("/dev"));
    assert!(refused.is_err_and(|why| why.contains("--dir")));
}
