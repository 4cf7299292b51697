//! The tail of what was measured.

/// The value that one in ten thousand is above, and the largest.
pub(crate) fn tail(mut values: Vec<u32>) -> (f64, f64) {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    let at = last.saturating_sub(values.len() / 10_000);
    let value = |at: usize| values.get(at).copied().map_or(f64::NAN, f64::from);
    (value(at), value(last))
}
