//! The writer's lock of the directory, and somebody else who may hold it.

/// How often [`Storage::lock`](horolog_storage::Storage::lock) looks before it gives up, as a real directory does.
const TRIES: u64 = 6;

/// Who holds the lock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Lock {
    #[default]
    Free,
    /// A guard of this disk.
    Ours,
    /// Another process, for so many more tries.
    Theirs { pid: u32, tries: u64 },
}

impl Lock {
    /// Takes the lock, or gives the process that holds it.
    pub(crate) fn take(&mut self) -> Result<(), u32> {
        match self {
            Self::Free => *self = Self::Ours,
            Self::Ours => return Err(std::process::id()),
            Self::Theirs { tries, .. } if *tries < TRIES => *self = Self::Ours,
            Self::Theirs { pid, tries } => {
                *tries = if *tries == u64::MAX { u64::MAX } else { *tries - TRIES };
                return Err(*pid);
            }
        }
        Ok(())
    }

    /// A guard is dropped.
    pub(crate) fn release(&mut self) {
        if matches!(self, Self::Ours) {
            *self = Self::Free;
        }
    }
}
