//! Group membership: this process is one real member of each group it serves, with a client of its own.
//!
//! ```text
//! librdkafka ── rebalance events ── post ─┐
//! partition queues ───────────────────────┼── member ── events
//! commits ── link (what is owned, the client) ──┘
//! ```

mod assign;
mod closing;
mod link;
mod member;
mod place;
mod post;
mod rest;
mod revocation;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::time::{Instant, sleep_until};

use crate::event::GroupName;
use crate::log::{Error, GroupSubscription, Membership};

use self::link::{Client, Link, MemberCommits};
use self::member::Member;
use self::post::{Context, Post};
use self::rest::Rest;
use super::connection::Watch;
use super::failure::unavailable;
use super::locked;
use super::shared::Shared;

/// The groups this process is a member of.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// Guards which member each group has.
    joined: Mutex<HashMap<GroupName, Weak<Link>>>,
    /// Guards how long groups rest whose memberships failed for good.
    rests: Mutex<HashMap<GroupName, Rest>>,
}

impl Members {
    /// The client of the group's member, while it is one.
    pub(super) fn client(&self, group: &GroupName) -> Option<Arc<Client>> {
        let link = locked(&self.joined).get(group).and_then(Weak::upgrade);
        link.and_then(|link| link.client().ok())
    }

    fn enter(&self, link: &Arc<Link>) {
        locked(&self.joined).insert(link.group.clone(), Arc::downgrade(link));
    }

    fn leave(&self, link: &Link) {
        let mut joined = locked(&self.joined);
        let is_mine = joined.get(&link.group).is_some_and(|known| std::ptr::eq(known.as_ptr(), link));
        if is_mine {
            joined.remove(&link.group);
        }
    }

    /// A membership failed for good; answers how long the group rests now.
    fn failed(&self, group: &GroupName, code: Code) -> Duration {
        let now = Instant::now();
        let mut rests = locked(&self.rests);
        let rest = rests.get(group).map_or_else(|| Rest::first(code, now), |rest| rest.next(code, now));
        let time = rest.until.duration_since(now);
        rests.insert(group.clone(), rest);
        time
    }

    fn may_join_at(&self, group: &GroupName) -> Option<Instant> {
        locked(&self.rests).get(group).map(|rest| rest.until)
    }
}

/// Becomes a member of the group.
pub(super) async fn join(
    shared: &Arc<Shared>,
    group: &GroupName,
    subscription: &GroupSubscription,
) -> Result<Membership, Error> {
    shared.check()?;
    closing::check(&shared.metrics.clients_left_behind)?;
    for topic in &subscription.topics {
        shared.topics.require(topic)?;
    }
    if let Some(at) = shared.members.may_join_at(group) {
        sleep_until(at).await;
    }
    let protocol = shared.protocol().await?;
    let config = shared.settings.member(group, protocol);
    let post = Arc::new(Post::default());
    let context = Context {
        watch: Watch::of(Arc::clone(&shared.connection), "member").measured(),
        post: Arc::clone(&post),
    };
    let topics = subscription.topics.clone();
    let ringing = Arc::clone(&post);
    let made = shared.blocking.call(move || {
        let mut client: Client = config.create_with_context(context)?;
        client.set_nonempty_callback(move || ringing.ring());
        let names: Vec<&str> = topics.iter().map(|topic| topic.as_str()).collect();
        client.subscribe(&names)?;
        Ok::<_, rdkafka::error::KafkaError>(client)
    });
    let client = made.await?.map_err(unavailable)?;
    let link = Arc::new(Link::new(group.clone(), client, post));
    shared.members.enter(&link);
    shared.metrics.members.inc();
    let commits = Arc::new(MemberCommits::new(Arc::clone(shared), Arc::clone(&link)));
    Ok(Membership { events: Box::new(Member::new(Arc::clone(shared), link, subscription.start)), commits })
}
