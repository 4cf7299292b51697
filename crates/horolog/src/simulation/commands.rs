//! What callers and consumers do.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use horolog_state::{
    Anchor, CancelOutcome, FailCause, IfExists, Lsn, Misfire, Payload, Request, Retry, ScheduleRefusal,
    TimerId, When,
};
use horolog_wal::{BATCH_HEADER_LEN, BLOCK_LEN, BatchHeader, Context};

use super::TICK_LEN;
use super::model::{Expected, ms};
use super::step::Step;
use super::verdict::{Checked, Invariant};
use super::world::World;
use crate::machine::{Applied, NoRoom, Operation, Refused};
use crate::timer::Durability;

fn durability(within: u32) -> Durability {
    match within {
        0 => Durability::Synced,
        _ => Durability::Written { sync_within: Duration::from_millis(within.into()) },
    }
}

fn retry(tries: u32) -> Retry {
    let base = Retry { backoff_base_ns: ms(100), backoff_max_ns: ms(10_000), ..Retry::default() };
    NonZeroU32::new(tries).map_or(base, |most| Retry { failures_max: most, deliveries_max: most, ..base })
}

fn if_exists(policy: u32) -> IfExists {
    if policy & 1 > 0 { IfExists::Keep } else { IfExists::Error }
}

fn misfire(policy: u32) -> Misfire {
    if policy & 2 > 0 { Misfire::Skip } else { Misfire::FireOnce }
}

impl World {
    pub(crate) fn command(&mut self, step: Step) -> Checked {
        match step {
            Step::After { ms: delay, bytes, within } => {
                self.schedule_once(When::After { delay_ns: ms(delay).into() }, bytes, within)
            }
            Step::At { ms: ahead, bytes, within } => {
                let unix_ns = u128::from(self.now().civil_ns + ms(ahead));
                self.schedule_once(When::At { unix_ns }, bytes, within)
            }
            Step::Extreme { end: 0, within } => self.schedule_once(When::At { unix_ns: 0 }, 8, within),
            Step::Extreme { within, .. } => {
                self.schedule_once(When::After { delay_ns: u128::MAX }, 8, within)
            }
            Step::Keyed { ms: delay, key, policy, tries, within } => {
                self.schedule_keyed(delay, key, policy, tries, within)
            }
            Step::Every { ms: interval, key, policy, within } => {
                self.schedule_every(interval, key, policy, within)
            }
            Step::Crafted { block, within } => self.schedule_crafted(block, within),
            Step::Cancel { nth, within } => self.cancel(nth, within),
            Step::Reschedule { nth, ms: ahead, civil, within } => self.reschedule(nth, ahead, civil, within),
            Step::Batch { held, ms: delay, cancels, nth, within } => {
                self.batch(held, delay, (cancels > 0).then_some(nth), within)
            }
            Step::Receive {} => self.receive(),
            Step::Complete { held, within } => self.complete(held, within),
            Step::Fail { held } => self.fail(held),
            Step::Drop { held } => self.let_go(held),
            _ => Ok(()),
        }
    }

    /// Every payload is another one.
    fn payload(&mut self, bytes: u32) -> Payload {
        self.serial += 1;
        let mut payload = self.serial.to_le_bytes().to_vec();
        payload.resize(8 + bytes.min(4_900) as usize, 7);
        payload.into()
    }

    fn schedule_once(&mut self, when: When, bytes: u32, within: u32) -> Checked {
        let payload = self.payload(bytes);
        self.schedule(&Request { payload: payload.view(), ..Request::new(when) }, &payload, within)
    }

    fn schedule_keyed(&mut self, delay: u32, key: u32, policy: u32, tries: u32, within: u32) -> Checked {
        let (payload, key) = (self.payload(8), [b'k', (key % 4).to_le_bytes()[0]]);
        let request = Request {
            payload: payload.view(),
            key: Some(&key),
            if_exists: if_exists(policy),
            misfire: misfire(policy),
            retry: retry(tries),
            ..Request::new(When::After { delay_ns: ms(delay).into() })
        };
        self.schedule(&request, &payload, within)
    }

