//! How far groups are behind, for views and metrics, whether they have members or not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::event::{GroupName, Offset, Partition, Timestamp, Topic};
use crate::log::{self, Bounds, Committed, Purpose};

use super::dead_letters;
use super::merged::{Merged, Served, millis};
use super::shared::Shared;
use super::{BlockedLane, Breaker, Delivery, GroupView, PartitionView, Policy, Start, pace};

/// A read of one record that takes longer leaves its age unknown.
const READ_MAX: Duration = Duration::from_millis(500);

/// What lag is told of.
type Place = (GroupName, Topic, Partition);

/// A group as seen from the log and by the gateways that serve it.
pub(super) async fn view(
    shared: &Shared,
    group: &GroupName,
    policy: Arc<Policy>,
    merged: &Merged,
) -> Result<GroupView, log::Error> {
    let mut partitions = Vec::new();
    let redrives = Topic::of_redrives(group);
    for topic in policy.topics.iter().chain([&redrives]) {
        partitions.extend(partitions_of(shared, group, &policy, topic, merged).await?);
    }
    let now = shared.clock.now();
    Ok(GroupView {
        group: group.clone(),
        policy,
        members: merged.members(),
        partitions,
        breaker: Breaker::of(merged.open_for().is_some()),
        breaker_reason: merged.open_reason(),
        breaker_open_ms: merged.open_for().map(millis),
        gateways: merged.gateways(now),
        reset: shared.policies.reset(group).and_then(|order| order.progress(now)),
        updated_at: now,
    })
}

/// Keeps the lag of every group in the metrics, whether it has members or not. Ends when dropped.
pub(super) async fn show(delivery: &Delivery) {
    let mut shown = BTreeSet::new();
    loop {
        let begun = Instant::now();
        let mut places = BTreeSet::new();
        for (group, policy) in delivery.shared.policies.all().iter() {
            let own = Merged::new(&delivery.shared.config.node, delivery.look(group).await, Vec::new());
            for topic in policy.topics.iter().chain([&Topic::of_redrives(group)]) {
                measure(&delivery.shared, group, policy, topic, &own, &mut places).await;
            }
        }
        // Groups, topics and partitions that are gone.
        for gone in shown.difference(&places) {
            hide(&delivery.shared, gone);
        }
        shown = places;
        sleep(pace::rest(begun.elapsed())).await;
    }
}

/// Brings the metrics of a group's topic up to date, and tells its places. What cannot be asked for now stays as it was.
async fn measure(
    shared: &Shared,
    group: &GroupName,
    policy: &Policy,
    topic: &Topic,
    own: &Merged,
    places: &mut BTreeSet<Place>,
) {
    let Some(info) = shared.log.topic(topic) else { return };
    let partitions = (0..info.spec.partitions).map(Partition::new);
    places.extend(partitions.clone().map(|partition| (group.clone(), topic.clone(), partition)));
    let parked_in = |partition| shared.states.count_parked(dead_letters::Place { group, topic, partition });
    let keys_parked = partitions.clone().filter_map(parked_in).sum::<usize>();
    if !topic.is_redrives() {
        let gauge = &shared.metrics.standing.keys_parked;
        gauge.with_label_values(&[group.as_str(), topic.as_str()]).set(whole(keys_parked));
    }
    let committed = match shared.groups.committed(group, topic).await {
        Ok(committed) => committed,
        Err(error) => {
            tracing::debug!(%group, %topic, %error, "the group's lag cannot be measured");
            return;
        }
    };
    for partition in partitions {
        let served = own.served(topic, partition);
        match partition_of(shared, (group, policy), (topic, partition), &committed, served).await {
            Ok(one) => {
                let number = partition.to_string();
                let labels = [group.as_str(), topic.as_str(), &number];
                let current = one.end_offset.number().saturating_sub(one.lag);
                let lag = &shared.metrics.lag;
                lag.events.with_label_values(&labels).set(whole(one.lag));
                lag.seconds.with_label_values(&labels).set(one.lag_seconds);
                lag.current.with_label_values(&labels).set(whole(current));
            }
            Err(error) => {
                tracing::debug!(%group, %topic, %partition, %error, "the group's lag cannot be measured");
            }
        }
    }
}

