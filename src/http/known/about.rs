//! All that is told of one event type, to people and to programs.

use std::sync::Arc;

use crate::auth::{Object, Operation, Principal};
use crate::event::{GroupName, Topic};
use crate::http::serve::Shared;
use crate::problem::Problem;
use crate::publish::{Counts, Sighting};

use super::{KnownTopic, KnownType, Registered, find, of_known};

/// All that a caller may know of one event type.
#[derive(Debug)]
pub(in crate::http) struct About {
    pub(in crate::http) topic: KnownTopic,
    pub(in crate::http) known: KnownType,
    /// Data that its schema takes, where some can be made.
    pub(in crate::http) sample: Option<serde_json::Value>,
    pub(in crate::http) counts: Counts,
    /// Its producers are told only to who manages the topic, since they are other callers' names.
    pub(in crate::http) sighting: Sighting,
    pub(in crate::http) may_see_producers: bool,
    /// The groups that work on its topic, of those that the caller may see.
    pub(in crate::http) consumers: Vec<GroupName>,
    pub(in crate::http) registered: Option<Registered>,
    /// Whether events are judged by files, whatever the registry holds.
    pub(in crate::http) is_judged_by_files: bool,
}

impl About {
    /// Gathers it; `None` where the type is not there or the caller may not know it, which look the same.
    pub(in crate::http) async fn of(
        shared: &Arc<Shared>,
        principal: &Arc<Principal>,
        name: &str,
    ) -> Result<Option<Self>, Problem> {
        let wanted = name.to_owned();
        let found = of_known(shared, principal, move |parts, principal| {
            let (topic, known) = find(parts, principal, &wanted)?;
            let sample = known.contract.as_ref().and_then(|contract| contract.sample());
            Some((topic, known, sample))
        });
        let Some((topic, known, sample)) = found.await? else { return Ok(None) };
        let publisher = &shared.parts.publisher;
        let may_see_producers = may_see_producers(shared, principal, &topic.rule.topic);
        let mut sighting = publisher.sighting(&known.event_type);
        if !may_see_producers {
            (sighting.producers, sighting.has_more_producers) = (Vec::new(), false);
        }
        Ok(Some(Self {
            counts: publisher.counts(&known.event_type, &topic.rule.topic),
            sighting,
            may_see_producers,
            consumers: consumers(shared, principal, &topic.rule.topic),
            registered: Registered::of(shared, principal, name),
            is_judged_by_files: shared.parts.judged_by.are_files(),
            topic,
            known,
            sample,
        }))
    }
}

/// Who may manage the topic or the gateway.
fn may_see_producers(shared: &Shared, principal: &Principal, topic: &Topic) -> bool {
    let may = |operation, object: Object<'_>| {
        shared.parts.authenticator.authorize(principal, operation, object).is_ok()
    };
    may(Operation::TopicAdmin, Object::Topic(topic)) || may(Operation::Admin, Object::Nothing)
}

/// As `GET /v1/groups` lists groups: to their members and to who manages them.
fn consumers(shared: &Shared, principal: &Principal, topic: &Topic) -> Vec<GroupName> {
    let sees = |group: &GroupName| {
        [Operation::Consume, Operation::GroupAdmin].into_iter().any(|operation| {
            shared.parts.authenticator.authorize(principal, operation, Object::Group(group)).is_ok()
        })
    };
    let all = shared.parts.delivery.policies();
    let of_topic = all.iter().filter(|(_, policy)| policy.topics.contains(topic));
    let mut groups: Vec<GroupName> = of_topic.map(|(group, _)| group.clone()).filter(sees).collect();
    groups.sort();
    groups
}
