//! Groups whose members get records that were read as JSON. Everything else is the groups'.
//!
//! Records that wait for a schema hold back what comes after them in their partition, and while nobody holds that
//! partition all that comes to the member: it is not for long.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Decoder, Unknown, WAIT_MAX};
use crate::event::{GroupName, Offset, Partition, Topic};
use crate::log::{
    Commit, Committed, Error, GroupSubscription, Groups, MemberEvent, MemberEvents, Membership,
};

/// The groups.
#[derive(Debug)]
pub(super) struct Decoding {
    groups: Arc<dyn Groups>,
    decoder: Decoder,
}

/// What happens to a member.
#[derive(Debug)]
struct Events {
    events: Box<dyn MemberEvents>,
    decoder: Decoder,
    /// What happened and is not told yet, in its order: records of unknown schemas, and what came after them.
    waiting: VecDeque<Waiting>,
    held: HashSet<(Topic, Partition)>,
}

#[derive(Debug)]
struct Waiting {
    place: (Topic, Partition),
    event: MemberEvent,
    until: Instant,
}

impl Decoding {
    pub(super) fn new(groups: Arc<dyn Groups>, decoder: Decoder) -> Self {
        Self { groups, decoder }
    }
}

#[async_trait]
impl Groups for Decoding {
    async fn join(&self, group: &GroupName, subscription: GroupSubscription) -> Result<Membership, Error> {
        let Membership { events, commits } = self.groups.join(group, subscription).await?;
        let (decoder, waiting, held) = (self.decoder.clone(), VecDeque::new(), HashSet::new());
        Ok(Membership { events: Box::new(Events { events, decoder, waiting, held }), commits })
    }

    async fn committed(
        &self,
        group: &GroupName,
        topic: &Topic,
    ) -> Result<BTreeMap<Partition, Committed>, Error> {
        self.groups.committed(group, topic).await
    }

    async fn set_committed(&self, group: &GroupName, commits: Vec<Commit>) -> Result<(), Error> {
        self.groups.set_committed(group, commits).await
    }

    async fn forget(&self, group: &GroupName) -> Result<(), Error> {
        self.groups.forget(group).await
    }

    async fn groups(&self) -> Result<Vec<GroupName>, Error> {
        self.groups.groups().await
    }
}

impl Events {
    fn waits(&self, place: &(Topic, Partition)) -> bool {
        self.waiting.iter().any(|waiting| waiting.place == *place)
    }

    fn forget(&mut self, places: &[(Topic, Partition)]) {
        self.waiting.retain(|waiting| !places.contains(&waiting.place));
    }

    /// Keeps back what has to wait, and what comes after that in its partition.
    fn admit(&mut self, mut event: MemberEvent) -> Option<MemberEvent> {
        let (place, is_ready) = match &mut event {
            MemberEvent::Records { topic, partition, records, .. } => {
                let is_ready = self.decoder.read(topic, records, Unknown::Waits);
                ((topic.clone(), *partition), is_ready)
            }
            MemberEvent::Gap { topic, partition, .. } => ((topic.clone(), *partition), true),
            MemberEvent::Assigned(_) => return Some(event),
            MemberEvent::Revoked(places) | MemberEvent::Lost(places) => {
                self.waiting.retain(|waiting| !places.contains(&waiting.place));
                self.held.retain(|held| !places.contains(held));
                return Some(event);
            }
        };
        if is_ready && !self.waits(&place) {
            return Some(event);
        }
        self.waiting.push_back(Waiting { place, event, until: Instant::now() + WAIT_MAX });
        None
    }
}

#[async_trait]
impl MemberEvents for Events {
    async fn next(&mut self) -> Result<MemberEvent, Error> {
        loop {
            let held = &self.held;
            let first = self.waiting.iter_mut().position(|waiting| !held.contains(&waiting.place));
            if let Some((at, waiting)) = first.and_then(|at| Some((at, self.waiting.get_mut(at)?))) {
                if let MemberEvent::Records { topic, records, .. } = &mut waiting.event {
                    self.decoder.settle(topic, records, waiting.until).await;
                }
                if let Some(waiting) = self.waiting.remove(at) {
                    return Ok(waiting.event);
                }
            }
            let event = self.events.next().await?;
            if let Some(event) = self.admit(event) {
                return Ok(event);
            }
        }
    }

    fn hold(&mut self, topic: &Topic, partition: Partition) {
        self.held.insert((topic.clone(), partition));
        self.events.hold(topic, partition);
    }

