//! A simulated disk and a simulated clock, for the tests of Horolog; and a second reader of directories, [`decoder`].
//!
//! [`SimDisk`] is a [`Storage`](horolog_storage::Storage) in memory: the same log and the same recovery run over it and
//! over a real directory. It is the only simulation of a disk here; whatever may go wrong with one is ordered from it.
//!
//! # Three images
//!
//! | image | who sees it | what takes it away |
//! | --- | --- | --- |
//! | page cache | every program | the end of the system: a crash of the kernel, a power cut |
//! | device cache | the device, and reads after the page was dropped | a power cut |
//! | medium | the next start | nothing but rot |
//!
//! A write changes the page cache, sector by sector of 512 bytes. [`SimDisk::write_back`] hands sectors to the device, as
//! the kernel may at any time; a sync hands over what is left of a file and flushes the device. A file's length and
//! the names of the directory are pending in the same way, each for itself.
//!
//! # What a crash may leave
//!
//! [`SimDisk::pending`] lists what is not on the medium, and a test says what became of each ([`Fate`]).
//!
//! - A sector that was written several times is pending several times, because any of its versions may be the one that
//!   the kernel wrote back. Each version is the whole sector as the page cache had it.
//! - A size may arrive without the bytes: [`Blank`] says what is found then. Bytes without the size are not seen.
//! - Changes of names arrive in any subset ([`NameOrder::Any`]) or as a journal would have them
//!   ([`NameOrder::Journal`]). A rename may leave the new name, the old one, or both; never neither, unless the old
//!   name was used again.
//! - In a sync that fails everything is given up: it may arrive or not, and no later sync answers for it.
//!
//! A crash of the kernel that the device outlives is a crash in which exactly [`Place::Handed`] sectors are applied.
//!
//! # What is not simulated
//!
//! - Interrupted and short system calls that a retry makes good: [`File::write_at`](horolog_storage::File::write_at) hides
//!   them, so they are a matter of the real backend.
//! - A sync of a file commits no names, though most journals do. A test that passes here passes there.
//! - Time. A slow sync is a job that the harness holds back; [`SimClock`] is a handful of numbers.
//! - Directories other than one, and links.

mod bytes;
mod check;
mod clock;
mod crash;
pub mod decoder;
mod directory;
mod disk;
mod effect;
mod fault;
mod image;
mod inode;
mod lock;
mod names;
mod rng;
mod state;
mod storage;
mod trace;
mod watch;

pub use check::Broken;
pub use clock::SimClock;
pub use crash::{Blank, Crash, Fate, NameOrder, Pending, PendingChange};
pub use disk::SimDisk;
pub use effect::Effect;
pub use fault::{Errno, Fault, Pattern, SyncFailure, Trigger};
pub use image::SECTOR_LEN;
pub use inode::Place;
pub use rng::Rng;
pub use trace::{Counts, Traced};
pub use watch::Rewrite;
