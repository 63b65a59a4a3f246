//! Group membership of the one process: a group's member has all partitions of its topics.
//!
//! A commit may wait in the queue while its member loses the group to another one. So who changes offsets is asked
//! again when they are applied, and a new member waits for what was applied before it looks at the offsets.
//!
//! ```text
//! commit ── queue ── commit thread: still the member? ── applied, or refused
//! join ── barrier through the same queue ── committed offsets ── assignment
//! ```

mod member;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::event::{GroupName, Partition as Number, Topic};
use crate::log::{Commit, Commits, Committed, Error, GroupSubscription, Membership, Purpose};

use self::member::Member;
use super::locked;
use super::offsets;
use super::partition::Partition;
use super::reader::failed_entries;
use super::shared::Shared;
use super::storage::{Change, Entry, Source};

const METADATA_BYTES_MAX: usize = 4_096;

/// Which groups have a member, and which of their members it is.
#[derive(Debug, Default)]
pub(super) struct Members(Mutex<Joined>);

#[derive(Debug, Default)]
struct Joined {
    by_group: HashMap<GroupName, (u64, Arc<Notify>)>,
    last: u64,
}

/// A change of a group's offsets, and what must still be true when it is applied.
#[derive(Debug)]
pub(super) struct OffsetChange {
    pub(super) group: GroupName,
    pub(super) author: Author,
    /// Where the offsets lie; none may have been deleted meanwhile.
    pub(super) partitions: Vec<Arc<Partition>>,
    pub(super) entries: Vec<Change>,
}

/// Who changes offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Author {
    /// This member, for as long as it is the group's.
    Member(u64),
    /// A person, while the group has no member.
    Hand,
}

impl OffsetChange {
    /// Bytes of its entries.
    pub(super) fn bytes(&self) -> usize {
        self.entries.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum()
    }
}

impl Members {
    /// A new member of the group, in place of an earlier one.
    fn join(&self, group: &GroupName, wake: &Arc<Notify>) -> u64 {
        let mut joined = locked(&self.0);
        joined.last += 1;
        let id = joined.last;
        if let Some((_, earlier)) = joined.by_group.insert(group.clone(), (id, Arc::clone(wake))) {
            earlier.notify_one();
        }
        id
    }

    fn is_member(&self, group: &GroupName, id: u64) -> bool {
        locked(&self.0).by_group.get(group).is_some_and(|(member, _)| *member == id)
    }

    fn leave(&self, group: &GroupName, id: u64) {
        let mut joined = locked(&self.0);
        if joined.by_group.get(group).is_some_and(|(member, _)| *member == id) {
            joined.by_group.remove(group);
        }
    }

    /// Whether a change of offsets may be applied now.
    pub(super) fn check(&self, change: &OffsetChange) -> Result<(), Error> {
        let gone = change.partitions.iter().find(|partition| partition.is_deleted());
        match change.author {
            Author::Member(id) if gone.is_some() || !self.is_member(&change.group, id) => {
                Err(Error::NotMember)
            }
            Author::Hand if self.is_joined(&change.group) => {
                Err(Error::NotSupported("changing the offsets of a group that has a live member"))
            }
            Author::Member(_) | Author::Hand => match gone {
                Some(partition) => Err(Error::UnknownTopic(partition.topic.clone())),
                None => Ok(()),
            },
        }
    }

    fn is_joined(&self, group: &GroupName) -> bool {
        locked(&self.0).by_group.contains_key(group)
    }

    /// Wakes all members.
    pub(super) fn wake(&self) {
        locked(&self.0).by_group.values().for_each(|(_, wake)| wake.notify_one());
    }
}

/// Becomes the group's member.
pub(super) fn join(
    shared: &Arc<Shared>,
    group: &GroupName,
    subscription: &GroupSubscription,
) -> Result<Membership, Error> {
    for topic in &subscription.topics {
        shared.topics.require(topic)?;
    }
    let wake = Arc::new(Notify::new());
    let ticket = Arc::new(Ticket {
        shared: Arc::clone(shared),
        group: group.clone(),
        topics: subscription.topics.clone(),
        id: shared.members.join(group, &wake),
        assigned: Mutex::default(),
    });
    let commits = Arc::new(MemberCommits(Arc::clone(&ticket)));
    Ok(Membership { events: Box::new(Member::new(ticket, wake, subscription.start)), commits })
}

/// What both halves of a membership know.
#[derive(Debug)]
struct Ticket {
    shared: Arc<Shared>,
    group: GroupName,
    topics: Vec<Topic>,
    id: u64,
    /// Guards the partitions the member was told of last: it commits for no other, and for none of an earlier topic of
    /// the same name.
    assigned: Mutex<Vec<Arc<Partition>>>,
}

impl Ticket {
    /// The change that keeps this member's commits.
    fn change(&self, partitions: Vec<Arc<Partition>>, commits: &[Commit]) -> Result<OffsetChange, Error> {
        let entries = entries(&self.group, commits)?;
        Ok(OffsetChange { group: self.group.clone(), author: Author::Member(self.id), partitions, entries })
    }

    fn assigned(&self, commit: &Commit) -> Result<Arc<Partition>, Error> {
        let assigned = locked(&self.assigned);
        let mut its = assigned
            .iter()
            .filter(|partition| partition.number == commit.partition && partition.topic == commit.topic);
        its.next().map(Arc::clone).ok_or(Error::NotMember)
    }

    fn check(&self) -> Result<(), Error> {
        if self.shared.is_closed() {
            return Err(Error::Closed);
        }
        if self.shared.members.is_member(&self.group, self.id) { Ok(()) } else { Err(Error::NotMember) }
    }
}

#[derive(Debug)]
struct MemberCommits(Arc<Ticket>);

#[async_trait]
impl Commits for MemberCommits {
    async fn commit(&self, commits: Vec<Commit>) -> Result<(), Error> {
        self.0.check()?;
        let partitions = commits.iter().map(|commit| self.0.assigned(commit)).collect::<Result<_, _>>()?;
        self.0.shared.change_offsets(self.0.change(partitions, &commits)?).await
    }
}

/// The entries that keep these commits.
pub(super) fn entries(group: &GroupName, commits: &[Commit]) -> Result<Vec<Change>, Error> {
    let entry = |commit: &Commit| {
        if commit.committed.metadata.len() > METADATA_BYTES_MAX {
            return Err(Error::NotSupported("metadata above 4,096 bytes"));
        }
        let key = offsets::key(group, &commit.topic, commit.partition);
        Ok((key, Some(offsets::value(&commit.committed))))
    };
    commits.iter().map(entry).collect()
}

/// What a group has committed in a topic.
pub(super) async fn committed(
    shared: &Shared,
    group: &GroupName,
    topic: &Topic,
) -> Result<BTreeMap<Number, Committed>, Error> {
    let entries = stored(shared, offsets::topic_prefix(group, topic)).await?;
    let place = |(key, value): &Entry| {
        let (_, _, partition) = offsets::parse_key(key)?;
        Some((partition, offsets::parse_value(value)?))
    };
    Ok(entries.iter().filter_map(place).collect())
}

/// The entries whose keys begin with `prefix`.
pub(super) async fn stored(shared: &Shared, prefix: Vec<u8>) -> Result<Vec<Entry>, Error> {
    if shared.is_closed() {
        return Err(Error::Closed);
    }
    let job = move |source: &mut dyn Source| source.scan(&prefix).map_err(failed_entries);
    shared.pool.run(Purpose::Tail, job).await
}