    fn schedule_every(&mut self, interval: u32, key: u32, policy: u32, within: u32) -> Checked {
        let (payload, key) = (self.payload(8), [b'k', (key % 4).to_le_bytes()[0]]);
        let anchor = match policy & 4 {
            0 => Anchor::Created,
            _ => Anchor::Instant { unix_ns: 3_000_000_000 },
        };
        let interval_ns = NonZeroU64::new(ms(interval)).unwrap_or(NonZeroU64::MIN.saturating_add(999_999));
        let request = Request {
            payload: payload.view(),
            key: Some(&key),
            if_exists: if_exists(policy),
            misfire: misfire(policy),
            retry: retry(0),
            ..Request::new(When::Every { interval_ns, anchor })
        };
        self.schedule(&request, &payload, within)
    }

    /// F17: user bytes that are a valid frame of this very log, if they only stood somewhere else; or that would be one here, made
    /// by somebody who knows all but the salt.
    fn schedule_crafted(&mut self, block: u32, within: u32) -> Checked {
        let files = self.disk.files();
        let newest = files.iter().rev().find(|(name, _)| name.ends_with(".wal")).map(|(name, _)| name);
        let bytes = newest.and_then(|name| self.disk.bytes(name)).unwrap_or_default();
        let payload =
            if block.is_multiple_of(2) { copied(&bytes, block / 2) } else { forged(&bytes, block / 2) };
        let payload = Payload::from(&payload[..]);
        let request =
            Request { payload: payload.view(), ..Request::new(When::After { delay_ns: ms(50).into() }) };
        let before = self.applied();
        self.schedule(&request, &payload, within)?;
        if self.applied() > before {
            self.counts.fault("F17 payload that holds a frame");
        }
        Ok(())
    }

    fn schedule(&mut self, request: &Request<'_>, payload: &Payload, within: u32) -> Checked {
        let now = self.now();
        let Some(node) = &mut self.node else { return Ok(()) };
        let named = request.key.and_then(|key| node.machine.state().by_key(key));
        match (node.machine.schedule(request, durability(within), &now), named) {
            (Ok(accepted), Some(kept)) => {
                self.must(accepted.value == kept, Invariant::Machine, || format!("{kept} was not kept"))
            }
            (Ok(accepted), None) => self.expect(accepted.value, accepted.lsn, request, payload),
            (Err(refused), named) => self.refused_well(&refused, named),
        }
    }

    fn expect(&mut self, id: TimerId, put: Lsn, request: &Request<'_>, payload: &Payload) -> Checked {
        let resolved = request.when.resolve(TICK_LEN, &self.now());
        let grid = resolved.grid.map(|(grid, _)| grid);
        let skips = request.misfire == Misfire::Skip;
        let expected = Expected::new(put, payload.clone(), resolved.due, grid, skips);
        let found = self.model.expect(id, expected);
        self.agree(Invariant::I3, found)
    }

    /// A refusal says what is the matter. I10: a full disk is told as one, and only where there is one.
    fn refused_well(&mut self, refused: &Refused<ScheduleRefusal>, named: Option<TimerId>) -> Checked {
        let (invariant, well) = match refused {
            Refused::Rules(ScheduleRefusal::TooManyTimers { .. }) => (Invariant::Machine, true),
            Refused::Rules(ScheduleRefusal::KeyExists { id, .. }) => (Invariant::Machine, Some(*id) == named),
            Refused::NoRoom(NoRoom::Buffer { unsynced_bytes, .. }) => {
                (Invariant::Machine, *unsynced_bytes > 0)
            }
            Refused::NoRoom(NoRoom::Disk(error)) => (Invariant::I10, error.is_full() && self.armed.full),
            Refused::Poisoned(_) => (Invariant::Machine, self.failure().is_some()),
            _ => (Invariant::Machine, false),
        };
        self.must(well, invariant, || format!("a timer was refused: {refused:?}"))
    }

