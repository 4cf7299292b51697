//! Reading little-endian numbers at fixed offsets, with bounds.

macro_rules! reader {
    ($name:ident, $type:ty) => {
        /// The number at `at`, if the bytes reach that far.
        pub(crate) fn $name(bytes: &[u8], at: usize) -> Option<$type> {
            let rest = bytes.get(at..)?;
            Some(<$type>::from_le_bytes(*rest.first_chunk()?))
        }
    };
}

reader!(u16_at, u16);
reader!(u32_at, u32);
reader!(u64_at, u64);
reader!(u128_at, u128);

/// Puts `value` at `at`; bytes that do not reach that far stay as they are.
pub(crate) fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(place) = bytes.get_mut(at..at.saturating_add(N)) {
        place.copy_from_slice(&value);
    }
}
