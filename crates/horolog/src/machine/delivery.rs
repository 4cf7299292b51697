//! From due to handed over: the timer thread's turn, and what a consumer gets.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use horolog_state::{
    Clock, DueTime, Now, Payload, Phase, Record, TickLen, Timeline, TimerId, TimerView, Token, decide,
    misfire_threshold_ticks,
};
use horolog_wheel::Progress;

use super::ready::Hint;
use super::{Closing, Durability, Machine, OWN_SYNC_WITHIN_NS, Room, lane_index};

/// The engine's own records: written before anything rests on them, synced a second later at most.
pub(super) const OWN: Durability =
    Durability::Written { sync_within: Duration::from_nanos(OWN_SYNC_WITHIN_NS) };

/// Room that a record of the engine's own making needs at most.
const OWN_RECORD_BYTES_MAX: usize = horolog_state::codec::RECORD_OVERHEAD_BYTES_MAX;

/// Steps of `decide::due` for one timer at most: superseded, skipped, skipped again, delivered.
const STEPS_MAX: usize = 4;

/// The wall clock has been set when it drifts from elapsed time by more than this.
const CLOCK_STEP_NS: u64 = 500_000_000;

/// The longest sleep of the timer thread, so that a clock that was set is noticed.
const SLEEP_NS_MAX: u64 = 1_000_000_000;

/// What the timer thread does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// There is more to do at once: take another turn.
    pub(crate) more: bool,
    /// Timers are ready and consumers have no room.
    pub(crate) starved: bool,
    /// Occurrences have been begun and their records are not written yet.
    pub(crate) on_their_way: bool,
    /// Nothing is due for this long.
    pub(crate) sleep_ns: u64,
}

/// An occurrence that goes to a consumer.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) token: Token,
    pub(crate) payload: Payload,
    pub(crate) key: Box<[u8]>,
    pub(crate) deadline: SystemTime,
    pub(crate) lateness: Duration,
    pub(crate) missed: Option<MissedSlots>,
}

/// The occurrences that passed while nothing ran and that one delivery stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissedSlots {
    /// How many.
    pub count: u64,
    /// When the first of them was due.
    pub first: SystemTime,
    /// When the last of them was due.
    pub last: SystemTime,
}

/// When the timer thread means to look again, and whether something has come up since.
#[derive(Debug)]
pub(super) struct TimerPlan {
    /// The first tick on each timeline for which it will wake by itself.
    wakes_at: [u64; 2],
    pub(super) look_again: bool,
    wall_minus_elapsed_ns: i128,
    pub(super) clock_steps: u64,
}

impl TimerPlan {
    pub(super) fn new(now: &Now) -> Self {
        let wall_minus_elapsed_ns = wall_minus_elapsed_ns(now);
        Self { wakes_at: [0; 2], look_again: false, wall_minus_elapsed_ns, clock_steps: 0 }
    }

    /// A timer went into a wheel: the thread sleeps too long if that is due before it wakes.
    pub(super) fn armed(&mut self, due: DueTime) {
        if self.wakes_at.get(lane_index(due.timeline)).is_none_or(|&wakes_at| due.tick.0 < wakes_at) {
            self.look_again = true;
        }
    }

    pub(super) fn look_again(&mut self) {
        self.look_again = true;
    }
}

fn wall_minus_elapsed_ns(now: &Now) -> i128 {
    i128::from(now.civil_ns) - i128::from(now.elapsed_ns)
}

impl Machine {
    /// One turn of the timer thread: time moves on, due timers become ready, deliveries begin as far as consumers have
    /// room. `queued` is what consumers have not received yet.
    pub(crate) fn advance(&mut self, now: &Now, queued: usize) -> Turn {
        self.timer.look_again = false;
        if self.closing != Closing::All {
            self.note_clock_step(now);
        }
        let more_due = self.advance_wheels(now);
        self.note_dropped(now);
        let begun = if self.closing != Closing::No { Begin::Idle } else { self.begin(now, queued) };
        let sleep_ns = self.plan_sleep(now);
        Turn {
            more: more_due || begun == Begin::More,
            starved: begun == Begin::Starved,
            on_their_way: self.in_transit > 0,
            sleep_ns,
        }
    }

    fn advance_wheels(&mut self, now: &Now) -> bool {
        let budget = self.options.items_a_turn;
        let mut due = Vec::new();
        let mut more = false;
        for (wheel, tick) in self.wheels.iter_mut().zip([now.civil, now.elapsed]) {
            let progress = wheel.advance(self.state.slab_mut(), tick, budget, &mut due);
            more |= progress == Progress::More;
        }
        for _ in 0..budget {
            let Some(&(tick, id)) = self.held.first().filter(|(tick, _)| *tick <= now.civil) else { break };
            self.held.remove(&(tick, id));
            due.push(id);
        }
        more |= self.held.first().is_some_and(|(tick, _)| *tick <= now.civil);
        for id in due {
            self.ready.push(id.slot());
        }
        more
    }