    /// Whether new work is refused because of the disk.
    pub(crate) fn is_refused_as_full(&mut self) -> bool {
        let now = self.now();
        let Some(node) = &mut self.node else { return false };
        let payload = Payload::from(&b"is there room?"[..]);
        let request =
            Request { payload: payload.view(), ..Request::new(When::After { delay_ns: ms(10).into() }) };
        match node.machine.schedule(&request, Durability::Synced, &now) {
            Ok(accepted) => self.expect(accepted.value, accepted.lsn, &request, &payload).is_err(),
            Err(Refused::NoRoom(NoRoom::Disk(_))) => true,
            Err(_) => false,
        }
    }

    fn cancel(&mut self, nth: u32, within: u32) -> Checked {
        let (Some(id), now) = (self.model.id(nth), self.now()) else { return Ok(()) };
        let Some(node) = &mut self.node else { return Ok(()) };
        let Ok(accepted) = node.machine.cancel(id, durability(within), &now) else { return Ok(()) };
        let (epoch, is_gone) = (node.machine.state().epoch(), node.machine.state().view(id).is_none());
        match accepted.value {
            CancelOutcome::Cancelled => {
                let found = self.model.cancelled(id, accepted.lsn);
                self.agree(Invariant::I3, found)
            }
            CancelOutcome::InFlight => {
                self.model.doomed(id, accepted.lsn, epoch);
                Ok(())
            }
            CancelOutcome::AlreadyDone => {
                self.must(is_gone, Invariant::Machine, || format!("{id} lives and is said to be done"))
            }
            CancelOutcome::NotFound => Err(self.violation(Invariant::I1, format!("{id} is not known"))),
        }
    }

    fn reschedule(&mut self, nth: u32, ahead: u32, civil: u32, within: u32) -> Checked {
        let (Some(id), now) = (self.model.id(nth), self.now()) else { return Ok(()) };
        let when = match civil {
            0 => When::After { delay_ns: ms(ahead).into() },
            _ => When::At { unix_ns: u128::from(now.civil_ns + ms(ahead)) },
        };
        let due = when.resolve(TICK_LEN, &now).due;
        let Some(node) = &mut self.node else { return Ok(()) };
        if let Ok(accepted) = node.machine.reschedule(id, due, durability(within), &now) {
            self.model.moved(id, accepted.lsn, due);
        }
        Ok(())
    }

    /// Completes one occurrence, schedules another timer and perhaps cancels a third: all or none.
    fn batch(&mut self, held: u32, delay: u32, cancels: Option<u32>, within: u32) -> Checked {
        let payload = self.payload(8);
        let request =
            Request { payload: payload.view(), ..Request::new(When::After { delay_ns: ms(delay).into() }) };
        let at = (held as usize).checked_rem(self.held.len());
        let completes = at.and_then(|at| self.held.get(at)).map(|begun| begun.token);
        let cancelled = cancels.and_then(|nth| self.model.id(nth));
        let operations: Vec<_> = completes
            .map(Operation::Complete)
            .into_iter()
            .chain([Operation::Schedule(request)])
            .chain(cancelled.map(Operation::Cancel))
            .collect();
        let now = self.now();
        let Some(node) = &mut self.node else { return Ok(()) };
        let before = node.machine.state().applied();
        let Ok(accepted) = node.machine.batch(&operations, durability(within), &now) else {
            let after = self.applied();
            return self.must(before == after, Invariant::I2, || "a refused batch changed something".into());
        };
        let epoch = node.machine.state().epoch();
        // The records of a batch follow each other.
        let mut lsn = before;
        for applied in &accepted.value {
            lsn = lsn.next();
            match applied {
                Applied::Completed(id) => {
                    let occurrence = completes.map_or(0, |token| token.occurrence);
                    self.model.completed(*id, lsn, occurrence);
                    at.map(|at| self.held.remove(at));
                }
                Applied::Scheduled(id) => self.expect(*id, lsn, &request, &payload)?,
                Applied::Cancelled(outcome) => self.cancelled_in_batch(cancelled, *outcome, lsn, epoch)?,
            }
        }
        Ok(())
    }

