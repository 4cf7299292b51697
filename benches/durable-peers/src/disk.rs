//! The disk under all stores: its own figures, and directories on it.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    reason = "the bare file beside the stores is what they are compared with; a bench stops at the first error"
)]

use std::fs::{self, DirEntry, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{statfs, syncfs};

const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58f6;

const BLOCK: usize = 4_096;
const RAW_BYTES: usize = 64 << 20;

/// How many directories this process has made: no two have the same name.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A directory of this process's own, removed when it is dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes it in `parent`, which has to be there, and on a disk.
    pub(crate) fn make(parent: &Path) -> Result<Self, String> {
        let failed = |error| format!("{}: {error}", parent.display());
        let parent = parent.canonicalize().map_err(failed)?;
        refuse_memory(&parent)?;
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let scratch = Self(parent.join(format!("horolog-durable-peers-{}-{number}", std::process::id())));
        fs::create_dir(&scratch.0).map_err(failed)?;
        Ok(scratch)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A new directory in it.
    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        let dir = self.path(name);
        fs::create_dir(&dir).expect("a new directory");
        dir
    }

    /// The same files in another directory, all of them on the disk.
    pub(crate) fn copy(&self, from: &Path, name: &str) -> PathBuf {
        let dir = self.dir(name);
        copy_files(from, &dir);
        syncfs(File::open(&dir).expect("a directory")).expect("a sync");
        dir
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// A sync of a file in memory costs nothing, and keeps nothing.
pub(crate) fn refuse_memory(dir: &Path) -> Result<(), String> {
    let found = statfs(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let kind = found.f_type as u64 & 0xffff_ffff;
    if kind == TMPFS || kind == RAMFS {
        return Err(format!(
            "{} is in memory (statfs gives type {kind:#x}), where a sync costs nothing: name one on a disk with --dir",
            dir.display()
        ));
    }
    Ok(())
}

/// Removes a directory with all that is in it.
pub(crate) fn remove(dir: &Path) {
    if let Err(error) = fs::remove_dir_all(dir) {
        eprintln!("{} is left behind: {error}", dir.display());
    }
}

fn entries(dir: &Path) -> Vec<DirEntry> {
    let entries = fs::read_dir(dir).expect("a directory");
    entries.map(|entry| entry.expect("an entry")).collect()
}

fn is_dir(entry: &DirEntry) -> bool {
    entry.file_type().expect("a type").is_dir()
}

pub(crate) fn is_empty(dir: &Path) -> bool {
    entries(dir).is_empty()
}

fn copy_files(from: &Path, to: &Path) {
    for entry in entries(from) {
        let to = to.join(entry.file_name());
        if is_dir(&entry) {
            fs::create_dir(&to).expect("a new directory");
            copy_files(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a copy");
        }
    }
}

/// Bytes of the blocks that a directory has, as `du` counts them.
pub(crate) fn allocated(dir: &Path) -> u64 {
    let own = fs::metadata(dir).expect("a directory").blocks() * 512;
    let of = |entry: &DirEntry| {
        let path = entry.path();
        if is_dir(entry) { allocated(&path) } else { fs::metadata(path).expect("a file").blocks() * 512 }
    };
    own + entries(dir).iter().map(of).sum::<u64>()
}

/// Puts the files of a directory on the disk.
pub(crate) fn sync_files(dir: &Path) {
    for entry in entries(dir) {
        File::open(entry.path()).and_then(|file| file.sync_all()).expect("a sync");
    }
}

/// What no store can go under: one `pwrite` and one `fdatasync` of a block, on a file of zeros that was synced before,
/// so that no write changes its length or its blocks. At the end it begins again.
pub(crate) struct Raw {
    file: File,
    block: usize,
}

impl Raw {
    /// Makes the file beside a store's directory, on the same disk.
    pub(crate) fn beside(dir: &Path) -> Self {
        let path = dir.with_extension("raw");
        let file = OpenOptions::new().create_new(true).write(true).open(&path).expect("a file");
        let zeros = vec![0; 1 << 20];
        for offset in (0..RAW_BYTES).step_by(zeros.len()) {
            file.write_all_at(&zeros, offset as u64).expect("zeros");
        }
        file.sync_all().expect("a sync");
        // Open files need no name; nobody has to remove this one.
        fs::remove_file(path).expect("removed");
        Self { file, block: 0 }
    }

    /// One block, on the disk when this returns.
    pub(crate) fn write(&mut self) {
        let offset = self.block * BLOCK % RAW_BYTES;
        self.file.write_all_at(&[0x5a; BLOCK], offset as u64).expect("a write");
        self.file.sync_data().expect("a sync");
        self.block += 1;
    }
}

/// Where a program is, if it is installed.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}
