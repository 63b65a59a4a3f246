//! What operators are told of topics: where they differ from the configuration, and where too few replicas are in sync.

use std::collections::HashMap;

use rdkafka::types::RDKafkaErrorCode as Code;

use crate::event::Topic;
use crate::log::TopicSpec;

use super::super::locked;
use super::super::producer::publishing;
use super::super::topic_settings::{Drift, drifts};
use super::super::trouble::Troubles;
use super::{Cluster, Keeper, Layout};

/// What was told.
#[derive(Debug, Default)]
pub(super) struct Told {
    drifts: HashMap<Topic, Vec<Drift>>,
    /// How many brokers there were when it was said that they are few.
    few_brokers: Option<usize>,
}

/// Fewer brokers than this keep records on one machine at times, or refuse them.
const BROKERS_MIN: usize = 3;

impl Keeper {
    /// Compares the cluster with what is wanted, and tells what is new.
    pub(super) fn compare(&mut self, cluster: &Cluster) {
        self.tell_few_brokers(cluster.brokers);
        self.tell_drifts(cluster);
        self.tell_out_of_sync(cluster);
    }

    fn tell_few_brokers(&mut self, brokers: usize) {
        let is_auto = locked(&self.shared.wanted).topic_settings.defaults.replication.is_none();
        let is_few = brokers < BROKERS_MIN && is_auto;
        if is_few && self.told.few_brokers != Some(brokers) {
            let replicas = brokers.max(1);
            tracing::warn!(
                brokers,
                replicas,
                "the cluster has few brokers up: topics made now have so many replicas for good, and what is stored may be lost with one of them; give topic_defaults.replication a number to wait for more brokers"
            );
        }
        self.told.few_brokers = is_few.then_some(brokers);
    }

    fn tell_drifts(&mut self, cluster: &Cluster) {
        let wanted = locked(&self.shared.wanted);
        let gauge = &self.shared.metrics.topic_drift;
        let mut found_now = HashMap::new();
        for spec in &wanted.topics {
            let Some(layout) = cluster.topics.get(&spec.name) else { continue };
            if self.is_behind(&spec.name, cluster) {
                found_now.extend(self.told.drifts.remove_entry(&spec.name));
                continue;
            }
            let settings = wanted.topic_settings.of(&spec.name);
            let keeping = self.described.get(&spec.name);
            let found = drifts((spec, settings), layout, keeping, cluster.brokers);
            gauge
                .with_label_values(&[spec.name.as_str()])
                .set(i64::try_from(found.len()).unwrap_or(i64::MAX));
            if self.told.drifts.get(&spec.name).is_none_or(|told| *told != found) {
                tell(spec, &found);
            }
            found_now.insert(spec.name.clone(), found);
        }
        self.told.drifts = found_now;
    }

    fn tell_out_of_sync(&self, cluster: &Cluster) {
        let mut all = 0;
        for (topic, layout) in &cluster.topics {
            let Some(needed) = self.described.get(topic).and_then(|keeping| keeping.min_insync) else {
                continue;
            };
            let few = out_of_sync(layout, needed);
            all += few;
            let what = storing(topic);
            if few > 0 {
                let reason = format!("{few} partitions have fewer than {needed} replicas in sync");
                self.shared.connection.troubles.befell(&what, Code::NotEnoughReplicas, &reason);
            } else {
                self.shared.connection.troubles.passed(&what);
            }
        }
        self.shared.metrics.partitions_out_of_sync.set(i64::try_from(all).unwrap_or(i64::MAX));
    }
}

/// Lets go of what was told of a topic that is gone.
pub(super) fn forget(troubles: &Troubles, topic: &Topic) {
    troubles.forget(&storing(topic));
    troubles.forget(&publishing(topic));
}

fn storing(topic: &Topic) -> String {
    format!("storing to {topic}")
}

/// How many partitions have too few replicas in sync. A topic of fewer replicas needs no more than it has.
fn out_of_sync(layout: &Layout, needed: u32) -> usize {
    let needed = needed.min(layout.replicas);
    layout.in_sync.iter().filter(|in_sync| **in_sync < needed).count()
}

fn tell(spec: &TopicSpec, found: &[Drift]) {
    let topic = &spec.name;
    for drift in found {
        tracing::warn!(%topic, setting = drift.setting, wanted = drift.wanted, found = drift.found, "a topic of the cluster is not as configured");
    }
}

#[cfg(test)]
mod tests {
    use super::{Layout, out_of_sync};

    #[test]
    fn a_partition_needs_no_more_replicas_than_it_has() {
        let layout = |replicas, in_sync: &[u32]| Layout {
            partitions: 3,
            replicas,
            leaders: 3,
            in_sync: in_sync.into(),
        };
        assert_eq!(out_of_sync(&layout(3, &[3, 2, 1]), 2), 1);
        assert_eq!(out_of_sync(&layout(1, &[1, 1, 0]), 2), 1);
    }
}
