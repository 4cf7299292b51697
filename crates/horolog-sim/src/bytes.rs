//! What operations do to the bytes of files.

use std::collections::BTreeSet;
use std::io;

use horolog_storage::StorageError;

use crate::effect::Effect;
use crate::fault::{Errno, Fault, Lot, SyncFailure};
use crate::image::{BLOCK_LEN, Image, LEN_MAX, SECTOR_LEN, index};
use crate::names::FileId;
use crate::state::{State, path};
use crate::trace::Call;

impl State {
    pub(crate) fn len(&mut self, call: &Call<'_>, file: FileId) -> Result<u64, StorageError> {
        self.pass(call)?;
        Ok(self.len_of(file))
    }

    pub(crate) fn read(&mut self, call: &Call<'_>, file: FileId, buf: &mut [u8]) -> Result<(), StorageError> {
        let fault = self.pass(call)?;
        self.fill(call, file, fault, buf)
    }

    pub(crate) fn read_whole(&mut self, call: &Call<'_>, file: FileId) -> Result<Vec<u8>, StorageError> {
        let len = self.len_of(file);
        let fault = self.pass(call).map_err(|error| match error {
            StorageError::Io { source, path, .. } if source.kind() == io::ErrorKind::OutOfMemory => {
                StorageError::OutOfMemory { path, bytes: len }
            }
            error => error,
        })?;
        let mut bytes = vec![0; index(len)];
        self.fill(call, file, fault, &mut bytes)?;
        Ok(bytes)
    }

    fn fill(
        &mut self,
        call: &Call<'_>,
        file: FileId,
        fault: Option<Fault>,
        buf: &mut [u8],
    ) -> Result<(), StorageError> {
        self.counts.bytes_asked += buf.len() as u64;
        let Some(inode) = self.files.get(&file) else { return Ok(()) };
        let (offset, wanted, len) = (call.offset.unwrap_or(0), buf.len() as u64, inode.cache.len());
        if offset.checked_add(wanted).is_none_or(|end| end > len) {
            return Err(StorageError::ShortRead { path: path(call.name), offset, wanted, len });
        }
        if let Some(sector) = inode.unreadable_in(offset, buf.len()) {
            self.effects.note(Effect::Unreadable);
            let offset = Some(offset.max(sector * SECTOR_LEN as u64));
            return Err(self.refused(&Call { offset, ..*call }, Errno::Io));
        }
        inode.cache.read(buf, offset);
        let wrong = match fault {
            Some(Fault::MisdirectedRead { name, offset }) => {
                let elsewhere = self.names.find(&name).and_then(|file| self.files.get(&file));
                let nothing = Image::default();
                let image = elsewhere.map_or(&nothing, |inode| &inode.cache);
                self.trace.remark = Some("from elsewhere");
                Some((read_over(image, buf, offset), Effect::WrongRead))
            }
            Some(Fault::StaleRead) => {
                self.trace.remark = Some("stale");
                Some((read_over(&inode.before, buf, offset), Effect::StaleRead))
            }
            _ => None,
        };
        if let Some((true, effect)) = wrong {
            self.effects.note(effect);
        }
        Ok(())
    }

    pub(crate) fn write(&mut self, call: &Call<'_>, file: FileId, bytes: &[u8]) -> Result<(), StorageError> {
        let offset = call.offset.unwrap_or(0);
        let part = |len: u64| bytes.get(..index(len)).unwrap_or(bytes);
        let (reached, errno) = match self.plan.draw(call.op, &[call.name]) {
            Lot::Off => return Err(self.off(call)),
            Lot::Met(Fault::Refused(op, errno)) => {
                self.effects.note(Effect::Refused(op, errno));
                (part(bytes.len() as u64 / 2), errno)
            }
            Lot::Met(Fault::ShortWrite { bytes, errno }) => {
                self.effects.note(Effect::ShortWrite);
                (part(bytes), errno)
            }
            Lot::Met(Fault::LostWrite) => {
                self.trace.remark = Some("lost");
                self.note_unless_there(file, bytes, offset, Effect::LostWrite);
                return self.pretend(call, file, bytes);
            }
            Lot::Met(Fault::MisdirectedWrite { name, offset }) => {
                self.trace.remark = Some("to elsewhere");
                if let Some(elsewhere) = self.names.find(&name) {
                    self.note_unless_there(elsewhere, bytes, offset, Effect::StrayWrite);
                    // What hits a full disk on the way is lost.
                    let _ = self.store(elsewhere, &name, bytes, offset);
                }
                return self.pretend(call, file, bytes);
            }
            Lot::Met(_) | Lot::Clear => {
                let stored = self.store(file, call.name, bytes, offset);
                return stored.map_err(|errno| self.refused(call, errno));
            }
        };
        let _ = self.store(file, call.name, reached, offset);
        Err(self.refused(call, errno))
    }