    fn release(&mut self, topic: &Topic, partition: Partition) {
        self.held.remove(&(topic.clone(), partition));
        self.events.release(topic, partition);
    }

    async fn seek(&mut self, topic: &Topic, partition: Partition, offset: Offset) -> Result<(), Error> {
        self.events.seek(topic, partition, offset).await?;
        self.forget(&[(topic.clone(), partition)]);
        Ok(())
    }

    async fn give_back(&mut self, partitions: &[(Topic, Partition)]) {
        self.forget(partitions);
        self.events.give_back(partitions).await;
    }

    async fn leave(self: Box<Self>) {
        self.events.leave().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
    use tokio::time::timeout;

    use super::*;
    use crate::event::Record;
    use crate::schema::decoder::tests::{Book, coded, decoder, json, topic};

    /// Tells what it is told to.
    #[derive(Debug)]
    struct Script(UnboundedReceiver<MemberEvent>);

    #[async_trait]
    impl MemberEvents for Script {
        async fn next(&mut self) -> Result<MemberEvent, Error> {
            self.0.recv().await.ok_or(Error::NotMember)
        }

        fn hold(&mut self, _topic: &Topic, _partition: Partition) {}

        fn release(&mut self, _topic: &Topic, _partition: Partition) {}

        async fn seek(
            &mut self,
            _topic: &Topic,
            _partition: Partition,
            _offset: Offset,
        ) -> Result<(), Error> {
            Ok(())
        }

        async fn give_back(&mut self, _partitions: &[(Topic, Partition)]) {}

        async fn leave(self: Box<Self>) {}
    }

    fn member(book: &Arc<Book>) -> (UnboundedSender<MemberEvent>, Events) {
        let (tell, told) = unbounded_channel();
        let (events, decoder) = (Box::new(Script(told)), decoder(book));
        (tell, Events { events, decoder, waiting: VecDeque::new(), held: HashSet::new() })
    }

    fn records(partition: u32, offset: u64, schema: i32) -> MemberEvent {
        let (topic, partition) = (topic("avro"), Partition::new(partition));
        let record = Record { offset: Offset::new(offset), ..coded(schema, "{}") };
        MemberEvent::Records { topic, partition, records: vec![record], end: Offset::new(offset + 1) }
    }

    /// The partition and offset of records read.
    async fn next(events: &mut Events) -> (u32, u64) {
        let event = timeout(WAIT_MAX / 2, events.next()).await.expect("something happens").unwrap();
        let MemberEvent::Records { partition, records, .. } = event else { panic!("no records: {event:?}") };
        assert_eq!(records[0].decoded, json("{}"));
        (partition.number(), records[0].offset.number())
    }

    async fn waits(events: &mut Events) {
        timeout(WAIT_MAX / 4, events.next()).await.expect_err("the schema is not known");
    }

    #[tokio::test(start_paused = true)]
    async fn records_that_wait_are_not_lost_and_stay_in_order() {
        let book = Book::new();
        let (tell, mut events) = member(&book);
        for event in [records(0, 1, 4), records(0, 2, 3), records(1, 1, 3)] {
            tell.send(event).unwrap();
        }
        waits(&mut events).await;
        events.hold(&topic("avro"), Partition::new(0));
        assert_eq!(next(&mut events).await, (1, 1), "others go on while it is held");
        events.release(&topic("avro"), Partition::new(0));
        waits(&mut events).await;
        book.may_learn.notify_one();
        assert_eq!(next(&mut events).await, (0, 1));
        assert_eq!(next(&mut events).await, (0, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_goes_with_its_partition() {
        let book = Book::new();
        let place = (topic("avro"), Partition::new(0));
        let (tell, mut events) = member(&book);
        tell.send(records(0, 1, 4)).unwrap();
        waits(&mut events).await;
        events.seek(&place.0, place.1, Offset::new(5)).await.unwrap();
        tell.send(records(0, 5, 3)).unwrap();
        assert_eq!(next(&mut events).await, (0, 5));

        tell.send(records(0, 6, 4)).unwrap();
        waits(&mut events).await;
        events.hold(&place.0, place.1);
        tell.send(MemberEvent::Lost(vec![place])).unwrap();
        assert!(matches!(events.next().await, Ok(MemberEvent::Lost(_))));
        tell.send(records(0, 6, 3)).unwrap();
        assert_eq!(next(&mut events).await, (0, 6));
    }
}
