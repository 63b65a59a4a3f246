//! Topics and what the catalogue says of them.

mod quarantine;

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::event::{
    Catalogue, Enforcement, EventType, KeyRule, Partitioner, Storage, Topic, TopicRule, json::Pointer,
};
use crate::log::{Cleanup, TopicSpec};
use crate::log_kafka::{AllTopicSettings, Compression, TopicSettings};

use super::encoding;
use super::section::Section;

/// What the topic sections say, together.
pub(super) struct Topics {
    pub(super) specs: Vec<TopicSpec>,
    pub(super) defaults: TopicSpec,
    pub(super) settings: AllTopicSettings,
    pub(super) catalogue: Catalogue,
}

/// What a topic has that says nothing else.
struct Defaults {
    spec: TopicSpec,
    rule: TopicRule,
    settings: TopicSettings,
}

/// Reads `topic_defaults` and `topics`; `None` after a mistake that leaves no usable defaults.
pub(super) fn read(root: &Section<'_>) -> Option<Topics> {
    let nowhere = Topic::parse("defaults").ok()?;
    let store = root.section("schemas").text("store");
    let defaults = read_defaults(root, &nowhere, &store);
    let mut specs = Vec::new();
    let mut rules: Vec<TopicRule> = Vec::new();
    let mut by_topic = BTreeMap::new();
    let mut bound: HashMap<EventType, Topic> = HashMap::new();
    let mut own_quarantines = HashSet::new();
    for (index, section) in root.sections("topics").into_iter().enumerate() {
        let topic = read_name(&section, &nowhere);
        if rules.iter().any(|rule| rule.topic == topic) {
            section.mistake("name", format!("topic '{topic}' is listed twice"));
        }
        let (mut spec, mut rule) = read_settings(&section, &defaults.spec, &defaults.rule);
        encoding::check(&section, &rule, &store);
        rule.event_types = section
            .list("event_types", "an event type of 1 to 200 characters", |text| EventType::parse(text).ok());
        for event_type in &rule.event_types {
            if let Some(other) = bound.insert(event_type.clone(), topic.clone()) {
                section.mistake("event_types", format!("'{event_type}' is bound to '{other}' already"));
            }
        }
        by_topic.insert(topic.clone(), kafka_settings(&section, &defaults.settings));
        let names_quarantine = |schema: Section<'_>| schema.is_set("quarantine");
        if section.optional_section("schema").is_some_and(names_quarantine) {
            own_quarantines.insert(index);
        }
        section.finish();
        spec.name = topic.clone();
        rule.topic = topic;
        specs.push(spec);
        rules.push(rule);
    }
    quarantine::check(root, &mut rules, &own_quarantines, &defaults.rule);
    let catalogue = Catalogue::new(rules, defaults.rule);
    let settings = AllTopicSettings { defaults: defaults.settings, by_topic };
    Some(Topics { specs, defaults: defaults.spec, settings, catalogue })
}

/// What `topic_defaults` says; the topic it is for means nothing.
fn read_defaults(root: &Section<'_>, nowhere: &Topic, store: &str) -> Defaults {
    let section = root.section("topic_defaults");
    let rule = TopicRule::plain(nowhere.clone(), Vec::new());
    let spec = TopicSpec {
        name: nowhere.clone(),
        partitions: 1,
        cleanup: Cleanup::Delete,
        retention: None,
        retention_bytes: None,
    };
    let (spec, rule) = read_settings(&section, &spec, &rule);
    encoding::check(&section, &rule, store);
    let settings = kafka_settings(&section, &TopicSettings::default());
    section.finish();
    Defaults { spec, rule, settings }
}

/// The name of a topic, or `nowhere` after a mistake.
fn read_name(section: &Section<'_>, nowhere: &Topic) -> Topic {
    let topic = Topic::parse(&section.text("name")).unwrap_or_else(|error| {
        section.mistake("name", error.to_string());
        nowhere.clone()
    });
    if topic.is_internal() || topic.is_dead_letters() {
        section.mistake("name", "names beginning with '_' or 'dlq.' belong to the gateway");
    }
    topic
}

