//! What operations do to names, to the lock, and to the list of what is open.

use std::io;
use std::sync::Arc;

use horolog_storage::{LOCK_FILE, StorageError};

use crate::effect::Effect;
use crate::fault::{Errno, Fault, Lot};
use crate::names::FileId;
use crate::state::{State, path};
use crate::trace::Call;

impl State {
    pub(crate) fn list(&mut self, call: &Call<'_>) -> Result<Vec<String>, StorageError> {
        self.pass(call)?;
        Ok(self.names.seen.keys().map(|name| name.to_string()).collect())
    }

    pub(crate) fn open(&mut self, call: &Call<'_>) -> Result<FileId, StorageError> {
        self.pass(call)?;
        let file = self.names.find(call.name).ok_or_else(|| self.refused(call, Errno::NotFound))?;
        self.hold(file);
        Ok(file)
    }

    pub(crate) fn create(&mut self, call: &Call<'_>) -> Result<FileId, StorageError> {
        self.pass(call)?;
        if self.names.seen.contains_key(call.name) {
            return Err(self.failed(call, io::ErrorKind::AlreadyExists.into()));
        }
        if self.capacity.is_some_and(|capacity| self.used_bytes() >= capacity) {
            self.effects.note(Effect::NoRoom);
            return Err(self.refused(call, Errno::Full));
        }
        let file = self.add(call.name);
        self.hold(file);
        Ok(file)
    }

    fn add(&mut self, name: &str) -> FileId {
        let (file, ordinal) = (self.next_file(), self.next_ordinal());
        self.files.insert(file, Arc::default());
        Arc::make_mut(&mut self.names).create(ordinal, name, file);
        file
    }

    pub(crate) fn rename(&mut self, call: &Call<'_>) -> Result<(), StorageError> {
        self.pass(call)?;
        let (ordinal, file) = (self.next_ordinal(), self.names.find(call.name));
        let to = call.to.unwrap_or(call.name);
        if !Arc::make_mut(&mut self.names).rename(ordinal, call.name, to) {
            return Err(self.refused(call, Errno::NotFound));
        }
        if let Some(file) = file.filter(|_| to != call.name) {
            self.change(file, |inode| inode.inherited = Some(inode.medium.clone()));
        }
        Ok(())
    }

    pub(crate) fn remove(&mut self, call: &Call<'_>) -> Result<(), StorageError> {
        self.pass(call)?;
        let ordinal = self.next_ordinal();
        if Arc::make_mut(&mut self.names).remove(ordinal, call.name) {
            Ok(())
        } else {
            Err(self.refused(call, Errno::NotFound))
        }
    }

    pub(crate) fn sync_dir(&mut self, call: &Call<'_>) -> Result<(), StorageError> {
        match self.plan.draw(call.op, &[call.name]) {
            Lot::Off => Err(self.off(call)),
            Lot::Met(Fault::Refused(_, errno)) => {
                Arc::make_mut(&mut self.names).abandon();
                self.effects.note(Effect::Refused(call.op, errno));
                Err(self.refused(call, errno))
            }
            Lot::Met(_) | Lot::Clear => {
                Arc::make_mut(&mut self.names).make_durable();
                self.forget_unreachable();
                Ok(())
            }
        }
    }

    pub(crate) fn take_lock(&mut self, call: &Call<'_>) -> Result<(), StorageError> {
        self.pass(call)?;
        if self.names.find(LOCK_FILE).is_none() && !self.plan.is_off() {
            self.add(LOCK_FILE);
        }
        self.lock.take().map_err(|pid| {
            self.effects.note(Effect::Locked);
            let (path, host) = (path(LOCK_FILE), horolog_storage::host_name());
            StorageError::Locked { path, pid: Some(pid), host: Some(host) }
        })
    }

    pub(crate) fn entropy(&mut self, call: &Call<'_>, bytes: &mut [u8]) -> Result<(), StorageError> {
        self.pass(call)?;
        self.random.fill(bytes);
        Ok(())
    }

    fn hold(&mut self, file: FileId) {
        *self.handles.entry(file).or_default() += 1;
        self.counts.open_handles += 1;
        self.counts.open_handles_max = self.counts.open_handles_max.max(self.counts.open_handles);
    }

    pub(crate) fn let_go(&mut self, file: FileId) {
        self.counts.open_handles = self.counts.open_handles.saturating_sub(1);
        let holders = self.handles.entry(file).or_default();
        *holders = holders.saturating_sub(1);
        if *holders == 0 {
            self.handles.remove(&file);
        }
    }
}
