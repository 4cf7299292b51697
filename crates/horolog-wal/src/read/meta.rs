//! Reading META: which of its slots is the truth.

use std::array;

use horolog_storage::{Storage, StorageError};

use crate::error::{LogError, LogFile, MetaDamage, Unknown};
use crate::format::meta::{META_LEN, META_SLOT_LEN, META_SLOTS, Meta, MetaFault};
use crate::format::segment::MAJOR;

/// The name of the file.
pub(crate) const META_FILE: &str = "META";

/// Its name while it is being made.
pub(crate) const META_TEMPORARY: &str = "META.tmp";

/// META as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetaFound {
    pub(crate) meta: Meta,
    /// The slot it was read from.
    pub(crate) slot: usize,
    /// How many slots are not valid: damaged, or caught by a crash while they were written.
    pub(crate) bad_slots: u32,
}

impl MetaFound {
    /// Where the slot stands.
    pub(crate) fn offset(&self) -> u64 {
        (self.slot * META_SLOT_LEN) as u64
    }
}

/// The slots of META, each with what is wrong with it.
#[derive(Debug)]
pub(crate) struct MetaSlots {
    len: u64,
    slots: [Result<Meta, MetaFault>; META_SLOTS],
}

/// Reads META; `None` if there is none. The valid slot with the highest number is the truth.
pub(crate) fn read_meta(storage: &dyn Storage) -> Result<Option<MetaFound>, LogError> {
    read_slots(storage)?.map(MetaSlots::choose).transpose()
}

/// The slots of META; `None` if there is none.
pub(crate) fn read_slots(storage: &dyn Storage) -> Result<Option<MetaSlots>, LogError> {
    let file = match storage.open_read_only(META_FILE) {
        Ok(file) => file,
        Err(StorageError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let len = file.len()?;
    let mut bytes = vec![0; META_LEN.min(usize::try_from(len).unwrap_or(META_LEN))];
    file.read_at(&mut bytes, 0)?;
    let slots: [Result<Meta, MetaFault>; META_SLOTS] = array::from_fn(|slot| {
        let start = META_SLOT_LEN * slot;
        Meta::decode(bytes.get(start..start + META_SLOT_LEN).unwrap_or_default(), slot)
    });
    refuse_unknown(&slots)?;
    Ok(Some(MetaSlots { len, slots }))
}

/// A later version's slot is intact, and none of this program's business.
fn refuse_unknown(slots: &[Result<Meta, MetaFault>]) -> Result<(), LogError> {
    for (slot, read) in slots.iter().enumerate() {
        let Err(fault) = read else { continue };
        let what = match *fault {
            MetaFault::Version(found) => {
                return Err(LogError::NewerVersion { file: LogFile::Meta, found, known: MAJOR });
            }
            MetaFault::MinorVersion(minor) => Unknown::MinorVersion(minor),
            MetaFault::ChecksumKind(kind) => Unknown::ChecksumKind(kind),
            MetaFault::Incompatible(bits) => Unknown::Incompatible(bits),
            _ => continue,
        };
        return Err(LogError::Unknown { file: LogFile::Meta, offset: (slot * META_SLOT_LEN) as u64, what });
    }
    Ok(())
}

impl MetaSlots {
    /// The file got its name when it was complete, so a wrong length is never a crash's work.
    fn choose(self) -> Result<MetaFound, LogError> {
        match self.best() {
            Some(found) if self.len == META_LEN as u64 => Ok(found),
            _ => Err(LogError::MetaDamaged(Box::new(self.damage()))),
        }
    }

    /// What the newest valid slot says, whatever is wrong with the file.
    pub(crate) fn best(&self) -> Option<MetaFound> {
        let valid =
            self.slots.iter().enumerate().filter_map(|(slot, read)| Some((slot, read.as_ref().ok()?)));
        let (slot, meta) = valid.max_by_key(|(_, meta)| meta.seq)?;
        Some(MetaFound { meta: meta.clone(), slot, bad_slots: self.bad_slots() })
    }

    fn bad_slots(&self) -> u32 {
        u32::try_from(self.slots.iter().filter(|slot| slot.is_err()).count()).unwrap_or(u32::MAX)
    }

    /// Whether the file is not as it should be, which one of its slots may still be.
    pub(crate) fn is_damaged(&self) -> bool {
        self.len != META_LEN as u64 || self.bad_slots() > 0
    }

    /// What is wrong with the file.
    pub(crate) fn damage(&self) -> MetaDamage {
        let slots = self.slots.each_ref().map(|slot| slot.as_ref().err().copied());
        MetaDamage { len: self.len, slots }
    }
}
