//! A lane: the unit of order inside a group.
//!
//! Entries are in offset order. Those in flight come first, up to the window; what is later waits. A failure at
//! one entry rewinds: everything later in flight is taken back, the failed one waits its delay, then it and its
//! successors are sent again. Hold is by position: nothing later than a held entry is ever sent before it.
//! Only the head's clock runs; a follower's starts when everything before it is settled.
//!
//! ```text
//! head                    flying            window
//!  │ in flight │ in flight │ held or waiting │ waiting …
//! ```

use std::collections::VecDeque;
use std::time::Duration;

/// A delivery in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flight {
    /// Who has it.
    pub member: u32,
    /// Which delivery it is.
    pub sequence: u64,
    /// When it was sent.
    pub sent_at: Duration,
    /// How long it may take once its clock runs.
    allowance: Duration,
    clock: Option<Clock>,
}

/// A delivery taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Returned {
    /// The record.
    pub offset: u64,
    /// The delivery.
    pub flight: Flight,
    /// Whether it was the head of the lane.
    pub is_head: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Clock {
    started_at: Duration,
    deadline: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    /// Not before `until`, and not before the commit that holds its attempts is durable.
    Held {
        until: Duration,
        is_recorded: bool,
    },
    InFlight(Flight),
    /// Its dead letter is being written.
    Burying,
    /// It has no attempts left and waits to be released.
    Halted,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    offset: u64,
    state: State,
}

/// The order of one lane's records; it knows offsets and nothing else of them.
#[derive(Debug, Clone)]
pub struct Lane {
    window: usize,
    entries: VecDeque<Entry>,
    /// Entries from the front that are in flight (or being buried among those).
    flying: usize,
    burying: usize,
}

impl Lane {
    /// An empty lane that has at most `window` deliveries in flight.
    #[must_use]
    pub fn new(window: usize) -> Self {
        Self { window, entries: VecDeque::new(), flying: 0, burying: 0 }
    }

    /// Changes the window for sends from now on.
    pub fn set_window(&mut self, window: usize) {
        self.window = window;
    }

    /// Adds a record behind all others.
    pub fn push(&mut self, offset: u64) {
        debug_assert!(self.entries.back().is_none_or(|last| last.offset < offset), "records come in order");
        self.entries.push_back(Entry { offset, state: State::Waiting });
    }

    /// The record to be sent next, if one may be sent now.
    #[must_use]
    pub fn sendable(&self, now: Duration) -> Option<u64> {
        if self.burying > 0 || self.flying >= self.window {
            return None;
        }
        let entry = self.entries.get(self.flying)?;
        match entry.state {
            State::Waiting => Some(entry.offset),
            State::Held { until, is_recorded } => (is_recorded && until <= now).then_some(entry.offset),
            State::InFlight(_) | State::Burying | State::Halted => None,
        }
    }

    /// Notes that the record [`Lane::sendable`] named was sent.
    pub fn send(&mut self, now: Duration, member: u32, sequence: u64, allowance: Duration) {
        if let Some(entry) = self.entries.get_mut(self.flying) {
            let flight = Flight { member, sequence, sent_at: now, allowance, clock: None };
            entry.state = State::InFlight(flight);
            self.flying += 1;
            self.start_clock(now);
        }
    }

    /// Settles a record for good, wherever it is; whether it was there.
    pub fn settle(&mut self, offset: u64, now: Duration) -> bool {
        let Some(index) = self.find(offset) else { return false };
        if let Some(entry) = self.entries.remove(index)
            && entry.state == State::Burying
        {
            self.burying -= 1;
        }
        if index < self.flying {
            self.flying -= 1;
        }
        self.start_clock(now);
        true
    }

    /// A delivery failed: everything later in flight is taken back and answered, the record waits until `until`
    /// and until [`Lane::record`].
    pub fn fail(&mut self, offset: u64, until: Duration) -> Vec<Returned> {
        self.stop_at(offset, State::Held { until, is_recorded: false })
    }

    /// A record has no attempts left: it and all later ones wait until [`Lane::release`]; those in flight are taken
    /// back and answered.
    pub fn halt(&mut self, offset: u64) -> Vec<Returned> {
        self.stop_at(offset, State::Halted)
    }

    /// A halted record may go after all, after [`Lane::record`].
    pub fn release(&mut self, offset: u64, now: Duration) {
        if let Some(state) = self.state_mut(offset)
            && *state == State::Halted
        {
            *state = State::Held { until: now, is_recorded: false };
        }
    }

    /// The attempts of a failed record are durable.
    pub fn record(&mut self, offset: u64) {
        if let Some(State::Held { is_recorded, .. }) = self.state_mut(offset) {
            *is_recorded = true;
        }
    }

    /// A record's dead letter is being written: nothing is sent until it is settled.
    pub fn bury(&mut self, offset: u64) {
        if let Some(state) = self.state_mut(offset)
            && *state != State::Burying
        {
            *state = State::Burying;
            self.burying += 1;
        }
    }

    /// The same, and everything later in flight is taken back and answered.
    pub fn bury_and_rewind(&mut self, offset: u64) -> Vec<Returned> {
        self.bury(offset);
        self.stop_at(offset, State::Burying)
    }

    /// Takes a delivery and all later ones back, as if never sent; answered in order.
    pub fn take_back(&mut self, offset: u64) -> Vec<Returned> {
        self.find(offset).map_or_else(Vec::new, |index| self.rewind(index))
    }

