//! The judgement of one event: from a draft to a record that may be appended, or the reason why not.
//!
//! Checks run in the order of the public contract: grant, topic, source, schema; then key and size. A refusal
//! keeps the event's lane (topic and key) where it is known, since it aborts the later events of that lane.

mod schemas;

use std::sync::Arc;

use bytes::Bytes;
use uuid::{NoContext, Uuid};

use crate::auth::{Object, Operation, Principal};
use crate::event::envelope::{self, Sealed};
use crate::event::{Catalogue, Draft, EventId, EventType, Fill, Partition, Timestamp, Topic, TopicRule};
use crate::log::{NewRecord, TopicInfo};
use crate::schema::framing::Framed;
use crate::schema::{self, Checked, SchemaId, Schemas, Violation};

use super::identity::{EventKey, Fingerprint};
use super::key;
use super::lanes::Lane;
use super::parts::Parts;
use super::quarantine::{Keeping, RefusedEvent};
use super::sightings::Expected;
use super::{Error, Options, Part};

/// An event that may be appended.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) event_id: EventId,
    /// Whether the id would be the same if the event came again.
    pub(super) is_id_stable: bool,
    pub(super) event_type: EventType,
    pub(super) correlation_id: Option<Arc<str>>,
    pub(super) rule: Arc<TopicRule>,
    /// `None` where the topic is yet to be made.
    pub(super) info: Option<Arc<TopicInfo>>,
    pub(super) labels: Labels,
    pub(super) partition: Option<Partition>,
    pub(super) record: NewRecord,
    pub(super) bytes: u64,
    /// What tells this event from others and from itself under the same id, where repeats are recognised.
    pub(super) identity: Option<(EventKey, Fingerprint)>,
    pub(super) schema_id: Option<SchemaId>,
    pub(super) warnings: Vec<Violation>,
    /// To be remembered of its type once it is stored.
    pub(super) expected: Option<Expected>,
}

impl Judged {
    /// The lane it belongs to; `None` for a null key.
    pub(super) fn lane(&self) -> Option<Lane> {
        self.record.key.clone().map(|key| (self.rule.topic.clone(), key))
    }

    /// Notes the topic once it has been made.
    pub(super) fn settle_topic(&mut self, info: Arc<TopicInfo>) -> Result<(), Error> {
        self.partition.map_or(Ok(()), |partition| check_partition(partition, &info))?;
        self.identity = self.identity.map(|(key, fingerprint)| (key.within(info.incarnation), fingerprint));
        self.info = Some(info);
        Ok(())
    }
}

/// An event that may not be appended.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: Error,
    pub(super) event_id: Option<EventId>,
    pub(super) lane: Option<Lane>,
    pub(super) labels: Labels,
    /// What its topic keeps of it.
    pub(super) keeping: Option<Box<Keeping>>,
}

/// An event of which nothing can be told.
impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { error, event_id: None, lane: None, labels: Labels::default(), keeping: None }
    }
}

/// Which of an event's names the catalogue knows, and so may label a metric.
#[derive(Debug, Clone, Default)]
pub(super) struct Labels {
    pub(super) event_type: Option<EventType>,
    pub(super) topic: Option<Topic>,
}

impl Labels {
    const OTHER: &'static str = "other";

    pub(super) fn new(catalogue: &Catalogue, topic: &Topic, event_type: &EventType) -> Self {
        let binds = |rule: &&Arc<TopicRule>| rule.topic == *topic;
        if catalogue.rule_of_type(event_type.as_str()).filter(binds).is_some() {
            return Self { event_type: Some(event_type.clone()), topic: Some(topic.clone()) };
        }
        Self { event_type: None, topic: catalogue.rules().find(binds).map(|rule| rule.topic.clone()) }
    }

    pub(super) fn event_type(&self) -> &str {
        self.event_type.as_ref().map_or(Self::OTHER, EventType::as_str)
    }

    pub(super) fn topic(&self) -> &str {
        self.topic.as_ref().map_or(Self::OTHER, Topic::as_str)
    }
}

/// What the request says of the event under judgement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'r> {
    pub(super) catalogue: &'r Catalogue,
    pub(super) principal: &'r Principal,
    pub(super) options: &'r Options,
    /// The topic of the route, where it names one.
    pub(super) topic: Option<&'r Topic>,
    /// The event's place in the body.
    pub(super) index: usize,
    pub(super) now: Timestamp,
}

/// What is known of an event before anything is judged, with what is already seen to be wrong.
#[derive(Debug)]
struct Outline {
    rule: Arc<TopicRule>,
    labels: Labels,
    fill: Fill,
    is_id_stable: bool,
    key: Option<Bytes>,
    id_error: Option<Error>,
    source_error: Option<Error>,
    key_error: Option<Error>,
}

