//! What librdkafka calls back for a member, kept until the member looks.
//!
//! The call-back only reports. It answers for the member in two cases where nobody else can: what was lost is given up
//! at once, and so is everything while the client closes, which would otherwise wait for ever.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaRespErr};
use tokio::sync::Notify;

use crate::event::{Partition, Topic};

use super::super::connection::Watch;
use super::super::failure::code_of;
use super::super::{locked, partition};
use super::link::Client;

/// Events taken from the client at once.
const HEARD_MAX: usize = 64;

/// What happened to a member.
#[derive(Debug)]
pub(super) enum Event {
    /// Partitions came; the client stands still until they are taken.
    Assigned(TopicPartitionList),
    /// Partitions must go; the client stands still until they are given back.
    Revoked(TopicPartitionList),
    /// Partitions are gone.
    Lost(TopicPartitionList),
    /// A record came by the wrong way; its partition has to be read again.
    Strayed(Topic, Partition),
    /// The group does not let the member in: it has no assignor in common with the others. The client tries again.
    Refused,
    /// The membership is over.
    Failed(Code, String),
}

/// Where events wait. There is at most one assignment or revocation at a time, since the client stands still.
#[derive(Debug, Default)]
pub(super) struct Post {
    /// Guards the events.
    events: Mutex<VecDeque<Event>>,
    /// Wakes the member for events and for records.
    pub(super) wake: Arc<Notify>,
    is_rung: AtomicBool,
    pub(super) is_closing: AtomicBool,
}

impl Post {
    /// The client has something to tell.
    pub(super) fn ring(&self) {
        self.is_rung.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Whether the client had something to tell since the last time.
    pub(super) fn was_rung(&self) -> bool {
        self.is_rung.swap(false, Ordering::AcqRel)
    }

    pub(super) fn tell(&self, event: Event) {
        locked(&self.events).push_back(event);
        self.wake.notify_one();
    }

    pub(super) fn take(&self) -> Option<Event> {
        locked(&self.events).pop_front()
    }
}

/// A member's call-backs.
#[derive(Debug)]
pub(in crate::log_kafka) struct Context {
    pub(super) watch: Watch,
    pub(super) post: Arc<Post>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.watch.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.watch.stats_raw(statistics);
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, client: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let is_closing = self.post.is_closing.load(Ordering::Acquire);
        if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            if is_closing {
                give_up(client, list);
            } else {
                self.post.tell(Event::Assigned(list.clone()));
            }
            return;
        }
        let is_lost = client.assignment_lost();
        if is_lost || is_closing {
            give_up(client, list);
        }
        self.post.tell(if is_lost { Event::Lost(list.clone()) } else { Event::Revoked(list.clone()) });
    }
}

fn give_up(client: &BaseConsumer<Context>, list: &TopicPartitionList) {
    // Either there is nothing left to take away by parts, or the client ends: then all goes at once.
    if client.incremental_unassign(list).is_err()
        && let Err(error) = client.unassign()
    {
        tracing::debug!(%error, "partitions were not given up");
    }
}

/// Takes over what the client has to tell; blocks while its call-backs do.
pub(super) fn hear(client: &Client, post: &Post) {
    for _ in 0..HEARD_MAX {
        match client.poll(Duration::ZERO) {
            Some(Ok(message)) => {
                if let Ok(topic) = Topic::parse(message.topic()) {
                    post.tell(Event::Strayed(topic, partition(message.partition())));
                }
            }
            Some(Err(error)) if code_of(&error) == Some(Code::InconsistentGroupProtocol) => {
                post.tell(Event::Refused);
            }
            // Other errors were told to the context, too.
            Some(Err(_)) | None => {}
        }
    }
    if let Some((code, reason)) = client.client().fatal_error() {
        post.tell(Event::Failed(code, reason));
    }
}

/// Answers what the client waits for, so that it can close.
pub(super) fn answer(
    client: &Client,
    post: &Post,
    (arriving, revoked): (Option<TopicPartitionList>, Option<TopicPartitionList>),
) {
    let (mut assigned, mut revoked): (Vec<_>, Vec<_>) =
        (arriving.into_iter().collect(), revoked.into_iter().collect());
    while let Some(event) = post.take() {
        match event {
            Event::Assigned(list) => assigned.push(list),
            Event::Revoked(list) => revoked.push(list),
            Event::Lost(_) | Event::Strayed(..) | Event::Refused | Event::Failed(..) => {}
        }
    }
    let answers = assigned.iter().map(|list| client.incremental_assign(list));
    let answers = answers.chain(revoked.iter().map(|list| client.incremental_unassign(list)));
    for error in answers.filter_map(Result::err) {
        tracing::debug!(%error, "a rebalance was not answered before leaving");
    }
}

/// The partitions of a list.
pub(super) fn names(list: &TopicPartitionList) -> Vec<(Topic, Partition)> {
    let name = |topic: &str, number| Some((Topic::parse(topic).ok()?, partition(number)));
    list.elements().iter().filter_map(|element| name(element.topic(), element.partition())).collect()
}
