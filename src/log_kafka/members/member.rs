//! The receiving half of a membership: takes assignments over, pulls records from the partitions' queues in turn, and
//! gives partitions back when it is told to.
//!
//! What blocks runs as the member's one *job*, which survives a dropped `next`. Records are taken without blocking.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::time::{Instant, sleep_until, timeout};

use crate::event::{Offset, Partition as Number, Topic};
use crate::log::{Assigned, Bounds, Error, MemberEvent, MemberEvents, Start};

use super::super::failure::unavailable;
use super::super::record::Names;
use super::super::shared::Shared;
use super::assign::{Taken, take};
use super::closing;
use super::link::Link;
use super::place::{Place, is_misplaced, move_to, move_within, within};
use super::post::{Event, answer, hear, names};
use super::revocation::Revocation;

/// How long leaving waits for a commit under way.
const COMMITTING_MAX: Duration = Duration::from_secs(2);
/// How long leaving waits for the client to close. librdkafka at times never does where another one took its name: it asks
/// a group for an answer that has ended already.
const CLOSING_MAX: Duration = Duration::from_secs(20);
/// The client is heard at least so often, rung or not: it counts as alive by that (`max.poll.interval.ms`, minutes).
/// Hearing takes a blocking thread, which a gateway with many idle groups feels.
const HEAR_EVERY: Duration = Duration::from_secs(5);

type Job = Pin<Box<dyn Future<Output = Done> + Send>>;

/// What a job has done.
enum Done {
    /// The client was heard; events are in the post.
    Heard,
    Taken(Result<Taken, Error>),
    /// A partition is read on from a place that is there.
    Moved(Topic, Number, Result<Bounds, Error>),
}

pub(super) struct Member {
    shared: Arc<Shared>,
    link: Arc<Link>,
    start: Start,
    job: Option<Job>,
    /// An assignment that is not taken over yet.
    arriving: Option<TopicPartitionList>,
    /// A revocation that is not answered yet.
    leaving: Option<Revocation>,
    places: Vec<Place>,
    /// Whose turn it is.
    turn: usize,
    told: VecDeque<MemberEvent>,
    hear_at: Instant,
    is_over: bool,
    /// Whether it was told that the group does not let the member in.
    is_refused: bool,
    names: Names,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Member").field("link", &self.link).field("places", &self.places).finish()
    }
}

impl Member {
    pub(super) fn new(shared: Arc<Shared>, link: Arc<Link>, start: Start) -> Self {
        Self {
            shared,
            link,
            start,
            job: None,
            arriving: None,
            leaving: None,
            places: Vec::new(),
            turn: 0,
            told: VecDeque::new(),
            hear_at: Instant::now(),
            is_over: false,
            is_refused: false,
            names: Names::default(),
        }
    }

    fn check(&self) -> Result<(), Error> {
        self.shared.check()?;
        if self.is_over { Err(Error::NotMember) } else { Ok(()) }
    }

    /// Gives back what nobody gave back in time. Whoever reads is told that it is lost.
    fn end_overdue(&mut self) -> Option<Job> {
        let (list, waiting) = self.leaving.take_if(|revocation| revocation.is_overdue())?.into_parts();
        tracing::warn!(group = %self.link.group, partitions = waiting.len(), "revoked partitions were not given back in time; they are given up");
        let all = names(&list);
        self.link.disown(&all);
        self.places.retain(|place| !place.is_of(&all));
        self.told.push_back(MemberEvent::Lost(waiting));
        let client = self.link.client().ok()?;
        let blocking = self.shared.blocking.clone();
        Some(Box::pin(async move {
            if let Ok(Err(error)) = blocking.call(move || client.incremental_unassign(&list)).await {
                tracing::warn!(%error, "revoked partitions were not given up");
            }
            Done::Heard
        }))
    }

    /// Starts what has to be done next off this thread, if anything.
    fn next_job(&mut self) -> Option<Job> {
        if let Some(job) = self.end_overdue() {
            return Some(job);
        }
        if let Some(list) = &self.arriving {
            let taken = take(Arc::clone(&self.shared), Arc::clone(&self.link), list.clone(), self.start);
            return Some(Box::pin(async { Done::Taken(taken.await) }));
        }
        let is_due = Instant::now() >= self.hear_at;
        if !self.link.post.was_rung() && !is_due {
            return None;
        }
        self.hear_at = Instant::now() + HEAR_EVERY;
        let (client, post) = (self.link.client().ok()?, Arc::clone(&self.link.post));
        let blocking = self.shared.blocking.clone();
        Some(Box::pin(async move {
            drop(blocking.call(move || hear(&client, &post)).await);
            Done::Heard
        }))
    }

