//! The directory where there is no call to hold it open: by its path, made absolute. It cannot be synced either; the crate
//! documentation says what that costs.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::calls::uninterrupted;

#[derive(Debug)]
pub(super) struct Dir {
    path: PathBuf,
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    ReadWrite,
    /// There must be none of the name.
    CreateNew,
    /// Made if there is none of the name.
    OwnOrCreate,
}

impl Dir {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        if !uninterrupted(|| fs::metadata(&path))?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { path })
    }

    pub(super) fn open_file(&self, name: &str, access: Access) -> io::Result<fs::File> {
        let mut options = OpenOptions::new();
        options.read(true).write(access != Access::Read);
        options.create_new(access == Access::CreateNew);
        options.create(access == Access::OwnOrCreate).truncate(false);
        uninterrupted(|| options.open(self.path.join(name)))
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        uninterrupted(|| fs::rename(self.path.join(from), self.path.join(to)))
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        uninterrupted(|| fs::remove_file(self.path.join(name)))
    }

    /// The names in it. One that is not text is nobody's here, and is shown as well as it can be.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        uninterrupted(|| {
            fs::read_dir(&self.path)?.map(|it| Ok(it?.file_name().to_string_lossy().into_owned())).collect()
        })
    }

    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "elsewhere it does something")]
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
