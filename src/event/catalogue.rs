//! What the operator says of each topic: its event types, how events are stored, keyed and told apart.
//!
//! A [`Catalogue`] is a value that never changes; [`LiveCatalogue`] is the handle through which a reload puts a new
//! one in place for everybody.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::json::Pointer;
use super::{EventType, Format, NameError, Topic, Wire};

/// How a topic stores events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Storage {
    /// The record's value is the envelope.
    Native,
    /// The record's value is `data` alone; the envelope's members are `weirgate-*` headers.
    Headers,
    /// A CloudEvent in binary mode: the record's value is `data` alone, its attributes are `ce_*` headers.
    #[serde(rename = "cloudevents-binary")]
    CloudEventsBinary,
    /// A CloudEvent in structured mode: the record's value is the CloudEvent as JSON.
    #[serde(rename = "cloudevents-structured")]
    CloudEventsStructured,
}

impl Storage {
    /// As in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Headers => "headers",
            Self::CloudEventsBinary => "cloudevents-binary",
            Self::CloudEventsStructured => "cloudevents-structured",
        }
    }

    /// Whether records are CloudEvents, for whoever reads them by its Kafka binding.
    #[must_use]
    pub const fn is_cloud_events(self) -> bool {
        matches!(self, Self::CloudEventsBinary | Self::CloudEventsStructured)
    }
}

/// Which partition an event without an explicit one goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Partitioner {
    /// By the key's murmur2 hash as the Java client's; a null key sticks to a random partition for a batch.
    Murmur2,
    /// One after the other, whatever the key.
    RoundRobin,
    /// Any, whatever the key.
    Random,
}

/// What a failed schema check does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enforcement {
    /// Counts.
    Observe,
    /// Counts and answers with warnings.
    Warn,
    /// Refuses.
    Enforce,
}

impl Enforcement {
    /// All that a failed check may do.
    pub const ALL: [Self; 3] = [Self::Observe, Self::Warn, Self::Enforce];

    /// Its name in configuration and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Warn => "warn",
            Self::Enforce => "enforce",
        }
    }
}

/// Where a record's key comes from when the request names none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRule {
    /// A pointer into the event's view (`/data/customerId`).
    pub pointer: Pointer,
    /// Whether an event without the member (or with a value that is no key) gets the null key rather than being
    /// refused.
    pub is_optional: bool,
}

/// What the catalogue says of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRule {
    /// The topic.
    pub topic: Topic,
    /// The event types bound to it.
    pub event_types: Vec<EventType>,
    /// How events are stored.
    pub storage: Storage,
    /// In which language data is stored.
    pub format: Format,
    /// Where a record says which schema wrote it.
    pub wire: Wire,
    /// Where the key comes from; `None` is the null key.
    pub key: Option<KeyRule>,
    /// Where the event's id comes from when the payload has its own.
    pub event_id: Option<Pointer>,
    /// Which partition an event goes to.
    pub partitioner: Partitioner,
    /// Whether a repeated event id is recognised.
    pub is_deduped: bool,
    /// Whether an event type without a schema is refused.
    pub is_schema_required: bool,
    /// What a failed schema check does.
    pub enforcement: Enforcement,
    /// The topic that keeps events which their schema refuses; `None` keeps none.
    pub quarantine: Option<Topic>,
    /// Who owns the topic, for people.
    pub owner: Option<Arc<str>>,
}

impl TopicRule {
    /// The rule of a topic of which nothing more is said: whole envelopes under the null key, told apart by their own ids and
    /// held to their schemas.
    #[must_use]
    pub const fn plain(topic: Topic, event_types: Vec<EventType>) -> Self {
        Self {
            topic,
            event_types,
            storage: Storage::Native,
            format: Format::Json,
            wire: Wire::None,
            key: None,
            event_id: None,
            partitioner: Partitioner::Murmur2,
            is_deduped: true,
            is_schema_required: true,
            enforcement: Enforcement::Enforce,
            quarantine: None,
            owner: None,
        }
    }

