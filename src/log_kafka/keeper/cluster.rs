//! What a cluster has, as one look shows it.

use std::collections::BTreeMap;

use rdkafka::metadata::{Metadata, MetadataTopic};

use crate::event::Topic;

/// Brokers and topics.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) brokers: usize,
    /// How many partitions each topic has.
    pub(super) topics: BTreeMap<Topic, u32>,
    /// How many partitions of each topic have a leader.
    led: BTreeMap<Topic, u32>,
}

impl Cluster {
    /// Reads what librdkafka was told. Kafka's own topics are left out.
    pub(super) fn read(metadata: &Metadata) -> Self {
        let (mut topics, mut led) = (BTreeMap::new(), BTreeMap::new());
        for topic in metadata.topics().iter().filter(|topic| topic.error().is_none()) {
            let Some((name, partitions)) = read(topic) else { continue };
            let leaders = topic.partitions().iter().filter(|partition| partition.leader() >= 0).count();
            led.insert(name.clone(), u32::try_from(leaders).unwrap_or(u32::MAX));
            topics.insert(name, partitions);
        }
        Self { brokers: metadata.brokers().len(), topics, led }
    }

    /// Whether a topic has so many partitions, all of them with a leader.
    pub(super) fn serves(&self, topic: &Topic, partitions: u32) -> bool {
        self.topics.get(topic) == Some(&partitions) && self.led.get(topic) == Some(&partitions)
    }
}

fn read(topic: &MetadataTopic) -> Option<(Topic, u32)> {
    let name = Topic::parse(topic.name()).ok().filter(|name| !name.as_str().starts_with("__"))?;
    let partitions = u32::try_from(topic.partitions().len()).ok().filter(|count| *count > 0)?;
    Some((name, partitions))
}