impl Outline {
    fn refuse(&self, request: Request<'_>, draft: &Draft<'_>, error: Error) -> Box<Refused> {
        let event = RefusedEvent {
            principal: request.principal,
            options: request.options,
            draft,
            rule: &self.rule,
            fill: &self.fill,
            key: self.key.as_ref(),
            labels: &self.labels,
        };
        let keeping = Keeping::of(event, &error);
        let lane = self.key.clone().map(|key| (self.rule.topic.clone(), key));
        let event_id = self.is_id_stable.then(|| self.fill.event_id.clone());
        Box::new(Refused { error, event_id, lane, labels: self.labels.clone(), keeping })
    }
}

impl Parts {
    /// Judges a draft; `received` is what the caller sent of it, in parts.
    pub(super) fn judge(
        &self,
        request: Request<'_>,
        draft: &Draft<'_>,
        received: &[&[u8]],
    ) -> Result<Judged, Box<Refused>> {
        let mut outline = self.outline(request, draft);
        match self.check(request, draft, &mut outline) {
            Ok((info, schema_id, warnings, record)) => {
                let event_type = outline.labels.event_type.as_ref();
                let expected =
                    event_type.and_then(|known| self.sightings.expect(known, request.principal.shared_id()));
                let passed = (info, schema_id, warnings, record);
                Ok(judged(request, draft, received, outline, passed, expected))
            }
            Err(error) => Err(outline.refuse(request, draft, error)),
        }
    }

    fn outline(&self, request: Request<'_>, draft: &Draft<'_>) -> Outline {
        let rule = rule_of(request, &draft.event_type);
        let given = draft.source.as_deref();
        let source = self.authenticator.source_for(request.principal, &rule.topic, given);
        // A source that is refused was given, so nothing is filled in for it.
        let (source, source_error) = source
            .map_or_else(|error| (Arc::from(""), Some(error.into())), |source| (Arc::from(source), None));
        let (event_id, is_id_stable, id_error) = match identify(&self.schemas, request, draft, &rule) {
            Ok(Some(event_id)) => (event_id, true, None),
            Ok(None) => (random_id(request.now), false, None),
            Err(error) => (random_id(request.now), false, Some(error)),
        };
        let correlation_id = request.options.correlation_id.as_deref().map(Arc::from);
        let fill = Fill { event_id, timestamp: request.now, source, correlation_id };
        let given = request.options.key.as_ref();
        let (key, key_error) = match key::key_of(&self.schemas, draft, &fill, &rule, given) {
            Ok(key) => (key, None),
            Err(error) => (None, Some(error)),
        };
        let labels = Labels::new(request.catalogue, &rule.topic, &draft.event_type);
        Outline { rule, labels, fill, is_id_stable, key, id_error, source_error, key_error }
    }

    /// The checks in their order.
    fn check(&self, request: Request<'_>, draft: &Draft<'_>, outline: &mut Outline) -> Result<Passed, Error> {
        let topic = &outline.rule.topic;
        outline.id_error.take().map_or(Ok(()), Err)?;
        self.authenticator.authorize(request.principal, Operation::Publish, Object::Topic(topic))?;
        let info = self.topic_info(topic, &draft.event_type)?;
        outline.source_error.take().map_or(Ok(()), Err)?;
        draft.check_version()?;
        let (checked, warnings) = self.check_schema(request, &outline.rule, draft, &outline.labels)?;
        outline.key_error.take().map_or(Ok(()), Err)?;
        if let (Some(partition), Some(info)) = (request.options.partition, &info) {
            check_partition(partition, info)?;
        }
        let storage = outline.rule.storage;
        draft.check_storage(storage)?;
        let (value, headers) = self.seal(draft, outline, &checked)?;
        let headers = self.headers(headers, draft, request.options, storage)?;
        let record = NewRecord { key: outline.key.clone(), value: Some(value), headers, timestamp: None };
        self.check_size(&record)?;
        Ok((info, checked.schema, warnings, record))
    }

    fn topic_info(&self, topic: &Topic, event_type: &EventType) -> Result<Option<Arc<TopicInfo>>, Error> {
        let info = self.log.topic(topic);
        let may_be_made = self.config.load().topics_auto_create.is_some()
            && !topic.is_internal()
            && !topic.is_dead_letters();
        if info.is_none() && !may_be_made {
            self.log.topics_known()?;
            return Err(Error::TopicNotFound { topic: topic.clone(), event_type: event_type.clone() });
        }
        Ok(info)
    }

    /// The record's value, and the headers that the envelope and the schema put beside it.
    fn seal(&self, draft: &Draft<'_>, outline: &Outline, checked: &Checked) -> Result<Sealed, Error> {
        let rule = &outline.rule;
        if !rule.is_by_schema() {
            return Ok(draft.seal(&outline.fill, rule.storage, None));
        }
        let nameless = || match (&checked.subject, checked.schema) {
            (Some(subject), Some(schema_id)) => {
                schema::Error::Nameless { subject: Arc::clone(subject), schema_id }
            }
            _ => schema::Error::Missing { event_type: draft.event_type.clone() },
        };
        let Framed { stored, header } =
            Framed::new(rule.wire, checked, draft.data_bytes).ok_or_else(nameless)?;
        let (value, mut headers) = draft.seal(&outline.fill, rule.storage, Some(stored));
        headers.extend(header.map(|header| (self.names.of_schema(rule.wire), Some(header))));
        Ok((value, headers))
    }