    /// Notes an effect, unless a place holds these bytes anyway.
    fn note_unless_there(&self, file: FileId, bytes: &[u8], offset: u64, effect: Effect) {
        let mut there = bytes.to_vec();
        let differs = self.files.get(&file).is_some_and(|inode| read_over(&inode.cache, &mut there, offset));
        if differs {
            self.effects.note(effect);
        }
    }

    /// Only the size of the file is as if the bytes had been written.
    fn pretend(&mut self, call: &Call<'_>, file: FileId, bytes: &[u8]) -> Result<(), StorageError> {
        let (ordinal, end) =
            (self.next_ordinal(), call.offset.unwrap_or(0).saturating_add(bytes.len() as u64));
        if end > self.room(file) {
            self.effects.note(Effect::NoRoom);
            return Err(self.refused(call, Errno::Full));
        }
        self.change(file, |inode| inode.grow(ordinal, end));
        Ok(())
    }

    /// Puts bytes into the page cache, as many as there is room for.
    fn store(&mut self, file: FileId, name: &str, bytes: &[u8], offset: u64) -> Result<(), Errno> {
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > LEN_MAX) {
            return Err(Errno::TooLarge);
        }
        let fits = self.room(file).saturating_sub(offset).min(bytes.len() as u64);
        let reached = bytes.get(..index(fits)).unwrap_or(bytes);
        if let Some(inode) = self.files.get(&file) {
            if inode.needs_unreadable(offset, reached.len()) {
                return Err(Errno::Io);
            }
            let name = self.names.name_of(file).map_or(name, |name| name);
            self.watch.look(self.counts.operations, name, inode, offset, reached.len());
        }
        let ordinal = self.next_ordinal();
        self.change(file, |inode| inode.write(ordinal, reached, offset));
        self.counts.bytes_written += fits;
        if reached.len() == bytes.len() {
            return Ok(());
        }
        self.effects.note(Effect::NoRoom);
        Err(Errno::Full)
    }

    /// How long a file may become.
    fn room(&self, file: FileId) -> u64 {
        let Some(capacity) = self.capacity else { return LEN_MAX };
        let own = on_disk(self.len_of(file));
        let free = capacity.saturating_sub(self.used_bytes()) / BLOCK_LEN as u64 * BLOCK_LEN as u64;
        own.saturating_add(free).min(LEN_MAX)
    }

    /// What all files take that have a name or are open.
    pub(crate) fn used_bytes(&self) -> u64 {
        let named = self.names.seen.values().chain(self.handles.keys());
        let files: BTreeSet<_> = named.collect();
        files.into_iter().map(|file| on_disk(self.len_of(*file))).sum()
    }

    pub(crate) fn sync(&mut self, call: &Call<'_>, file: FileId) -> Result<(), StorageError> {
        let owes_error = self.files.get(&file).is_some_and(|inode| inode.owes_error);
        let (failure, errno) = match self.plan.draw(call.op, &[call.name]) {
            Lot::Off => return Err(self.off(call)),
            Lot::Met(Fault::Refused(_, errno)) => (SyncFailure::MarkedClean, errno),
            Lot::Met(Fault::Sync(failure)) => (failure, Errno::Io),
            Lot::Met(_) | Lot::Clear if owes_error => {
                self.effects.note(Effect::ToldLate);
                (SyncFailure::MarkedClean, Errno::Io)
            }
            Lot::Met(_) | Lot::Clear => {
                let upto = self.sync_covers.take().unwrap_or(self.ordinal);
                self.change(file, |inode| inode.make_durable(upto));
                return Ok(());
            }
        };
        self.fail_sync(file, failure);
        if failure == SyncFailure::ToldByTheNext {
            self.trace.remark = Some("not durable");
            return Ok(());
        }
        Err(self.refused(call, errno))
    }

    fn fail_sync(&mut self, file: FileId, failure: SyncFailure) {
        self.change(file, |inode| {
            inode.abandon();
            inode.owes_error = failure == SyncFailure::ToldByTheNext;
        });
        match failure {
            SyncFailure::MarkedClean => self.effects.note(Effect::MarkedClean),
            SyncFailure::Reverted => self.evict_file(file, Effect::Reverted),
            SyncFailure::Evicted { .. } | SyncFailure::ToldByTheNext => {}
        }
        if let SyncFailure::Evicted { after } = failure {
            self.evictions.push((self.counts.operations.saturating_add(after), file));
        }
    }
}

/// Reads what stands in an image; says whether that is something else than was in the buffer.
fn read_over(image: &Image, buf: &mut [u8], offset: u64) -> bool {
    let before = buf.to_vec();
    image.read(buf, offset);
    before != buf
}

fn on_disk(len: u64) -> u64 {
    len.next_multiple_of(BLOCK_LEN as u64)
}
