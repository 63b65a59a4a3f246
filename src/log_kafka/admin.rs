//! What changes topics and groups, and what topics are made of.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewPartitions, NewTopic, OwnedResourceSpecifier,
    ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::event::{GroupName, Offset, Partition, Topic};
use crate::log::{Cleanup, Error, TopicSpec};

use super::failure::{OpenError, code_of, unavailable};
use super::native;
use super::record::place;
use super::settings::Settings;
use super::topic_settings::{TooFewBrokers, TopicSettings};

const PATIENCE: Duration = Duration::from_secs(10);
/// Topics described in one request.
const DESCRIBED_MAX: usize = 100;
/// What Kafka puts around a single record in its batch, about.
const AROUND_RECORD_BYTES: usize = 100;
/// Segments of the gateway's own tables. A broker compacts only those that are full: by its defaults a table would hold days
/// of history, which is read at every start.
const OWN_SEGMENTS: [(&str, &str); 2] = [("segment.bytes", "67108864"), ("segment.ms", "3600000")];

/// A client that changes things.
pub(super) struct Admin(AdminClient<DefaultClientContext>);

impl std::fmt::Debug for Admin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Admin")
    }
}

/// What a topic is set to, as far as the gateway looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keeping {
    pub(super) cleanup: Cleanup,
    pub(super) retention: Option<Duration>,
    pub(super) retention_bytes: Option<u64>,
    /// The largest record that passes alone, as far as that can be said before it is compressed.
    pub(super) record_bytes_max: Option<usize>,
    /// Replicas that must have a record before it counts as stored.
    pub(super) min_insync: Option<u32>,
    /// The codec, in Kafka's word.
    pub(super) compression: Option<String>,
}

impl Default for Keeping {
    /// What a topic is taken for whose settings the gateway may not see.
    fn default() -> Self {
        Self {
            cleanup: Cleanup::Delete,
            retention: None,
            retention_bytes: None,
            record_bytes_max: None,
            min_insync: None,
            compression: None,
        }
    }
}

/// What became of a request to make something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    Now,
    Before,
}

impl Admin {
    pub(super) fn new(settings: &Settings) -> Result<Self, OpenError> {
        Ok(Self(settings.admin().create()?))
    }

    /// Makes a topic on a cluster of so many brokers.
    pub(super) async fn create(
        &self,
        spec: &TopicSpec,
        topic_settings: &TopicSettings,
        brokers: usize,
    ) -> Result<Made, Error> {
        let replicas = topic_settings.replicas(brokers);
        if replicas as usize > brokers.max(1) {
            return Err(unavailable(TooFewBrokers { topic: spec.name.clone(), wanted: replicas, brokers }));
        }
        let made =
            TopicSettings { min_insync: Some(topic_settings.in_sync(replicas)), ..topic_settings.clone() };
        let settings = [settings_of(spec), made.given()].concat();
        let partitions = i32::try_from(spec.partitions).unwrap_or(i32::MAX);
        let replicas = i32::try_from(replicas).unwrap_or(i32::MAX);
        let topic = |segments: &[(&'static str, &'static str)]| {
            let replication = TopicReplication::Fixed(replicas);
            let mut topic = NewTopic::new(spec.name.as_str(), partitions, replication);
            topic.config.extend(settings.iter().map(|(name, value)| (*name, value.as_str())));
            topic.config.extend(segments);
            topic
        };
        let mut made = self.create_one(&topic(if is_own_table(spec) { &OWN_SEGMENTS } else { &[] })).await?;
        // Some clusters let nobody set segments; such a table is read longer at a start.
        if is_own_table(spec) && matches!(made, Err(Code::InvalidConfig | Code::PolicyViolation)) {
            made = self.create_one(&topic(&[])).await?;
        }
        match made {
            Ok(()) => Ok(Made::Now),
            Err(Code::TopicAlreadyExists) => Ok(Made::Before),
            Err(code) => Err(refused(code, spec)),
        }
    }

    async fn create_one(&self, topic: &NewTopic<'_>) -> Result<Result<(), Code>, Error> {
        let answers = self.0.create_topics([topic], &options()).await.map_err(unavailable)?;
        Ok(only(answers))
    }

