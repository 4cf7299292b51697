//! Rates and percentiles.

/// How long calls took, in nanoseconds.
#[derive(Default)]
pub(crate) struct Spans(Vec<u32>);

impl Spans {
    pub(crate) fn push(&mut self, ns: u32) {
        self.0.push(ns);
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// Calls a second, if one follows the other.
    pub(crate) fn rate(&self) -> f64 {
        let sum: f64 = self.0.iter().copied().map(f64::from).sum();
        self.0.len() as f64 * 1e9 / sum
    }

    /// The 50th and the 99th percentile, in microseconds.
    pub(crate) fn middle_and_tail(mut self) -> (f64, f64) {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        let at = |percent: usize| {
            let ns = self.0.get(last * percent / 100).copied();
            ns.map_or(f64::NAN, |ns| f64::from(ns) / 1e3)
        };
        (at(50), at(99))
    }
}
