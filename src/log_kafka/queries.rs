//! Questions about partitions: where they begin and end, and what lay where at a time.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};

use crate::event::{GroupName, Offset, Partition, Timestamp, Topic};
use crate::log::{Bounds, Error};

use super::connection::{Connection, Watch};
use super::failure::{OpenError, unavailable};
use super::native;
use super::record::offset;
use super::settings::Settings;

/// How long the cluster may take to answer a question.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A client that asks. All its calls block.
#[derive(Clone)]
pub(super) struct Queries(Arc<BaseConsumer<Watch>>);

impl std::fmt::Debug for Queries {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Queries")
    }
}

impl Queries {
    pub(super) fn new(settings: &Settings, connection: &Arc<Connection>) -> Result<Self, OpenError> {
        let watch = Watch::of(Arc::clone(connection), "queries");
        Ok(Self(Arc::new(settings.queries().create_with_context(watch)?)))
    }

    /// The ends of a partition, as of now.
    pub(super) fn bounds(&self, topic: &Topic, partition: Partition) -> KafkaResult<Bounds> {
        let (start, end) = self.0.fetch_watermarks(topic.as_str(), native(partition), PATIENCE)?;
        Ok(Bounds { start: offset(start), end: offset(end) })
    }

    /// The first offset at or after a time; `None` when there is none.
    pub(super) fn offset_at(
        &self,
        topic: &Topic,
        partition: Partition,
        time: Timestamp,
    ) -> KafkaResult<Option<Offset>> {
        let mut asked = TopicPartitionList::new();
        let millis = rdkafka::Offset::Offset(time.millis().max(0));
        asked.add_partition_offset(topic.as_str(), native(partition), millis)?;
        let found = self.0.offsets_for_times(asked, PATIENCE)?;
        let elements = found.elements();
        let element = elements.first().ok_or(KafkaError::NoMessageReceived)?;
        element.error()?;
        match element.offset() {
            rdkafka::Offset::Offset(number) => Ok(Some(offset(number))),
            _ => Ok(None),
        }
    }

    /// The names of all groups.
    pub(super) fn groups(&self) -> Result<Vec<GroupName>, Error> {
        let list = self.0.fetch_group_list(None, PATIENCE).map_err(unavailable)?;
        let mut groups: Vec<GroupName> = list
            .groups()
            .iter()
            .filter(|group| group.state() != "Dead")
            .filter_map(|group| GroupName::parse(group.name()).ok())
            .collect();
        groups.sort_unstable();
        groups.dedup();
        Ok(groups)
    }

    /// Has the client learn anew where partitions lie; what it knows may be older than they are.
    pub(super) fn refresh(&self) {
        if let Err(error) = self.0.fetch_metadata(None, PATIENCE) {
            tracing::debug!(%error, "the cluster does not say where partitions lie");
        }
    }

    /// Takes over what the client has to tell; call now and then.
    pub(super) fn tend(&self) {
        for _ in 0..64 {
            drop(self.0.poll(Duration::ZERO));
        }
    }
}