    /// Adds partitions up to this number. That there are so many already is told by the same code as that there cannot be.
    pub(super) async fn grow(&self, spec: &TopicSpec) -> Result<Made, Error> {
        let new = NewPartitions::new(spec.name.as_str(), spec.partitions as usize);
        let answers = self.0.create_partitions([&new], &options()).await.map_err(unavailable)?;
        match only(answers) {
            Ok(()) => Ok(Made::Now),
            Err(Code::InvalidPartitions) => Ok(Made::Before),
            Err(code) => Err(refused(code, spec)),
        }
    }

    /// Deletes a topic.
    pub(super) async fn delete(&self, topic: &Topic) -> Result<(), Error> {
        let answers = self.0.delete_topics(&[topic.as_str()], &options()).await.map_err(unavailable)?;
        match only(answers) {
            Ok(()) => Ok(()),
            Err(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
                Err(Error::UnknownTopic(topic.clone()))
            }
            Err(code) => Err(unavailable(KafkaError::AdminOp(code))),
        }
    }

    /// What topics are set to. One that may not be described is left out.
    pub(super) async fn describe(&self, topics: &[Topic]) -> Result<HashMap<Topic, Keeping>, Error> {
        let mut described = HashMap::new();
        for some in topics.chunks(DESCRIBED_MAX) {
            let specifiers: Vec<_> =
                some.iter().map(|topic| ResourceSpecifier::Topic(topic.as_str())).collect();
            let answers = self.0.describe_configs(&specifiers, &options()).await.map_err(unavailable)?;
            for answer in answers {
                let Ok(resource) = answer else { continue };
                let OwnedResourceSpecifier::Topic(name) = &resource.specifier else { continue };
                let Ok(topic) = Topic::parse(name) else { continue };
                let value = |name: &str| resource.get(name).and_then(|entry| entry.value.as_deref());
                described.insert(topic, keeping(value));
            }
        }
        Ok(described)
    }

    /// Changes the settings that are said of a topic and nothing else: what was set on it is described first and sent
    /// back, since Kafka takes the request for the whole.
    pub(super) async fn alter(&self, spec: &TopicSpec, topic_settings: &TopicSettings) -> Result<(), Error> {
        let name = spec.name.as_str();
        let specifier = ResourceSpecifier::Topic(name);
        let answers = self.0.describe_configs([&specifier], &options()).await.map_err(unavailable)?;
        let resource = answers
            .into_iter()
            .next()
            .ok_or(Code::UnknownTopicOrPartition)
            .and_then(|answer| answer)
            .map_err(|code| refused(code, spec))?;
        let wanted = [settings_of(spec), topic_settings.given()].concat();
        let mut entries: HashMap<&str, &str> = resource
            .entries
            .iter()
            .filter(|entry| entry.source == ConfigSource::DynamicTopic)
            .filter_map(|entry| Some((entry.name.as_str(), entry.value.as_deref()?)))
            .collect();
        entries.extend(wanted.iter().map(|(name, value)| (*name, value.as_str())));
        let change = AlterConfig { specifier, entries };
        let answers = self.0.alter_configs([&change], &options()).await.map_err(unavailable)?;
        match answers.into_iter().next() {
            Some(Ok(_)) => Ok(()),
            Some(Err((_, code))) => Err(refused(code, spec)),
            None => Err(Error::OutcomeUnknown),
        }
    }

    /// Gives up a partition's records before an offset; answers where it begins then.
    pub(super) async fn delete_records(
        &self,
        topic: &Topic,
        partition: Partition,
        before: Offset,
    ) -> Result<(), Error> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic.as_str(), native(partition), place(before)).map_err(unavailable)?;
        let answered = self.0.delete_records(&list, &options()).await.map_err(unavailable)?;
        match answered.elements().first() {
            Some(element) => element.error().map_err(unavailable),
            None => Err(Error::OutcomeUnknown),
        }
    }

    /// Deletes a group that has no member.
    pub(super) async fn forget(&self, group: &GroupName) -> Result<(), KafkaError> {
        let answers = self.0.delete_groups(&[group.as_str()], &options()).await?;
        match only(answers) {
            Ok(()) | Err(Code::GroupIdNotFound) => Ok(()),
            Err(code) => Err(KafkaError::AdminOp(code)),
        }
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}

fn only(answers: Vec<Result<String, (String, Code)>>) -> Result<(), Code> {
    match answers.into_iter().next() {
        Some(Ok(_)) => Ok(()),
        Some(Err((_, code))) => Err(code),
        None => Err(Code::Unknown),
    }
}

