//! What the simulated disk does, and what it is made to do. Test names are the specification.

#![cfg(test)]

mod crash;
mod faults;
mod kernel;
mod model;
mod observation;

use std::sync::Arc;

use horolog_sim::SimDisk;
use horolog_storage::{File, Storage};

/// A disk with a durable file `a`.
fn synced(bytes: &[u8]) -> SimDisk {
    let disk = SimDisk::new(7);
    let file = disk.create("a").unwrap();
    file.write_at(bytes, 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir().unwrap();
    disk
}

fn open(disk: &SimDisk) -> Arc<dyn File> {
    disk.open("a").unwrap()
}

fn names(disk: &SimDisk) -> Vec<String> {
    disk.files().into_iter().map(|(name, _)| name).collect()
}

fn read(file: &dyn File, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    file.read_at(&mut bytes, offset).unwrap();
    bytes
}
