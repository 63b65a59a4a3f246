//! The receiving half of a membership: a pull loop over the assigned partitions, each in its turn.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};

use crate::event::{Offset, Partition as Number, Topic};
use crate::log::{Assigned, Commit, Committed, Error, MemberEvent, MemberEvents, Purpose, Start};

use super::super::batch::Names;
use super::super::locked;
use super::super::partition::Partition;
use super::super::reader::fetch;
use super::super::topics::TopicState;
use super::{Ticket, committed};

/// So much of one partition before the next has its turn.
const RECORDS_BYTES_MAX: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Member {
    ticket: Arc<Ticket>,
    start: Start,
    /// Woken by anything that may give `next` something to say.
    wake: Arc<Notify>,
    changes: watch::Receiver<u64>,
    /// The state of the topics that the assignment follows; `None` before the first.
    assigned_at: Option<u64>,
    places: Vec<Place>,
    /// Whose turn it is.
    turn: usize,
    /// Changes of the assignment, each with all that is assigned after it.
    events: VecDeque<(MemberEvent, Vec<Arc<Partition>>)>,
    /// Whether all that earlier members had committed was applied or refused.
    is_settled: bool,
    names: Names,
}

/// An assigned partition.
#[derive(Debug)]
struct Place {
    partition: Arc<Partition>,
    position: Offset,
    is_held: bool,
}

impl Member {
    pub(super) fn new(ticket: Arc<Ticket>, wake: Arc<Notify>, start: Start) -> Self {
        Self {
            changes: ticket.shared.topics.changes(),
            ticket,
            start,
            wake,
            assigned_at: None,
            places: Vec::new(),
            turn: 0,
            events: VecDeque::new(),
            is_settled: false,
            names: Names::default(),
        }
    }

    /// Brings the assignment up to the topics as they are. Nothing changes before the last wait.
    async fn assign(&mut self) -> Result<(), Error> {
        let version = *self.changes.borrow();
        if self.assigned_at == Some(version) {
            return Ok(());
        }
        let shared = Arc::clone(&self.ticket.shared);
        if !self.is_settled {
            shared.barrier().await?;
            self.is_settled = true;
        }
        let topics: Vec<Arc<TopicState>> =
            self.ticket.topics.iter().filter_map(|topic| shared.topics.get(topic)).collect();
        let mut assigned = Vec::new();
        for topic in &topics {
            let is_new = |partition: &&Arc<Partition>| !self.places.iter().any(|place| place.is(partition));
            let new: Vec<&Arc<Partition>> = topic.partitions.iter().filter(is_new).collect();
            if new.is_empty() {
                continue;
            }
            let known = committed(&shared, &self.ticket.group, &topic.info.spec.name).await?;
            for partition in new {
                let committed = known.get(&partition.number).cloned();
                assigned.push((Arc::clone(partition), self.assigned(partition, committed)));
            }
        }
        self.keep_starts(&assigned).await?;

        self.assigned_at = Some(version);
        topics.iter().for_each(|topic| topic.followers.add(&self.wake));
        let is_gone = |place: &Place| {
            let topic = topics.iter().find(|topic| topic.info.spec.name == place.partition.topic);
            topic.is_none_or(|topic| !topic.partitions.iter().any(|partition| place.is(partition)))
        };
        let lost: Vec<_> =
            self.places.extract_if(.., |place| is_gone(place)).map(|place| place.name()).collect();
        if !lost.is_empty() {
            self.push(MemberEvent::Lost(lost));
        }
        let places = assigned.iter().map(|(partition, assigned)| Place {
            partition: Arc::clone(partition),
            position: assigned.position,
            is_held: false,
        });
        self.places.extend(places);
        if !assigned.is_empty() {
            let assigned = assigned.into_iter().map(|(_, assigned)| assigned).collect();
            self.push(MemberEvent::Assigned(assigned));
        }
        Ok(())
    }

    fn push(&mut self, event: MemberEvent) {
        let partitions = self.places.iter().map(|place| Arc::clone(&place.partition)).collect();
        self.events.push_back((event, partitions));
    }

    fn assigned(&self, partition: &Partition, committed: Option<Committed>) -> Assigned {
        let bounds = partition.bounds();
        let position = match (&committed, self.start.in_topic(&partition.topic)) {
            (Some(committed), _) => committed.offset.clamp(bounds.start, bounds.end),
            (None, Start::Earliest) => bounds.start,
            (None, Start::Latest) => bounds.end,
        };
        Assigned { topic: partition.topic.clone(), partition: partition.number, committed, position }
    }

