//! What was done, one line each, and how much of it.

use std::fmt;

use horolog_storage::{Op, StorageError};

/// How much was done to a disk since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// All operations, failed ones too.
    pub operations: u64,
    /// Those that are there to change the cache, the medium, names or the lock, failed ones too. Who only reads has
    /// none.
    pub mutations: u64,
    /// Bytes that reads asked for, whether they were there or not.
    pub bytes_asked: u64,
    /// Bytes that reached the page cache.
    pub bytes_written: u64,
    /// Files that are open now.
    pub open_handles: u64,
    /// The most files that were open at once.
    pub open_handles_max: u64,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traced {
    /// Its number, counted from 1.
    pub number: u64,
    /// What it was.
    pub op: Op,
    /// On which file; empty for the directory, `from -> to` for a rename.
    pub name: String,
    /// Where, for reads and writes.
    pub offset: Option<u64>,
    /// How many bytes were to be read or written.
    pub len: u64,
    /// What came of it: `ok`, a fault that was not told (`ok, lost`), or what was answered.
    pub outcome: String,
}

impl fmt::Display for Traced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>5} {} {}", self.number, self.op, self.name)?;
        if let Some(offset) = self.offset {
            write!(f, " {} at {offset}", self.len)?;
        }
        write!(f, ": {}", self.outcome)
    }
}

/// An operation as it begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) op: Op,
    pub(crate) name: &'a str,
    pub(crate) to: Option<&'a str>,
    pub(crate) offset: Option<u64>,
    pub(crate) len: usize,
}

impl<'a> Call<'a> {
    pub(crate) fn of(op: Op, name: &'a str) -> Self {
        Self { op, name, to: None, offset: None, len: 0 }
    }

    pub(crate) fn at(self, offset: u64, len: usize) -> Self {
        Self { offset: Some(offset), len, ..self }
    }

    pub(crate) fn is_mutation(&self) -> bool {
        !matches!(self.op, Op::List | Op::Open | Op::Len | Op::Read | Op::Entropy)
    }
}

/// The operations since the trace was switched on.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) is_on: bool,
    pub(crate) lines: Vec<Traced>,
    /// What a fault did that the caller was not told.
    pub(crate) remark: Option<&'static str>,
}

impl Trace {
    pub(crate) fn note<T>(&mut self, number: u64, call: &Call<'_>, outcome: &Result<T, StorageError>) {
        let remark = self.remark.take();
        if !self.is_on {
            return;
        }
        let outcome = match (outcome, remark) {
            (Ok(_), None) => "ok".to_owned(),
            (Ok(_), Some(remark)) => format!("ok, {remark}"),
            (Err(error), _) => answer(error),
        };
        let name = call.to.map_or_else(|| call.name.to_owned(), |to| format!("{} -> {to}", call.name));
        let (op, offset, len) = (call.op, call.offset, call.len as u64);
        self.lines.push(Traced { number, op, name, offset, len, outcome });
    }
}

/// An error in a few words that are the same in every run.
fn answer(error: &StorageError) -> String {
    match error {
        StorageError::NotFound { .. } => "not found".to_owned(),
        StorageError::Exists { .. } => "exists".to_owned(),
        StorageError::BadName { .. } => "bad name".to_owned(),
        StorageError::Locked { .. } => "locked".to_owned(),
        StorageError::ShortRead { len, .. } => format!("ends at {len}"),
        StorageError::OutOfMemory { bytes, .. } => format!("no memory for {bytes}"),
        StorageError::Io { source, .. } => source.to_string(),
        _ => error.to_string(),
    }
}
