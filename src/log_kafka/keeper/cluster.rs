//! What a cluster has, as one look shows it.

use std::collections::BTreeMap;

use rdkafka::metadata::{Metadata, MetadataTopic};

use crate::event::Topic;

/// Brokers and topics.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) brokers: usize,
    pub(super) topics: BTreeMap<Topic, Layout>,
}

/// How a topic lies on the brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::log_kafka) struct Layout {
    pub(in crate::log_kafka) partitions: u32,
    /// Of the partition that has the fewest.
    pub(in crate::log_kafka) replicas: u32,
    /// How many partitions have a leader.
    pub(in crate::log_kafka) leaders: u32,
    /// How many replicas of each partition are in sync.
    pub(in crate::log_kafka) in_sync: Vec<u32>,
}

impl Cluster {
    /// Reads what librdkafka was told. Kafka's own topics are left out.
    pub(super) fn read(metadata: &Metadata) -> Self {
        let known = metadata.topics().iter().filter(|topic| topic.error().is_none());
        Self { brokers: metadata.brokers().len(), topics: known.filter_map(read).collect() }
    }

    /// Whether a topic has so many partitions or more, all of them with a leader.
    pub(super) fn serves(&self, topic: &Topic, partitions: u32) -> bool {
        let is_whole =
            |layout: &Layout| layout.partitions >= partitions && layout.leaders == layout.partitions;
        self.topics.get(topic).is_some_and(is_whole)
    }
}

fn read(topic: &MetadataTopic) -> Option<(Topic, Layout)> {
    let name = Topic::parse(topic.name()).ok().filter(|name| !name.as_str().starts_with("__"))?;
    let all = topic.partitions();
    let partitions = count(all.len());
    let layout = Layout {
        partitions,
        replicas: all.iter().map(|partition| count(partition.replicas().len())).min()?,
        leaders: count(all.iter().filter(|partition| partition.leader() >= 0).count()),
        in_sync: all.iter().map(|partition| count(partition.isr().len())).collect(),
    };
    (partitions > 0).then_some((name, layout))
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
