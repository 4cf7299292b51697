//! What callers ask for: each command is refused, or becomes a record in the same hold of the lock.

use std::collections::BTreeSet;
use std::sync::Arc;

use horolog_state::{
    CancelOutcome, DueTime, FailCause, Limits, Lsn, MESSAGE_BYTES_MAX, Now, Record, Request,
    RescheduleRefusal, ScheduleDecision, ScheduleRefusal, StaleToken, TimerId, Token, codec, decide,
};

use super::{Closing, Durability, Failure, Level, Machine, NoRoom, Room};

/// Operations of one batch at most: they are carried out in one hold of the lock.
pub(crate) const OPERATIONS_MAX: usize = 1_024;

/// A command that was carried out in memory; its answer goes to the caller when its record has come far enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted<T> {
    pub(crate) value: T,
    pub(crate) lsn: Lsn,
    pub(crate) level: Level,
}

/// A command that changed nothing.
#[derive(Clone, Debug)]
pub(crate) enum Refused<R> {
    /// The engine is being shut down.
    Closed,
    /// An earlier write or sync failed.
    Poisoned(Arc<Failure>),
    /// Too much is on its way to the medium, or the medium is full.
    NoRoom(NoRoom),
    /// Every id is in use.
    NoIdLeft,
    /// The rules say no.
    Rules(R),
}

impl<R> Refused<R> {
    /// The same refusal, with what the rules say in other words.
    pub(crate) fn map<S>(self, rules: impl FnOnce(R) -> S) -> Refused<S> {
        match self {
            Self::Closed => Refused::Closed,
            Self::Poisoned(failure) => Refused::Poisoned(failure),
            Self::NoRoom(no_room) => Refused::NoRoom(no_room),
            Self::NoIdLeft => Refused::NoIdLeft,
            Self::Rules(refusal) => Refused::Rules(rules(refusal)),
        }
    }
}

impl<R> From<NoRoom> for Refused<R> {
    fn from(no_room: NoRoom) -> Self {
        Self::NoRoom(no_room)
    }
}

/// One operation of an atomic batch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation<'a> {
    Schedule(Request<'a>),
    Cancel(TimerId),
    Complete(Token),
}

/// What an operation of a batch came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Applied {
    /// The timer has this id; a kept one had it before.
    Scheduled(TimerId),
    /// The cancel came to this.
    Cancelled(CancelOutcome),
    /// The occurrence in flight of this timer is done.
    Completed(TimerId),
}

/// An operation of a batch, decided: its record, or the record on which its answer rests.
struct Decided<'a> {
    applied: Applied,
    record: Result<Record<'a>, Lsn>,
}

/// Why a batch was refused as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchRefusal {
    /// The timer of an operation is refused.
    #[error("operation {index}: {refusal}")]
    Schedule {
        /// Which operation, from 0.
        index: usize,
        /// Why.
        refusal: ScheduleRefusal,
    },
    /// The delivery of an operation is not in flight.
    #[error("operation {index}: {stale}")]
    Stale {
        /// Which operation, from 0.
        index: usize,
        /// Which delivery.
        stale: StaleToken,
    },
    /// There are more operations than one hold of the engine's lock may carry out.
    #[error("the batch has {operations} operations and the limit is {operations_max}")]
    TooManyOperations {
        /// How many there are.
        operations: usize,
        /// The limit.
        operations_max: usize,
    },
    /// Its records would not fit the buffer even if nothing else were in it.
    #[error("the batch takes up to {bytes} bytes and the limit is {bytes_max}")]
    TooLarge {
        /// What it takes at most.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A timer or a key is named by two operations. All are decided before any is applied, so one would not see the other.
    #[error("operation {index} names a timer or a key that an earlier operation of the batch names")]
    NamedTwice {
        /// The second one, from 0.
        index: usize,
    },
}

fn level_of(durability: Durability) -> Level {
    match durability {
        Durability::Synced => Level::Durable,
        Durability::Written { .. } => Level::Written,
    }
}

