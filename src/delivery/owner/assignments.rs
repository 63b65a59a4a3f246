//! What members are told of their work: which partitions, and how far behind those are.
//!
//! A member hears of its partitions before it is given anything from them. So that the first thing said of the lag is
//! true, the ends of partitions are asked for before the machine hears that it has them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, sleep};

use crate::event::{Offset, Partition, Topic};
use crate::log::Assigned;

use super::super::group::{Action, Slot};
use super::super::shared::Shared;
use super::super::{Breaker, Lag, Push};
use super::Owner;

/// Changes of the assignment are told together.
const TELL_AFTER: Duration = Duration::from_millis(50);
/// How long the log may take to assign something before the first members hear that they have nothing.
const NOTHING_AFTER: Duration = Duration::from_secs(3);
/// An end not known by then counts as reached until records come.
const MEASURE_MAX: Duration = Duration::from_millis(500);
const MEASURED_AT_ONCE: usize = 16;

/// What the log has assigned, and where it ends.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) assigned: Vec<Assigned>,
    pub(super) ends: Vec<(Topic, Partition, Offset)>,
}

/// Asks for the ends of what was assigned.
pub(super) async fn measure(shared: Arc<Shared>, assigned: Vec<Assigned>) -> Measured {
    let places: Vec<_> = assigned.iter().map(|one| (one.topic.clone(), one.partition)).collect();
    let ends = stream::iter(places).map(|(topic, partition)| {
        let shared = Arc::clone(&shared);
        async move {
            let bounds = shared.log.bounds(&topic, partition).await.ok()?;
            Some((topic, partition, bounds.end))
        }
    });
    let ends = ends.buffer_unordered(MEASURED_AT_ONCE).take_until(sleep(MEASURE_MAX));
    let ends = ends.filter_map(std::future::ready).collect().await;
    Measured { assigned, ends }
}

impl Owner {
    pub(super) fn on_measured(&mut self, measured: Measured) {
        for (topic, partition, end) in measured.ends {
            if let Some(slot) = self.slot(&topic, partition) {
                self.ends.insert(slot, end.number());
            }
        }
        self.on_assigned(measured.assigned);
    }

    /// Remembers who works on what, to be told soon.
    pub(super) fn note_assignments(&mut self, assignments: Vec<(u32, Vec<Slot>)>) {
        let is_beginning = self.told.is_empty() && assignments.iter().all(|(_, slots)| slots.is_empty());
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
        for (member, slots) in members {
            let Some(mailbox) = self.mailboxes.get(&member) else { continue };
            if self.told.get(&member) == Some(&slots) {
                continue;
            }
            let mut partitions: BTreeMap<Topic, Vec<Partition>> = BTreeMap::new();
            let mut lag = Lag::default();
            for slot in &slots {
                let Some(topic) = self.topic(*slot) else { continue };
                partitions.entry(topic.clone()).or_default().push(Partition::new(slot.partition));
                let end = self.ends.get(slot).copied().unwrap_or(0);
                lag.events += end.saturating_sub(positions.get(slot).copied().unwrap_or(end));
                if let Some(head) = heads.get(slot).and_then(|state| state.head) {
                    lag.seconds = lag.seconds.max(seconds(wall.saturating_sub(head.millis())));
                }
            }
            mailbox.tell(Push::Assignment { partitions, lag, breaker: Breaker::Closed });
            self.told.insert(member, slots);
        }
    }
}

pub(super) fn seconds(millis: i64) -> f64 {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0)).as_secs_f64()
}
