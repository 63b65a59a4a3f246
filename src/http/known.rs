//! What a caller may know of the topics and event types there are. Documents, pages and answers tell this and nothing else.

mod about;
mod registered;

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

pub(super) use self::about::About;
pub(super) use self::registered::{Registered, Versions};
use super::Parts;
use super::serve::Shared;
use crate::auth::{Object, Operation, Principal};
use crate::event::{EventType, TopicRule};
use crate::log::TopicInfo;
use crate::problem::{Code, Problem};
use crate::schema::Contract;

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~');

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

impl KnownType {
    /// What its schema calls it.
    pub(super) fn title(&self) -> Option<&str> {
        self.said("title")?.as_str()
    }

    /// What its schema says of it.
    pub(super) fn description(&self) -> Option<&str> {
        self.said("description")?.as_str()
    }

    /// Who owns it: as the topic's configuration says, else the schema.
    pub(super) fn owner<'k>(&'k self, rule: &'k TopicRule) -> Option<&'k str> {
        rule.owner.as_deref().or_else(|| self.said("x-owner")?.as_str())
    }

    /// Where it stands in its life, where the schema says so.
    pub(super) fn lifecycle(&self) -> Option<&str> {
        if self.said("deprecated") == Some(&Value::Bool(true)) {
            return Some("deprecated");
        }
        self.said("x-lifecycle")?.as_str()
    }

    fn said(&self, keyword: &str) -> Option<&Value> {
        self.contract.as_ref()?.schema.get(keyword)
    }
}

/// The topics that the caller may publish to, or read, by name. Blocks for as long as schemas take to be written out for the
/// first time.
pub(super) fn topics(parts: &Parts, principal: &Principal) -> Vec<KnownTopic> {
    let catalogue = parts.catalogue.load();
    let mut topics: Vec<KnownTopic> = catalogue
        .rules()
        .filter_map(|rule| known(parts, principal, rule))
        .map(|topic| {
            let types = topic.rule.event_types.iter().map(|event_type| typed(parts, event_type)).collect();
            KnownTopic { types, ..topic }
        })
        .collect();
    topics.sort_by(|left, right| left.rule.topic.cmp(&right.rule.topic));
    topics
}

/// The event types of those topics, by name, from the one behind `after` on, and at most `limit`; with whether there are more.
/// Blocks as [`topics`] does.
pub(super) fn types(
    parts: &Parts,
    principal: &Principal,
    after: &str,
    limit: usize,
) -> (Vec<(KnownTopic, KnownType)>, bool) {
    let catalogue = parts.catalogue.load();
    let known = catalogue.rules().filter_map(|rule| known(parts, principal, rule));
    let mut found: Vec<(EventType, KnownTopic)> = known
        .flat_map(|topic| {
            let later = |event_type: &&EventType| event_type.as_str() > after;
            let types: Vec<EventType> = topic.rule.event_types.iter().filter(later).cloned().collect();
            types.into_iter().map(move |event_type| (event_type, topic.clone()))
        })
        .collect();
    found.sort_by(|(left, _), (right, _)| left.as_str().cmp(right.as_str()));
    let has_more = found.len() > limit;
    found.truncate(limit);
    (found.into_iter().map(|(event_type, topic)| (topic, typed(parts, &event_type))).collect(), has_more)
}

/// One event type and its topic, whose other types are not gathered; `None` where it is not there or the caller may not know
/// it, which look the same. Blocks as [`topics`] does.
pub(super) fn find(parts: &Parts, principal: &Principal, name: &str) -> Option<(KnownTopic, KnownType)> {
    let catalogue = parts.catalogue.load();
    let topic = known(parts, principal, catalogue.rule_of_type(name)?)?;
    let event_type = topic.rule.event_types.iter().find(|event_type| event_type.as_str() == name)?;
    let known = typed(parts, event_type);
    Some((topic, known))
}

/// An event type as a segment of a path.
pub(super) fn segment(event_type: &EventType) -> String {
    utf8_percent_encode(event_type.as_str(), SEGMENT).to_string()
}

/// Something made of what the caller may know, off the runtime's threads: schemas are written out, and samples made.
pub(super) async fn of_known<T: Send + 'static>(
    shared: &Arc<Shared>,
    principal: &Arc<Principal>,
    make: impl FnOnce(&Parts, &Principal) -> T + Send + 'static,
) -> Result<T, Problem> {
    let (shared, principal) = (Arc::clone(shared), Arc::clone(principal));
    let work = move || make(&shared.parts, &principal);
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "what is known could not be told");
        Problem::hidden(Code::Internal)
    })
}

/// A topic without its types, where the caller may publish to it or read it.
fn known(parts: &Parts, principal: &Principal, rule: &Arc<TopicRule>) -> Option<KnownTopic> {
    let may =
        |operation| parts.authenticator.authorize(principal, operation, Object::Topic(&rule.topic)).is_ok();
    let (may_publish, may_read) = (may(Operation::Publish), may(Operation::Subscribe));
    (may_publish || may_read).then(|| KnownTopic {
        rule: Arc::clone(rule),
        info: parts.log.topic(&rule.topic),
        may_publish,
        may_read,
        types: Vec::new(),
    })
}

fn typed(parts: &Parts, event_type: &EventType) -> KnownType {
    KnownType { contract: parts.judged_by.contract(event_type), event_type: event_type.clone() }
}
