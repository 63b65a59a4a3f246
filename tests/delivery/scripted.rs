//! Groups of a log whose side a test plays: it says what happens to a member, and hears what the member does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;
use weirgate::event::{GroupName, Headers, Offset, Partition, Record, Timestamp, Topic};
use weirgate::log::{
    Assigned, Commit, Commits, Committed, Error, GroupSubscription, Groups, MemberEvent, MemberEvents,
    Membership,
};

use super::harness::topic;

/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(60);
const FIRST: Partition = Partition::new(0);

/// What a member does, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Join,
    Commit(u64),
    GiveBack(Vec<(Topic, Partition)>),
    Leave,
    Seek(u64),
    Set(u64),
}

/// The test's side.
#[derive(Debug)]
pub(crate) struct Script {
    events: mpsc::UnboundedSender<Result<MemberEvent, Error>>,
    moods: Arc<Moods>,
    deeds: mpsc::UnboundedReceiver<Deed>,
}

/// What the log does not do, or does.
#[derive(Debug, Default)]
struct Moods {
    refuses_seeks: AtomicBool,
    never_takes_back: AtomicBool,
    has_no_members: AtomicBool,
}

/// The gateway's side.
#[derive(Debug)]
pub(crate) struct Scripted {
    moods: Arc<Moods>,
    /// Each membership hears what is said while it lasts.
    events: Arc<Mutex<mpsc::UnboundedReceiver<Result<MemberEvent, Error>>>>,
    deeds: mpsc::UnboundedSender<Deed>,
}

#[derive(Debug)]
struct Member {
    moods: Arc<Moods>,
    events: Arc<Mutex<mpsc::UnboundedReceiver<Result<MemberEvent, Error>>>>,
    deeds: mpsc::UnboundedSender<Deed>,
}

#[derive(Debug)]
struct MemberCommits(mpsc::UnboundedSender<Deed>);

impl Script {
    /// The next thing the member does.
    pub(crate) async fn deed(&mut self) -> Deed {
        let deed = timeout(SOON, self.deeds.recv()).await;
        deed.unwrap_or_else(|_| panic!("the member does nothing")).unwrap()
    }

    /// What the member has done and nobody has looked at.
    pub(crate) fn deeds(&mut self) -> Vec<Deed> {
        std::iter::from_fn(|| self.deeds.try_recv().ok()).collect()
    }

    /// The next thing it does but this.
    pub(crate) async fn next_but(&mut self, passed: &Deed) -> Deed {
        loop {
            let deed = self.deed().await;
            if deed != *passed {
                return deed;
            }
        }
    }

    pub(crate) fn refuse_seeks(&self, refuses: bool) {
        self.moods.refuses_seeks.store(refuses, Ordering::Relaxed);
    }

    /// From now on who gives partitions back waits for ever.
    pub(crate) fn never_take_back(&self) {
        self.moods.never_takes_back.store(true, Ordering::Relaxed);
    }

    /// From now on offsets may be set by hand, and forgotten.
    pub(crate) fn have_no_members(&self) {
        self.moods.has_no_members.store(true, Ordering::Relaxed);
    }

    /// The first partition comes, committed up to `committed`, to be read from `position`.
    pub(crate) fn assign(&self, committed: u64, position: u64) {
        let committed = Committed { offset: Offset::new(committed), metadata: String::new() };
        self.say(Ok(MemberEvent::Assigned(vec![Assigned {
            topic: topic("orders.v1"),
            partition: FIRST,
            committed: Some(committed),
            position: Offset::new(position),
        }])));
    }

    pub(crate) fn revoke(&self) {
        self.say(Ok(MemberEvent::Revoked(vec![first()])));
    }

    pub(crate) fn lose(&self) {
        self.say(Ok(MemberEvent::Lost(vec![first()])));
    }

