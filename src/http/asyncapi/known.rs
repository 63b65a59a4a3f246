//! What a document tells: what there is, less what the caller may not know.

use std::sync::Arc;

use crate::auth::{Object, Operation, Principal};
use crate::delivery::{GroupView, Policy};
use crate::event::{EventType, GroupName, Topic, TopicRule};
use crate::log::TopicInfo;
use crate::schema::Contract;

use super::super::Parts;

/// Whose part the document takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// The gateway's, as AsyncAPI means it: what it receives and sends.
    Gateway,
    /// A client's: what is received and sent the other way round.
    Client,
}

/// Where the gateway is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) host: String,
    pub(super) is_tls: bool,
}

/// All that a document is made of; of equal ones equal documents are made.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    pub(super) origin: Origin,
    pub(super) view: View,
    /// By name.
    pub(super) topics: Vec<KnownTopic>,
    /// By name.
    pub(super) groups: Vec<KnownGroup>,
}

/// A topic that the caller may publish to, or read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KnownTopic {
    pub(super) rule: Arc<TopicRule>,
    /// `None` where it is yet to be made.
    pub(super) info: Option<Arc<TopicInfo>>,
    pub(super) may_publish: bool,
    pub(super) may_read: bool,
    pub(super) types: Vec<KnownType>,
}

/// An event type of a topic.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KnownType {
    pub(super) event_type: EventType,
    /// `None` where it has no schema.
    pub(super) contract: Option<Arc<Contract>>,
}

/// A group that the caller may work in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KnownGroup {
    pub(super) name: GroupName,
    pub(super) policy: Arc<Policy>,
    /// Topics of its dead letters that the caller may read, each with the topic they come from.
    pub(super) letters: Vec<(Topic, Topic)>,
}

impl Known {
    /// Gathers what there is now. Blocks for as long as schemas take to be written out for the first time.
    pub(super) fn gather(
        parts: &Parts,
        principal: &Principal,
        groups: Vec<GroupView>,
        origin: Origin,
        view: View,
    ) -> Self {
        let may = |operation, object: Object<'_>| {
            parts.authenticator.authorize(principal, operation, object).is_ok()
        };
        let catalogue = parts.catalogue.load();
        let mut topics: Vec<KnownTopic> = catalogue
            .rules()
            .map(|rule| {
                let topic = Object::Topic(&rule.topic);
                let known = |event_type: &EventType| KnownType {
                    contract: parts.judged_by.contract(event_type),
                    event_type: event_type.clone(),
                };
                KnownTopic {
                    may_publish: may(Operation::Publish, topic),
                    may_read: may(Operation::Subscribe, topic),
                    info: parts.log.topic(&rule.topic),
                    types: rule.event_types.iter().map(known).collect(),
                    rule: Arc::clone(rule),
                }
            })
            .filter(|topic| topic.may_publish || topic.may_read)
            .collect();
        topics.sort_by(|left, right| left.rule.topic.cmp(&right.rule.topic));
        let mut groups: Vec<KnownGroup> = groups
            .into_iter()
            .filter(|group| may(Operation::Consume, Object::Group(&group.group)))
            .map(|group| {
                let letters = group.policy.topics.iter().filter_map(|from| {
                    let to = Topic::parse(&format!("dlq.{from}.{}", group.group)).ok()?;
                    may(Operation::Subscribe, Object::Topic(&to)).then(|| (to, from.clone()))
                });
                KnownGroup { letters: letters.collect(), name: group.group, policy: group.policy }
            })
            .collect();
        groups.sort_by(|left, right| left.name.cmp(&right.name));
        Self { origin, view, topics, groups }
    }
}
