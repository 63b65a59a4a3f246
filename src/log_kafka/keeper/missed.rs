//! Topics that a look does not show as they are known: gone, or the broker that was asked is behind the others.

use std::collections::HashMap;

use crate::event::Topic;
use crate::log::TopicSpec;

use super::Cluster;

/// A topic missed in so many looks in a row is gone: a broker that has just started, or that has not heard of a change
/// yet, shows less than there is.
const MISSED_MAX: u32 = 2;

/// In how many looks in a row each was missed.
#[derive(Debug, Default)]
pub(super) struct Missed(HashMap<Topic, u32>);

impl Missed {
    /// Takes a look of the cluster into account; answers which of the known topics are gone.
    pub(super) fn judge<'t>(
        &mut self,
        known: impl Iterator<Item = &'t TopicSpec>,
        cluster: &Cluster,
    ) -> Vec<Topic> {
        let missing = known.filter(|spec| !is_shown(spec, cluster)).map(|spec| &spec.name);
        let count = |topic: &Topic| (topic.clone(), self.0.get(topic).map_or(1, |looks| looks + 1));
        let counted: HashMap<Topic, u32> = missing.map(count).collect();
        let (gone, missed) =
            counted.into_iter().partition::<HashMap<_, _>, _>(|(_, looks)| *looks >= MISSED_MAX);
        self.0 = missed;
        gone.into_keys().collect()
    }

    /// Whether one is missing of which it is not said yet what became of it.
    pub(super) fn is_any(&self) -> bool {
        !self.0.is_empty()
    }
}

/// Whether the cluster has the topic and no fewer partitions: no topic ever loses one, only another of its name has fewer.
pub(super) fn is_shown(known: &TopicSpec, cluster: &Cluster) -> bool {
    cluster.topics.get(&known.name).is_some_and(|layout| layout.partitions >= known.partitions)
}

#[cfg(test)]
mod tests {
    use super::{Cluster, Missed, Topic, TopicSpec};
    use crate::log::Cleanup;
    use crate::log_kafka::keeper::Layout;

    fn spec(partitions: u32) -> TopicSpec {
        let name = Topic::parse("t").unwrap();
        TopicSpec { name, partitions, cleanup: Cleanup::Delete, retention: None, retention_bytes: None }
    }

    fn cluster(partitions: Option<u32>) -> Cluster {
        let layout = |partitions| Layout { partitions, replicas: 1, leaders: partitions, in_sync: vec![1] };
        let topics = partitions.map(|partitions| (spec(partitions).name, layout(partitions)));
        Cluster { brokers: 1, topics: topics.into_iter().collect() }
    }

    fn gone(looks: &[Option<u32>]) -> Vec<usize> {
        let (mut missed, known) = (Missed::default(), spec(3));
        let judge = |look: &Option<u32>| missed.judge([&known].into_iter(), &cluster(*look)).len();
        looks.iter().map(judge).collect()
    }

    #[test]
    fn a_topic_is_gone_when_two_looks_in_a_row_do_not_show_it() {
        assert_eq!(gone(&[None, None]), [0, 1]);
        assert_eq!(gone(&[None, Some(3), None, Some(4)]), [0, 0, 0, 0]);
    }

    /// The broker asked may not have heard yet that partitions were added.
    #[test]
    fn fewer_partitions_are_another_topic_once_two_looks_say_so() {
        assert_eq!(gone(&[Some(1), Some(3)]), [0, 0]);
        assert_eq!(gone(&[Some(1), Some(2)]), [0, 1]);
    }
}