    fn done(&mut self, done: Done) -> Result<(), Error> {
        match done {
            Done::Heard => {}
            Done::Taken(Ok((places, assigned))) => {
                self.arriving = None;
                self.shared.connection.troubles.passed(&self.link.membership());
                self.places.extend(places);
                self.tell_assigned(assigned);
            }
            Done::Taken(Err(error)) => return Err(error),
            Done::Moved(topic, number, bounds) => self.moved(&topic, number, bounds?),
        }
        Ok(())
    }

    fn tell_assigned(&mut self, assigned: Vec<Assigned>) {
        if !assigned.is_empty() {
            self.told.push_back(MemberEvent::Assigned(assigned));
        }
    }

    fn on(&mut self, event: Event) {
        match event {
            Event::Assigned(list) => {
                self.is_refused = false;
                self.arriving = Some(list);
            }
            Event::Revoked(list) => {
                let partitions = names(&list);
                for place in self.places.iter_mut().filter(|place| place.is_of(&partitions)) {
                    place.is_revoked = true;
                }
                let patience = self.shared.settings.config().give_back_max;
                self.leaving = Some(Revocation::new(list, &partitions, patience));
                self.told.push_back(MemberEvent::Revoked(partitions));
            }
            Event::Lost(list) => {
                let partitions = names(&list);
                self.link.disown(&partitions);
                self.places.retain(|place| !place.is_of(&partitions));
                (self.arriving, self.leaving) = (None, None);
                if !partitions.is_empty() {
                    self.told.push_back(MemberEvent::Lost(partitions));
                }
            }
            Event::Strayed(topic, number) => {
                tracing::warn!(group = %self.link.group, %topic, %number, "a record came by the wrong way; its partition is read again");
                self.move_place(&topic, number);
            }
            Event::Refused => {
                self.shared.metrics.refusals.inc();
                if !std::mem::replace(&mut self.is_refused, true) {
                    tracing::error!(
                        group = %self.link.group,
                        "the group does not let this gateway in, since its other members have no assignor in common with \
                         it (cooperative-sticky); it is tried again until they have, or are gone"
                    );
                }
            }
            Event::Failed(code, reason) => {
                if code == Code::UnsupportedVersion {
                    self.shared.speak_classic();
                }
                let rest = self.shared.members.failed(&self.link.group, code);
                self.shared.connection.troubles.befell(&self.link.membership(), code, &reason);
                tracing::debug!(group = %self.link.group, ?code, ?rest, "the membership failed; the group is joined anew");
                self.is_over = true;
            }
        }
    }

    /// Lets the client read a partition from its position again, or from where the log begins by now.
    fn move_place(&mut self, topic: &Topic, number: Number) {
        let Some(place) = self.place(topic, number) else { return };
        let (topic, position) = (topic.clone(), place.position);
        let (shared, link) = (Arc::clone(&self.shared), Arc::clone(&self.link));
        self.job = Some(Box::pin(async move {
            let moved = move_within(&shared, &link, &topic, number, position).await;
            Done::Moved(topic, number, moved)
        }));
    }

    fn moved(&mut self, topic: &Topic, number: Number, bounds: Bounds) {
        let Some(place) = self.place(topic, number) else { return };
        let from = place.position;
        place.position = within(from, bounds);
        place.end = bounds.end;
        let to = place.position;
        if from < to {
            self.told.push_back(MemberEvent::Gap { topic: topic.clone(), partition: number, from, to });
        }
        if from > bounds.end {
            // Another topic of the name, or a log that lost its end: what was read of it says nothing any more.
            self.shared.suspect(topic);
            let (topic, position) = (topic.clone(), to);
            self.told.push_back(MemberEvent::Lost(vec![(topic.clone(), number)]));
            self.tell_assigned(vec![Assigned { topic, partition: number, committed: None, position }]);
        }
    }