    fn check_size(&self, record: &NewRecord) -> Result<(), Error> {
        let bytes = bytes_of(record);
        let bytes_max = self.config.load().event_bytes_max;
        if bytes > bytes_max {
            return Err(Error::TooLarge { part: Part::Event, bytes, bytes_max });
        }
        Ok(())
    }
}

/// What passed the checks: the topic (`None` where it is yet to be made), the schema, its warnings, the record.
type Passed = (Option<Arc<TopicInfo>>, Option<SchemaId>, Vec<Violation>, NewRecord);

fn judged(
    request: Request<'_>,
    draft: &Draft<'_>,
    received: &[&[u8]],
    outline: Outline,
    (info, schema_id, warnings, record): Passed,
    expected: Option<Expected>,
) -> Judged {
    let Outline { rule, labels, fill, is_id_stable, .. } = outline;
    let identity = (is_id_stable && rule.is_deduped).then(|| {
        // A key given beside the body is part of what was sent.
        let key = request.options.key.as_deref();
        let fingerprint = Fingerprint::new(received, key);
        let key = EventKey::new(&rule.topic, request.principal.id(), &fill.event_id);
        (info.as_ref().map_or(key, |info| key.within(info.incarnation)), fingerprint)
    });
    Judged {
        event_id: fill.event_id,
        is_id_stable,
        event_type: draft.event_type.clone(),
        correlation_id: draft.correlation_id.as_deref().map(Arc::from).or(fill.correlation_id),
        rule,
        info,
        labels,
        partition: request.options.partition,
        bytes: bytes_of(&record) as u64,
        record,
        identity,
        schema_id,
        warnings,
        expected,
    }
}

fn bytes_of(record: &NewRecord) -> usize {
    record.key.as_ref().map_or(0, Bytes::len)
        + record.value.as_ref().map_or(0, Bytes::len)
        + record.headers.bytes()
}

/// Refuses a partition that the topic does not have.
fn check_partition(partition: Partition, info: &TopicInfo) -> Result<(), Error> {
    let partitions = info.spec.partitions;
    if partition.number() >= partitions {
        return Err(Error::InvalidPartition { topic: info.spec.name.clone(), partition, partitions });
    }
    Ok(())
}

/// The rule of the topic an event goes to: the route's, the one its type is bound to, or the one named as its type.
fn rule_of(request: Request<'_>, event_type: &EventType) -> Arc<TopicRule> {
    match request.topic {
        Some(topic) => request.catalogue.rule(topic),
        None => rule_of_type(request.catalogue, event_type),
    }
}

#[expect(clippy::expect_used, reason = "a type the catalogue does not bind has the native grammar")]
fn rule_of_type(catalogue: &Catalogue, event_type: &EventType) -> Arc<TopicRule> {
    rule_of_text(catalogue, event_type.as_str()).expect("topic names include all native event types")
}

/// The rule of the topic that events of this type go to, where the text can be a type.
pub(super) fn rule_of_text(catalogue: &Catalogue, event_type: &str) -> Option<Arc<TopicRule>> {
    let bound = catalogue.rule_of_type(event_type).map(Arc::clone);
    bound.or_else(|| Topic::parse(event_type).ok().map(|topic| catalogue.rule(&topic)))
}

/// The event's id where it would be the same if the event came again: given, taken from the data, or derived from
/// the idempotency key.
fn identify(
    schemas: &Schemas,
    request: Request<'_>,
    draft: &Draft<'_>,
    rule: &TopicRule,
) -> Result<Option<EventId>, Error> {
    if draft.event_id.is_some() {
        return Ok(draft.event_id.clone());
    }
    if let Some(pointer) = &rule.event_id
        && let Some(value) =
            draft.view_at(&schemas.spelled(&draft.event_type, rule.format, draft.data, pointer))
    {
        let invalid = |problem: String| envelope::Error::Invalid { pointer: pointer.to_string(), problem };
        let text = key::text_of(&value)
            .ok_or_else(|| invalid("must be a string or an integer to be the event's id".to_owned()))?;
        let event_id = EventId::parse(&text).map_err(|error| invalid(error.to_string()))?;
        return Ok(Some(event_id));
    }
    Ok(request.options.id_seed.map(|seed| seed.event_id(request.index)))
}

fn random_id(now: Timestamp) -> EventId {
    let millis = u64::try_from(now.millis()).unwrap_or(0);
    let nanos = u32::try_from(millis % 1_000 * 1_000_000).unwrap_or(0);
    EventId::from_uuid(Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, millis / 1_000, nanos)))
}
