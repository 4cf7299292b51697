//! The one place with `unsafe`: a read-only map of a finished file.

use std::fs;

use memmap2::{Advice, Mmap};

/// A map of the whole file with every page in memory, or `None` on any doubt; the caller then reads the file, and
/// an error gets a block and a name.
pub(super) fn populated(file: &fs::File) -> Option<Mmap> {
    let len = file.metadata().ok()?.len();
    if len == 0 {
        return None;
    }
    #[expect(unsafe_code, reason = "a map is the only way to read a large finished file without copying it")]
    // SAFETY: the bytes under a map must not change while it is borrowed. `File::contents` is documented for files that
    // nobody writes any more; this crate's users write sealed segments and finished snapshots never again, the
    // directory has one writer (the lock), and no function of the workspace truncates a file. What remains is another
    // program that writes into the directory: it could as well overwrite the program's memory through /proc.
    let map = unsafe { Mmap::map(file) }.ok()?;
    // A wish: populating alone asks the disk for little at a time. Cold, that costs half as much again.
    let _ = map.advise(Advice::WillNeed);
    // MADV_POPULATE_READ answers EFAULT where a touch would raise SIGBUS: a bad block, or a file that shrank.
    map.advise(Advice::PopulateRead).ok()?;
    (map.len() as u64 == len).then_some(map)
}
