//! Medians and percentiles.

/// The middle one; of an even number, the lower of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// The value that one in ten thousand is above, and the largest.
pub(crate) fn tail(mut values: Vec<u32>) -> (f64, f64) {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    let at = last.saturating_sub(values.len() / 10_000);
    let value = |at: usize| values.get(at).copied().map_or(f64::NAN, f64::from);
    (value(at), value(last))
}
