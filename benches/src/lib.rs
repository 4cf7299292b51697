//! What all benches share: seeded numbers, and a directory on the disk that `TMPDIR` names.
//!
//! Each bench file answers one question, in its first line. Run one with
//! `cargo bench -p horolog-benches --bench wheel`, and add `-- --quick` for a first look.
//!
//! The benches of the disk measure the disk: put `TMPDIR` on the one you ask about. On a memory file system a sync
//! costs nothing and their figures mean nothing.
#![expect(
    clippy::disallowed_types,
    clippy::expect_used,
    reason = "a bench stops at the first error; the bare file beside the log is what the log is compared with"
)]

pub mod compare;
pub mod counted;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

use tempfile::TempDir;

/// The seed of every bench: runs differ by the machine and by nothing else.
pub const SEED: u64 = 0x484f_524f_4c4f_4721;

/// An hour, in ticks of one millisecond.
pub const HOUR_TICKS: u64 = 3_600_000;

/// A day, in ticks of one millisecond.
pub const DAY_TICKS: u64 = 24 * HOUR_TICKS;

/// A minute, in ticks of one millisecond.
pub const MINUTE_TICKS: u64 = 60_000;

/// A small generator (SplitMix64): seeded, and cheap beside what is measured.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Default for Rng {
    fn default() -> Self {
        Self::new()
    }
}

impl Rng {
    /// The numbers of [`SEED`].
    #[must_use]
    pub fn new() -> Self {
        Self::numbered(0)
    }

    /// Other numbers for each `number`: of a run, of a thread.
    #[must_use]
    pub fn numbered(number: u64) -> Self {
        Self(SEED ^ number)
    }

    /// The next number.
    #[inline]
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 if there is none.
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        self.draw().checked_rem(n).unwrap_or(0)
    }

    /// A number from 1 to `max`, as many in each doubling; 1 if there is none.
    pub fn log_up_to(&mut self, max: u64) -> u64 {
        let doublings = u64::from(max.max(1).ilog2()) + 1;
        loop {
            let from = 1 << self.below(doublings);
            let number = from + self.below(from);
            if number <= max.max(1) {
                return number;
            }
        }
    }

    /// An index into something of `len` items.
    #[inline]
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// `count` different indices below `len`, in random order; all of them if there are fewer.
    #[must_use]
    pub fn sample(&mut self, len: usize, count: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..len).collect();
        for at in 0..count.min(len) {
            let other = at + self.index(len - at);
            all.swap(at, other);
        }
        all.truncate(count);
        all
    }
}

/// A new directory under the default temporary one, removed when it is dropped.
///
/// # Panics
///
/// If the directory cannot be made: there is nothing to measure then.
#[must_use]
pub fn directory() -> TempDir {
    tempfile::Builder::new().prefix("horolog-bench-").tempdir().expect("TMPDIR can be written")
}

/// A count as bench names have it: `1k`, `100k`, `1M`.
#[must_use]
pub fn size(count: usize) -> String {
    match count {
        0..1_000 => count.to_string(),
        1_000..1_000_000 => format!("{}k", count / 1_000),
        _ => format!("{}M", count / 1_000_000),
    }
}

/// Prints how long something took, from the middle to the worst, in nanoseconds.
pub fn print_tail(name: &str, mut spans: Vec<u32>) {
    spans.sort_unstable();
    let at = |of_10_000: usize| spans.get(spans.len() * of_10_000 / 10_000).or(spans.last()).copied();
    let [p50, p99, p999, p9999, max] = [5_000, 9_900, 9_990, 9_999, 10_000].map(|part| at(part).unwrap_or(0));
    let of = spans.len();
    println!(
        "    {name}: p50 {p50} ns, p99 {p99} ns, p99.9 {p999} ns, p99.99 {p9999} ns, max {max} ns, of {of}"
    );
}

/// The block of the log's format: a batch takes whole ones.
pub const BLOCK: usize = 4096;

const RAW_FILE_BYTES: usize = 64 << 20;

/// The floor that no log can go under: bare writes, and syncs, of whole blocks to a file of zeros that was synced
/// before, so that no write changes its length or its blocks. At the end it begins again.
#[derive(Debug)]
pub struct Raw {
    file: File,
    bytes: Vec<u8>,
    next: usize,
    _directory: TempDir,
}

impl Raw {
    /// Makes the file; each write will be of `bytes`, rounded up to whole blocks.
    ///
    /// # Panics
    ///
    /// If the file cannot be made.
    #[must_use]
    pub fn open(bytes: usize) -> Self {
        let directory = directory();
        let path = directory.path().join("raw");
        let file = OpenOptions::new().create_new(true).read(true).write(true).open(path).expect("a file");
        let zeros = vec![0; 1 << 20];
        for offset in (0..RAW_FILE_BYTES).step_by(zeros.len()) {
            file.write_all_at(&zeros, offset as u64).expect("zeros");
        }
        file.sync_all().expect("a sync");
        Self { file, bytes: vec![0x5a; bytes.next_multiple_of(BLOCK)], next: 0, _directory: directory }
    }

    /// One `pwrite`.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub fn write(&mut self) {
        if self.next + self.bytes.len() > RAW_FILE_BYTES {
            self.next = 0;
        }
        self.file.write_all_at(&self.bytes, self.next as u64).expect("a write");
        self.next += self.bytes.len();
    }

    /// One `fdatasync`.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub fn sync(&self) {
        self.file.sync_data().expect("a sync");
    }
}
