//! Event types as JSON. Pure.

use serde_json::{Map, Value, json};

use crate::event::TopicRule;
use crate::http::known::{self, About, KnownTopic, KnownType, Registered};
use crate::log::{Cleanup, TopicInfo};
use crate::publish::{BrokenRule, Producer};

/// What lists tell of a type.
pub(super) fn summary(topic: &KnownTopic, known: &KnownType) -> Map<String, Value> {
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
    put("eventType", known.event_type.as_str().into());
    let texts = [
        ("title", known.title()),
        ("description", known.description()),
        ("owner", known.owner(&topic.rule)),
        ("lifecycle", known.lifecycle()),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            put(name, text.into());
        }
    }
    put("topic", topic.rule.topic.as_str().into());
    put("may", json!({"publish": topic.may_publish, "read": topic.may_read}));
    if let Some(contract) = &known.contract {
        put("subject", (*contract.subject).into());
        put("schemaId", contract.id.number().into());
    }
    put("links", Value::Object(links(topic, known)));
    members
}

/// All that is told of a type.
pub(super) fn whole(about: &About) -> Map<String, Value> {
    let About { topic, known, .. } = about;
    let mut members = summary(topic, known);
    if let (Some(Value::Object(links)), Some(_)) = (members.get_mut("links"), &about.registered) {
        let name = known::segment(&known.event_type);
        links.insert("diff".to_owned(), format!("/v1/event-types/{name}/diff").into());
    }
    let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
    let rule = &*topic.rule;
    put("rules", rules(rule));
    if let Some(info) = topic.info.as_deref() {
        put("partitions", info.spec.partitions.into());
        put("retention", retention(info));
    }
    if let Some(Registered { versions, level, policy, .. }) = &about.registered {
        let all: Vec<u32> = versions.all.iter().map(|version| version.number()).collect();
        put("versions", all.into());
        put("compatibility", json!({"level": level.as_str(), "policy": policy.as_str()}));
    }
    if let Some(sample) = &about.sample {
        put("example", json!({"eventType": known.event_type.as_str(), "data": sample}));
    }
    put("counters", counters(about));
    put("consumers", about.consumers.iter().map(|group| Value::from(group.as_str())).collect());
    if about.may_see_producers {
        put("producers", about.sighting.producers.iter().map(producer).collect());
        put("hasMoreProducers", about.sighting.has_more_producers.into());
    }
    members
}

/// What the topic makes of its events, in the configuration's words.
fn rules(rule: &TopicRule) -> Value {
    let key =
        rule.key.as_ref().map(|key| json!({"pointer": key.pointer.to_string(), "optional": key.is_optional}));
    json!({
        "key": key,
        "partitioner": rule.partitioner,
        "envelope": rule.storage,
        "format": rule.format,
        "dedupe": rule.is_deduped,
        "schemaRequired": rule.is_schema_required,
        "enforcement": rule.enforcement,
    })
}

fn retention(info: &TopicInfo) -> Value {
    let cleanup = match info.spec.cleanup {
        Cleanup::Delete => "delete",
        Cleanup::Compact => "compact",
    };
    let mut retention = json!({"cleanup": cleanup});
    let time = info.spec.retention.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    for (name, bound) in [("ms", time), ("bytesPerPartition", info.spec.retention_bytes)] {
        if let (Some(bound), Some(members)) = (bound, retention.as_object_mut()) {
            members.insert(name.to_owned(), bound.into());
        }
    }
    retention
}

/// What this gateway counted since it started.
fn counters(about: &About) -> Value {
    let rejection = |BrokenRule { place, keyword, schema_id, count }: &BrokenRule| json!({"pointer": place, "keyword": keyword, "schemaId": schema_id, "count": count});
    let rejections: Vec<Value> = about.sighting.broken.iter().map(rejection).collect();
    let mut counters = json!({
        "stored": about.counts.stored,
        "broken": about.counts.broken,
        "rejections": rejections,
        "otherRejections": about.sighting.broken_others,
    });
    if let (Some(last), Some(members)) = (about.sighting.last_stored, counters.as_object_mut()) {
        members.insert("lastStoredAt".to_owned(), last.to_string().into());
    }
    counters
}

fn producer(Producer { principal, last_stored }: &Producer) -> Value {
    json!({"principal": **principal, "lastStoredAt": last_stored.to_string()})
}

/// Where more is told, and what can be done with it.
fn links(topic: &KnownTopic, known: &KnownType) -> Map<String, Value> {
    let name = known::segment(&known.event_type);
    let mut links = Map::new();
    let mut put = |relation: &str, address: String| links.insert(relation.to_owned(), address.into());
    put("self", format!("/v1/event-types/{name}"));
    put("docs", format!("/docs/types/{name}"));
    if known.contract.is_some() {
        put("schema", format!("/docs/types/{name}/schema"));
    }
    if topic.may_publish {
        put("validate", format!("/v1/event-types/{name}:validate"));
        put("publish", "/v1/events".to_owned());
    }
    if topic.may_read {
        put("events", format!("/v1/topics/{}/events", topic.rule.topic));
    }
    links
}
