//! What a session does beside its connection: each command that must wait is a future of its own.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::auth::{self, Principal};
use crate::delivery::{ConnectionId, Delivery, Join, Member, MemberControl, Refused, Settlement};
use crate::event::GroupName;
use crate::feed::{Feed, Request, Subscription};
use crate::problem::{Code, Problem};
use crate::publish::{self, Form, Outcome, Published, Publisher};

use super::command::{self, Publishing, Reply, Settling};
use super::identity::Identity;
use super::machine::{self, Order};

/// A command being carried out.
pub(super) type Job = Pin<Box<dyn Future<Output = Done> + Send>>;

/// What came of it.
#[derive(Debug)]
pub(super) enum Done {
    Identified { reply: Reply, outcome: Result<Arc<Principal>, machine::Refused> },
    Subscribed { reply: Reply, rights: u32, outcome: Result<Subscription, Problem> },
    Joined { joining: Joining, outcome: Result<Member, Problem> },
    Ordered { reply: Reply, sub: u32, unknown: Vec<String>, outcome: Result<Vec<Refused>, Problem> },
    Published { reply: Reply, is_deferred: bool, outcome: Result<Value, Problem> },
    Left { reply: Option<Reply> },
}

/// A group subscription on its way: whom to answer, and what was asked for.
#[derive(Debug)]
pub(super) struct Joining {
    pub(super) reply: Reply,
    pub(super) group: GroupName,
    pub(super) credit: u32,
    pub(super) is_adopting: bool,
}

/// Opens a broadcast subscription; `rights` says by which state of the grants.
pub(super) fn subscribe(
    feed: Feed,
    identity: &Identity,
    rights: u32,
    reply: Reply,
    audience: command::Audience,
) -> Job {
    let command::Audience { topics, from, filter, on_slow } = audience;
    let request = Request { topics, from, filter, admission: identity.admission(), on_slow };
    Box::pin(async move {
        let outcome = feed.subscribe(request).await.map_err(|error| Problem::from(&error));
        Done::Subscribed { reply, rights, outcome }
    })
}

pub(super) fn join(
    delivery: Delivery,
    identity: Identity,
    connection: ConnectionId,
    joining: Joining,
    worker: command::Worker,
) -> Job {
    let credit = joining.credit;
    Box::pin(async move {
        let outcome = join_group(&delivery, &identity, connection, credit, worker).await;
        Done::Joined { joining, outcome }
    })
}

async fn join_group(
    delivery: &Delivery,
    identity: &Identity,
    connection: ConnectionId,
    credit: u32,
    worker: command::Worker,
) -> Result<Member, Problem> {
    let command::Worker { group, topics, credit: _, ack, adopt } = worker;
    // Who may not work for a group is told the same whether it exists or not.
    let Some(policy) = delivery.policy(&group) else {
        let may_look = identity.may_consume_of(&group);
        let missing = format!("group '{group}' does not exist; create it with PUT /v1/groups/{group}");
        return Err(if may_look {
            Problem::new(Code::GroupNotFound, missing)
        } else {
            Problem::hidden(Code::Forbidden)
        });
    };
    identity.check_group(&group, &policy.topics).map_err(|error| Problem::from(&error))?;
    let principal = identity.principal().id().into();
    let join = Join { group, connection, principal, credit, ack, adopt, topics };
    delivery.join(join).await.map_err(|error| Problem::from(&error))
}

pub(super) fn order(control: MemberControl, reply: Reply, sub: u32, order: Order) -> Job {
    Box::pin(async move {
        let (unknown, outcome) = match order {
            Order::Settle(Settling { settlement, unknown }) => (unknown, settle(&control, settlement).await),
            Order::Credit(credit) => (Vec::new(), control.set_credit(credit).await.map(|()| Vec::new())),
            Order::Pause => (Vec::new(), control.pause().await.map(|()| Vec::new())),
            Order::Resume => (Vec::new(), control.resume().await.map(|()| Vec::new())),
        };
        let outcome = outcome.map_err(|error| Problem::from(&error));
        Done::Ordered { reply, sub, unknown, outcome }
    })
}

async fn settle(
    control: &MemberControl,
    settlement: Option<Settlement>,
) -> Result<Vec<Refused>, crate::delivery::Error> {
    match settlement {
        Some(settlement) => control.settle(settlement).await,
        None => Ok(Vec::new()),
    }
}

/// Hands the event over at once, so that events keep the order of their messages; the answer follows. Also says
/// whether the next event must wait for it.
pub(super) fn publish(
    publisher: &Publisher,
    principal: &Arc<Principal>,
    reply: Reply,
    publishing: Publishing,
) -> (Job, bool) {
    let Publishing { event, options } = publishing;
    let pending = publisher.submit(principal, event, Form::Native, &options);
    let is_deferred = pending.as_ref().is_ok_and(publish::Pending::is_deferred);
    let job = Box::pin(async move {
        let published = match pending {
            Ok(pending) => pending.await,
            Err(error) => Err(error),
        };
        let outcome = published.map(receipt).map_err(|error| Problem::from(&error));
        Done::Published { reply, is_deferred, outcome }
    });
    (job, is_deferred)
}

pub(super) fn identify(
    authenticator: auth::Authenticator,
    current: Option<Arc<Principal>>,
    reply: Reply,
    token: String,
) -> Job {
    Box::pin(async move {
        let outcome = super::identity::identify(authenticator, current, token).await;
        Done::Identified { reply, outcome }
    })
}

pub(super) fn leave(member: Member, reply: Option<Reply>) -> Job {
    Box::pin(async move {
        // A group that cannot say goodbye must not keep the connection.
        let leaving = member.leave(crate::delivery::How::Clean);
        drop(tokio::time::timeout(Duration::from_secs(5), leaving).await);
        Done::Left { reply }
    })
}

/// The answer of `POST /v1/events`, as a value.
fn receipt(published: Published) -> Value {
    let Published { outcome, warnings } = published;
    let stored = |status: &str, receipt: publish::Receipt| {
        json!({
            "status": status, "eventId": receipt.event_id, "topic": receipt.topic, "partition": receipt.partition,
            "offset": receipt.offset, "timestamp": receipt.timestamp,
        })
    };
    let mut answer = match outcome {
        Outcome::Accepted(receipt) => stored("accepted", receipt),
        Outcome::Duplicate(receipt) => stored("duplicate", receipt),
        Outcome::Queued(queued) => json!({
            "status": "queued", "eventId": queued.event_id, "topic": queued.topic, "partition": queued.partition,
        }),
        Outcome::Checked(checked) => json!({
            "status": "checked", "eventId": checked.event_id, "topic": checked.topic,
            "partition": checked.partition, "schemaId": checked.schema_id,
            "key": checked.key.map(|key| String::from_utf8_lossy(&key).into_owned()),
        }),
    };
    if let (Some(members), false) = (answer.as_object_mut(), warnings.is_empty()) {
        let warnings: Vec<Value> = warnings
            .iter()
            .map(|warning| {
                json!({ "pointer": warning.pointer, "keyword": warning.keyword, "message": warning.message })
            })
            .collect();
        members.insert("warnings".to_owned(), warnings.into());
    }
    answer
}
