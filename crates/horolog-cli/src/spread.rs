//! Times that were measured, in five numbers.

use serde::Serialize;

/// Least, middle and most.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Spread {
    pub(crate) count: u64,
    pub(crate) min_ns: u64,
    pub(crate) p50_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) max_ns: u64,
}

impl Spread {
    /// Sorts the times, which are in nanoseconds. Of none at all, everything is 0.
    pub(crate) fn of(values: &mut [u64]) -> Self {
        values.sort_unstable();
        let at =
            |percent: usize| values.get((values.len() * percent / 100).min(values.len().saturating_sub(1)));
        let value = |percent| at(percent).copied().unwrap_or(0);
        Self {
            count: values.len() as u64,
            min_ns: value(0),
            p50_ns: value(50),
            p99_ns: value(99),
            max_ns: value(100),
        }
    }
}