    fn begin(&mut self, now: &Now, queued: usize) -> Begin {
        let taken = queued + self.in_transit;
        let mut room = self.options.due_capacity.saturating_sub(taken);
        for _ in 0..self.options.items_a_turn {
            if self.ready.is_empty() && !self.suspect_is_next() {
                return Begin::Idle;
            }
            if room == 0 {
                return Begin::Starved;
            }
            match self.begin_next(now) {
                Step::Begun => room -= 1,
                Step::Nothing => {}
                Step::NoRoom => return Begin::Idle,
            }
        }
        Begin::More
    }

    fn suspect_is_next(&self) -> bool {
        self.suspect_in_flight.is_none() && !self.suspects.is_empty()
    }

    /// Suspects go one at a time: if one of them kills the process, it alone has been tried once more.
    fn begin_next(&mut self, now: &Now) -> Step {
        if self.suspect_is_next()
            && let Some(id) = self.suspects.pop_front()
        {
            let step = self.begin_timer(id, now);
            match step {
                Step::Begun => self.suspect_in_flight = Some(id),
                Step::NoRoom => self.suspects.push_front(id),
                Step::Nothing => {}
            }
            return step;
        }
        let Some(hint) = self.ready.pop() else { return Step::Nothing };
        let id = match hint {
            Hint::Slot(slot) => self.state.id_at(slot),
            Hint::Missed(id) => Some(id),
        };
        let step = id.map_or(Step::Nothing, |id| self.begin_timer(id, now));
        if step == Step::NoRoom {
            self.ready.put_back(hint);
        }
        step
    }

    /// Does what is due for one timer: at most one delivery.
    fn begin_timer(&mut self, id: TimerId, now: &Now) -> Step {
        if self.comes_by_wheel(id) {
            // The hint is older than the timer's due time.
            return Step::Nothing;
        }
        for _ in 0..STEPS_MAX {
            if self.room(OWN_RECORD_BYTES_MAX, Room::Reserved).is_err() {
                return Step::NoRoom;
            }
            let Some(record) = decide::due(&self.state, id, self.options.tick_len, now) else {
                self.arm_again(id, now);
                return Step::Nothing;
            };
            self.append(&record, OWN, now);
            self.buffers.seam();
            if matches!(record, Record::Deliver(_)) {
                self.in_transit += 1;
                return Step::Begun;
            }
        }
        Step::Nothing
    }

    /// It is in a wheel, or will be once the record that gave it its due time has come far enough.
    fn comes_by_wheel(&self, id: TimerId) -> bool {
        let armed = self.state.slab().get(id).is_some_and(|entry| entry.armed.is_some());
        armed || self.arming.contains(id.slot())
    }

    /// A timer that was due and is not any more: the wall clock was set back in between. A recurring one in flight has its
    /// next occurrence to come, like one that waits.
    fn arm_again(&mut self, id: TimerId, now: &Now) {
        let Some(timer) = self.state.view(id) else { return };
        let has_a_due_time = match timer.phase {
            Phase::Waiting => true,
            Phase::Leased => timer.recurrence.is_some(),
            Phase::Dead | Phase::Ended | Phase::Vacant => false,
        };
        if has_a_due_time && !timer.doomed && !now.has_reached(timer.due) && !self.comes_by_wheel(id) {
            self.arm(id, timer.due, now.civil);
        }
    }

    /// The Deliver record was written: the occurrence leaves the engine.
    pub(super) fn hand_out(&mut self, id: TimerId, now: &Now) {
        let epoch = self.state.epoch();
        let tick_len = self.options.tick_len;
        let Some((timer, payload)) = self.state.view(id).zip(self.state.share_payload(id)) else { return };
        let live = timer.recurrence.and_then(|recurrence| Some((recurrence, recurrence.live?)));
        let occurrence = live.map_or(0, |(_, live)| live.index);
        let due = live.map_or(timer.due, |(recurrence, live)| recurrence.grid.due(tick_len, live.index));
        self.outgoing.push(Begun {
            token: Token { id, occurrence, number: timer.deliveries, epoch },
            payload,
            key: timer.key.into(),
            deadline: instant(due, tick_len, now),
            lateness: lateness(due, tick_len, now),
            missed: missed_slots(&timer, due, tick_len, now),
        });
    }

