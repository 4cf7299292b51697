//! The middle and the tail of what was measured.

/// The value that one in ten thousand is above, and the largest.
pub(crate) fn tail(mut values: Vec<u32>) -> (f64, f64) {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    let at = last.saturating_sub(values.len() / 10_000);
    let value = |at: usize| values.get(at).copied().map_or(f64::NAN, f64::from);
    (value(at), value(last))
}

/// The mean of all but the least and the most twentieth. A counter that goes in steps has no finer median.
pub(crate) fn middle(mut values: Vec<u64>) -> Option<f64> {
    values.sort_unstable();
    let end = values.len() / 20;
    let middle = &values[end..values.len() - end];
    (!middle.is_empty()).then(|| middle.iter().sum::<u64>() as f64 / middle.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_leaves_a_twentieth_out_at_both_ends_and_of_nothing_there_is_none() {
        let steps = [[26; 10], [52; 10]].concat();
        assert_eq!(middle([vec![9_000, 0], steps].concat()), Some(39.0));
        assert_eq!(middle(vec![7]), Some(7.0));
        assert_eq!(middle(vec![]), None);
    }
}