fn refused(code: Code, spec: &TopicSpec) -> Error {
    let invalid = |problem| Error::InvalidTopic { topic: spec.name.clone(), problem };
    match code {
        Code::InvalidTopic => invalid("has a name Kafka does not take"),
        Code::InvalidPartitions => invalid("has a number of partitions Kafka does not take"),
        Code::InvalidReplicationFactor => invalid("cannot have so many replicas on this cluster"),
        Code::InvalidConfig => invalid("has a setting Kafka does not take"),
        Code::PolicyViolation => invalid("is against a policy of the cluster"),
        Code::UnknownTopicOrPartition | Code::UnknownTopic => Error::UnknownTopic(spec.name.clone()),
        code => unavailable(KafkaError::AdminOp(code)),
    }
}

/// Whether it is a table of the gateway's own.
fn is_own_table(spec: &TopicSpec) -> bool {
    spec.cleanup == Cleanup::Compact && spec.name.is_internal()
}

/// Kafka's settings for a topic's specification.
fn settings_of(spec: &TopicSpec) -> Vec<(&'static str, String)> {
    match spec.cleanup {
        Cleanup::Compact => vec![("cleanup.policy", "compact".to_owned())],
        Cleanup::Delete => {
            let millis =
                spec.retention.map_or(-1, |time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
            let bytes = spec.retention_bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
            vec![
                ("cleanup.policy", "delete".to_owned()),
                ("retention.ms", millis.to_string()),
                ("retention.bytes", bytes.to_string()),
            ]
        }
    }
}

/// Reads Kafka's settings of a topic.
fn keeping<'v>(value: impl Fn(&str) -> Option<&'v str>) -> Keeping {
    // −1 stands for no bound, and is no u64.
    let number = |name| value(name).and_then(|text| text.parse::<u64>().ok());
    let batch = number("max.message.bytes").and_then(|bytes| usize::try_from(bytes).ok());
    let record_bytes_max = batch.map(|bytes| bytes.saturating_sub(AROUND_RECORD_BYTES));
    let min_insync = number("min.insync.replicas").and_then(|number| u32::try_from(number).ok());
    let compression = value("compression.type").map(str::to_owned);
    let keeping = Keeping { record_bytes_max, min_insync, compression, ..Keeping::default() };
    if value("cleanup.policy").is_some_and(|policy| policy.contains("compact")) {
        return Keeping { cleanup: Cleanup::Compact, ..keeping };
    }
    let retention = number("retention.ms").map(Duration::from_millis);
    Keeping { retention, retention_bytes: number("retention.bytes"), ..keeping }
}

/// Whether a group could not be deleted only because it has members.
pub(super) fn has_members(error: &KafkaError) -> bool {
    matches!(code_of(error), Some(Code::NonEmptyGroup))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Cleanup, Keeping, TopicSpec, is_own_table, keeping, settings_of};
    use crate::event::Topic;

    #[test]
    fn a_specification_survives_kafkas_settings() {
        let name = Topic::parse("t").unwrap();
        for (retention, retention_bytes) in [(None, None), (Some(Duration::from_secs(7)), Some(9))] {
            let cleanup = Cleanup::Delete;
            let spec = TopicSpec { name: name.clone(), partitions: 1, cleanup, retention, retention_bytes };
            let settings = settings_of(&spec);
            let value =
                |name: &str| settings.iter().find(|(have, _)| *have == name).map(|(_, value)| value.as_str());
            let expected = Keeping { cleanup, retention, retention_bytes, ..Keeping::default() };
            assert_eq!(keeping(value), expected);
        }
    }

    #[test]
    fn only_compacted_topics_of_the_gateway_are_its_tables() {
        let is_table = |name: &str, cleanup| {
            let name = Topic::parse(name).unwrap();
            is_own_table(&TopicSpec { name, partitions: 1, cleanup, retention: None, retention_bytes: None })
        };
        assert!(is_table("_weirgate.group_states", Cleanup::Compact));
        assert!(!is_table("_weirgate.redrive.inventory-sync", Cleanup::Delete));
        assert!(!is_table("prices.v1", Cleanup::Compact));
    }

    #[test]
    fn a_compacted_topic_has_no_retention() {
        let value = |name: &str| match name {
            "cleanup.policy" => Some("compact,delete"),
            _ => Some("1000"),
        };
        let expected = Keeping {
            cleanup: Cleanup::Compact,
            record_bytes_max: Some(900),
            min_insync: Some(1_000),
            compression: Some("1000".to_owned()),
            ..Keeping::default()
        };
        assert_eq!(keeping(value), expected);
    }
}
