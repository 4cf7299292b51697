//! System calls that the standard library does not have. Elsewhere than on Linux there are none of them.
#![expect(clippy::disallowed_types, reason = "the bare file is what is measured")]

use std::fs::File;
use std::io;

/// What `open` takes for writes past the page cache.
#[cfg(target_os = "linux")]
pub(super) fn direct_flag() -> io::Result<i32> {
    Ok(rustix::fs::OFlags::DIRECT.bits().cast_signed())
}

/// One write that returns when its bytes are on the medium: the flag is O_DSYNC for one call.
///
/// It is not given to `open`, because rustix's `OFlags::DSYNC` is O_SYNC on Linux, which writes times down too and
/// keeps a write from being one that the disk itself makes durable (FUA).
#[cfg(target_os = "linux")]
pub(super) fn write_durably(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let written =
        rustix::io::pwritev2(file, &[io::IoSlice::new(bytes)], offset, rustix::io::ReadWriteFlags::DSYNC)?;
    // The rest could be written, but would be another sample.
    if written == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Gives the file blocks, which are not written.
#[cfg(target_os = "linux")]
pub(super) fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    Ok(rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes)?)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn direct_flag() -> io::Result<i32> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn write_durably(_file: &File, _bytes: &[u8], _offset: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn reserve(_file: &File, _bytes: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
