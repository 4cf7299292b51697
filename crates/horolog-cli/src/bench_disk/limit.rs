//! How long a row may take, and how much it may write.

use std::time::Duration;

const MIB: u64 = 1 << 20;

/// What the fastest row may write in a second: enough samples of the largest writes for a percentile.
const BYTES_PER_S_MAX: u64 = 256 * MIB;

/// A file that is zeroed beforehand is no longer than this; at its end the writing begins again at its start.
const ZEROED_BYTES_MAX: u64 = 64 * MIB;

/// What the engine zeroes ahead of its log: segments of 64 MiB at most.
const AHEAD_BYTES_MAX: u64 = 3 * 64 * MIB;

/// The bounds of one row in one round. Whichever is met first ends it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    time: Duration,
    bytes: u64,
}

impl Limit {
    pub(super) fn new(time: Duration) -> Self {
        let mib =
            u64::try_from(time.as_millis()).unwrap_or(u64::MAX).saturating_mul(BYTES_PER_S_MAX / MIB) / 1_000;
        // Not so little that a large write is made only once.
        Self { time, bytes: mib.max(4).saturating_mul(MIB) }
    }

    pub(super) fn time(self) -> Duration {
        self.time
    }

    /// A whole number of MiB.
    pub(super) fn bytes(self) -> u64 {
        self.bytes
    }

    /// How many things of this size may be written.
    pub(super) fn count_of(self, bytes: u64) -> u64 {
        self.bytes / bytes.max(1)
    }

    pub(super) fn zeroed_bytes(self) -> u64 {
        self.bytes.min(ZEROED_BYTES_MAX)
    }

    /// What is on the disk at a time, at most: a log and what is prepared for it.
    pub(super) fn room_bytes(self) -> u64 {
        self.bytes.saturating_add(AHEAD_BYTES_MAX)
    }

    /// What one round writes at most: twelve raw rows, six of them to zeros, and three logs, which are all written to
    /// zeros.
    pub(super) fn round_bytes(self) -> u64 {
        let raw = self.bytes.saturating_mul(12).saturating_add(self.zeroed_bytes() * 6);
        let log = self.bytes.saturating_mul(2).saturating_add(AHEAD_BYTES_MAX);
        raw.saturating_add(log.saturating_mul(3))
    }
}

/// A number of seconds that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has to be a number from {MIN_S} to {MAX_S}")]
pub(crate) struct BadSeconds;

const MIN_S: f64 = 0.01;
const MAX_S: f64 = 30.0;

pub(crate) fn parse_seconds(text: &str) -> Result<Duration, BadSeconds> {
    let seconds: f64 = text.parse().map_err(|_| BadSeconds)?;
    if !(MIN_S..=MAX_S).contains(&seconds) {
        return Err(BadSeconds);
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| BadSeconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_a_number_within_bounds() {
        assert_eq!(parse_seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["", "0", "-1", "31", "NaN", "inf", "1s"] {
            assert_eq!(parse_seconds(bad), Err(BadSeconds), "{bad}");
        }
    }

    #[test]
    fn a_row_may_write_more_the_longer_it_takes() {
        let bytes = |ms| Limit::new(Duration::from_millis(ms)).bytes() / MIB;
        assert_eq!([bytes(10), bytes(1_000), bytes(30_000)], [4, 256, 7_680]);
    }
}
