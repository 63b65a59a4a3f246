//! What Kafka is told of a topic beyond the port's specification, and where a topic differs from what is wanted.

use std::collections::BTreeMap;

use crate::event::Topic;
use crate::log::{Cleanup, TopicSpec};

use super::admin::Keeping;
use super::keeper::Layout;

/// A topic made by the gateway has so many replicas where nothing else is said and there are so many brokers.
const REPLICAS_MAX: u32 = 3;

/// The codec in which brokers keep what a topic holds, whoever wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As the writer sent it.
    Producer,
    /// None.
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// Kafka's word for it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// What Kafka is told of a topic beyond its specification.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicSettings {
    /// Replicas of each partition; `None` makes as many as there are brokers, three at most.
    pub replication: Option<u32>,
    /// Replicas that must have a record before it counts as stored; `None` is one less than there are.
    pub min_insync: Option<u32>,
    /// The codec; `None` leaves a topic's as it is.
    pub compression: Option<Compression>,
}

/// The same for topics by name, and for all others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllTopicSettings {
    /// What a topic has of which nothing else is said: the gateway's own tables, dead letters.
    pub defaults: TopicSettings,
    /// Configured topics.
    pub by_topic: BTreeMap<Topic, TopicSettings>,
}

impl AllTopicSettings {
    pub(super) fn of(&self, topic: &Topic) -> &TopicSettings {
        self.by_topic.get(topic).unwrap_or(&self.defaults)
    }
}

impl TopicSettings {
    /// Replicas of a topic that is made on so many brokers.
    pub(super) fn replicas(&self, brokers: usize) -> u32 {
        let brokers = u32::try_from(brokers).unwrap_or(u32::MAX);
        self.replication.unwrap_or_else(|| brokers.clamp(1, REPLICAS_MAX))
    }

    /// How many of them must have a record of a topic that is made.
    pub(super) fn in_sync(&self, replicas: u32) -> u32 {
        self.min_insync.unwrap_or_else(|| replicas.saturating_sub(1).max(1))
    }

    /// The settings that are said, as Kafka has them.
    pub(super) fn given(&self) -> Vec<(&'static str, String)> {
        let in_sync = self.min_insync.map(|number| ("min.insync.replicas", number.to_string()));
        let compression = self.compression.map(|codec| ("compression.type", codec.as_str().to_owned()));
        in_sync.into_iter().chain(compression).collect()
    }

    /// Whether a topic that keeps its records so has what is said. What the gateway may not see counts as right.
    pub(super) fn is_met_by(&self, keeping: &Keeping) -> bool {
        let is_insync =
            keeping.min_insync.is_none_or(|has| self.min_insync.is_none_or(|wanted| wanted == has));
        let has = keeping.compression.as_deref();
        let is_codec = has.is_none_or(|has| self.compression.is_none_or(|wanted| wanted.as_str() == has));
        is_insync && is_codec
    }
}

/// There are fewer brokers than a topic shall have replicas.
#[derive(Debug, thiserror::Error)]
#[error(
    "topic '{topic}' shall have {wanted} replicas, and the cluster has {brokers} broker(s) up: start more, or set \
     'replication' of the topic or in topic_defaults to {brokers} or auto"
)]
pub(super) struct TooFewBrokers {
    pub(super) topic: Topic,
    pub(super) wanted: u32,
    pub(super) brokers: usize,
}

/// One thing in which a topic is not as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Drift {
    pub(super) setting: &'static str,
    pub(super) wanted: String,
    pub(super) found: String,
}

