//! Where a drill works: the engine's directory, and the ledgers beside it.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the drill's own files are not the engine's: they bear witness against it"
)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;

use super::ledger::{self, Entry};
use crate::error::Trouble;

pub(super) struct Place {
    dir: PathBuf,
    /// Removed with everything in it when the drill is over, unless a directory was named.
    temporary: Option<TempDir>,
}

impl Place {
    /// A directory that was named is left alone if it holds anything.
    pub(super) fn new(named: Option<&Path>) -> Result<Self, Trouble> {
        let Some(dir) = named else {
            let made = tempfile::Builder::new().prefix("horolog-drill-").tempdir();
            let failed = |source| Trouble::File {
                what: "cannot make a directory in",
                path: std::env::temp_dir(),
                source,
            };
            let temporary = made.map_err(failed)?;
            return Ok(Self { dir: temporary.path().to_owned(), temporary: Some(temporary) });
        };
        let failed = |source| Trouble::File { what: "cannot use", path: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(failed)?;
        if std::fs::read_dir(dir).map_err(failed)?.next().is_some() {
            return Err(Trouble::NotEmpty { dir: dir.to_owned() });
        }
        Ok(Self { dir: dir.to_owned(), temporary: None })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The engine's directory.
    pub(super) fn timers(&self) -> PathBuf {
        self.dir.join("timers")
    }

    pub(super) fn ledger(&self, life: u32) -> PathBuf {
        self.dir.join(format!("life-{life:04}.ledger"))
    }

    /// 0 while it is not there yet.
    pub(super) fn ledger_len(&self, life: u32) -> u64 {
        std::fs::metadata(self.ledger(life)).map_or(0, |found| found.len())
    }

    pub(super) fn carried(&self, life: u32) -> PathBuf {
        self.dir.join(format!("life-{life:04}.carried"))
    }

    fn words(&self, life: u32) -> PathBuf {
        self.dir.join(format!("life-{life:04}.stderr"))
    }

    /// What a life wrote down. Nobody will look at it in a directory that is removed.
    pub(super) fn read_ledger(&self, life: u32) -> Result<Vec<Entry>, Trouble> {
        let path = self.ledger(life);
        let failed = |source| Trouble::File { what: "cannot read the ledger", path: path.clone(), source };
        let entries = ledger::read(&path).map_err(failed)?;
        if self.temporary.is_some() && !entries.is_empty() {
            std::fs::remove_file(&path).map_err(failed)?;
        }
        Ok(entries)
    }

    pub(super) fn open_last_words(&self, life: u32) -> Result<Stdio, Trouble> {
        let path = self.words(life);
        let file = File::create(&path);
        file.map(Stdio::from).map_err(|source| Trouble::File { what: "cannot create", path, source })
    }

    pub(super) fn last_words(&self, life: u32) -> String {
        std::fs::read_to_string(self.words(life)).unwrap_or_default()
    }
}
