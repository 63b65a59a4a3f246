//! Taking assigned partitions over: where the group stands in them, and a queue for each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::event::{Offset, Partition as Number, Topic};
use crate::log::{Assigned, Bounds, Commit, Committed, Error, Start};

use super::super::failure::unavailable;
use super::super::native;
use super::super::offsets::ask;
use super::super::record::place;
use super::super::shared::Shared;
use super::link::{Client, Link, commit};
use super::place::{Place, Queue};
use super::post::names;

/// How long the starts of a group that begins at the end may take to be written down.
const KEEP_STARTS_MAX: Duration = Duration::from_secs(5);

/// Partitions taken over.
pub(super) type Taken = (Vec<Place>, Vec<Assigned>);

/// Takes partitions over: looks up where the group stands, then lets the client read.
pub(super) async fn take(
    shared: Arc<Shared>,
    link: Arc<Link>,
    list: TopicPartitionList,
    start: Start,
) -> Result<Taken, Error> {
    let client = link.client()?;
    let (asking, asked) = (Arc::clone(&client), list.clone());
    let known = shared.blocking.call(move || ask(&asking, asked)).await?.map_err(unavailable)?;
    let shared_with = &*shared;
    let bounds = names(&list).into_iter().map(|(topic, number)| async move {
        let bounds = shared_with.bounds(&topic, number).await?;
        Ok::<_, Error>((topic, number, bounds))
    });
    let assigned: Vec<(Assigned, Bounds)> = try_join_all(bounds)
        .await?
        .into_iter()
        .map(|(topic, partition, bounds)| {
            let committed = known.get(&(topic.clone(), partition)).cloned();
            let position = position(committed.as_ref(), bounds, start.in_topic(&topic));
            (Assigned { topic, partition, committed, position }, bounds)
        })
        .collect();
    let places: BTreeMap<(Topic, Number), Offset> = assigned
        .iter()
        .map(|(assigned, _)| ((assigned.topic.clone(), assigned.partition), assigned.position))
        .collect();
    let wake = Arc::clone(&link.post.wake);
    let queues = shared.blocking.call(move || sit(&client, &places, &wake)).await?.map_err(unavailable)?;
    link.own(assigned.iter().map(|(one, _)| (one.topic.clone(), one.partition)));
    keep_starts(&shared, &link, &assigned, start).await;
    let place = |(queue, (one, bounds)): (Queue, &(Assigned, Bounds))| {
        let known = shared.topics.get(&one.topic);
        let partition = known.and_then(|topic| topic.partition(one.partition).ok().cloned());
        Place {
            topic: one.topic.clone(),
            number: one.partition,
            partition: partition.unwrap_or_default(),
            queue,
            position: one.position,
            end: bounds.end,
            is_held: false,
            is_revoked: false,
        }
    };
    let order: BTreeMap<_, _> =
        assigned.iter().map(|one| ((one.0.topic.clone(), one.0.partition), one)).collect();
    let places = queues.into_iter().zip(order.into_values()).map(place).collect();
    Ok((places, assigned.into_iter().map(|(assigned, _)| assigned).collect()))
}

/// Where reading begins.
fn position(committed: Option<&Committed>, bounds: Bounds, start: Start) -> Offset {
    match (committed, start) {
        (Some(committed), _) => committed.offset.clamp(bounds.start, bounds.end.max(bounds.start)),
        (None, Start::Earliest) => bounds.start,
        (None, Start::Latest) => bounds.end,
    }
}

/// Lets the client read these partitions, each into its own queue, in the order of the places; blocks.
fn sit(
    client: &Arc<Client>,
    places: &BTreeMap<(Topic, Number), Offset>,
    wake: &Arc<Notify>,
) -> KafkaResult<Vec<Queue>> {
    let mut list = TopicPartitionList::with_capacity(places.len());
    let mut queues = Vec::with_capacity(places.len());
    for ((topic, number), offset) in places {
        let queue = client.split_partition_queue(topic.as_str(), native(*number));
        let mut queue = queue.ok_or(KafkaError::Canceled)?;
        let wake = Arc::clone(wake);
        queue.set_nonempty_callback(move || wake.notify_one());
        queues.push(queue);
        list.add_partition_offset(topic.as_str(), native(*number), place(*offset))?;
    }
    // Also where the list is empty: a revocation is followed by such a one, and the client waits for its answer.
    client.incremental_assign(&list)?;
    Ok(queues)
}

/// Commits where a group that begins at the end has begun, so that what comes before its first commit is not passed
/// over by a restart.
async fn keep_starts(shared: &Shared, link: &Arc<Link>, assigned: &[(Assigned, Bounds)], start: Start) {
    if start == Start::Earliest {
        return;
    }
    let begun = assigned.iter().filter(|(assigned, _)| assigned.committed.is_none());
    let commits: Vec<Commit> = begun
        .map(|(Assigned { topic, partition, position, .. }, _)| Commit {
            topic: topic.clone(),
            partition: *partition,
            committed: Committed { offset: *position, metadata: String::new() },
        })
        .collect();
    if commits.is_empty() {
        return;
    }
    let kept = timeout(KEEP_STARTS_MAX, commit(shared, link, &commits)).await;
    if let Ok(Err(error)) = kept.map_err(|_| ()) {
        tracing::warn!(group = %link.group, %error, "where the group began is not written down");
    }
}

#[cfg(test)]
mod tests {
    use super::{Bounds, Committed, Offset, Start, position};

    #[test]
    fn reading_begins_at_the_commit_or_where_the_group_is_told_to() {
        let bounds = Bounds { start: Offset::new(3), end: Offset::new(9) };
        let at = |offset| Committed { offset: Offset::new(offset), metadata: String::new() };
        let of = |committed: Option<u64>, start| position(committed.map(at).as_ref(), bounds, start).number();
        assert_eq!(of(Some(5), Start::Latest), 5);
        assert_eq!(of(Some(1), Start::Latest), 3);
        assert_eq!(of(Some(20), Start::Earliest), 9);
        assert_eq!(of(None, Start::Earliest), 3);
        assert_eq!(of(None, Start::Latest), 9);
    }
}