/// In what a topic of the cluster is not as it is wanted. What the gateway may not see counts as right.
pub(super) fn drifts(
    (spec, settings): (&TopicSpec, &TopicSettings),
    layout: &Layout,
    keeping: Option<&Keeping>,
    brokers: usize,
) -> Vec<Drift> {
    let mut drifts = Vec::new();
    let mut compare = |setting, wanted: String, found: String| {
        if wanted != found {
            drifts.push(Drift { setting, wanted, found });
        }
    };
    compare("partitions", spec.partitions.to_string(), layout.partitions.to_string());
    let replicas = settings.replicas(brokers);
    // More replicas than would be made today are no loss, unless a number is given.
    if settings.replication.is_some() || layout.replicas < replicas {
        compare("replication", replicas.to_string(), layout.replicas.to_string());
    }
    let Some(keeping) = keeping else { return drifts };
    compare("cleanup", cleanup(spec.cleanup).to_owned(), cleanup(keeping.cleanup).to_owned());
    if spec.cleanup == Cleanup::Delete && keeping.cleanup == Cleanup::Delete {
        let time = |time: Option<std::time::Duration>| {
            time.map_or_else(|| "unlimited".to_owned(), |time| format!("{} s", time.as_secs_f64()))
        };
        compare("retention", time(spec.retention), time(keeping.retention));
        let bytes =
            |bytes: Option<u64>| bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        compare("retention_bytes", bytes(spec.retention_bytes), bytes(keeping.retention_bytes));
    }
    if let (Some(wanted), Some(found)) = (settings.min_insync, keeping.min_insync) {
        compare("min_insync", wanted.to_string(), found.to_string());
    }
    if let (Some(wanted), Some(found)) = (settings.compression, &keeping.compression) {
        compare("compression", wanted.as_str().to_owned(), found.clone());
    }
    drifts
}

const fn cleanup(cleanup: Cleanup) -> &'static str {
    match cleanup {
        Cleanup::Delete => "delete",
        Cleanup::Compact => "compact",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Cleanup, Compression, Keeping, Layout, Topic, TopicSettings, TopicSpec, drifts};

    fn spec() -> TopicSpec {
        let name = Topic::parse("t").unwrap();
        let retention = Some(Duration::from_secs(7));
        TopicSpec { name, partitions: 3, cleanup: Cleanup::Delete, retention, retention_bytes: None }
    }

    fn layout() -> Layout {
        Layout { partitions: 3, replicas: 3, leaders: 3, in_sync: vec![3, 3, 3] }
    }

    fn keeping() -> Keeping {
        Keeping { retention: spec().retention, min_insync: Some(2), ..Keeping::default() }
    }

    #[test]
    fn the_number_of_replicas_follows_the_brokers_unless_it_is_given() {
        let auto = TopicSettings::default();
        assert_eq!([0, 1, 2, 3, 9].map(|brokers| auto.replicas(brokers)), [1, 1, 2, 3, 3]);
        assert_eq!([1, 2, 3].map(|replicas| auto.in_sync(replicas)), [1, 1, 2]);
        let given = TopicSettings { replication: Some(5), min_insync: Some(4), compression: None };
        assert_eq!((given.replicas(1), given.in_sync(5)), (5, 4));
    }

    #[test]
    fn what_is_as_wanted_is_no_drift_and_what_cannot_be_seen_neither() {
        let auto = TopicSettings::default();
        assert_eq!(drifts((&spec(), &auto), &layout(), Some(&keeping()), 3), []);
        assert_eq!(drifts((&spec(), &auto), &layout(), None, 3), []);
        assert_eq!(drifts((&spec(), &auto), &layout(), Some(&keeping()), 1), [], "more replicas are no loss");
    }

    #[test]
    fn every_difference_is_named() {
        let wanted =
            TopicSettings { replication: Some(2), min_insync: Some(1), compression: Some(Compression::Zstd) };
        let layout = Layout { partitions: 4, ..layout() };
        let compression = Some("producer".to_owned());
        let keeping = Keeping { retention: None, retention_bytes: Some(1), compression, ..keeping() };
        let found = drifts((&spec(), &wanted), &layout, Some(&keeping), 3);
        let names: Vec<_> = found.iter().map(|drift| drift.setting).collect();
        assert_eq!(
            names,
            ["partitions", "replication", "retention", "retention_bytes", "min_insync", "compression"]
        );
        assert_eq!((found[0].found.as_str(), found[0].wanted.as_str()), ("4", "3"));
        let compacted = Keeping { cleanup: Cleanup::Compact, ..Keeping::default() };
        let found = drifts(
            (&spec(), &TopicSettings::default()),
            &Layout { partitions: 3, ..layout },
            Some(&compacted),
            3,
        );
        assert_eq!(found.len(), 1, "{found:?}");
    }
}