    fn cancelled_in_batch(
        &mut self,
        id: Option<TimerId>,
        outcome: CancelOutcome,
        lsn: Lsn,
        epoch: u64,
    ) -> Checked {
        match (id, outcome) {
            (Some(id), CancelOutcome::Cancelled) => {
                let found = self.model.cancelled(id, lsn);
                self.agree(Invariant::I3, found)
            }
            (Some(id), CancelOutcome::InFlight) => {
                self.model.doomed(id, lsn, epoch);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn receive(&mut self) -> Checked {
        if self.channel.is_empty() {
            return Ok(());
        }
        let (begun, latest) = (self.channel.remove(0), self.latest());
        let found = self.model.received(&begun, &latest);
        self.counts.deliveries += 1;
        self.agree(Invariant::I3, found)?;
        self.held.push(begun);
        Ok(())
    }

    pub(crate) fn complete(&mut self, held: u32, within: u32) -> Checked {
        let now = self.now();
        let Some(at) = (held as usize).checked_rem(self.held.len()) else { return Ok(()) };
        let (Some(begun), Some(node)) = (self.held.get(at), &mut self.node) else { return Ok(()) };
        let token = begun.token;
        match node.machine.complete(token, durability(within), &now) {
            Ok(accepted) => {
                self.model.completed(token.id, accepted.lsn, token.occurrence);
                self.held.remove(at);
                Ok(())
            }
            Err(Refused::NoRoom(_)) => Ok(()),
            Err(other) => {
                Err(self.violation(Invariant::Machine, format!("{token:?} is not completed: {other:?}")))
            }
        }
    }

    fn fail(&mut self, held: u32) -> Checked {
        let now = self.now();
        let Some(at) = (held as usize).checked_rem(self.held.len()) else { return Ok(()) };
        let (Some(begun), Some(node)) = (self.held.get(at), &mut self.node) else { return Ok(()) };
        let token = begun.token;
        match node.machine.fail_delivery(token, FailCause::Reported, "not now", &now) {
            Ok(accepted) => {
                self.model.failed(token.id, accepted.lsn);
                self.held.remove(at);
                Ok(())
            }
            Err(Refused::NoRoom(_)) => Ok(()),
            Err(other) => {
                Err(self.violation(Invariant::Machine, format!("{token:?} is not failed: {other:?}")))
            }
        }
    }

    fn let_go(&mut self, held: u32) -> Checked {
        let now = self.now();
        let Some(at) = (held as usize).checked_rem(self.held.len()) else { return Ok(()) };
        let Some(node) = &mut self.node else { return Ok(()) };
        let begun = self.held.remove(at);
        node.machine.drop_delivery(begun.token, FailCause::Dropped, &now);
        let lsn = node.machine.state().applied();
        self.model.failed(begun.token.id, lsn);
        Ok(())
    }
}

const BLOCK: usize = BLOCK_LEN as usize;

/// A block of a segment.
fn copied(segment: &[u8], block: u32) -> Vec<u8> {
    let blocks = segment.chunks(BLOCK).count().max(1);
    segment.chunks(BLOCK).nth(block as usize % blocks).unwrap_or_default().to_vec()
}

/// The header of a batch far ahead, over and over, so that one of them stands where a block of the segment begins.
fn forged(segment: &[u8], shift: u32) -> Vec<u8> {
    let used = segment.iter().rposition(|byte| *byte != 0).map_or(1, |at| at / BLOCK + 1);
    let header = BatchHeader {
        first_lsn: horolog_wal::Lsn(1 << 40),
        durable_lsn: horolog_wal::Lsn((1 << 40) - 1),
        ordinal: u32::try_from(used).unwrap_or(u32::MAX),
        ..BatchHeader::default()
    };
    let number = |from: usize, to: usize| segment.get(from..to).unwrap_or_default();
    let uuid = number(16, 32).try_into().map_or(0, u128::from_le_bytes);
    let id = number(32, 40).try_into().map_or(0, u64::from_le_bytes);
    let mut frame = [0; BATCH_HEADER_LEN];
    header.encode(&mut frame, &Context::new(uuid, id, 0), header.ordinal + 1);
    let before = std::iter::repeat_n(0, shift as usize % BATCH_HEADER_LEN);
    before.chain(frame.repeat(BLOCK / BATCH_HEADER_LEN + 1)).collect()
}
