//! A bit of every byte.

use horolog_wal::LogOptions;

use crate::directory::{Directory, options, snapshot_id};
use crate::found::Found;
use crate::places::Places;

/// A directory with snapshots; where a flip is without consequence for the log, the state is compared too.
#[test]
fn any_flipped_byte_of_a_directory_with_snapshots_gets_exactly_its_verdict() {
    let directory = Directory::compacted(1);
    let (disk, places) = (&directory.disk, Places::of(&directory.disk));
    // Who holds the lock maps files, who does not reads them: in turn.
    let readers = [true, false].map(|has_lock| LogOptions { has_lock, ..options() });
    let (mut read, mut refused, mut on_the_older) = (0, 0, 0);
    for (name, len) in disk.files() {
        let rotten: Vec<_> = snapshot_id(&name).into_iter().collect();
        for offset in 0..len {
            let (mask, what) = (1 << (offset % 8), format!("{name} at {offset}"));
            let expected = directory.expected(places.if_flipped(&name, offset as usize), &rotten);
            assert!(disk.flip(&name, offset, mask));
            assert_eq!(directory.read(disk, &readers[offset as usize % 2], &what), expected, "{what}");
            assert!(disk.flip(&name, offset, mask));
            match expected {
                Found::Read { rotten: 1, .. } => on_the_older += 1,
                Found::Read { .. } => read += 1,
                _ => refused += 1,
            }
        }
    }
    assert!(read > 0 && refused > 0 && on_the_older > 4096, "{read}, {refused}, {on_the_older}");
}
