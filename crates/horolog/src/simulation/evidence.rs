//! What an image of the directory proves, seen with the second reader's eyes ([`horolog_sim::decoder`]): the oracle for damage.
//!
//! Of every block of every segment that holds an intact batch header the stamp counts, wherever it stands, and of META the
//! witness of every intact slot. All of these were true when they were written, so no opening may show less.
//!
//! Where several things went wrong at once that is more than `docs/format.md` promises: a file that META does not list, and
//! that no LINK leads to, says nothing. Then only what META lists counts.

use horolog_sim::SimDisk;
use horolog_sim::decoder::{SegmentFile, listed, witnesses};

/// Whether META, as it would be read, does not list a file.
pub(crate) fn is_unlisted(disk: &SimDisk, name: &str) -> bool {
    let listed = listed(&disk.bytes("META").unwrap_or_default());
    name != "META" && !listed.iter().any(|id| name == format!("seg-{id:016x}.wal"))
}

/// The highest LSN that the image proves durable; files that `doubtful` names do not count.
pub(crate) fn proven(disk: &SimDisk, doubtful: &dyn Fn(&str) -> bool) -> u64 {
    let names = disk.files().into_iter().map(|(name, _)| name).filter(|name| !doubtful(name));
    let proofs = names.map(|name| {
        let bytes = disk.bytes(&name).unwrap_or_default();
        let stamped = || SegmentFile::of(&name, &bytes).and_then(|file| file.stamps().max());
        if name == "META" { witnesses(&bytes).into_iter().max() } else { stamped() }
    });
    proofs.flatten().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use horolog_sim::SimDisk;
    use horolog_storage::Storage;
    use horolog_wal::{BatchBuf, LogOptions, Lsn, Stamp, open_writer, read_log};

    use super::proven;

    /// A log with one synced record, and a stamp that says so.
    fn stamped() -> Arc<SimDisk> {
        let disk = Arc::new(SimDisk::new(1));
        let storage: Arc<dyn Storage> = Arc::clone(&disk) as _;
        let options = LogOptions::small();
        let view = read_log(&*disk, &options).expect("an empty directory");
        let (mut writer, syncer) = open_writer(storage, &view, &options, 0).expect("room");
        let mut batch = BatchBuf::new();
        batch.push(1, 0, |out| out.extend_from_slice(b"a record"));
        writer.append(&mut batch, Stamp { first_lsn: Lsn(1), ..Stamp::default() }, 0).expect("room");
        syncer.sync().expect("a sound disk");
        writer.mark(Lsn(1), 0, false).expect("room");
        disk
    }

    #[test]
    fn a_stamp_counts_wherever_it_stands_and_only_as_long_as_it_is_intact() {
        let disk = stamped();
        assert_eq!(proven(&disk, &|_| false), 1);
        assert_eq!(proven(&disk, &|name| name.ends_with(".wal")), 0);
        let segment = "seg-0000000000000001.wal";
        assert!(disk.flip(segment, 2 * 4096 + 70, 1), "the record's own bytes");
        assert_eq!(proven(&disk, &|_| false), 1);
        assert!(disk.flip(segment, 3 * 4096 + 20, 1), "the stamp");
        assert_eq!(proven(&disk, &|_| false), 0);
    }
}