    pub(crate) fn records(&self, offsets: std::ops::Range<u64>) {
        let end = Offset::new(offsets.end);
        let record = |offset| Record {
            offset: Offset::new(offset),
            timestamp: Timestamp::from_millis(0),
            key: None,
            value: Some(Bytes::from_static(b"{}")),
            headers: Headers::default(),
            decoded: None,
        };
        let records = offsets.map(record).collect();
        self.say(Ok(MemberEvent::Records { topic: topic("orders.v1"), partition: FIRST, records, end }));
    }

    pub(crate) fn gap(&self, from: u64, to: u64) {
        let (from, to) = (Offset::new(from), Offset::new(to));
        self.say(Ok(MemberEvent::Gap { topic: topic("orders.v1"), partition: FIRST, from, to }));
    }

    /// The membership has ended.
    pub(crate) fn end_membership(&self) {
        self.say(Err(Error::NotMember));
    }

    fn say(&self, event: Result<MemberEvent, Error>) {
        self.events.send(event).unwrap();
    }
}

impl Scripted {
    pub(crate) fn new() -> (Arc<Self>, Script) {
        let (events, heard) = mpsc::unbounded_channel();
        let (doing, deeds) = mpsc::unbounded_channel();
        let moods = Arc::new(Moods::default());
        let script = Script { events, moods: Arc::clone(&moods), deeds };
        (Arc::new(Self { moods, events: Arc::new(Mutex::new(heard)), deeds: doing }), script)
    }
}

#[async_trait]
impl Groups for Scripted {
    async fn join(&self, _: &GroupName, _: GroupSubscription) -> Result<Membership, Error> {
        self.deeds.send(Deed::Join).unwrap();
        let (events, deeds) = (Arc::clone(&self.events), self.deeds.clone());
        let commits = Arc::new(MemberCommits(deeds.clone()));
        let moods = Arc::clone(&self.moods);
        Ok(Membership { events: Box::new(Member { moods, events, deeds }), commits })
    }

    async fn committed(&self, _: &GroupName, _: &Topic) -> Result<BTreeMap<Partition, Committed>, Error> {
        Ok(BTreeMap::new())
    }

    async fn set_committed(&self, _: &GroupName, commits: Vec<Commit>) -> Result<(), Error> {
        if !self.moods.has_no_members.load(Ordering::Relaxed) {
            return Err(Error::NotSupported("setting offsets"));
        }
        for commit in commits {
            self.deeds.send(Deed::Set(commit.committed.offset.number())).unwrap();
        }
        Ok(())
    }

    async fn forget(&self, _: &GroupName) -> Result<(), Error> {
        if !self.moods.has_no_members.load(Ordering::Relaxed) {
            return Err(Error::NotSupported("forgetting offsets"));
        }
        Ok(())
    }

    async fn groups(&self) -> Result<Vec<GroupName>, Error> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl MemberEvents for Member {
    async fn next(&mut self) -> Result<MemberEvent, Error> {
        match self.events.lock().await.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    fn hold(&mut self, _: &Topic, _: Partition) {}

    fn release(&mut self, _: &Topic, _: Partition) {}

    async fn seek(&mut self, _: &Topic, _: Partition, offset: Offset) -> Result<(), Error> {
        if self.moods.refuses_seeks.load(Ordering::Relaxed) {
            return Err(Error::NotSupported("seeking"));
        }
        self.deeds.send(Deed::Seek(offset.number())).unwrap();
        Ok(())
    }

    async fn give_back(&mut self, partitions: &[(Topic, Partition)]) {
        self.deeds.send(Deed::GiveBack(partitions.to_vec())).unwrap();
        if self.moods.never_takes_back.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    async fn leave(self: Box<Self>) {
        self.deeds.send(Deed::Leave).unwrap();
    }
}

#[async_trait]
impl Commits for MemberCommits {
    async fn commit(&self, commits: Vec<Commit>) -> Result<(), Error> {
        for commit in commits {
            self.0.send(Deed::Commit(commit.committed.offset.number())).unwrap();
        }
        Ok(())
    }
}

/// The partition of the script.
pub(crate) fn first() -> (Topic, Partition) {
    (topic("orders.v1"), FIRST)
}
