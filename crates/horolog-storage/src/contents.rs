//! The bytes of a whole file, however they came into memory.

use std::ops::Deref;

/// The whole of a file that nobody writes any more; derefs to its bytes.
#[derive(Debug)]
pub struct Contents(Inner);

#[derive(Debug)]
enum Inner {
    Read(Vec<u8>),
    #[cfg(target_os = "linux")]
    Mapped(memmap2::Mmap),
}

impl From<Vec<u8>> for Contents {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Inner::Read(bytes))
    }
}

#[cfg(target_os = "linux")]
impl From<memmap2::Mmap> for Contents {
    fn from(map: memmap2::Mmap) -> Self {
        Self(Inner::Mapped(map))
    }
}

impl Deref for Contents {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Inner::Read(bytes) => bytes,
            #[cfg(target_os = "linux")]
            Inner::Mapped(map) => map,
        }
    }
}
