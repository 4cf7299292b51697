//! System calls that take more than one try: a signal interrupts them, or they do less than was asked for.
//!
//! - I1: a call that was interrupted is made again, however often that happens.
//! - I2: a call that did a part is made again for the rest.
//!
//! POSIX has reads, writes, syncs and the opening of a file end with EINTR. On a local file system of Linux hardly any
//! call does, because it waits where only the death of the process can wake it. A file system whose server is elsewhere
//! (FUSE, a network) may end any call so, one on names too. If such a call had done its work all the same, the next one
//! says that there is no such file, or that there is one already: an error too many, and never one too few.
//!
//! Never made again is `close`. Linux gives the descriptor back before anything can interrupt the call, and a second
//! one could close what another thread has opened since. What an error of it could tell, the sync before it has told,
//! or nobody has relied on it; so the standard library, which closes our files when they are dropped, rightly passes over
//! it.

use std::io;

/// Makes a call until nothing interrupts it.
pub(super) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            ended => return ended,
        }
    }
}

/// Where a row of calls came to an end before everything was done.
#[derive(Debug)]
pub(super) struct Stopped {
    /// How many bytes had been read or written.
    pub(super) done: usize,
    /// Why; `None` if a call did nothing and gave no error.
    pub(super) error: Option<io::Error>,
}

/// Fills `buf` with what `read_some(rest, done)` gives, which says how much that was.
pub(super) fn read_all(
    buf: &mut [u8],
    mut read_some: impl FnMut(&mut [u8], usize) -> io::Result<usize>,
) -> Result<(), Stopped> {
    let mut done = 0;
    while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
        done += some(done, uninterrupted(|| read_some(rest, done)))?;
    }
    Ok(())
}

/// Hands all of `bytes` to `write_some(rest, done)`, which says how many of them it has taken.
pub(super) fn write_all(
    bytes: &[u8],
    mut write_some: impl FnMut(&[u8], usize) -> io::Result<usize>,
) -> Result<(), Stopped> {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        done += some(done, uninterrupted(|| write_some(rest, done)))?;
    }
    Ok(())
}

/// What one call has done, if it was anything.
fn some(done: usize, moved: io::Result<usize>) -> Result<usize, Stopped> {
    match moved {
        Ok(0) => Err(Stopped { done, error: None }),
        Ok(moved) => Ok(moved),
        Err(error) => Err(Stopped { done, error: Some(error) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that takes or gives at most so many bytes a call, and at most so many in all, and is interrupted so many
    /// times before each call.
    struct Stingy {
        bytes: Vec<u8>,
        piece_len: usize,
        len_max: usize,
        interruptions: u32,
        pending: u32,
    }

    impl Stingy {
        fn new(bytes: &[u8], piece_len: usize, len_max: usize, interruptions: u32) -> Self {
            Self { bytes: bytes.to_vec(), piece_len, len_max, interruptions, pending: interruptions }
        }

        /// How many bytes this call is about.
        fn piece(&mut self, wanted: usize, at: usize) -> io::Result<usize> {
            if self.pending > 0 {
                self.pending -= 1;
                return Err(io::ErrorKind::Interrupted.into());
            }
            self.pending = self.interruptions;
            match self.len_max - at {
                0 => Err(io::ErrorKind::StorageFull.into()),
                room => Ok(wanted.min(self.piece_len).min(room)),
            }
        }

        fn write(&mut self, rest: &[u8], at: usize) -> io::Result<usize> {
            let taken = self.piece(rest.len(), at)?;
            assert_eq!(self.bytes.len(), at, "where the last call ended");
            self.bytes.extend_from_slice(&rest[..taken]);
            Ok(taken)
        }

        fn read(&mut self, rest: &mut [u8], at: usize) -> io::Result<usize> {
            let given = self.piece(rest.len(), at)?.min(self.bytes.len() - at);
            rest[..given].copy_from_slice(&self.bytes[at..at + given]);
            Ok(given)
        }
    }

    const BYTES: &[u8] = b"a batch of eleven";

    #[test]
    fn a_call_is_made_again_as_often_as_it_is_interrupted_and_no_oftener() {
        for interruptions in [0, 1, 1_000] {
            let mut calls = 0;
            let ended = uninterrupted(|| {
                calls += 1;
                if calls <= interruptions { Err(io::ErrorKind::Interrupted.into()) } else { Ok(calls) }
            });
            assert_eq!(ended.unwrap(), interruptions + 1);
        }
        let mut calls = 0;
        let ended: io::Result<()> = uninterrupted(|| {
            calls += 1;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!((ended.unwrap_err().kind(), calls), (io::ErrorKind::StorageFull, 1));
    }

    #[test]
    fn all_is_written_and_read_however_little_a_call_does_and_whatever_interrupts_it() {
        for piece_len in 1..=BYTES.len() {
            for interruptions in 0..4 {
                let mut file = Stingy::new(b"", piece_len, usize::MAX, interruptions);
                write_all(BYTES, |rest, done| file.write(rest, done)).unwrap();
                assert_eq!(file.bytes, BYTES);
                let mut read = [0; BYTES.len()];
                read_all(&mut read, |rest, done| file.read(rest, done)).unwrap();
                assert_eq!(read, BYTES);
            }
        }
    }

    #[test]
    fn a_write_that_ends_early_says_where_and_why() {
        for len_max in 0..BYTES.len() {
            let mut file = Stingy::new(b"", 3, len_max, 1);
            let stopped = write_all(BYTES, |rest, done| file.write(rest, done)).unwrap_err();
            assert_eq!((stopped.done, &*file.bytes), (len_max, &BYTES[..len_max]));
            assert_eq!(stopped.error.unwrap().kind(), io::ErrorKind::StorageFull);
        }
        let stopped = write_all(BYTES, |_, _| Ok(0)).unwrap_err();
        assert!(
            stopped.done == 0 && stopped.error.is_none(),
            "a call that does nothing is not made for ever"
        );
    }

    #[test]
    fn a_read_that_comes_to_the_end_says_where_that_is() {
        for len in 0..BYTES.len() {
            let mut file = Stingy::new(&BYTES[..len], 2, usize::MAX, 1);
            let mut buf = [0; BYTES.len()];
            let stopped = read_all(&mut buf, |rest, done| file.read(rest, done)).unwrap_err();
            assert!(stopped.done == len && stopped.error.is_none());
        }
    }
}
