//! The cluster's topics as the gateway knows them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::event::{Offset, Partition as Number, Topic};
use crate::log::{Error, TopicInfo};

/// A topic, as long as it is the same topic.
#[derive(Debug, Clone)]
pub(super) struct TopicState {
    pub(super) info: Arc<TopicInfo>,
    /// Cancelled when the topic is gone, or is another one of the same name.
    pub(super) gone: CancellationToken,
    partitions: Arc<[Partition]>,
}

/// A partition of a topic.
#[derive(Debug, Clone, Default)]
pub(super) struct Partition(Arc<AtomicU64>);

impl Partition {
    /// The first offset kept, as far as this gateway has been told: what lies before it was given up, also where a
    /// client still holds it.
    pub(super) fn start(&self) -> Offset {
        Offset::new(self.0.load(Ordering::Acquire))
    }

    /// The log begins at `start` now.
    pub(super) fn starts_at(&self, start: Offset) {
        self.0.fetch_max(start.number(), Ordering::AcqRel);
    }
}

impl TopicState {
    pub(super) fn new(info: TopicInfo) -> Self {
        let partitions = (0..info.spec.partitions).map(|_| Partition::default()).collect();
        Self { info: Arc::new(info), gone: CancellationToken::new(), partitions }
    }

    /// The same topic under a changed specification.
    pub(super) fn changed(&self, info: TopicInfo) -> Self {
        let new = (0..info.spec.partitions).skip(self.partitions.len()).map(|_| Partition::default());
        let partitions = self.partitions.iter().cloned().chain(new).collect();
        Self { info: Arc::new(info), gone: self.gone.clone(), partitions }
    }

    pub(super) fn partition(&self, number: Number) -> Result<&Partition, Error> {
        self.partitions.get(number.index()).ok_or_else(|| Error::UnknownPartition {
            topic: self.info.spec.name.clone(),
            partition: number,
            partitions: self.info.spec.partitions,
        })
    }
}

/// All topics. The keeper changes them, everybody reads them.
#[derive(Debug)]
pub(super) struct Topics {
    by_name: ArcSwap<HashMap<Topic, Arc<TopicState>>>,
    changes: watch::Sender<u64>,
}

impl Default for Topics {
    fn default() -> Self {
        Self { by_name: ArcSwap::default(), changes: watch::Sender::new(0) }
    }
}

impl Topics {
    pub(super) fn get(&self, topic: &Topic) -> Option<Arc<TopicState>> {
        self.by_name.load().get(topic).cloned()
    }

    pub(super) fn require(&self, topic: &Topic) -> Result<Arc<TopicState>, Error> {
        self.get(topic).ok_or_else(|| Error::UnknownTopic(topic.clone()))
    }

    /// All topics by name.
    pub(super) fn all(&self) -> Vec<Arc<TopicState>> {
        let mut all: Vec<_> = self.by_name.load().values().cloned().collect();
        all.sort_unstable_by(|one, other| one.info.spec.name.cmp(&other.info.spec.name));
        all
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Takes over what the cluster has: topics to add or change, and topics that are gone. Only the keeper calls this.
    pub(super) fn update(&self, infos: Vec<TopicInfo>, gone: &[Topic]) {
        let mut by_name = HashMap::clone(&self.by_name.load());
        let mut ended = Vec::new();
        let mut is_changed = false;
        for topic in gone {
            ended.extend(by_name.remove(topic));
        }
        for info in infos {
            let name = info.spec.name.clone();
            let state = match by_name.get(&name) {
                Some(known) if *known.info == info => continue,
                Some(known) if known.info.incarnation == info.incarnation => known.changed(info),
                _ => TopicState::new(info),
            };
            is_changed = true;
            let before = by_name.insert(name.clone(), Arc::new(state));
            let is_same = |before: &Arc<TopicState>| {
                by_name.get(&name).is_some_and(|now| now.info.incarnation == before.info.incarnation)
            };
            ended.extend(before.filter(|before| !is_same(before)));
        }
        if !is_changed && ended.is_empty() {
            return;
        }
        self.by_name.store(Arc::new(by_name));
        ended.iter().for_each(|topic| topic.gone.cancel());
        self.changes.send_modify(|version| *version += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::{Topic, TopicInfo, Topics};
    use crate::event::{Offset, Partition as Number};
    use crate::log::{Cleanup, Incarnation, TopicSpec};

    fn info(partitions: u32, incarnation: u64) -> TopicInfo {
        let name = Topic::parse("t").unwrap();
        let spec =
            TopicSpec { name, partitions, cleanup: Cleanup::Delete, retention: None, retention_bytes: None };
        TopicInfo { spec, incarnation: Incarnation(incarnation) }
    }

    #[test]
    fn a_grown_topic_is_the_same_and_keeps_what_is_known() {
        let topics = Topics::default();
        topics.update(vec![info(1, 7)], &[]);
        let before = topics.get(&info(1, 7).spec.name).unwrap();
        before.partition(Number::new(0)).unwrap().starts_at(Offset::new(5));
        topics.update(vec![info(2, 7)], &[]);
        let after = topics.get(&before.info.spec.name).unwrap();
        assert!(!before.gone.is_cancelled());
        assert_eq!(after.partition(Number::new(0)).unwrap().start(), Offset::new(5));
        assert!(after.partition(Number::new(1)).is_ok() && after.partition(Number::new(2)).is_err());
    }

    #[test]
    fn another_incarnation_ends_the_earlier_one() {
        let topics = Topics::default();
        topics.update(vec![info(1, 7)], &[]);
        let before = topics.get(&info(1, 7).spec.name).unwrap();
        topics.update(vec![info(1, 8)], &[]);
        assert!(before.gone.is_cancelled());
        assert!(!topics.get(&before.info.spec.name).unwrap().gone.is_cancelled());
    }

    #[test]
    fn only_changes_are_announced() {
        let topics = Topics::default();
        let changes = topics.changes();
        topics.update(vec![info(1, 7)], &[]);
        topics.update(vec![info(1, 7)], &[]);
        assert_eq!(*changes.borrow(), 1);
        topics.update(Vec::new(), &[info(1, 7).spec.name]);
        assert_eq!(*changes.borrow(), 2);
    }
}
