//! Between a group's task and a member: what was sent and not yet pulled.
//!
//! Its length is bounded by the member's credit: only unsettled deliveries lie here, and what is taken back leaves
//! again without the member having seen it. Frames are made when they are pulled, on the puller's thread.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use crate::event::{LiveCatalogue, Partition, Record, RecordView, Topic};

use super::member::{How, MemberId, Push};
use super::{AckMode, Error, Tag, Withdrawal};

/// A delivery as it waits here.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    pub(super) tag: Tag,
    pub(super) attempt: u32,
    pub(super) deadline_ms: u64,
    pub(super) topic: Topic,
    pub(super) record: Record,
    /// How often it came back from the dead letters.
    pub(super) redrives: u32,
    /// Whether it is delivered once more, of a range that somebody asked for.
    pub(super) is_replayed: bool,
}

#[derive(Debug)]
enum Item {
    Parcel(Box<Parcel>),
    Push(Push),
}

#[derive(Debug, Default)]
struct Contents {
    items: VecDeque<Item>,
    is_closed: bool,
    /// Handed out and so settled, for a member that acknowledges automatically.
    settled: Vec<Tag>,
    /// How the member was left, where nobody told the group yet.
    left: Option<How>,
}

/// A member's mailbox, shared by the group's task and the member.
#[derive(Debug)]
pub(super) struct Mailbox {
    member: MemberId,
    ack: AckMode,
    catalogue: LiveCatalogue,
    /// Guards the contents for moves of a few items; never held while frames are made.
    contents: Mutex<Contents>,
    /// Wakes the member.
    arrived: AtomicWaker,
    /// Wakes the group's task.
    group: Arc<Notify>,
}

impl Mailbox {
    pub(super) fn new(member: MemberId, ack: AckMode, catalogue: LiveCatalogue, group: Arc<Notify>) -> Self {
        Self { member, ack, catalogue, contents: Mutex::default(), arrived: AtomicWaker::new(), group }
    }

    pub(super) fn deliver(&self, parcel: Parcel) {
        self.lock().items.push_back(Item::Parcel(Box::new(parcel)));
        self.arrived.wake();
    }

    /// Tells the member something; a newer assignment replaces one it has not seen, and comes before what is delivered.
    pub(super) fn tell(&self, push: Push) {
        let mut contents = self.lock();
        if matches!(push, Push::Assignment { .. }) {
            contents.items.retain(|item| !matches!(item, Item::Push(Push::Assignment { .. })));
            contents.items.push_front(Item::Push(push));
        } else {
            contents.items.push_back(Item::Push(push));
        }
        drop(contents);
        self.arrived.wake();
    }

    /// Takes deliveries back; the member is told of those it has seen.
    pub(super) fn withdraw(&self, mut tags: Vec<Tag>, reason: Withdrawal) {
        self.remove(|parcel| {
            let at = tags.iter().position(|tag| *tag == parcel.tag);
            at.map(|at| tags.swap_remove(at)).is_some()
        });
        if !tags.is_empty() {
            tags.sort_unstable();
            self.tell(Push::Withdrawn { tags, reason });
        }
    }

    /// Takes back what the member has not seen.
    pub(super) fn recall(&self, is_meant: impl Fn(&Tag) -> bool) -> Vec<Tag> {
        self.remove(|parcel| is_meant(&parcel.tag))
    }

    /// Takes back the gaps the member has not seen.
    pub(super) fn recall_gaps(&self) -> Vec<Push> {
        let mut gaps = Vec::new();
        self.lock().items.retain(|item| match item {
            Item::Push(gap @ Push::Gap { .. }) => {
                gaps.push(gap.clone());
                false
            }
            Item::Parcel(_) | Item::Push(_) => true,
        });
        gaps
    }

    /// Ends this one; a successor takes over all the member has not seen. Answers the automatic settlements since
    /// the last look.
    pub(super) fn hand_over(&self, to: &Self) -> Vec<Tag> {
        let mut contents = self.lock();
        contents.is_closed = true;
        let mut items = std::mem::take(&mut contents.items);
        let settled = std::mem::take(&mut contents.settled);
        drop(contents);
        self.arrived.wake();
        items.retain(|item| matches!(item, Item::Parcel(_) | Item::Push(Push::Gap { .. })));
        to.lock().items.append(&mut items);
        to.arrived.wake();
        settled
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.wake();
    }

    /// The member was left without a word.
    pub(super) fn abandon(&self) {
        self.lock().left.get_or_insert(How::Broken);
        self.group.notify_one();
    }

    /// What happened on the member's side since the last look: automatic settlements, and whether it was left.
    pub(super) fn news(&self) -> (Vec<Tag>, Option<How>) {
        let mut contents = self.lock();
        (std::mem::take(&mut contents.settled), contents.left)
    }

    pub(super) fn poll_next(
        &self,
        bytes_max: usize,
        context: &Context<'_>,
    ) -> Poll<Result<Vec<Push>, Error>> {
        self.arrived.register(context.waker());
        match self.take(bytes_max)? {
            Some(items) => Poll::Ready(Ok(items.into_iter().map(|item| self.open(item)).collect())),
            None => Poll::Pending,
        }
    }