    /// Takes everything in flight back; answered in order.
    pub fn take_all_back(&mut self) -> Vec<Returned> {
        self.rewind(0)
    }

    /// Gives a delivery until `now + by`, at most `longest` from the start of its clock; never less than it had.
    pub fn extend(&mut self, offset: u64, by: Duration, longest: Duration, now: Duration) {
        if let Some(State::InFlight(flight)) = self.state_mut(offset) {
            match &mut flight.clock {
                Some(clock) => {
                    let latest = clock.started_at.saturating_add(longest);
                    clock.deadline = clock.deadline.max(now.saturating_add(by).min(latest));
                }
                None => flight.allowance = flight.allowance.max(by.min(longest)),
            }
        }
    }

    /// Hands all deliveries of one member to another, as they are.
    pub fn hand_over(&mut self, from: u32, to: u32) -> usize {
        let mut count = 0;
        for entry in self.entries.iter_mut().take(self.flying) {
            if let State::InFlight(flight) = &mut entry.state
                && flight.member == from
            {
                flight.member = to;
                count += 1;
            }
        }
        count
    }

    /// The head, when it was not settled in time.
    #[must_use]
    pub fn expired(&self, now: Duration) -> Option<u64> {
        let entry = self.entries.front()?;
        (self.deadline()? <= now).then_some(entry.offset)
    }

    /// When something can happen without anybody's doing: the head expires, or a held record may go.
    #[must_use]
    pub fn wake(&self, now: Duration) -> Option<Duration> {
        let held = match self.entries.get(self.flying).map(|entry| entry.state) {
            Some(State::Held { until, is_recorded: true }) if self.burying == 0 && until > now => Some(until),
            _ => None,
        };
        match (self.deadline(), held) {
            (Some(deadline), Some(until)) => Some(deadline.min(until)),
            (deadline, until) => deadline.or(until),
        }
    }

    /// The delivery of a record that is in flight.
    #[must_use]
    pub fn flight(&self, offset: u64) -> Option<&Flight> {
        match &self.entries.get(self.find(offset)?)?.state {
            State::InFlight(flight) => Some(flight),
            State::Waiting | State::Held { .. } | State::Burying | State::Halted => None,
        }
    }

    /// Whether the record's dead letter is being written.
    #[must_use]
    pub fn is_burying(&self, offset: u64) -> bool {
        self.find(offset)
            .and_then(|index| self.entries.get(index))
            .is_some_and(|one| one.state == State::Burying)
    }

    /// The earliest unresolved record.
    #[must_use]
    pub fn head(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.offset)
    }

    /// Deliveries in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        let is_flying = |entry: &&Entry| matches!(entry.state, State::InFlight(_));
        if self.burying == 0 {
            self.flying
        } else {
            self.entries.iter().take(self.flying).filter(is_flying).count()
        }
    }

    /// Whether nothing is unresolved.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Why the head cannot be sent at once, when that is so for a failure.
    #[must_use]
    pub fn blocked(&self) -> Option<&'static str> {
        match self.entries.front()?.state {
            State::Held { .. } => Some("retrying"),
            State::Burying => Some("dead_letter"),
            State::Halted => Some("halted"),
            State::Waiting | State::InFlight(_) => None,
        }
    }

    /// Until when the head waits after a failure, where it does.
    #[must_use]
    pub fn held_until(&self) -> Option<Duration> {
        match self.entries.front()?.state {
            State::Held { until, .. } => Some(until),
            State::Waiting | State::InFlight(_) | State::Burying | State::Halted => None,
        }
    }

    fn deadline(&self) -> Option<Duration> {
        match self.entries.front()?.state {
            State::InFlight(flight) => flight.clock.map(|clock| clock.deadline),
            State::Waiting | State::Held { .. } | State::Burying | State::Halted => None,
        }
    }

    fn start_clock(&mut self, now: Duration) {
        if let Some(Entry { state: State::InFlight(flight), .. }) = self.entries.front_mut()
            && flight.clock.is_none()
        {
            flight.clock = Some(Clock { started_at: now, deadline: now.saturating_add(flight.allowance) });
        }
    }

    fn stop_at(&mut self, offset: u64, state: State) -> Vec<Returned> {
        let Some(index) = self.find(offset) else { return Vec::new() };
        let returned = self.rewind(index + 1);
        if let Some(entry) = self.entries.get_mut(index) {
            entry.state = state;
        }
        self.flying = self.flying.min(index);
        returned
    }

    fn rewind(&mut self, from: usize) -> Vec<Returned> {
        let mut returned = Vec::new();
        let flying = self.flying;
        for (index, entry) in self.entries.iter_mut().enumerate().take(flying).skip(from) {
            if let State::InFlight(flight) = entry.state {
                entry.state = State::Waiting;
                returned.push(Returned { offset: entry.offset, flight, is_head: index == 0 });
            }
        }
        self.flying = flying.min(from);
        returned
    }

    fn find(&self, offset: u64) -> Option<usize> {
        self.entries.binary_search_by_key(&offset, |entry| entry.offset).ok()
    }

    fn state_mut(&mut self, offset: u64) -> Option<&mut State> {
        let index = self.find(offset)?;
        self.entries.get_mut(index).map(|entry| &mut entry.state)
    }
}