    /// A suspect's outcome is known: the next one may go.
    pub(super) fn settled(&mut self, id: TimerId) {
        if self.suspect_in_flight == Some(id) {
            self.suspect_in_flight = None;
            self.timer.look_again();
        }
    }

    /// Notes the clocks down when the wall clock was set, so that elapsed time goes on from there after a reboot.
    fn note_clock_step(&mut self, now: &Now) {
        let offset = wall_minus_elapsed_ns(now);
        let moved = offset.abs_diff(self.timer.wall_minus_elapsed_ns) > u128::from(CLOCK_STEP_NS);
        if moved && self.note_clock(now) {
            self.timer.wall_minus_elapsed_ns = offset;
            self.timer.clock_steps += 1;
        }
    }

    /// Writes a `Clock` record; `false` if there is no room for it now.
    pub(super) fn note_clock(&mut self, now: &Now) -> bool {
        if self.room(OWN_RECORD_BYTES_MAX, Room::Reserved).is_err() {
            return false;
        }
        let noted = self.state.reading();
        // Boot time runs with elapsed time while the engine is open, so the opening's pair gives the present one.
        let passed_ns = now.elapsed_ns.saturating_sub(noted.elapsed_ns);
        let reading = horolog_state::ClockReading {
            wall_ns: now.civil_ns,
            boottime_ns: noted.boottime_ns.saturating_add(passed_ns),
            boot_id: noted.boot_id,
            elapsed_ns: now.elapsed_ns,
        };
        self.append(&Record::Clock(Clock { reading }), OWN, now);
        true
    }

    fn plan_sleep(&mut self, now: &Now) -> u64 {
        let tick_len = self.options.tick_len;
        let held = self.held.first().map(|&(tick, _)| tick);
        let mut sleep_ns = SLEEP_NS_MAX;
        for (index, timeline) in [Timeline::Civil, Timeline::Elapsed].into_iter().enumerate() {
            let wake = self.wheels.get(index).and_then(horolog_wheel::Wheel::next_wake);
            let wake = if timeline == Timeline::Civil { wake.into_iter().chain(held).min() } else { wake };
            let wakes_at = wake.map_or(u64::MAX, |tick| tick.0);
            if let Some(place) = self.timer.wakes_at.get_mut(index) {
                *place = wakes_at;
            }
            if let Some(tick) = wake {
                sleep_ns = sleep_ns.min(ns_until(DueTime { timeline, tick }, tick_len, now));
            }
        }
        sleep_ns
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    Idle,
    More,
    Starved,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Begun,
    Nothing,
    NoRoom,
}

fn present_ns(timeline: Timeline, now: &Now) -> u64 {
    match timeline {
        Timeline::Civil => now.civil_ns,
        Timeline::Elapsed => now.elapsed_ns,
    }
}

fn ns_until(due: DueTime, tick_len: TickLen, now: &Now) -> u64 {
    let wait = tick_len.start_ns(due.tick).saturating_sub(present_ns(due.timeline, now).into());
    u64::try_from(wait).unwrap_or(u64::MAX)
}

fn lateness(due: DueTime, tick_len: TickLen, now: &Now) -> Duration {
    let late = u128::from(present_ns(due.timeline, now)).saturating_sub(tick_len.start_ns(due.tick));
    Duration::from_nanos(u64::try_from(late).unwrap_or(u64::MAX))
}

/// The UTC instant of a due time; one on the elapsed timeline is seen from the present. The end of time is the last
/// instant that 64 bits of nanoseconds hold.
pub(super) fn instant(due: DueTime, tick_len: TickLen, now: &Now) -> SystemTime {
    let ahead_ns = i128::from(ns_until(due, tick_len, now));
    let late_ns = i128::try_from(lateness(due, tick_len, now).as_nanos()).unwrap_or(0);
    let unix_ns = (i128::from(now.civil_ns) + ahead_ns - late_ns).max(0);
    let unix_ns = u64::try_from(unix_ns).unwrap_or(u64::MAX);
    UNIX_EPOCH.checked_add(Duration::from_nanos(unix_ns)).unwrap_or(UNIX_EPOCH)
}

fn missed_slots(timer: &TimerView<'_>, due: DueTime, tick_len: TickLen, now: &Now) -> Option<MissedSlots> {
    let live = timer.recurrence.and_then(|recurrence| Some((recurrence.grid, recurrence.live?)));
    let (count, first) = match live {
        None => (1, due),
        Some((grid, live)) => (live.index - live.covers_from + 1, grid.due(tick_len, live.covers_from)),
    };
    let late = now.ticks_since(due) > misfire_threshold_ticks(tick_len);
    (count > 1 || late).then(|| MissedSlots {
        count,
        first: instant(first, tick_len, now),
        last: instant(due, tick_len, now),
    })
}
