//! A timer as a user asks for it.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use horolog_state::{Anchor, IfExists, Misfire, Payload, Request, Retry, When};

/// How safe a call's record is before the call is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// It survives a power cut: answered after a sync. The default.
    #[default]
    Synced,
    /// It survives the death of the process: answered when written, and synced at latest after `sync_within`.
    Written {
        /// When it is synced at latest.
        sync_within: Duration,
    },
}

/// A timer to be scheduled: when, with which payload, under which policies.
///
/// ```
/// use std::time::Duration;
/// use horolog::{IfExists, Misfire, Timer};
///
/// let reminder = Timer::after(Duration::from_secs(30)).payload(b"retry order 42").key("order-42");
/// let backup = Timer::every(Duration::from_secs(7 * 24 * 3600)).key("backup").if_exists(IfExists::Keep);
/// let nightly_only = backup.clone().misfire(Misfire::Skip);
/// # let _ = (reminder, nightly_only);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    when: Asked,
    payload: Payload,
    key: Option<Vec<u8>>,
    if_exists: IfExists,
    misfire: Misfire,
    retry: Retry,
    durability: Durability,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    At(SystemTime),
    After(Duration),
    Every { interval: Duration, anchor: Option<SystemTime> },
}

/// A duration or an instant that no timer can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTime {
    /// An interval of zero would be due without end.
    #[error("the interval of a recurring timer is zero")]
    IntervalZero,
    /// An interval has to fit 64 bits of nanoseconds, about 584 years.
    #[error("the interval of {interval:?} is longer than 2^64 nanoseconds")]
    IntervalTooLong {
        /// The interval.
        interval: Duration,
    },
    /// An anchor has to lie between the Unix epoch and the year 2554.
    #[error("the anchor of a recurring timer is before 1970 or after 2554")]
    AnchorOutOfRange,
}

impl Timer {
    /// Due once, at a UTC instant. An instant in the past is due at once.
    #[must_use]
    pub fn at(instant: SystemTime) -> Self {
        Self::new(Asked::At(instant))
    }

    /// Due once, after a delay that begins when it is scheduled. No set clock and no restart changes when that is. A
    /// delay beyond the end of time is the end of time.
    #[must_use]
    pub fn after(delay: Duration) -> Self {
        Self::new(Asked::After(delay))
    }

    /// Due again and again: one interval after it is scheduled, then on a grid from there that nothing moves.
    #[must_use]
    pub fn every(interval: Duration) -> Self {
        Self::new(Asked::Every { interval, anchor: None })
    }

    /// Puts the grid of a recurring timer at `anchor + n * interval` instead, in UTC. Without effect on a one-shot.
    #[must_use]
    pub fn anchored_at(mut self, anchor: SystemTime) -> Self {
        if let Asked::Every { interval, .. } = self.when {
            self.when = Asked::Every { interval, anchor: Some(anchor) };
        }
        self
    }

    fn new(when: Asked) -> Self {
        Self {
            when,
            payload: Payload::default(),
            key: None,
            if_exists: IfExists::default(),
            misfire: Misfire::default(),
            retry: Retry::default(),
            durability: Durability::default(),
        }
    }

    /// Bytes that come back with every occurrence, verbatim. A [`Payload`] over 512 bytes is shared and not copied.
    #[must_use]
    pub fn payload(mut self, payload: impl Into<Payload>) -> Self {
        self.payload = payload.into();
        self
    }

    /// A value that comes back with every occurrence; kept as JSON, so that it can be read by a later version of its
    /// type and by a person ([`Due::payload_as`](crate::Due::payload_as)).
    ///
    /// # Errors
    ///
    /// What serde says of a value that JSON cannot express.
    #[cfg(feature = "serde")]
    pub fn payload_as<T: serde::Serialize + ?Sized>(mut self, value: &T) -> Result<Self, serde_json::Error> {
        self.payload = serde_json::to_vec(value)?.into();
        Ok(self)
    }

    /// A name of your own, 1 to 1 024 bytes: at most one live timer has it.
    #[must_use]
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.key = Some(key.as_ref().to_vec());
        self
    }

    /// What to do when a live timer has the key. Default: refuse.
    #[must_use]
    pub fn if_exists(mut self, if_exists: IfExists) -> Self {
        self.if_exists = if_exists;
        self
    }

    /// What happens when it is late. Default: fire once.
    #[must_use]
    pub fn misfire(mut self, misfire: Misfire) -> Self {
        self.misfire = misfire;
        self
    }

    /// Failures after which an occurrence is dead. Default 20; zero means one.
    #[must_use]
    pub fn failures_max(mut self, failures_max: u32) -> Self {
        self.retry.failures_max = NonZeroU32::new(failures_max).unwrap_or(NonZeroU32::MIN);
        self
    }

    /// Deliveries after which an occurrence is dead, those that a crash cut short included. Default 25; zero means one.
    #[must_use]
    pub fn deliveries_max(mut self, deliveries_max: u32) -> Self {
        self.retry.deliveries_max = NonZeroU32::new(deliveries_max).unwrap_or(NonZeroU32::MIN);
        self
    }

    /// The wait after the first failure, doubled after each further one up to `max`. Default one second, one hour.
    #[must_use]
    pub fn backoff(mut self, base: Duration, max: Duration) -> Self {
        let ns = |wait: Duration| u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        (self.retry.backoff_base_ns, self.retry.backoff_max_ns) = (ns(base), ns(max));
        self
    }

    /// How safe it is before the call is answered. Default: [`Durability::Synced`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    pub(crate) fn level(&self) -> Durability {
        self.durability
    }

    /// The request, in the words of the rules.
    pub(crate) fn request(&self) -> Result<Request<'_>, BadTime> {
        Ok(Request {
            when: self.when.resolve()?,
            payload: self.payload.view(),
            key: self.key.as_deref(),
            if_exists: self.if_exists,
            misfire: self.misfire,
            retry: self.retry,
        })
    }
}

impl Asked {
    fn resolve(self) -> Result<When, BadTime> {
        match self {
            Self::At(instant) => Ok(When::At { unix_ns: unix_ns(instant).unwrap_or(0) }),
            Self::After(delay) => Ok(When::After { delay_ns: delay.as_nanos() }),
            Self::Every { interval, anchor } => {
                let interval_ns =
                    u64::try_from(interval.as_nanos()).map_err(|_| BadTime::IntervalTooLong { interval })?;
                let interval_ns = NonZeroU64::new(interval_ns).ok_or(BadTime::IntervalZero)?;
                let anchor = match anchor {
                    None => Anchor::Created,
                    Some(instant) => Anchor::Instant {
                        unix_ns: unix_ns(instant)
                            .and_then(|ns| u64::try_from(ns).ok())
                            .ok_or(BadTime::AnchorOutOfRange)?,
                    },
                };
                Ok(When::Every { interval_ns, anchor })
            }
        }
    }
}

/// Nanoseconds since the Unix epoch; `None` before it.
pub(crate) fn unix_ns(instant: SystemTime) -> Option<u128> {
    instant.duration_since(UNIX_EPOCH).ok().map(|since| since.as_nanos())
}