/// What Kafka is told of a topic; the embedded log has one copy of everything.
fn kafka_settings(section: &Section<'_>, defaults: &TopicSettings) -> TopicSettings {
    let count = |key: &'static str, default: Option<u32>| {
        if !section.is_set(key) {
            return default;
        }
        let read = |text: &str| match text {
            "auto" => Some(None),
            text => text.parse().ok().filter(|count| (1..=100).contains(count)).map(Some),
        };
        section.parse(key, "auto or a number from 1 to 100", read).flatten()
    };
    let codecs = [
        ("producer", Compression::Producer),
        ("none", Compression::None),
        ("gzip", Compression::Gzip),
        ("snappy", Compression::Snappy),
        ("lz4", Compression::Lz4),
        ("zstd", Compression::Zstd),
    ];
    let replication = count("replication", defaults.replication);
    let min_insync = count("min_insync", defaults.min_insync);
    if let (Some(replication), Some(min_insync)) = (replication, min_insync)
        && min_insync > replication
    {
        section.mistake("min_insync", format!("must be at most the {replication} replicas there are"));
    }
    let compression = if section.is_set("compression") {
        section.choice("compression", &codecs)
    } else {
        defaults.compression
    };
    TopicSettings { replication, min_insync, compression }
}

fn read_settings(section: &Section<'_>, spec: &TopicSpec, rule: &TopicRule) -> (TopicSpec, TopicRule) {
    let mut spec = spec.clone();
    let mut rule = rule.clone();
    if section.is_set("partitions") {
        let read = |text: &str| text.parse().ok().filter(|count| (1..=10_000).contains(count));
        spec.partitions = section.parse("partitions", "a number from 1 to 10000", read).unwrap_or(1);
    }
    if section.is_set("retention") {
        spec.retention = Some(section.duration("retention"));
    }
    if section.is_set("retention_bytes") {
        spec.retention_bytes = Some(section.bytes("retention_bytes") as u64);
    }
    let partitioners = [
        ("murmur2", Partitioner::Murmur2),
        ("round_robin", Partitioner::RoundRobin),
        ("random", Partitioner::Random),
    ];
    if section.is_set("partitioner") {
        rule.partitioner = section.choice("partitioner", &partitioners).unwrap_or(rule.partitioner);
    }
    if section.is_set("envelope") {
        let storages =
            [Storage::Native, Storage::Headers, Storage::CloudEventsBinary, Storage::CloudEventsStructured]
                .map(|storage| (storage.as_str(), storage));
        rule.storage = section.choice("envelope", &storages).unwrap_or(rule.storage);
    }
    let pointer = |text: &str| Pointer::parse(text).ok();
    let is_optional = section.is_set("key_optional") && section.flag("key_optional");
    if let Some(pointer) = section.optional("key", "a JSON pointer such as /data/customerId", pointer) {
        rule.key = Some(KeyRule { pointer, is_optional });
    }
    if let Some(pointer) = section.optional("event_id", "a JSON pointer such as /data/eventId", pointer) {
        rule.event_id = Some(pointer);
    }
    if section.is_set("dedupe") {
        rule.is_deduped = section.flag("dedupe");
    }
    if let Some(owner) = section.optional_text("owner") {
        rule.owner = Some(owner.into());
    }
    if let Some(schema) = section.optional_section("schema") {
        if schema.is_set("required") {
            rule.is_schema_required = schema.flag("required");
        }
        encoding::read(&schema, &mut rule);
        let levels = Enforcement::ALL.map(|level| (level.as_str(), level));
        if schema.is_set("enforcement") {
            rule.enforcement = schema.choice("enforcement", &levels).unwrap_or(rule.enforcement);
        }
        quarantine::read(&schema, &mut rule);
        schema.finish();
    }
    (spec, rule)
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Log, Sources};
    use crate::event::Topic;
    use crate::log_kafka::{Compression, TopicSettings};

    fn read(file: &str) -> Result<Config, Vec<String>> {
        let kafka = "log: {engine: kafka, kafka: {brokers: ['a:1']}}\n";
        let sources = Sources { file: Some(format!("{kafka}{file}")), ..Sources::default() };
        Config::read(&sources).map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_topic_has_the_defaults_for_kafka_where_it_says_nothing() {
        let config = read(
            "topic_defaults: {replication: 3, compression: zstd}\n\
             topics: [{name: a}, {name: b, replication: auto, min_insync: 1, compression: snappy}]",
        )
        .unwrap();
        let Log::Kafka(kafka) = config.log else { panic!("another engine") };
        let of = |name: &str| kafka.topic_settings.by_topic[&Topic::parse(name).unwrap()].clone();
        let defaults =
            TopicSettings { replication: Some(3), min_insync: None, compression: Some(Compression::Zstd) };
        assert_eq!((kafka.topic_settings.defaults.clone(), of("a")), (defaults.clone(), defaults));
        let own =
            TopicSettings { replication: None, min_insync: Some(1), compression: Some(Compression::Snappy) };
        assert_eq!(of("b"), own);
    }

    #[test]
    fn topics_keep_refused_events_where_they_say_or_inherit_it() {
        let config = read(
            "topic_defaults: {schema: {quarantine: kept}}\n\
             topics: [{name: kept}, {name: a}, {name: b, schema: {quarantine: null}}, {name: c, schema: {quarantine: other}}, \
             {name: other}]",
        )
        .unwrap();
        let of = |name: &str| {
            let rule = config.catalogue.rule(&Topic::parse(name).unwrap());
            rule.quarantine.as_ref().map(ToString::to_string)
        };
        assert_eq!((of("a"), of("b"), of("c")), (Some("kept".into()), None, Some("other".into())));
        assert_eq!((of("kept"), of("other"), of("unlisted")), (None, None, Some("kept".into())));
    }

    #[test]
    fn a_topic_whose_data_is_by_its_schema_keeps_no_refused_events() {
        let mistakes = read(
            "schemas: {store: embedded}\n\
             topics: [{name: a, schema: {quarantine: b}}, {name: b, envelope: headers, schema: {wire: prefix}}, \
             {name: c, schema: {quarantine: d}}, {name: d, envelope: headers, schema: {format: avro, wire: none}}]",
        )
        .unwrap_err();
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
        assert!(mistakes[1].contains("topics[2].schema.quarantine: topic 'd' holds data"), "{mistakes:?}");
        assert!(
            mistakes[0].contains("topics[0].schema.quarantine: topic 'b' holds data as its schema has it"),
            "{mistakes:?}"
        );
    }

    #[test]
    fn quarantines_that_cannot_be_are_named() {
        let mistakes = read(
            "topic_defaults: {schema: {quarantine: gone}}\n\
             topics: [{name: a, schema: {quarantine: a}}, {name: b, schema: {quarantine: c}}, {name: c, schema: {quarantine: d}}, \
             {name: d}, {name: e, schema: {quarantine: nowhere}}]",
        )
        .unwrap_err();
        let has = |text: &str| assert!(mistakes.iter().any(|mistake| mistake.contains(text)), "{mistakes:?}");
        has("topic_defaults.schema.quarantine: topic 'gone' is not among the topics");
        has("topics[0].schema.quarantine: a topic cannot keep its own refused events");
        has("topics[2].schema.quarantine: topic 'c' keeps refused events of others");
        has("topics[4].schema.quarantine: topic 'nowhere' is not among the topics");
        assert_eq!(mistakes.len(), 4, "{mistakes:?}");
    }

    #[test]
    fn what_cannot_be_is_named() {
        let mistakes = read("topics: [{name: a, replication: 2, min_insync: 3}, {name: b, replication: 0}]")
            .unwrap_err();
        let has = |text: &str| assert!(mistakes.iter().any(|mistake| mistake.contains(text)), "{mistakes:?}");
        has("topics[0].min_insync: must be at most the 2 replicas there are");
        has("topics[1].replication: must be auto or a number from 1 to 100");
    }
}
