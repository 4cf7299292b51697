//! Bugs that others have shipped, for the builds that prove that the tests would catch them.
//!
//! With `RUSTFLAGS='--cfg horolog_planted'` one of them can be planted; without it [`is_planted`] is a constant, and nothing
//! of them is in the program. `cargo run --release -p horolog-tests --bin planted` plants each in turn, and demands that the
//! enumeration or the simulation finds it.

/// A bug, with who had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A record cut short by a crash is taken for corruption, and the log never opens again (etcd#5230).
    TornTailRefused,
    /// The first of two appends is lost, the second is not, and the log never opens again (etcd#6378).
    GapRefused,
    /// A new segment gets its name, and the directory is not synced (etcd#6368; raft-wal#32).
    NameNotSynced,
    /// A new segment gets its name before its zeros and its header are durable (redb 4.2.0; raft-wal#32).
    SegmentNotSynced,
    /// META is replaced by a file that was not synced (KAFKA-16541; SpacetimeDB#4886).
    MetaNotSynced,
    /// META calls a segment the head before its first batch is durable: an empty log hides the torn one (rocksdb#7784).
    HeadNotSynced,
    /// The log goes on in another segment, and what is not durable in the one before is neither synced nor taken along
    /// (unistore#567).
    SealedNotSynced,
    /// A header's checksum is not compared: lengths of 13 563 782 407 139 376 bytes (etcd#14098).
    HeaderUnchecked,
    /// A header counts in any file and any place: stale batches of a file that was used before (rocksdb#12403, pebble#567).
    ContextUnchecked,
    /// A record's checksum is not compared (bitcask#212).
    RecordUnchecked,
    /// Padding, and which records belong to a batch, are not checked (TigerBeetle, 2025-02).
    DigestUnchecked,
    /// An error while reading is taken for the end of the log (rocksdb#6288).
    ReadErrorIsEnd,
    /// One segment that cannot be read, and the log begins anew (nats-server#7556).
    DamagedBegunAnew,
    /// Damage before the end is taken for a torn tail, and what was acknowledged behind it is gone (fjall#311, nats-server#7549).
    EvidenceIgnored,
    /// What was written and not durable is not written again by an opening, and goes with the next one (fjall#317).
    NothingCopied,
    /// An opening removes files before what replaces them is durable (sled#851).
    TidiedFirst,
    /// Nobody looks whether a write succeeded (walrus).
    WriteErrorIgnored,
    /// A write that failed has moved on where the next one goes (raft-wal#32, prometheus#13027).
    FailedWriteAdvances,
    /// A sync that failed is tried again, and succeeds, and the data is gone (PostgreSQL, 2018).
    SyncRetried,
    /// What was written is said to be durable before it is (KAFKA-10101).
    WrittenIsDurable,
    /// A snapshot counts before it is durable (raft-engine#288, sled#1527).
    SnapshotNotSynced,
    /// A snapshot counts before what it has seen is durable in the log (KAFKA-16541).
    SnapshotAhead,
    /// After an error the log goes on behind what only the page cache has (rocksdb#12995).
    HealedBehindWritten,
    /// A record that cannot be read ends its segment, and those of the next one are applied behind the hole (rocksdb#7701).
    HoleSkipped,
    /// Nobody looks whether a segment ends where the next one was linked (rocksdb#12918).
    LinkUnchecked,
    /// A batch may be written that is too large to be read (etcd#14025).
    LimitReadOnly,
    /// A snapshot is loaded without a look at its checksums (bitcask#212).
    SnapshotUnchecked,
    /// A segment counts as durable once it is begun, so that the one before it is let go too early (SQLite, 2010 to 2026).
    BegunIsDurable,
    /// A sync that began in the full segment vouches for what went along to the next one (this log, while it was made).
    SyncVouchesElsewhere,
    /// A length is used before anything is compared with it, and the program panics (tikv#17325).
    LengthBelieved,
    /// Who waits for the sync of another is not told that it failed (okaywal).
    FollowersNotTold,
}

impl Bug {
    /// All that a log with one thread can have; the others are for the loom models.
    pub const ALL: [Self; 30] = [
        Self::TornTailRefused,
        Self::GapRefused,
        Self::NameNotSynced,
        Self::SegmentNotSynced,
        Self::MetaNotSynced,
        Self::HeadNotSynced,
        Self::SealedNotSynced,
        Self::HeaderUnchecked,
        Self::ContextUnchecked,
        Self::RecordUnchecked,
        Self::DigestUnchecked,
        Self::ReadErrorIsEnd,
        Self::DamagedBegunAnew,
        Self::EvidenceIgnored,
        Self::NothingCopied,
        Self::TidiedFirst,
        Self::WriteErrorIgnored,
        Self::FailedWriteAdvances,
        Self::SyncRetried,
        Self::WrittenIsDurable,
        Self::SnapshotNotSynced,
        Self::SnapshotAhead,
        Self::HealedBehindWritten,
        Self::HoleSkipped,
        Self::LinkUnchecked,
        Self::LimitReadOnly,
        Self::SnapshotUnchecked,
        Self::BegunIsDurable,
        Self::SyncVouchesElsewhere,
        Self::LengthBelieved,
    ];
}

#[cfg(horolog_planted)]
static PLANTED: std::sync::Mutex<Option<Bug>> = std::sync::Mutex::new(None);

/// Plants a bug in the place of the one before.
#[cfg(horolog_planted)]
pub fn plant(bug: Option<Bug>) {
    *PLANTED.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = bug;
}

/// Whether the program has this bug.
#[cfg(horolog_planted)]
#[must_use]
pub fn is_planted(bug: Bug) -> bool {
    *PLANTED.lock().unwrap_or_else(std::sync::PoisonError::into_inner) == Some(bug)
}

/// Whether the program has this bug: it has none.
#[cfg(not(horolog_planted))]
#[must_use]
#[inline]
pub const fn is_planted(_bug: Bug) -> bool {
    false
}
