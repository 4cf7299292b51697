//! Reading segments that may be written, or were until a crash: not mapped, and without the memory that blocks of zeros would
//! take.
//!
//! The spare, the reserve and most of the head are zeros, 64 MiB each when a log is busy. They have to be looked at, for a
//! batch may lie behind the zeros; but they need not be kept.

use horolog_storage::{File, Storage, StorageError};

use crate::error::LogError;
use crate::format::BLOCK_LEN;

const BLANK: [u8; BLOCK_LEN as usize] = [0; BLOCK_LEN as usize];

/// So much is read at a time: it stays in the cache of a processor while it is looked at.
const PIECE_LEN: usize = 1 << 20;

/// The bytes of a file, of which those behind `filled` are zeros.
#[derive(Debug)]
pub(crate) struct Filled {
    /// As many as the file has. Zeros at the end are memory that was never touched.
    pub(crate) bytes: Vec<u8>,
    /// Where the last block ends that is not blank.
    pub(crate) filled: usize,
}

impl Filled {
    /// Reads a whole file.
    pub(crate) fn read(storage: &dyn Storage, name: &str) -> Result<Self, LogError> {
        let file = storage.open_read_only(name)?;
        let len = file.len()?;
        if len <= PIECE_LEN as u64 {
            let bytes = file.read_whole()?;
            let filled = end_of_content(&bytes);
            return Ok(Self { bytes, filled });
        }
        let refused = || StorageError::OutOfMemory { path: storage.path().join(name), bytes: len };
        let bytes = usize::try_from(len).ok().and_then(zeros).ok_or_else(refused)?;
        let piece = zeros(PIECE_LEN).ok_or_else(refused)?;
        Ok(Self { bytes, filled: 0 }.filled_from(&*file, piece)?)
    }

    fn filled_from(mut self, file: &dyn File, mut piece: Vec<u8>) -> Result<Self, StorageError> {
        let mut offset = 0;
        for place in self.bytes.chunks_mut(PIECE_LEN) {
            let Some(piece) = piece.get_mut(..place.len()) else { break };
            file.read_at(piece, offset as u64)?;
            let end = end_of_content(piece);
            if let (Some(place), Some(piece)) = (place.get_mut(..end), piece.get(..end)) {
                place.copy_from_slice(piece);
            }
            if end > 0 {
                self.filled = offset + end;
            }
            offset += piece.len();
        }
        Ok(self)
    }
}

/// The first `len` bytes of a file, or all there are.
pub(crate) fn read_beginning(storage: &dyn Storage, name: &str, len: u64) -> Result<Vec<u8>, LogError> {
    let file = storage.open_read_only(name)?;
    let len = len.min(file.len()?);
    let refused = || StorageError::OutOfMemory { path: storage.path().join(name), bytes: len };
    let mut bytes = usize::try_from(len).ok().and_then(zeros).ok_or_else(refused)?;
    file.read_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Zeros, if there is memory for so many. There is no way to ask for zeroed memory that may be refused, so it is asked for
/// twice.
fn zeros(len: usize) -> Option<Vec<u8>> {
    let mut asked = Vec::<u8>::new();
    asked.try_reserve_exact(len).ok()?;
    drop(asked);
    Some(vec![0; len])
}

/// Where the last block ends that is not blank; the last one may be shorter.
fn end_of_content(bytes: &[u8]) -> usize {
    let is_blank = |block: &[u8]| BLANK.get(..block.len()) == Some(block);
    let last = bytes.chunks(BLANK.len()).rposition(|block| !is_blank(block));
    last.map_or(0, |last| ((last + 1) * BLANK.len()).min(bytes.len()))
}

#[cfg(test)]
mod tests {
    use horolog_sim::{Rng, SimDisk};

    use super::*;

    /// Files of up to three pieces, with blocks that are blank and blocks that are not in any place, and any end.
    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "no more than a few pieces")]
    fn a_file_that_is_mostly_blank_is_read_as_it_is_and_known_to_end_in_zeros() {
        for seed in 0..60 {
            let (mut rng, disk) = (Rng::new(seed), SimDisk::new(seed));
            let mut expected = vec![0; rng.below(3 * PIECE_LEN as u64 + 5_000) as usize];
            for _ in 0..rng.below(4) {
                let at = rng.below(expected.len() as u64 + 1) as usize;
                expected[at..].iter_mut().take(rng.below(10_000) as usize).for_each(|byte| *byte = 7);
            }
            disk.put("a", &expected);
            let file = Filled::read(&disk, "a").unwrap();
            assert!(file.bytes == expected, "seed {seed}");
            let last = expected.iter().rposition(|byte| *byte != 0);
            let end = last.map_or(0, |last| (last + 1).next_multiple_of(BLANK.len()).min(expected.len()));
            assert_eq!(file.filled, end, "seed {seed}");
        }
    }

    #[test]
    fn the_beginning_of_a_file_is_as_much_as_there_is() {
        let disk = SimDisk::new(1);
        disk.put("a", &[1, 2, 3]);
        assert_eq!(read_beginning(&disk, "a", 2).unwrap(), [1, 2]);
        assert_eq!(read_beginning(&disk, "a", 9).unwrap(), [1, 2, 3]);
    }

    #[test]
    fn a_piece_that_cannot_be_read_is_an_error_with_its_place() {
        let disk = SimDisk::new(1);
        disk.put("a", &vec![0; 2 * PIECE_LEN]);
        let at = PIECE_LEN as u64 + 8_192;
        disk.make_unreadable("a", at..at + 1);
        let error = Filled::read(&disk, "a").unwrap_err();
        let LogError::Storage(StorageError::Io { offset, .. }) = error else { panic!("{error}") };
        assert_eq!(offset, Some(at));
    }
}
