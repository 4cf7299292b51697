//! A hint to the processor that some memory is about to be read.
//!
//! At a million timers an entry is a miss in every cache. Asked for ahead, entries arrive together instead of one
//! after the other (decision 0001).
#![expect(unsafe_code, reason = "there is no safe way to ask for a cache line")]

/// Asks for the cache line at `value`.
#[inline(always)]
pub(crate) fn prefetch<T>(value: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing and never faults, whatever the address.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(value.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