impl Machine {
    /// Intake is open: not closing, not failed.
    fn intake<R>(&self) -> Result<(), Refused<R>> {
        if let Some(failure) = &self.failure {
            return Err(Refused::Poisoned(Arc::clone(failure)));
        }
        if self.closing == Closing::No { Ok(()) } else { Err(Refused::Closed) }
    }

    /// Outcomes are taken until the engine is closed, and after a failure in memory: what is done is done.
    fn outcome_intake<R>(&self) -> Result<(), Refused<R>> {
        if self.closing == Closing::All { Err(Refused::Closed) } else { Ok(()) }
    }

    pub(crate) fn schedule(
        &mut self,
        request: &Request<'_>,
        durability: Durability,
        now: &Now,
    ) -> Result<Accepted<TimerId>, Refused<ScheduleRefusal>> {
        self.intake()?;
        self.room(request.record_bytes_max(), Room::Ordinary)?;
        let limits = self.options.limits;
        let (value, record) = self.decide_schedule(request, &limits, now)?;
        let lsn = match record {
            Ok(record) => self.append(&record, durability, now),
            Err(rests_on) => self.rest_on(rests_on, durability),
        };
        self.buffers.seam();
        Ok(Accepted { value, lsn, level: level_of(durability) })
    }

    pub(crate) fn cancel(
        &mut self,
        id: TimerId,
        durability: Durability,
        now: &Now,
    ) -> Result<Accepted<CancelOutcome>, Refused<std::convert::Infallible>> {
        self.intake()?;
        self.room(codec::RECORD_OVERHEAD_BYTES_MAX, Room::Reserved)?;
        let decision = decide::cancel(&self.state, id);
        let lsn = match decision.record {
            Some(record) => self.append(&Record::Cancel(record), durability, now),
            None => self.rest_on(decision.rests_on, durability),
        };
        self.buffers.seam();
        Ok(Accepted { value: decision.outcome, lsn, level: level_of(durability) })
    }

    pub(crate) fn reschedule(
        &mut self,
        id: TimerId,
        due: DueTime,
        durability: Durability,
        now: &Now,
    ) -> Result<Accepted<()>, Refused<RescheduleRefusal>> {
        self.intake()?;
        self.room(codec::RECORD_OVERHEAD_BYTES_MAX, Room::Ordinary)?;
        let decision = decide::reschedule(&self.state, id, due);
        if let Err(RescheduleRefusal::AlreadyDone { rests_on }) = decision {
            self.rest_on(rests_on, Durability::Synced);
        }
        let record = decision.map_err(Refused::Rules)?;
        let lsn = self.append(&Record::Reschedule(record), durability, now);
        self.buffers.seam();
        Ok(Accepted { value: (), lsn, level: level_of(durability) })
    }

    pub(crate) fn complete(
        &mut self,
        token: Token,
        durability: Durability,
        now: &Now,
    ) -> Result<Accepted<()>, Refused<StaleToken>> {
        self.outcome_intake()?;
        self.room(codec::RECORD_OVERHEAD_BYTES_MAX, Room::Reserved)?;
        let record = decide::complete(&self.state, token).map_err(Refused::Rules)?;
        let lsn = self.append(&Record::Complete(record), durability, now);
        self.settled(token.id);
        self.buffers.seam();
        Ok(Accepted { value: (), lsn, level: level_of(durability) })
    }

    pub(crate) fn fail_delivery(
        &mut self,
        token: Token,
        cause: FailCause,
        message: &str,
        now: &Now,
    ) -> Result<Accepted<()>, Refused<StaleToken>> {
        self.outcome_intake()?;
        let bytes_max = codec::RECORD_OVERHEAD_BYTES_MAX + MESSAGE_BYTES_MAX;
        self.room(bytes_max, Room::Reserved)?;
        let record = decide::fail(&self.state, token, cause, message, self.options.tick_len, now)
            .map_err(Refused::Rules)?;
        let durability = super::delivery::OWN;
        let lsn = self.append(&record, durability, now);
        self.settled(token.id);
        self.buffers.seam();
        Ok(Accepted { value: (), lsn, level: level_of(durability) })
    }

