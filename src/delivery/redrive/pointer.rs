//! Letters that only point at their source record: it is read back where the log still has it.

use crate::event::{GroupName, Partition, Record};
use crate::log;

use super::super::Error;
use super::super::burial;
use super::super::dead_letters::one_record;
use super::super::shared::Shared;
use super::record::source_of;
use super::{Failure, Letter};

/// The source record of a letter that points at it; `None` for one that holds it.
pub(super) async fn source(
    shared: &Shared,
    group: &GroupName,
    letter: &Letter,
) -> Result<Option<Record>, Failure> {
    if letter.record.headers.last_text("weirgate-dlq-reason") != Some("too_large") {
        return Ok(None);
    }
    let (topic, partition, offset) = source_of(&letter.record).ok_or(Failure::Unreadable)?;
    let Some(info) = shared.log.topic(&topic) else {
        shared.log.topics_known().map_err(Failure::Log)?;
        return Err(Failure::SourceGone);
    };
    // A topic that was made anew has other records at the same places.
    let name = burial::name(group, info.incarnation.0, partition, &topic, offset);
    if name != letter.id.name() || !has(info.spec.partitions, partition) {
        return Err(Failure::SourceGone);
    }
    match one_record(&*shared.log, &topic, partition, offset).await {
        Ok(Some(record)) => Ok(Some(record)),
        Ok(None) | Err(Error::Log(log::Error::OffsetOutOfRange { .. })) => Err(Failure::SourceGone),
        Err(Error::Log(error)) => Err(Failure::Log(error)),
        Err(_) => Err(Failure::Log(log::Error::Overloaded)),
    }
}

const fn has(partitions: u32, partition: Partition) -> bool {
    partition.number() < partitions
}
