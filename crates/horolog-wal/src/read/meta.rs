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

/// Reads META; `None` if there is none. The valid slot with the highest number is the truth.
pub(crate) fn read_meta(storage: &dyn Storage) -> Result<Option<MetaFound>, LogError> {
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
    choose(slots, len).map(Some)
}

/// A later version's slot is intact, and none of this program's business.
fn refuse_unknown(slots: &[Result<Meta, MetaFault>]) -> Result<(), LogError> {
    for (slot, read) in slots.iter().enumerate() {
        let Err(fault) = read else { continue };
        let what = match *fault {
            MetaFault::Version(found) => {
                return Err(LogError::NewerVersion { file: LogFile::Meta, found, known: MAJOR });
            }
            MetaFault::ChecksumKind(kind) => Unknown::ChecksumKind(kind),
            MetaFault::Incompatible(bits) => Unknown::Incompatible(bits),
            _ => continue,
        };
        return Err(LogError::Unknown { file: LogFile::Meta, offset: (slot * META_SLOT_LEN) as u64, what });
    }
    Ok(())
}

/// The file got its name when it was complete, so a wrong length is never a crash's work.
fn choose(slots: [Result<Meta, MetaFault>; META_SLOTS], len: u64) -> Result<MetaFound, LogError> {
    let faults = slots.each_ref().map(|slot| slot.as_ref().err().copied());
    let bad_slots = u32::try_from(faults.iter().flatten().count()).unwrap_or(u32::MAX);
    let valid = slots.into_iter().enumerate().filter_map(|(slot, read)| Some((slot, read.ok()?)));
    match valid.max_by_key(|(_, meta)| meta.seq) {
        Some((slot, meta)) if len == META_LEN as u64 => Ok(MetaFound { meta, slot, bad_slots }),
        _ => Err(LogError::MetaDamaged(Box::new(MetaDamage { len, slots: faults }))),
    }
}
