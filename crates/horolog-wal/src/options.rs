//! What the owner of a log decides.

use crate::format::BLOCK_LEN;

/// The sizes and the codec of a log. The log trusts them; the owner checks what users type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// The size of the first segment, and of every segment of a quiet log. Rounded up to whole blocks.
    pub segment_bytes_min: u64,
    /// Segments double up to this size while they fill in under ten seconds each, and halve while they do not.
    pub segment_bytes_max: u64,
    /// A batch that would take more bytes on disk is refused ([`crate::LogError::TooLarge`]), before anything is written.
    pub batch_bytes_max: u64,
    /// The reader holds the lock of the directory. Then nobody writes, and segments may be mapped; else they are read, because a
    /// writer may use the file of a retired segment again.
    pub has_lock: bool,
    /// The encoding of record bodies. Opaque to the log; a batch written with another codec refuses.
    pub codec: u16,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes_min: 1 << 20,
            segment_bytes_max: 64 << 20,
            batch_bytes_max: 16 << 20,
            has_lock: false,
            codec: 0,
        }
    }
}

impl LogOptions {
    /// Small segments, for tests: 64 KiB.
    #[must_use]
    pub fn small() -> Self {
        Self { segment_bytes_min: 64 << 10, segment_bytes_max: 256 << 10, ..Self::default() }
    }

    /// The blocks of a segment of about `bytes`, never too few for a batch of `batch_bytes`.
    pub(crate) fn segment_blocks(&self, bytes: u64, batch_bytes: u64) -> Option<u32> {
        let bytes = bytes
            .clamp(self.segment_bytes_min, self.segment_bytes_max.max(self.segment_bytes_min))
            .max(batch_bytes.saturating_mul(4))
            .max(8 * u64::from(BLOCK_LEN));
        u32::try_from(bytes.div_ceil(u64::from(BLOCK_LEN))).ok()
    }
}
