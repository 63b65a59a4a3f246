//! Offsets of groups, looked at and changed from outside: by the gateway's own member where it has one, else by a client
//! that never joins.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::time::{Instant, sleep, timeout};

use crate::event::{GroupName, Partition, Topic};
use crate::log::{Commit, Committed, Error};

use super::admin;
use super::connection::Watch;
use super::failure::{code_of, lookup, unavailable};
use super::producer::Away;
use super::queries::PATIENCE;
use super::record::{offset, place};
use super::shared::Shared;
use super::{locked, native, partition};

type Client = BaseConsumer<Watch>;

/// Text beside a committed offset; Kafka's default limit.
const METADATA_BYTES_MAX: usize = 4_096;
/// Clients kept for groups without a member here.
const CLIENTS_MAX: usize = 16;
const IDLE_MAX: Duration = Duration::from_secs(60);
/// A member that has just left may still be there for the cluster.
const LEAVING_MAX: Duration = Duration::from_secs(3);
/// How long setting a group's offsets may take.
const COMMIT_MAX: Duration = Duration::from_secs(8);
const TRY_AGAIN: Duration = Duration::from_millis(100);

const HAS_MEMBER: Error = Error::NotSupported("changing the offsets of a group that has a live member");

/// Clients that look at groups' offsets, each with when it was last used.
#[derive(Default)]
pub(super) struct Offsets(Mutex<HashMap<GroupName, (Arc<Client>, Instant)>>);

impl std::fmt::Debug for Offsets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Offsets")
    }
}

impl Offsets {
    /// The group's client; blocks where one has to go for it.
    fn client(&self, shared: &Shared, group: &GroupName) -> KafkaResult<Arc<Client>> {
        let now = Instant::now();
        if let Some((client, used)) = locked(&self.0).get_mut(group) {
            *used = now;
            return Ok(Arc::clone(client));
        }
        let watch = Watch::of(Arc::clone(&shared.connection), "offsets");
        let client: Arc<Client> = Arc::new(shared.settings.offsets(group).create_with_context(watch)?);
        let mut clients = locked(&self.0);
        let oldest = clients.iter().min_by_key(|(_, (_, used))| *used).map(|(group, _)| group.clone());
        let excess = oldest.filter(|_| clients.len() >= CLIENTS_MAX).and_then(|group| clients.remove(&group));
        let before = clients.insert(group.clone(), (Arc::clone(&client), now));
        drop(clients);
        drop((excess, before));
        Ok(client)
    }

    /// Lets clients go that were not used for a while, and hears the others; blocks.
    pub(super) fn tidy(&self) {
        let now = Instant::now();
        let mut clients = locked(&self.0);
        let idle: Vec<_> = clients.extract_if(|_, (_, used)| now.duration_since(*used) > IDLE_MAX).collect();
        let kept: Vec<Arc<Client>> = clients.values().map(|(client, _)| Arc::clone(client)).collect();
        drop(clients);
        drop(idle);
        for client in kept {
            for _ in 0..16 {
                drop(client.poll(Duration::ZERO));
            }
        }
    }

    /// All clients, for closing.
    pub(super) fn take(&self) -> Vec<Arc<Client>> {
        locked(&self.0).drain().map(|(_, (client, _))| client).collect()
    }
}

/// What a group has committed in a topic.
pub(super) async fn committed(
    shared: &Arc<Shared>,
    group: &GroupName,
    topic: &Topic,
) -> Result<BTreeMap<Partition, Committed>, Error> {
    shared.check()?;
    let Some(known) = shared.topics.get(topic) else { return Ok(BTreeMap::new()) };
    let mut list = TopicPartitionList::new();
    for number in 0..known.info.spec.partitions {
        list.add_partition(topic.as_str(), native(Partition::new(number)));
    }
    let (asked, group) = (Arc::clone(shared), group.clone());
    let answered = shared.blocking.look_up(move || match asked.members.client(&group) {
        Some(member) => ask(&member, list),
        None => ask(&*asked.offsets.client(&asked, &group)?, list),
    });
    let all = answered.await?.map_err(|error| lookup(error, topic))?;
    Ok(all.into_iter().map(|((_, partition), committed)| (partition, committed)).collect())
}