    /// All operations or none: decided before any is applied, in one log batch, so a crash leaves all of them or none.
    pub(crate) fn batch(
        &mut self,
        operations: &[Operation<'_>],
        durability: Durability,
        now: &Now,
    ) -> Result<Accepted<Vec<Applied>>, Refused<BatchRefusal>> {
        self.intake()?;
        self.batch_room(operations)?;
        self.named_once(operations).map_err(Refused::Rules)?;
        let mut decided = Vec::with_capacity(operations.len());
        if let Err(refused) = self.decide_all(operations, &mut decided, now) {
            self.take_back_ids(&decided);
            return Err(refused);
        }
        let writes = operations.iter().zip(&decided).filter(|(_, decided)| decided.record.is_ok());
        self.buffers.prepare(writes.map(|(operation, _)| operation.inline_bytes_max()).sum());
        let level = level_of(durability);
        let mut accepted = Accepted { value: Vec::with_capacity(decided.len()), lsn: Lsn::ZERO, level };
        for Decided { applied, record } in decided {
            let lsn = match record {
                Ok(record) => self.append(&record, durability, now),
                Err(rests_on) => self.rest_on(rests_on, durability),
            };
            if let Applied::Completed(id) = applied {
                self.settled(id);
            }
            accepted.value.push(applied);
            accepted.lsn = accepted.lsn.max(lsn);
        }
        self.buffers.seam();
        Ok(accepted)
    }

    /// A batch that would not fit an empty buffer is too large for ever; any other one may have to wait for room.
    fn batch_room(&self, operations: &[Operation<'_>]) -> Result<(), Refused<BatchRefusal>> {
        if operations.len() > OPERATIONS_MAX {
            let (operations, operations_max) = (operations.len(), OPERATIONS_MAX);
            return Err(Refused::Rules(BatchRefusal::TooManyOperations { operations, operations_max }));
        }
        let schedules = operations.iter().any(|operation| matches!(operation, Operation::Schedule(_)));
        let room = if schedules { Room::Ordinary } else { Room::Reserved };
        let bytes = operations.iter().map(Operation::record_bytes_max).sum();
        let bytes_max = self.buffers.bytes_max(room);
        if bytes > bytes_max {
            return Err(Refused::Rules(BatchRefusal::TooLarge { bytes, bytes_max }));
        }
        Ok(self.room(bytes, room)?)
    }

    /// Decides each operation against the state before the batch. They name different things, so none depends on
    /// another, but for the room that new timers take together.
    fn decide_all<'a>(
        &mut self,
        operations: &[Operation<'a>],
        decided: &mut Vec<Decided<'a>>,
        now: &Now,
    ) -> Result<(), Refused<BatchRefusal>> {
        let mut limits = self.options.limits;
        for (index, operation) in operations.iter().enumerate() {
            decided.push(match operation {
                Operation::Cancel(id) => {
                    let decision = decide::cancel(&self.state, *id);
                    let record = decision.record.map(Record::Cancel).ok_or(decision.rests_on);
                    Decided { applied: Applied::Cancelled(decision.outcome), record }
                }
                Operation::Complete(token) => {
                    let record = decide::complete(&self.state, *token)
                        .map_err(|stale| Refused::Rules(BatchRefusal::Stale { index, stale }))?;
                    Decided { applied: Applied::Completed(token.id), record: Ok(Record::Complete(record)) }
                }
                Operation::Schedule(request) => {
                    let (id, record) = self.decide_schedule(request, &limits, now).map_err(|refused| {
                        refused.map(|refusal| BatchRefusal::Schedule { index, refusal })
                    })?;
                    if record.is_ok() {
                        limits.timers_max = limits.timers_max.saturating_sub(1);
                        let bytes_max = &mut limits.memory_bytes_max;
                        *bytes_max = bytes_max.saturating_sub(request.payload.len());
                    }
                    Decided { applied: Applied::Scheduled(id), record }
                }
            });
        }
        Ok(())
    }

    fn decide_schedule<'a>(
        &mut self,
        request: &Request<'a>,
        limits: &Limits,
        now: &Now,
    ) -> Result<(TimerId, Result<Record<'a>, Lsn>), Refused<ScheduleRefusal>> {
        let id = self.state.slab_mut().reserve().ok_or(Refused::NoIdLeft)?;
        let decision = decide::schedule(&self.state, request, limits, id, self.options.tick_len, now);
        if !matches!(decision, Ok(ScheduleDecision::Put(_))) {
            self.state.slab_mut().unreserve(id);
        }
        match decision {
            Ok(ScheduleDecision::Put(put)) => Ok((id, Ok(Record::Put(put)))),
            Ok(ScheduleDecision::Kept { id: kept, rests_on }) => Ok((kept, Err(rests_on))),
            Err(refusal) => {
                if let ScheduleRefusal::KeyExists { rests_on, .. } = refusal {
                    self.rest_on(rests_on, Durability::Synced);
                }
                Err(Refused::Rules(refusal))
            }
        }
    }

    /// An answer rests on a record of somebody else's, which may have been promised less: it has to come as far as this
    /// answer's promise without waiting for its own term.
    fn rest_on(&mut self, rests_on: Lsn, durability: Durability) -> Lsn {
        match durability {
            Durability::Synced => self.log.promise_durable(rests_on),
            Durability::Written { .. } => self.log.wants_written(rests_on),
        }
        rests_on
    }

    /// A batch is refused: the ids reserved for its timers go back, last one first.
    fn take_back_ids(&mut self, decided: &[Decided<'_>]) {
        for decided in decided.iter().rev() {
            if let Ok(Record::Put(put)) = decided.record {
                self.state.slab_mut().unreserve(put.id);
            }
        }
    }

    fn named_once(&self, operations: &[Operation<'_>]) -> Result<(), BatchRefusal> {
        let (mut ids, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for (index, operation) in operations.iter().enumerate() {
            let new = match operation {
                Operation::Cancel(id) => ids.insert(*id),
                Operation::Complete(token) => ids.insert(token.id),
                Operation::Schedule(request) => request.key.is_none_or(|key| {
                    keys.insert(key) && self.state.by_key(key).is_none_or(|id| ids.insert(id))
                }),
            };
            if !new {
                return Err(BatchRefusal::NamedTwice { index });
            }
        }
        Ok(())
    }

    /// A consumer let go of an occurrence: a failure that must not be lost, so it waits if there is no room for it now.
    pub(crate) fn drop_delivery(&mut self, token: Token, cause: FailCause, now: &Now) {
        if let Err(Refused::NoRoom(_)) = self.fail_delivery(token, cause, "", now) {
            self.dropped.push((token, cause));
        }
    }

    /// Notes failures for which there was no room before. There are no more of them than occurrences in flight.
    pub(super) fn note_dropped(&mut self, now: &Now) {
        for (token, cause) in std::mem::take(&mut self.dropped) {
            self.drop_delivery(token, cause, now);
        }
    }

    /// Calls are refused and nothing new is begun from here on; outcomes are taken.
    pub(crate) fn close_intake(&mut self) {
        self.closing = Closing::Intake;
    }

    /// Outcomes are refused as well; everything up to the record returned has to become durable.
    pub(crate) fn close(&mut self, now: &Now) -> Lsn {
        self.note_clock(now);
        self.closing = Closing::All;
        self.log.try_once_more();
        self.promise_all()
    }

    /// Everything up to the record returned, the last one applied, has to become durable.
    pub(crate) fn promise_all(&mut self) -> Lsn {
        let applied = self.state.applied();
        self.log.promise_durable(applied);
        applied
    }
}

impl Operation<'_> {
    fn inline_bytes_max(&self) -> usize {
        match self {
            Self::Schedule(request) => request.inline_bytes_max(),
            Self::Cancel(_) | Self::Complete(_) => codec::RECORD_OVERHEAD_BYTES_MAX,
        }
    }

    fn record_bytes_max(&self) -> usize {
        match self {
            Self::Schedule(request) => request.record_bytes_max(),
            Self::Cancel(_) | Self::Complete(_) => codec::RECORD_OVERHEAD_BYTES_MAX,
        }
    }
}
