//! The invariants of the disk, as code.

use std::error::Error;
use std::fmt;

use crate::state::State;

/// An invariant that does not hold: a bug in this crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its number: of a file (`I1` and on), of the names (`N1`), of the disk (`D1` and on).
    pub invariant: &'static str,
    /// In which file it shows, if it shows in one.
    pub name: Option<String>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not hold", self.invariant)?;
        self.name.as_ref().map_or(Ok(()), |name| write!(f, " in {name}"))
    }
}

impl Error for Broken {}

impl State {
    /// Checks the invariants of all files, of the names, and
    ///
    /// - D1: every name, seen or durable or pending, leads to a file.
    /// - D2: no two changes have the same ordinal, but for what one write does.
    /// - D3: the files that are open are counted.
    pub(crate) fn check(&self) -> Result<(), Broken> {
        let unless = |holds, invariant| if holds { Ok(()) } else { Err(Broken { invariant, name: None }) };
        for (file, inode) in &self.files {
            let name = self.names.name_of(*file).map(|name| name.to_string());
            inode.check().map_err(|invariant| Broken { invariant, name })?;
        }
        unless(self.names.check(), "N1")?;
        unless(self.names.reachable().iter().all(|file| self.files.contains_key(file)), "D1")?;
        let changes = self.names.pending.iter().map(|change| change.ordinal);
        let mut ordinals: Vec<_> =
            changes.chain(self.files.values().flat_map(|inode| inode.calls())).collect();
        ordinals.sort_unstable();
        unless(ordinals.windows(2).all(|pair| pair.first() != pair.last()), "D2")?;
        unless(self.open_files() == self.counts.open_handles, "D3")
    }
}
