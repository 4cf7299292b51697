//! What is measured.

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    LoneMiddle,
    LoneTail,
    LoneRate,
    RawMiddle,
    RawTail,
    RawRate,
    LoneOverRaw,
    Blocked64Rate,
    Blocked64Middle,
    Blocked64Tail,
    Blocked512Rate,
    Blocked512Middle,
    Blocked512Tail,
    AwaitingRate,
    AwaitingMiddle,
    AwaitingTail,
    BatchesRate,
    BatchesMiddle,
    BatchesTail,
    BulkRate,
    BulkBytes,
    BulkOnceRate,
    Restart,
}

/// Which of two values is ahead.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    Less,
    More,
    /// It is not the peer's own.
    Neither,
}

impl Metric {
    pub(crate) const ALL: [Self; 23] = [
        Self::LoneMiddle,
        Self::LoneTail,
        Self::LoneRate,
        Self::RawMiddle,
        Self::RawTail,
        Self::RawRate,
        Self::LoneOverRaw,
        Self::Blocked64Rate,
        Self::Blocked64Middle,
        Self::Blocked64Tail,
        Self::Blocked512Rate,
        Self::Blocked512Middle,
        Self::Blocked512Tail,
        Self::AwaitingRate,
        Self::AwaitingMiddle,
        Self::AwaitingTail,
        Self::BatchesRate,
        Self::BatchesMiddle,
        Self::BatchesTail,
        Self::BulkRate,
        Self::BulkBytes,
        Self::BulkOnceRate,
        Self::Restart,
    ];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::LoneMiddle => "lone: p50, us",
            Self::LoneTail => "lone: p99, us",
            Self::LoneRate => "lone: a second",
            Self::RawMiddle => "  raw disk beside it: p50, us",
            Self::RawTail => "  raw disk: p99, us",
            Self::RawRate => "  raw disk: a second",
            Self::LoneOverRaw => "lone p50 / raw disk's p50",
            Self::Blocked64Rate => "blocked 64: a second",
            Self::Blocked64Middle => "blocked 64: p50, us",
            Self::Blocked64Tail => "blocked 64: p99, us",
            Self::Blocked512Rate => "blocked 512: a second",
            Self::Blocked512Middle => "blocked 512: p50, us",
            Self::Blocked512Tail => "blocked 512: p99, us",
            Self::AwaitingRate => "awaiting 512: a second",
            Self::AwaitingMiddle => "awaiting 512: p50, us",
            Self::AwaitingTail => "awaiting 512: p99, us",
            Self::BatchesRate => "batches of 512: timers a second",
            Self::BatchesMiddle => "batches of 512: p50, us a batch",
            Self::BatchesTail => "batches of 512: p99, us a batch",
            Self::BulkRate => "bulk: timers a second",
            Self::BulkBytes => "bulk: bytes on disk a timer",
            Self::BulkOnceRate => "bulk, one sync: timers a second",
            Self::Restart => "restart, ms",
        }
    }

    pub(crate) fn better(self) -> Better {
        match self {
            Self::RawMiddle | Self::RawTail | Self::RawRate => Better::Neither,
            Self::LoneRate
            | Self::Blocked64Rate
            | Self::Blocked512Rate
            | Self::AwaitingRate
            | Self::BatchesRate
            | Self::BulkRate
            | Self::BulkOnceRate => Better::More,
            _ => Better::Less,
        }
    }
}

/// What a row measured.
pub(crate) type Figures = Vec<(Metric, f64)>;