    /// Whether records hold what a schema makes of data: another language, or a frame. Then only what satisfies a schema is
    /// stored, and records are read by the schema that wrote them.
    #[must_use]
    pub const fn is_by_schema(&self) -> bool {
        self.wire.is_framed() || !matches!(self.format, Format::Json)
    }
}

/// All topics' rules, by topic and by event type.
#[derive(Debug, Clone)]
pub struct Catalogue {
    topics: HashMap<Topic, Arc<TopicRule>>,
    types: HashMap<EventType, Arc<TopicRule>>,
    defaults: TopicRule,
    has_by_schema: bool,
}

impl Catalogue {
    /// A catalogue of these rules; `defaults` (whose topic and types mean nothing) rules every topic not listed.
    #[must_use]
    pub fn new(rules: Vec<TopicRule>, defaults: TopicRule) -> Self {
        let has_by_schema = defaults.is_by_schema() || rules.iter().any(TopicRule::is_by_schema);
        let rules: Vec<Arc<TopicRule>> = rules.into_iter().map(Arc::new).collect();
        let types = rules
            .iter()
            .flat_map(|rule| rule.event_types.iter().map(|event_type| (event_type.clone(), Arc::clone(rule))))
            .collect();
        let topics = rules.into_iter().map(|rule| (rule.topic.clone(), rule)).collect();
        Self { topics, types, defaults, has_by_schema }
    }

    /// The rule of a topic; one not listed has the defaults.
    #[must_use]
    pub fn rule(&self, topic: &Topic) -> Arc<TopicRule> {
        self.topics.get(topic).map_or_else(
            || Arc::new(TopicRule { topic: topic.clone(), event_types: Vec::new(), ..self.defaults.clone() }),
            Arc::clone,
        )
    }

    /// Whether the topic is listed, so that its name may label a metric.
    #[must_use]
    pub fn lists(&self, topic: &Topic) -> bool {
        self.topics.contains_key(topic)
    }

    /// In which language and where named data lies in a topic whose records are read by their schemas; `None` where they are
    /// read as they are.
    #[must_use]
    pub fn by_schema(&self, topic: &Topic) -> Option<(Format, Wire)> {
        let rule = self.topics.get(topic).map_or(&self.defaults, |rule| rule);
        (rule.is_by_schema() && !topic.is_internal()).then_some((rule.format, rule.wire))
    }

    /// Whether the records of any topic are read by their schemas.
    #[must_use]
    pub const fn has_by_schema(&self) -> bool {
        self.has_by_schema
    }

    /// The type of a topic's events that name none: its only event type, else one named as the topic.
    ///
    /// # Errors
    /// When that name is too long for an event type.
    pub fn default_type(&self, topic: &Topic) -> Result<EventType, NameError> {
        match self.topics.get(topic).map(|rule| rule.event_types.as_slice()) {
            Some([only]) => Ok(only.clone()),
            Some(_) | None => EventType::parse(topic.as_str()),
        }
    }

    /// The rule of the topic an event type is bound to, where the catalogue binds it.
    #[must_use]
    pub fn rule_of_type(&self, event_type: &str) -> Option<&Arc<TopicRule>> {
        self.types.get(event_type)
    }

    /// All rules listed.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<TopicRule>> {
        self.topics.values()
    }
}

/// The catalogue in force. Cheap to clone; a replacement is seen by all clones at their next look.
#[derive(Debug, Clone)]
pub struct LiveCatalogue(Arc<ArcSwap<Catalogue>>);

impl LiveCatalogue {
    /// A handle to this catalogue.
    #[must_use]
    pub fn new(catalogue: Catalogue) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(catalogue)))
    }

    /// The catalogue in force now; hold it for one event, not longer.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Catalogue>> {
        self.0.load()
    }

    /// Puts another catalogue in force.
    pub fn replace(&self, catalogue: Catalogue) {
        self.0.store(Arc::new(catalogue));
    }
}