/// What a group has committed in these partitions; blocks.
pub(super) fn ask<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    list: TopicPartitionList,
) -> KafkaResult<BTreeMap<(Topic, Partition), Committed>> {
    let answered = client.committed_offsets(list, PATIENCE)?;
    let mut all = BTreeMap::new();
    for element in answered.elements() {
        element.error()?;
        let (rdkafka::Offset::Offset(number), Ok(topic)) = (element.offset(), Topic::parse(element.topic()))
        else {
            continue;
        };
        let committed = Committed { offset: offset(number), metadata: element.metadata().to_owned() };
        all.insert((topic, partition(element.partition())), committed);
    }
    Ok(all)
}

/// Sets a group's offsets while it has no member.
pub(super) async fn set_committed(
    shared: &Arc<Shared>,
    group: &GroupName,
    commits: Vec<Commit>,
) -> Result<(), Error> {
    for commit in &commits {
        shared.topics.require(&commit.topic)?.partition(commit.partition)?;
    }
    let list = list_of(&commits)?;
    let attempt = || {
        let (asked, group, list) = (Arc::clone(shared), group.clone(), list.clone());
        let commit = move || asked.offsets.client(&asked, &group)?.commit(&list, CommitMode::Sync);
        // The call itself stands for as long as the group's coordinator is away.
        timeout(COMMIT_MAX, shared.blocking.call(commit))
    };
    let deadline = Instant::now() + LEAVING_MAX;
    loop {
        check_no_member(shared, group)?;
        if !shared.connection.is_up() {
            return Err(unavailable(Away));
        }
        let Err(error) = attempt().await.map_err(|_| Error::OutcomeUnknown)?? else { return Ok(()) };
        match code_of(&error) {
            Some(
                Code::UnknownMemberId
                | Code::IllegalGeneration
                | Code::RebalanceInProgress
                | Code::StaleMemberEpoch
                | Code::FencedMemberEpoch,
            ) => {
                if Instant::now() >= deadline {
                    return Err(HAS_MEMBER);
                }
                sleep(TRY_AGAIN).await;
            }
            Some(Code::RequestTimedOut | Code::OperationTimedOut) => return Err(Error::OutcomeUnknown),
            _ => return Err(unavailable(error)),
        }
    }
}

/// Forgets a group that has no member.
pub(super) async fn forget(shared: &Arc<Shared>, group: &GroupName) -> Result<(), Error> {
    let deadline = Instant::now() + LEAVING_MAX;
    loop {
        check_no_member(shared, group)?;
        match shared.admin.forget(group).await {
            Ok(()) => return Ok(()),
            Err(error) if admin::has_members(&error) && Instant::now() < deadline => sleep(TRY_AGAIN).await,
            Err(error) if admin::has_members(&error) => return Err(HAS_MEMBER),
            Err(error) => return Err(unavailable(error)),
        }
    }
}

/// The list librdkafka commits.
pub(super) fn list_of(commits: &[Commit]) -> Result<TopicPartitionList, Error> {
    let mut list = TopicPartitionList::with_capacity(commits.len());
    for Commit { topic, partition, committed } in commits {
        if committed.metadata.len() > METADATA_BYTES_MAX {
            return Err(Error::NotSupported("metadata above 4,096 bytes"));
        }
        let mut element = list.add_partition(topic.as_str(), native(*partition));
        element.set_offset(place(committed.offset)).map_err(unavailable)?;
        element.set_metadata(committed.metadata.as_str());
    }
    Ok(list)
}

fn check_no_member(shared: &Shared, group: &GroupName) -> Result<(), Error> {
    shared.check()?;
    if shared.members.client(group).is_some() { Err(HAS_MEMBER) } else { Ok(()) }
}
