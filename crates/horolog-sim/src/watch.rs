//! Nobody writes over what is durable: the files that are watched for it, and what was seen.

use std::fmt;
use std::sync::Arc;

use crate::fault::Pattern;
use crate::image::BLOCK_LEN;
use crate::inode::Inode;

/// A write that touched a block of 4 KiB with durable content.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rewrite {
    /// The number of the operation, as in the trace.
    pub number: u64,
    /// The file.
    pub name: String,
    /// Where the write began.
    pub offset: u64,
    /// How many bytes it had.
    pub len: u64,
    /// The first block that it should not have touched.
    pub block: u64,
}

impl fmt::Display for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, name, offset, len, block } = self;
        write!(f, "operation {number} wrote {len} bytes at {offset} of {name}, over durable block {block}")
    }
}

/// Which files are watched, and what was seen.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) patterns: Arc<[Pattern]>,
    pub(crate) seen: Vec<Rewrite>,
}

impl Watch {
    pub(crate) fn add(&mut self, pattern: Pattern) {
        self.patterns = self.patterns.iter().cloned().chain([pattern]).collect();
    }

    pub(crate) fn look(&mut self, number: u64, name: &str, inode: &Inode, offset: u64, len: usize) {
        if len == 0 || !self.patterns.iter().any(|pattern| pattern.matches(name)) {
            return;
        }
        let len = len as u64;
        let mut blocks = offset / BLOCK_LEN as u64..=(offset + len - 1) / BLOCK_LEN as u64;
        if let Some(block) = blocks.find(|block| inode.guards(*block)) {
            self.seen.push(Rewrite { number, name: name.to_owned(), offset, len, block });
        }
    }
}
