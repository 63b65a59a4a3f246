//! What both halves of a membership share: the client, and which partitions are the member's.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::time::{Instant, sleep, timeout_at};

use crate::event::{GroupName, Partition, Topic};
use crate::log::{Commit, Commits, Error};

use super::super::failure::{code_of, unavailable};
use super::super::locked;
use super::super::offsets::list_of;
use super::super::producer::Away;
use super::super::shared::Shared;
use super::post::{Context, Post};

pub(in crate::log_kafka) type Client = BaseConsumer<Context>;

/// How long a commit is tried while the group rebalances or its coordinator moves.
const COMMIT_MAX: Duration = Duration::from_secs(8);
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// A membership.
pub(in crate::log_kafka) struct Link {
    pub(super) group: GroupName,
    pub(super) post: Arc<Post>,
    /// Guards the client; `None` once the member left.
    client: Mutex<Option<Arc<Client>>>,
    /// Guards which partitions are the member's.
    owned: Mutex<HashSet<(Topic, Partition)>>,
    /// Held by the call of a commit, which stands for as long as the coordinator is away: one at a time.
    pub(super) committing: Arc<tokio::sync::Mutex<()>>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Link({})", self.group)
    }
}

impl Link {
    pub(super) fn new(group: GroupName, client: Client, post: Arc<Post>) -> Self {
        Self {
            group,
            post,
            client: Mutex::new(Some(Arc::new(client))),
            owned: Mutex::default(),
            committing: Arc::default(),
        }
    }

    /// What is said of it.
    pub(super) fn membership(&self) -> String {
        format!("the membership in group {}", self.group)
    }

    /// The client, while this is a membership.
    pub(super) fn client(&self) -> Result<Arc<Client>, Error> {
        locked(&self.client).clone().ok_or(Error::NotMember)
    }

    /// Ends the membership for both halves; the client is to be dropped where it may block.
    pub(super) fn part(&self) -> Option<Arc<Client>> {
        self.post.is_closing.store(true, Ordering::Release);
        locked(&self.owned).clear();
        locked(&self.client).take()
    }

    pub(super) fn own(&self, partitions: impl IntoIterator<Item = (Topic, Partition)>) {
        locked(&self.owned).extend(partitions);
    }

    pub(super) fn disown(&self, partitions: &[(Topic, Partition)]) {
        let mut owned = locked(&self.owned);
        for partition in partitions {
            owned.remove(partition);
        }
    }

    fn owns(&self, commits: &[Commit]) -> bool {
        let owned = locked(&self.owned);
        commits.iter().all(|commit| owned.contains(&(commit.topic.clone(), commit.partition)))
    }
}

/// The committing half.
#[derive(Debug)]
pub(super) struct MemberCommits {
    shared: Arc<Shared>,
    link: Arc<Link>,
}

/// What a failed commit means.
enum Failed {
    /// The group is being rearranged.
    ForNow,
    ForGood(Error),
}

impl MemberCommits {
    pub(super) const fn new(shared: Arc<Shared>, link: Arc<Link>) -> Self {
        Self { shared, link }
    }
}

#[async_trait]
impl Commits for MemberCommits {
    async fn commit(&self, commits: Vec<Commit>) -> Result<(), Error> {
        commit(&self.shared, &self.link, &commits).await
    }
}

/// Commits for a member, within a bounded time; what was not answered by then may still happen, before any later commit.
pub(super) async fn commit(shared: &Shared, link: &Arc<Link>, commits: &[Commit]) -> Result<(), Error> {
    let deadline = Instant::now() + COMMIT_MAX;
    let committed = timeout_at(deadline, commit_until(deadline, shared, link, commits)).await;
    committed.unwrap_or(Err(Error::OutcomeUnknown))
}

/// The broker does not ask who owns a partition, so that is asked here.
async fn commit_until(
    deadline: Instant,
    shared: &Shared,
    link: &Arc<Link>,
    commits: &[Commit],
) -> Result<(), Error> {
    let list = list_of(commits)?;
    loop {
        let turn = Arc::clone(&link.committing).lock_owned().await;
        shared.check()?;
        let client = link.client()?;
        if !link.owns(commits) {
            return Err(Error::NotMember);
        }
        if !shared.connection.is_up() {
            return Err(unavailable(Away));
        }
        let list = list.clone();
        let commit = move || {
            let committed = client.commit(&list, CommitMode::Sync);
            drop(turn);
            committed
        };
        let Err(error) = shared.blocking.call(commit).await? else { return Ok(()) };
        match meaning(error) {
            Failed::ForNow if Instant::now() < deadline => sleep(TRY_AGAIN).await,
            Failed::ForNow => return Err(Error::OutcomeUnknown),
            Failed::ForGood(error) => return Err(error),
        }
    }
}

fn meaning(error: KafkaError) -> Failed {
    match code_of(&error) {
        Some(
            Code::RebalanceInProgress
            | Code::IllegalGeneration
            | Code::StaleMemberEpoch
            | Code::NotCoordinator
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::WaitingForCoordinator,
        ) => Failed::ForNow,
        Some(Code::UnknownMemberId | Code::FencedMemberEpoch | Code::FencedInstanceId) => {
            Failed::ForGood(Error::NotMember)
        }
        Some(
            Code::RequestTimedOut
            | Code::OperationTimedOut
            | Code::MessageTimedOut
            | Code::BrokerTransportFailure
            | Code::BrokerDestroy,
        ) => Failed::ForGood(Error::OutcomeUnknown),
        Some(Code::OffsetMetadataTooLarge) => {
            Failed::ForGood(Error::NotSupported("metadata above the cluster's offset.metadata.max.bytes"))
        }
        _ => Failed::ForGood(unavailable(error)),
    }
}
