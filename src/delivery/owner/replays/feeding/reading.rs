//! Reading on in one partition of a replay, in bounded time.

use std::ops::Range;
use std::time::Duration;

use tokio::time::timeout;

use crate::event::{Offset, Partition, Topic};
use crate::log::{self, Fetched, Purpose, Reader};

use super::super::super::super::group::Slot;
use super::super::super::super::shared::Shared;
use super::feed::Stop;

const READ_BYTES_MAX: usize = 64 << 10;
/// A read below the end that takes longer has failed: it may not be taken for the end.
const READ_MAX: Duration = Duration::from_secs(10);

/// The next records of a topic that is still the one that it was.
pub(super) async fn read(
    shared: &Shared,
    topic: &Topic,
    incarnation: u64,
    slot: Slot,
    range: Range<u64>,
    reader: Option<Box<dyn Reader>>,
) -> (Option<Box<dyn Reader>>, Result<Fetched, Stop>) {
    match shared.log.topic(topic) {
        Some(info) if info.incarnation.0 == incarnation => {}
        Some(_) => return (None, Err(Stop::Gone(format!("topic '{topic}' was deleted and made anew")))),
        None => {
            let known = shared.log.topics_known();
            let gone = || Stop::Gone(format!("topic '{topic}' was deleted"));
            return (None, Err(known.err().map_or_else(gone, Stop::Log)));
        }
    }
    let opened = match reader {
        Some(reader) => Ok(reader),
        None => {
            let place = (Partition::new(slot.partition), Offset::new(range.start));
            let opening = shared.log.reader(topic, place.0, place.1, Purpose::CatchUp);
            timeout(READ_MAX, opening).await.unwrap_or(Err(log::Error::OutcomeUnknown))
        }
    };
    let mut reader = match opened {
        Ok(reader) => reader,
        Err(error) => return (None, Err(Stop::Log(error))),
    };
    match timeout(READ_MAX, reader.next(READ_BYTES_MAX)).await {
        Ok(Ok(fetched)) => (Some(reader), Ok(fetched)),
        Ok(Err(error)) => (None, Err(Stop::Log(error))),
        Err(_) => (None, Err(silent(shared, topic, Partition::new(slot.partition), range.end).await)),
    }
}

/// Why nothing came of a range.
async fn silent(shared: &Shared, topic: &Topic, partition: Partition, end: u64) -> Stop {
    match timeout(READ_MAX, shared.log.bounds(topic, partition)).await {
        Ok(Ok(bounds)) if bounds.end.number() < end => Stop::Short(bounds.end),
        Ok(Ok(_)) | Err(_) => Stop::Log(log::Error::OutcomeUnknown),
        Ok(Err(error)) => Stop::Log(error),
    }
}
