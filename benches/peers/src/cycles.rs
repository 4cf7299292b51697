//! The cycle counter of the processor. It runs at one speed, which is not that of the processor's clock at the time.

/// Cycles that `work` takes, the reading of the counter included. `None` where it is not known how to read one.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[expect(unsafe_code, reason = "no other way leads to the counter")]
pub(crate) fn cycles_of<R>(work: impl FnOnce() -> R) -> (Option<u64>, R) {
    use std::arch::x86_64::{_mm_lfence, _rdtsc};

    // Nothing that is between the fences is done outside, and the counter is not read before what came earlier is over.
    let read = || {
        // SAFETY: every x86-64 has both instructions, and they touch no memory.
        unsafe {
            _mm_lfence();
            let cycles = _rdtsc();
            _mm_lfence();
            cycles
        }
    };
    let begin = read();
    let done = work();
    (Some(read().wrapping_sub(begin)), done)
}

/// As above.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn cycles_of<R>(work: impl FnOnce() -> R) -> (Option<u64>, R) {
    (None, work())
}
