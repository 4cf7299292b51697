//! Bytes at an address that O_DIRECT takes.

/// The largest block of the disks that are about.
const ALIGN: usize = 4096;

/// A part of more memory than is needed: the part that begins where it should.
pub(super) struct Aligned {
    memory: Vec<u8>,
    from: usize,
    len: usize,
}

impl Aligned {
    pub(super) fn zeros(len: usize) -> Self {
        let memory = vec![0; len + ALIGN];
        let from = memory.as_ptr().align_offset(ALIGN).min(ALIGN);
        Self { memory, from, len }
    }

    /// Bytes that a disk or a file system cannot make fewer.
    pub(super) fn noise(len: usize) -> Self {
        let mut aligned = Self::zeros(len);
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for byte in &mut aligned.memory {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = state.to_le_bytes()[7];
        }
        aligned
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.memory.get(self.from..self.from + self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_begin_at_a_block_and_are_all_there() {
        for len in [4096, 1 << 20] {
            let aligned = Aligned::noise(len);
            assert_eq!(aligned.bytes().len(), len);
            assert_eq!(aligned.bytes().as_ptr().align_offset(ALIGN), 0);
        }
    }
}