    fn take(&self, bytes_max: usize) -> Result<Option<Vec<Item>>, Error> {
        const OVERHEAD: usize = 256;
        let mut contents = self.lock();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(item) = contents.items.front() {
            bytes += OVERHEAD
                + match item {
                    Item::Parcel(parcel) => parcel.record.bytes(),
                    Item::Push(_) => 0,
                };
            if bytes > bytes_max && !taken.is_empty() {
                break;
            }
            taken.extend(contents.items.pop_front());
        }
        if self.ack == AckMode::Auto {
            let parcels = taken.iter().filter_map(|item| match item {
                Item::Parcel(parcel) => Some(parcel.tag),
                Item::Push(_) => None,
            });
            let before = contents.settled.len();
            contents.settled.extend(parcels);
            if contents.settled.len() > before {
                self.group.notify_one();
            }
        }
        match (taken.is_empty(), contents.is_closed) {
            (false, _) => Ok(Some(taken)),
            (true, false) => Ok(None),
            (true, true) => Err(Error::Closed),
        }
    }

    fn open(&self, item: Item) -> Push {
        match item {
            Item::Parcel(parcel) => Push::Delivery { tag: parcel.tag, frame: self.frame(&parcel).into() },
            Item::Push(push) => push,
        }
    }

    fn frame(&self, parcel: &Parcel) -> Vec<u8> {
        const MEMBERS: usize = 384;
        let Parcel { tag, attempt, deadline_ms, topic, record, redrives, is_replayed } = parcel;
        let storage = self.catalogue.load().rule(topic).storage;
        let start = format!(
            r#"{{"sub":{},"delivery":"{tag}","attempt":{attempt},"deadlineMs":{deadline_ms},"#,
            self.member
        );
        let mut frame = Vec::with_capacity(MEMBERS + record.bytes());
        frame.extend_from_slice(start.as_bytes());
        if *redrives > 0 {
            frame.extend_from_slice(format!(r#""redrives":{redrives},"#).as_bytes());
        }
        if *is_replayed {
            frame.extend_from_slice(br#""replay":true,"#);
        }
        let partition = Partition::new(tag.partition);
        RecordView::parse(record, storage).write_members(&mut frame, topic, partition);
        frame.push(b'}');
        frame
    }

    fn remove(&self, mut is_meant: impl FnMut(&Parcel) -> bool) -> Vec<Tag> {
        let mut removed = Vec::new();
        self.lock().items.retain(|item| match item {
            Item::Parcel(parcel) if is_meant(parcel) => {
                removed.push(parcel.tag);
                false
            }
            Item::Parcel(_) | Item::Push(_) => true,
        });
        removed
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;

    use bytes::Bytes;
    use tokio::sync::Notify;

    use crate::event::{
        Catalogue, Headers, LiveCatalogue, Offset, Partition, Record, Timestamp, Topic, TopicRule,
    };

    use super::super::GapReason;
    use super::{AckMode, Error, Mailbox, MemberId, Parcel, Push, Tag};

    fn topic() -> Topic {
        Topic::parse("orders.v1").unwrap()
    }

    fn mailbox(member: u32) -> Mailbox {
        let rule = TopicRule::plain(topic(), Vec::new());
        let catalogue = LiveCatalogue::new(Catalogue::new(vec![rule.clone()], rule));
        Mailbox::new(MemberId::new(member), AckMode::Auto, catalogue, Arc::new(Notify::new()))
    }

    fn parcel(tag: Tag) -> Parcel {
        let record = Record {
            offset: Offset::new(tag.offset),
            timestamp: Timestamp::from_millis(0),
            key: None,
            value: Some(Bytes::from_static(b"{}")),
            headers: Headers::default(),
            decoded: None,
        };
        Parcel { tag, attempt: 1, deadline_ms: 1, topic: topic(), record, redrives: 0, is_replayed: false }
    }

    async fn next(mailbox: &Mailbox, bytes_max: usize) -> Result<Vec<Push>, Error> {
        poll_fn(|context| mailbox.poll_next(bytes_max, context)).await
    }

    #[tokio::test]
    async fn a_successor_gets_the_unseen_and_what_was_handed_out_stays_settled() {
        let (before, after) = (mailbox(1), mailbox(2));
        let (from, to) = (Offset::new(1), Offset::new(4));
        let reason = GapReason::Retention;
        let gap = Push::Gap { topic: topic(), partition: Partition::new(0), from, to, reason };
        let tags = [7, 8].map(|offset| Tag { epoch: 1, topic: 0, partition: 0, offset, sequence: offset });
        before.deliver(parcel(tags[0]));
        next(&before, 1).await.unwrap();
        before.tell(gap.clone());
        before.tell(Push::Draining);
        before.deliver(parcel(tags[1]));
        assert_eq!(before.hand_over(&after), [tags[0]]);
        assert!(matches!(next(&before, 1).await, Err(Error::Closed)));
        assert_eq!(after.recall_gaps(), [gap]);
        let pushes = next(&after, 1 << 20).await.unwrap();
        assert!(matches!(pushes.as_slice(), [Push::Delivery { tag, .. }] if *tag == tags[1]));
    }
}
