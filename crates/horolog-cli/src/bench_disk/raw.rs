//! What the disk gives: one thread that writes, syncs, and writes again at the next place.
#![expect(clippy::disallowed_types, reason = "the bare file is what is measured")]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::aligned::Aligned;
use super::calls;
use super::limit::Limit;
use super::place::settle;
use super::row::{Outcome, Refused, Round};
use super::stopwatch::one_by_one;
use crate::error::Trouble;

/// What a file is like before it is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Empty: each sync has a new length and new blocks to write down.
    Growing,
    /// Of its full length, in blocks that were never written: each sync has to write down that they are now.
    Unwritten,
    /// Written with zeros and synced: a sync has nothing to write but the bytes.
    Zeroed,
    /// The same, but past the page cache, each write durable by itself.
    Direct,
}

/// How much is written at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteSize {
    KiB4,
    KiB64,
    MiB1,
}

impl WriteSize {
    /// Each divides a MiB.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::KiB4 => 4 << 10,
            Self::KiB64 => 64 << 10,
            Self::MiB1 => 1 << 20,
        }
    }
}

/// A file as its kind wants it.
struct RawFile {
    file: File,
    kind: Kind,
    /// At this offset the writing begins again.
    end: u64,
    next: u64,
}

pub(super) fn measure(dir: &Path, kind: Kind, size: WriteSize, limit: Limit) -> Result<Outcome, Trouble> {
    let path = dir.join("raw");
    let measured = RawFile::prepare(&path, kind, limit)
        .and_then(|file| settle(dir).map(|()| file))
        .and_then(|mut file| file.write_and_sync(size.bytes(), limit));
    match measured {
        Ok(round) => Ok(Outcome::Measured(round)),
        Err(error) if kind.may_be_refused() && is_refusal(&error) => {
            Ok(Outcome::Refused(Refused::from(&error)))
        }
        Err(source) => Err(Trouble::File { what: "cannot write", path, source }),
    }
}

impl Kind {
    /// Not every file system has all of what it takes, and none has to.
    fn may_be_refused(self) -> bool {
        matches!(self, Self::Unwritten | Self::Direct)
    }
}

/// EINVAL, EOPNOTSUPP, ENOSYS.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

impl RawFile {
    fn prepare(path: &Path, kind: Kind, limit: Limit) -> io::Result<Self> {
        let mut file = Self { file: open(path, kind)?, kind, end: limit.bytes(), next: 0 };
        match kind {
            Kind::Growing => {}
            Kind::Unwritten => calls::reserve(&file.file, limit.bytes())?,
            Kind::Zeroed | Kind::Direct => file.zero(limit.zeroed_bytes())?,
        }
        file.file.sync_all()?;
        Ok(file)
    }

    /// By the same way as the writes that are measured: what O_DIRECT writes shall find nothing in the page cache.
    fn zero(&mut self, bytes: u64) -> io::Result<()> {
        self.end = bytes;
        let zeros = Aligned::zeros(WriteSize::MiB1.bytes());
        for offset in (0..bytes).step_by(zeros.bytes().len()) {
            self.write(zeros.bytes(), offset)?;
        }
        Ok(())
    }

    fn write_and_sync(&mut self, write_bytes: usize, limit: Limit) -> io::Result<Round> {
        let noise = Aligned::noise(write_bytes);
        let each_bytes = write_bytes as u64;
        let samples_ns = one_by_one(limit.time(), limit.count_of(each_bytes), || {
            self.write(noise.bytes(), self.next)?;
            self.sync()?;
            self.next = (self.next + each_bytes) % self.end;
            Ok::<(), io::Error>(())
        })?;
        let bytes = samples_ns.len() as u64 * each_bytes;
        Ok(Round::one_by_one(samples_ns, bytes))
    }

    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match self.kind {
            Kind::Direct => calls::write_durably(&self.file, bytes, offset),
            _ => self.file.write_all_at(bytes, offset),
        }
    }

    fn sync(&self) -> io::Result<()> {
        if self.kind == Kind::Direct { Ok(()) } else { self.file.sync_data() }
    }
}

fn open(path: &Path, kind: Kind) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create_new(true).write(true);
    if kind == Kind::Direct {
        options.custom_flags(calls::direct_flag()?);
    }
    options.open(path)
}