fn hide(shared: &Shared, (group, topic, partition): &Place) {
    let partition = partition.to_string();
    let labels = [group.as_str(), topic.as_str(), &partition];
    drop(shared.metrics.lag.events.remove_label_values(&labels));
    drop(shared.metrics.lag.seconds.remove_label_values(&labels));
    drop(shared.metrics.lag.current.remove_label_values(&labels));
    drop(shared.metrics.standing.keys_parked.remove_label_values(&[group.as_str(), topic.as_str()]));
}

fn whole(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

async fn partitions_of(
    shared: &Shared,
    group: &GroupName,
    policy: &Policy,
    topic: &Topic,
    merged: &Merged,
) -> Result<Vec<PartitionView>, log::Error> {
    let Some(info) = shared.log.topic(topic) else { return Ok(Vec::new()) };
    let committed = shared.groups.committed(group, topic).await?;
    let mut views = Vec::new();
    for partition in (0..info.spec.partitions).map(Partition::new) {
        let served = merged.served(topic, partition);
        views.push(partition_of(shared, (group, policy), (topic, partition), &committed, served).await?);
    }
    Ok(views)
}

async fn partition_of(
    shared: &Shared,
    (group, policy): (&GroupName, &Policy),
    (topic, partition): (&Topic, Partition),
    committed: &BTreeMap<Partition, Committed>,
    served: Option<Served<'_>>,
) -> Result<PartitionView, log::Error> {
    // The end is read after the committed offset, so that the lag is never negative.
    let Bounds { start, end } = shared.log.bounds(topic, partition).await?;
    let committed = committed.get(&partition).map(|committed| committed.offset);
    let begin = match (committed, policy.start) {
        (Some(offset), _) => offset.max(start),
        (None, Start::Latest) if !topic.is_redrives() => end,
        (None, Start::Earliest | Start::Latest) => start,
    };
    let oldest = match served.and_then(|served| served.source.head) {
        Some(head) => Some(head),
        None if begin < end => time_of(shared, topic, partition, begin).await,
        None => None,
    };
    let now = shared.clock.now();
    let age = |since: Timestamp| u64::try_from(now.millis().saturating_sub(since.millis())).unwrap_or(0);
    let lag = end.since(begin);
    let blocked = served.map(|served| served.source.blocked.as_slice()).unwrap_or_default();
    let lanes_blocked = blocked.iter().map(|one| BlockedLane {
        offset: Offset::new(one.offset),
        reason: one.reason,
        attempts: one.attempts,
        age_ms: millis(one.age(now)),
    });
    let lag_age =
        oldest.filter(|_| lag > 0).map_or(Duration::ZERO, |since| Duration::from_millis(age(since)));
    let place = dead_letters::Place { group, topic, partition };
    Ok(PartitionView {
        topic: topic.clone(),
        partition,
        node: served.map(|served| Arc::clone(served.node)),
        committed_offset: committed,
        end_offset: end,
        lag,
        lag_seconds: lag_age.as_secs_f64(),
        lanes_blocked: lanes_blocked.collect(),
        keys_parked: shared.states.count_parked(place).unwrap_or(0),
        last_gap: shared.gateways.last_gap(place),
    })
}

/// The time of the first record at or after an offset; `None` when it cannot be read soon.
async fn time_of(shared: &Shared, topic: &Topic, partition: Partition, offset: Offset) -> Option<Timestamp> {
    let read = async {
        let mut reader = shared.log.reader(topic, partition, offset, Purpose::CatchUp).await.ok()?;
        reader.next(1).await.ok()?.records.first().map(|record| record.timestamp)
    };
    timeout(READ_MAX, read).await.ok()?
}