    /// Commits where a group that begins at the end has begun, so that what comes before its first commit is not
    /// passed over by a restart.
    async fn keep_starts(&self, assigned: &[(Arc<Partition>, Assigned)]) -> Result<(), Error> {
        if self.start == Start::Earliest {
            return Ok(());
        }
        let begun = assigned.iter().filter(|(_, assigned)| assigned.committed.is_none());
        let commit = |Assigned { topic, partition, position, .. }: &Assigned| Commit {
            topic: topic.clone(),
            partition: *partition,
            committed: Committed { offset: *position, metadata: String::new() },
        };
        let (partitions, commits): (Vec<_>, Vec<_>) =
            begun.map(|(partition, assigned)| (Arc::clone(partition), commit(assigned))).unzip();
        if commits.is_empty() {
            return Ok(());
        }
        let change = self.ticket.change(partitions, &commits)?;
        self.ticket.shared.change_offsets(change).await
    }

    /// What the next partition in turn has to say; `None` when none has.
    async fn poll(&mut self) -> Result<Option<MemberEvent>, Error> {
        for step in 0..self.places.len() {
            let turn = (self.turn + step) % self.places.len();
            let Some(place) = self.places.get_mut(turn) else { break };
            if place.is_held || place.partition.is_deleted() {
                continue;
            }
            let next_turn = turn + 1;
            if let Some(gap) = place.gap() {
                self.turn = next_turn;
                return Ok(Some(gap));
            }
            let (shared, partition) = (&self.ticket.shared, &place.partition);
            let purpose = Purpose::Tail;
            match fetch(shared, partition, place.position, RECORDS_BYTES_MAX, purpose, &mut self.names).await
            {
                Ok(Some(fetched)) => {
                    place.position = fetched.next;
                    if fetched.records.is_empty() {
                        // Compacted away: there may be more behind it at once.
                        self.wake.notify_one();
                        continue;
                    }
                    self.turn = next_turn;
                    let (topic, partition) = place.name();
                    return Ok(Some(MemberEvent::Records {
                        topic,
                        partition,
                        records: fetched.records,
                        end: fetched.end,
                    }));
                }
                Ok(None) | Err(Error::UnknownTopic(_)) => {}
                Err(Error::OffsetOutOfRange { .. }) => {
                    // Trimmed meanwhile: the gap is told in this partition's next turn.
                    self.wake.notify_one();
                }
                Err(error) => {
                    // The others have their turn before this one fails again.
                    self.turn = next_turn;
                    return Err(error);
                }
            }
        }
        Ok(None)
    }

    fn place(&mut self, topic: &Topic, partition: Number) -> Option<&mut Place> {
        self.places
            .iter_mut()
            .find(|place| place.partition.topic == *topic && place.partition.number == partition)
    }
}

impl Place {
    fn is(&self, partition: &Arc<Partition>) -> bool {
        Arc::ptr_eq(&self.partition, partition)
    }

    fn name(&self) -> (Topic, Number) {
        (self.partition.topic.clone(), self.partition.number)
    }

    /// The gap before the start, once, where the position fell into it.
    fn gap(&mut self) -> Option<MemberEvent> {
        let start = self.partition.start();
        if self.position >= start {
            return None;
        }
        let from = std::mem::replace(&mut self.position, start);
        let (topic, partition) = self.name();
        Some(MemberEvent::Gap { topic, partition, from, to: start })
    }
}

#[async_trait]
impl MemberEvents for Member {
    async fn next(&mut self) -> Result<MemberEvent, Error> {
        loop {
            self.ticket.check()?;
            self.assign().await?;
            if let Some((event, partitions)) = self.events.pop_front() {
                *locked(&self.ticket.assigned) = partitions;
                return Ok(event);
            }
            if let Some(event) = self.poll().await? {
                return Ok(event);
            }
            let wake = Arc::clone(&self.wake);
            let assigned_at = self.assigned_at;
            // Both branches lose nothing when dropped: a permit stays, and the topics keep their version.
            tokio::select! {
                () = wake.notified() => {}
                changed = self.changes.wait_for(|version| Some(*version) != assigned_at) => drop(changed),
            }
        }
    }

    fn hold(&mut self, topic: &Topic, partition: Number) {
        if let Some(place) = self.place(topic, partition) {
            place.is_held = true;
        }
    }

    fn release(&mut self, topic: &Topic, partition: Number) {
        if let Some(place) = self.place(topic, partition) {
            place.is_held = false;
        }
    }

    async fn seek(&mut self, topic: &Topic, partition: Number, offset: Offset) -> Result<(), Error> {
        self.ticket.check()?;
        let place = self.place(topic, partition).ok_or(Error::NotMember)?;
        let bounds = place.partition.bounds();
        if offset > bounds.end {
            return Err(Error::OffsetOutOfRange { offset, start: bounds.start, end: bounds.end });
        }
        place.position = offset;
        Ok(())
    }

    async fn give_back(&mut self, partitions: &[(Topic, Number)]) {
        self.places.retain(|place| !partitions.contains(&place.name()));
        let is_kept = |partition: &Arc<Partition>| self.places.iter().any(|place| place.is(partition));
        locked(&self.ticket.assigned).retain(is_kept);
    }

    async fn leave(self: Box<Self>) {}
}

impl Drop for Member {
    fn drop(&mut self) {
        self.ticket.shared.members.leave(&self.ticket.group, self.ticket.id);
    }
}
