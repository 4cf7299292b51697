//! What is measured.

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    Fill,
    Insert,
    Cancel,
    CancelMany,
    MoveRandom,
    MoveLater,
    InsertCycles,
    CancelCycles,
    ExpireTicks,
    ExpireTick,
    ExpireJumps,
    ExpireOnce,
    Sum,
    Churn,
    ChurnMany,
    WorstPercentile,
    WorstMax,
    WorstWork,
    StallPercentile,
    StallMax,
    ItemsDue,
    ItemsMost,
    ItemsBeyond,
    EmptyHour,
    EmptyTick,
    EmptyTickFull,
    Rebuild,
    RebuildArm,
    InsertOne,
    InsertTwo,
    PairOne,
    PairTwo,
    Bytes,
    ChurnBytesPeak,
    ChurnBytes,
    Residue,
}

impl Metric {
    pub(crate) const ALL: [Self; 36] = [
        Self::Fill,
        Self::Insert,
        Self::Cancel,
        Self::CancelMany,
        Self::MoveRandom,
        Self::MoveLater,
        Self::InsertCycles,
        Self::CancelCycles,
        Self::ExpireTicks,
        Self::ExpireTick,
        Self::ExpireJumps,
        Self::ExpireOnce,
        Self::Sum,
        Self::Churn,
        Self::ChurnMany,
        Self::WorstPercentile,
        Self::WorstMax,
        Self::WorstWork,
        Self::StallPercentile,
        Self::StallMax,
        Self::ItemsDue,
        Self::ItemsMost,
        Self::ItemsBeyond,
        Self::EmptyHour,
        Self::EmptyTick,
        Self::EmptyTickFull,
        Self::Rebuild,
        Self::RebuildArm,
        Self::InsertOne,
        Self::InsertTwo,
        Self::PairOne,
        Self::PairTwo,
        Self::Bytes,
        Self::ChurnBytesPeak,
        Self::ChurnBytes,
        Self::Residue,
    ];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Fill => "fill from nothing, ns",
            Self::Insert => "insert after cancels, ns",
            Self::Cancel => "cancel one by one, ns",
            Self::CancelMany => "cancel in 64s, ns",
            Self::MoveRandom => "reschedule at random, ns",
            Self::MoveLater => "reschedule later, ns",
            Self::InsertCycles => "one insert, middle, cycles",
            Self::CancelCycles => "one cancel, middle, cycles",
            Self::ExpireTicks => "expire by ticks, ns a timer",
            Self::ExpireTick => "the same, ns a tick",
            Self::ExpireJumps => "expire by 1000s, ns a timer",
            Self::ExpireOnce => "expire, all in one call, ns",
            Self::Sum => "insert + cancel + expire, ns",
            Self::Churn => "churn, ns an operation",
            Self::ChurnMany => "churn in 64s, ns an operation",
            Self::WorstPercentile => "worst tick, p99.99, us",
            Self::WorstMax => "worst tick, max, us",
            Self::WorstWork => "worst tick, stalls out, us",
            Self::ItemsDue => "worst tick, timers due in it",
            Self::ItemsMost => "worst tick, items",
            Self::ItemsBeyond => "  beyond twice what is due",
            Self::StallPercentile => "  idle loop, p99.99, us",
            Self::StallMax => "  idle loop, max, us",
            Self::EmptyHour => "an empty hour, one call, ns",
            Self::EmptyTick => "an empty tick, ns",
            Self::EmptyTickFull => "the same, all pending, ns",
            Self::Rebuild => "rebuild, ns",
            Self::RebuildArm => "  arming alone, ns",
            Self::InsertOne => "shared: one producer, ns",
            Self::InsertTwo => "shared: two producers, ns",
            Self::PairOne => "arm + cancel, one thread, ns",
            Self::PairTwo => "arm + cancel, two threads",
            Self::Bytes => "bytes a pending timer",
            Self::ChurnBytesPeak => "the same under churn, peak",
            Self::ChurnBytes => "the same after churn",
            Self::Residue => "99.9 % cancelled, peak kB",
        }
    }

    /// The idle loop is the machine's, not the peer's.
    pub(crate) fn is_of_the_peer(self) -> bool {
        !matches!(self, Self::StallPercentile | Self::StallMax)
    }
}

/// What a workload measured.
pub(crate) type Figures = Vec<(Metric, f64)>;

/// A timer fired that should not have, or one did not fire that should, or a pending one was said not to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wrong;

/// `Wrong` unless it holds.
pub(crate) fn must(holds: bool) -> Result<(), Wrong> {
    if holds { Ok(()) } else { Err(Wrong) }
}
