//! One page of events: a subscription that reads up to a limit or the log's end, and goes.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future;
use tokio::time::{Instant, timeout_at};

use crate::event::Positions;
use crate::log::{self, EventLog};

use super::ring::Budget;
use super::stream::Stream;
use super::{Error, Page, Push, Subscription};

/// Bytes of events one page may hold; its first event fits whatever its size.
const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// How long a page that finds little may search, before it answers with what it has.
const SEARCH: Duration = Duration::from_secs(5);
/// How often a page looks whether the tails have come to the end it knows: records its filter passes over wake
/// nobody.
const LOOK: Duration = Duration::from_millis(20);

/// Reads one page.
pub(super) async fn read(
    log: &dyn EventLog,
    mut subscription: Subscription,
    limit: usize,
    wait: Duration,
) -> Result<Page, Error> {
    let ends = ends(log, subscription.streams().cloned().collect()).await?;
    let (wait_until, search_until) = (Instant::now() + wait, Instant::now() + SEARCH.max(wait));
    let (mut frames, mut gaps, mut bytes) = (Vec::new(), Vec::new(), PAGE_BYTES);
    loop {
        let is_at_end = subscription.has_reached(&ends);
        let is_full = frames.len() >= limit || bytes == 0;
        let is_late = Instant::now() >= if is_at_end { wait_until } else { search_until };
        if is_full || is_late || (is_at_end && !frames.is_empty()) {
            return Ok(Page { frames, gaps, cursor: subscription.cursor(), is_at_end });
        }
        let until = if is_at_end { wait_until } else { search_until.min(Instant::now() + LOOK) };
        let budget = Budget::new(bytes, limit - frames.len());
        let step = poll_fn(|context| subscription.poll_step(budget, context));
        let Ok(pushes) = timeout_at(until, step).await else { continue };
        tokio::task::consume_budget().await;
        for push in pushes? {
            match push {
                Push::Event(frame) => {
                    bytes = bytes.saturating_sub(frame.socket_json.len());
                    frames.push(frame);
                }
                Push::Gap(gap) => gaps.push(gap),
                Push::Positions { .. } => {}
            }
        }
    }
}

/// Where the log ends now, in all these topics.
async fn ends(log: &dyn EventLog, streams: Vec<Arc<Stream>>) -> Result<Positions, log::Error> {
    let partitions = streams.iter().flat_map(|stream| {
        let partitions = stream.partitions().into_iter();
        partitions.map(move |partition| (stream.topic.clone(), partition.number))
    });
    let ends = partitions.map(|(topic, partition)| async move {
        let end = log.bounds(&topic, partition).await?.end;
        Ok::<_, log::Error>((topic, partition, end))
    });
    let mut positions = Positions::new();
    for (topic, partition, end) in future::try_join_all(ends).await? {
        positions.entry(topic).or_default().insert(partition, end);
    }
    Ok(positions)
}
