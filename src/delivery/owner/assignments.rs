//! What members are told of their work: which partitions, and how far behind those are.
//!
//! A member hears of its partitions before it is given anything from them. So that the first thing said of the lag is
//! true, the ends of partitions are asked for before the machine hears that it has them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep};

use crate::event::{Offset, Partition, Timestamp, Topic};
use crate::log::Assigned;

use super::super::group::{Action, Slot};
use super::super::shared::Shared;
use super::super::{Breaker, Lag, Push};
use super::Owner;
use super::mailboxes::Told;

/// Changes of the assignment are told together.
const TELL_AFTER: Duration = Duration::from_millis(50);
/// How long the log may take to assign something before the first members hear that they have nothing.
const NOTHING_AFTER: Duration = Duration::from_secs(3);
/// With an end not known by then, lag is not told.
const MEASURE_MAX: Duration = Duration::from_millis(500);

/// What the log has assigned, and where it ends.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) assigned: Vec<Assigned>,
    pub(super) ends: Vec<(Topic, Partition, Offset)>,
}

/// Asks for the ends of what was assigned.
pub(super) async fn measure(shared: Arc<Shared>, assigned: Vec<Assigned>) -> Measured {
    let places: Vec<_> = assigned.iter().map(|one| (one.topic.clone(), one.partition)).collect();
    let asked: FuturesUnordered<_> = places
        .into_iter()
        .map(|(topic, partition)| {
            let log = Arc::clone(&shared.log);
            shared.lookups.ask(async move {
                let bounds = log.bounds(&topic, partition).await.ok()?;
                Some((topic, partition, bounds.end))
            })
        })
        .collect();
    let answered = asked.take_until(sleep(MEASURE_MAX));
    let ends = answered.filter_map(|end| std::future::ready(end.flatten())).collect().await;
    Measured { assigned, ends }
}

impl Owner {
    pub(super) fn on_measured(&mut self, measured: Measured) {
        // What was known of an earlier assignment is too old to tell.
        for Assigned { topic, partition, .. } in &measured.assigned {
            if let Some(slot) = self.slot(topic, *partition) {
                self.ends.remove(&slot);
            }
        }
        for (topic, partition, end) in measured.ends {
            if let Some(slot) = self.slot(&topic, partition) {
                self.ends.insert(slot, end.number());
            }
        }
        self.on_assigned(measured.assigned);
    }

    /// Remembers who works on what, to be told soon.
    pub(super) fn note_assignments(&mut self, mut assignments: Vec<(u32, Vec<Slot>)>) {
        for (_, slots) in &mut assignments {
            slots.retain(|slot| !slot.is_replayed());
        }
        let is_beginning =
            self.mailboxes.have_told_nothing() && assignments.iter().all(|(_, slots)| slots.is_empty());
        self.to_tell = assignments.into_iter().collect();
        self.tell_at = Some(Instant::now() + if is_beginning { NOTHING_AFTER } else { TELL_AFTER });
    }

    /// Tells at once who is about to be given something.
    pub(super) fn tell_receivers(&mut self, actions: &[Action]) {
        let mut receivers = HashMap::new();
        for action in actions {
            if let Action::Send(outgoing) = action
                && let Some(slots) = self.to_tell.remove(&outgoing.member)
            {
                receivers.insert(outgoing.member, slots);
            }
        }
        self.tell(receivers);
    }

    /// Tells at once a member that takes over what another was given.
    pub(super) fn tell_successor(&mut self, member: u32) {
        if let Some(assignments) = self.machine.take_assignments() {
            self.note_assignments(assignments);
        }
        let slots = self.to_tell.remove(&member);
        self.tell(slots.into_iter().map(|slots| (member, slots)).collect());
    }

    pub(super) fn tell_assignments(&mut self) {
        self.tell_at = None;
        let all = std::mem::take(&mut self.to_tell);
        self.tell(all);
    }

    fn tell(&mut self, members: HashMap<u32, Vec<Slot>>) {
        if members.is_empty() {
            return;
        }
        let heads: BTreeMap<Slot, _> =
            self.machine.states(self.now()).into_iter().map(|state| (state.slot, state)).collect();
        let positions: BTreeMap<Slot, u64> =
            self.machine.gauges(self.now()).into_iter().map(|one| (one.slot, one.position)).collect();
        let wall = self.now().wall.millis();
        let reason = self.machine.open_reason();
        for (member, slots) in members {
            let Some(mailbox) = self.mailboxes.get(member) else { continue };
            let is_known = |(told, state): &Told| *told == slots && *state == reason;
            if self.mailboxes.told(member).is_some_and(is_known) {
                continue;
            }
            let mut partitions: BTreeMap<Topic, Vec<Partition>> = BTreeMap::new();
            let mut places = Vec::with_capacity(slots.len());
            for slot in &slots {
                let Some(topic) = self.topic(*slot) else { continue };
                // What comes back shows as what its source's partition holds; it counts for the lag.
                if !slot.is_redriven() {
                    partitions.entry(topic.clone()).or_default().push(Partition::new(slot.partition));
                }
                places.push(Place {
                    end: self.ends.get(slot).copied(),
                    position: positions.get(slot).copied(),
                    head: heads.get(slot).and_then(|state| state.head),
                });
            }
            let lag = lag_of(&places, wall);
            let breaker = Breaker::of(reason.is_some());
            mailbox.tell(Push::Assignment { partitions, lag, breaker, breaker_reason: reason });
            self.mailboxes.note_told(member, (slots, reason));
        }
    }
}

/// How far a partition is behind, as far as that is known.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Where the partition ends.
    end: Option<u64>,
    /// Up to where all is settled; `None` where nothing of it is read.
    position: Option<u64>,
    /// The time of the oldest record that is not settled.
    head: Option<Timestamp>,
}

/// The lag of all places together; `None` while the end of one is not known.
fn lag_of(places: &[Place], now: i64) -> Option<Lag> {
    let mut lag = Lag::default();
    for Place { end, position, head } in places {
        let end = (*end)?;
        lag.events += end.saturating_sub(position.unwrap_or(end));
        if let Some(head) = head {
            lag.seconds = lag.seconds.max(seconds(now.saturating_sub(head.millis())));
        }
    }
    Some(lag)
}

pub(super) fn seconds(millis: i64) -> f64 {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0)).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::{Lag, Place, Timestamp, lag_of};

    #[test]
    fn lag_is_told_only_where_every_end_is_known() {
        let reached = Place { end: Some(7), position: Some(7), head: None };
        let head = Some(Timestamp::from_millis(500));
        let behind = Place { end: Some(10), position: Some(4), head };
        let unknown = Place { end: None, position: Some(4), head };
        assert_eq!(lag_of(&[], 0), Some(Lag::default()));
        assert_eq!(lag_of(&[reached, behind], 2_000), Some(Lag { events: 6, seconds: 1.5 }));
        assert_eq!(lag_of(&[reached, unknown], 2_000), None);
    }
}