    /// What the next partition in turn has to say; `None` when none has.
    fn poll(&mut self) -> Result<Option<MemberEvent>, Error> {
        for step in 0..self.places.len() {
            let turn = (self.turn + step) % self.places.len();
            let Some(place) = self.places.get_mut(turn) else { break };
            if place.is_held || place.is_revoked {
                continue;
            }
            match place.take(&mut self.names, &self.shared) {
                Ok(None) => {}
                Ok(Some(event)) => {
                    self.turn = turn + 1;
                    return Ok(Some(event));
                }
                Err(error) => {
                    // The others have their turn before this one fails again.
                    self.turn = turn + 1;
                    let (topic, number) = (place.topic.clone(), place.number);
                    if !is_misplaced(&error) {
                        return Err(unavailable(error));
                    }
                    self.move_place(&topic, number);
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    fn place(&mut self, topic: &Topic, number: Number) -> Option<&mut Place> {
        self.places.iter_mut().find(|place| place.topic == *topic && place.number == number)
    }

    /// Ends the membership. What the client still waits for is answered first, or it would never close.
    fn part(&mut self) -> impl Future<Output = ()> + Send + use<> {
        self.is_over = true;
        let client = self.link.part();
        let (shared, link, job) = (Arc::clone(&self.shared), Arc::clone(&self.link), self.job.take());
        let (places, arriving) = (std::mem::take(&mut self.places), self.arriving.take());
        let revoked = self.leaving.take().map(|revocation| revocation.into_parts().0);
        async move {
            let Some(client) = client else { return };
            let taken = match job {
                Some(job) => Some(job.await),
                None => None,
            };
            let is_taken = matches!(taken, Some(Done::Taken(Ok(_))));
            // A commit under way holds the client, too; where it stands still, it closes the client when it ends.
            let turn = timeout(COMMITTING_MAX, link.committing.lock()).await;
            let post = Arc::clone(&link.post);
            let unanswered = (arriving.filter(|_| !is_taken), revoked);
            let close = move || {
                drop((places, taken));
                answer(&client, &post, unanswered);
                drop(client);
            };
            if !closing::close(&shared.metrics.clients_left_behind, CLOSING_MAX, close).await {
                tracing::warn!(group = %link.group, "the client of a membership that ended does not close; it is left behind");
            }
            drop(turn);
            shared.members.leave(&link);
            shared.metrics.members.dec();
        }
    }
}

#[async_trait]
impl MemberEvents for Member {
    /// Cancel safe: a job goes on where it is, records are taken without a wait between, and a wait keeps nothing.
    async fn next(&mut self) -> Result<MemberEvent, Error> {
        loop {
            self.check()?;
            if let Some(event) = self.told.pop_front() {
                return Ok(event);
            }
            if let Some(job) = &mut self.job {
                let done = job.await;
                self.job = None;
                self.done(done)?;
                continue;
            }
            if let Some(event) = self.link.post.take() {
                self.on(event);
                continue;
            }
            self.job = self.next_job();
            if self.job.is_some() {
                continue;
            }
            if let Some(event) = self.poll()? {
                return Ok(event);
            }
            if self.job.is_some() {
                continue;
            }
            let wake = Arc::clone(&self.link.post.wake);
            let overdue_at = self.leaving.as_ref().map(Revocation::until);
            let due_at = overdue_at.map_or(self.hear_at, |overdue_at| overdue_at.min(self.hear_at));
            tokio::select! {
                () = wake.notified() => {}
                () = sleep_until(due_at) => {}
                () = self.shared.closed.cancelled() => {}
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
            self.link.post.wake.notify_one();
        }
    }

    async fn seek(&mut self, topic: &Topic, partition: Number, offset: Offset) -> Result<(), Error> {
        self.check()?;
        self.place(topic, partition).ok_or(Error::NotMember)?;
        let Bounds { start, end } = self.shared.bounds(topic, partition).await?;
        if offset > end {
            return Err(Error::OffsetOutOfRange { offset, start, end });
        }
        let (client, name) = (self.link.client()?, topic.clone());
        let to = offset.max(start);
        let moved = self.shared.blocking.call(move || move_to(&client, &name, partition, to)).await?;
        moved.map_err(unavailable)?;
        if let Some(place) = self.place(topic, partition) {
            // Behind the start it becomes a gap, told in this partition's turn.
            place.position = offset;
        }
        Ok(())
    }

    async fn give_back(&mut self, partitions: &[(Topic, Number)]) {
        self.link.disown(partitions);
        self.places.retain(|place| !place.is_of(partitions));
        let Some(whole) = self.leaving.take_if(|revocation| revocation.give_back(partitions)) else { return };
        let (list, _) = whole.into_parts();
        let Ok(client) = self.link.client() else { return };
        match self.shared.blocking.call(move || client.incremental_unassign(&list)).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(error)) => {
                tracing::warn!(group = %self.link.group, %error, "partitions were not given back");
            }
        }
    }

    async fn leave(mut self: Box<Self>) {
        self.part().await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let parting = self.part();
        self.shared.blocking.go_on(parting);
    }
}
