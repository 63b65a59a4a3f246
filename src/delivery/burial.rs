//! Writing dead letters: `dlq.{topic}.{group}`, awaited, with every header of the design.
//!
//! The letter keeps the record's partition, key, value and headers, and in a header its time: its own time is that of its
//! writing, from which retention counts. Over the log's size limit the error's
//! text is shortened, then a pointer to the source record is written instead. Whatever else fails is tried again, until the
//! group loses the partition: the source record counts as settled only when the log has the letter.

mod ordered;
mod record;

use std::time::Duration;

use tokio::time::sleep;

use crate::event::{GroupName, Offset, Partition, Topic};
use crate::log::{self, Append, Cleanup, TopicSpec};

use super::dead_letters::{DeadLetterId, Fate, Verdict};
use super::group::{Burial, Reason, Slot};
use super::key_hash::KeyHash;
use super::redrive::{Rank, Redriven};
use super::shared::Shared;

use record::{Form, Identity, letter};

pub(super) use ordered::bury_in_order;
pub(super) use record::{LETTER_HEADERS, key_of, name, source_time};

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// A record that is to be a letter.
#[derive(Debug)]
pub(super) struct Death {
    /// The source topic.
    topic: Topic,
    burial: Burial,
    /// Where it was taken, which is where it lies unless it was redriven.
    taken: Offset,
    /// Which letter it is already, where it was redriven.
    redriven: Option<Redriven>,
    /// After so many redrives a letter is held for a person.
    redrives_max: u32,
    /// Its place among the letters of its key, where it was redriven and later ones are not to pass it.
    rank: Option<Rank>,
}

/// Which letter was written, and where it lies.
#[derive(Debug)]
struct Written {
    name: String,
    at: Offset,
}

/// A letter that was written: what it was for.
#[derive(Debug)]
pub(super) struct Buried {
    pub(super) slot: Slot,
    pub(super) epoch: u64,
    pub(super) offset: u64,
    /// What is to be known of a letter that was redriven.
    pub(super) verdict: Option<Verdict>,
    /// Where it lies.
    pub(super) letter: Offset,
    /// Its key, where that can be parked.
    pub(super) key: Option<KeyHash>,
    /// Whether its key is to be parked now.
    pub(super) parks: bool,
}

/// The dead-letter topic of a group's topic.
pub(super) fn topic_of(topic: &Topic, group: &GroupName) -> Option<Topic> {
    Topic::parse(&format!("dlq.{topic}.{group}")).ok()
}

/// Writes a letter; returns when the log has it.
async fn bury(shared: &Shared, group: &GroupName, death: Death) -> Buried {
    let mut form = Form::Whole;
    let mut delay = RETRY_FIRST;
    let written = loop {
        match write(shared, group, &death, form).await {
            Ok(written) => break written,
            Err(log::Error::RecordTooLarge { .. }) if form != Form::BarePointer => form = form.smaller(),
            Err(error) => {
                complain(shared, group, &death, &error);
                sleep(delay).await;
                delay = (delay * 2).min(RETRY_MAX);
            }
        }
    };
    count(shared, group, &death, form);
    reopen(shared, group, &Vec::from_iter(death.born(&written))).await;
    death.buried(written.at)
}

impl Death {
    pub(super) fn new(
        topic: Topic,
        mut burial: Burial,
        redriven: Option<Redriven>,
        redrives_max: u32,
        rank: Option<Rank>,
    ) -> Self {
        let taken = burial.record.offset;
        if let Some(Redriven { record, first_failed, .. }) = &redriven {
            burial.record = record.clone();
            burial.first_failed = first_failed.unwrap_or(burial.first_failed);
        }
        Self { topic, burial, taken, redriven, redrives_max, rank }
    }

    fn identity(&self, group: &GroupName, incarnation: u64) -> Identity {
        // Its source may have been made anew while it was a letter.
        match &self.redriven {
            Some(redriven) => Identity { name: redriven.letter.name().to_owned(), redrives: self.redrives() },
            None => Identity::of(group, &self.topic, incarnation, &self.burial),
        }
    }

    /// How often it was redriven; a time that it was not tried does not count.
    fn redrives(&self) -> u32 {
        let redrives = self.redriven.as_ref().map_or(0, |redriven| redriven.redrives);
        redrives.saturating_sub(u32::from(self.burial.reason == Reason::KeyParked))
    }

    /// Its letter, which was written now, if this is its first.
    fn born(&self, written: &Written) -> Option<DeadLetterId> {
        let partition = Partition::new(self.burial.slot.partition);
        DeadLetterId::new(&written.name, partition, written.at).filter(|_| self.redriven.is_none())
    }

    /// Its letter lies there.
    fn buried(self, letter: Offset) -> Buried {
        let redrives = self.redrives();
        let Self { burial, taken, redriven, redrives_max, rank, .. } = self;
        let verdict = redriven.map(|redriven| {
            let partition = Partition::new(burial.slot.partition);
            let is_held = redrives >= redrives_max;
            Verdict {
                letter: redriven.letter.name().into(),
                fate: Fate::Failed { partition, offset: letter, is_held, rank },
            }
        });
        Buried {
            slot: burial.slot,
            epoch: burial.epoch,
            offset: taken.number(),
            verdict,
            letter,
            key: burial.key,
            parks: burial.parks,
        }
    }
}

/// What was decided of letters before their records died once more, as after a reset, holds no longer. Returns when that
/// is durable: a letter that its group forgot would count as settled.
async fn reopen(shared: &Shared, group: &GroupName, letters: &[DeadLetterId]) {
    let mut delay = RETRY_FIRST;
    if letters.is_empty() {
        return;
    }
    while let Err(error) = shared.states.reopen(group, letters, shared.clock.now()).await {
        shared.metrics.dead_letter_failures.inc();
        tracing::error!(%group, letters = letters.len(), %error, "dead letters cannot be opened again; their lanes wait");
        sleep(delay).await;
        delay = (delay * 2).min(RETRY_MAX);
    }
}

fn complain(shared: &Shared, group: &GroupName, death: &Death, error: &log::Error) {
    shared.metrics.dead_letter_failures.inc();
    let Death { topic, burial, .. } = death;
    let offset = burial.record.offset.number();
    let partition = burial.slot.partition;
    tracing::error!(%group, %topic, partition, offset, %error, "a dead letter cannot be written; its lane waits");
}

fn count(shared: &Shared, group: &GroupName, death: &Death, form: Form) {
    let Death { topic, burial, .. } = death;
    let reason = form.reason(burial.reason).as_str();
    shared.metrics.dead_letters.with_label_values(&[group.as_str(), topic.as_str(), reason]).inc();
    if burial.attempts > 0 {
        shared.metrics.attempts.observe(f64::from(burial.attempts));
    }
}

async fn write(shared: &Shared, group: &GroupName, death: &Death, form: Form) -> Result<Written, log::Error> {
    let Death { topic, burial, .. } = death;
    let (letters, incarnation) = grave(shared, group, topic, burial.slot.partition).await?;
    let partition = Partition::new(burial.slot.partition);
    let identity = death.identity(group, incarnation);
    let name = identity.name.clone();
    let record = letter(group, topic, identity, burial, form);
    let appended = shared.log.append(Append { topic: letters, partition, records: vec![record] }).await?;
    Ok(Written { name, at: appended.base })
}

/// The dead-letter topic, made where there is none or it has too few partitions, and the source's incarnation.
async fn grave(
    shared: &Shared,
    group: &GroupName,
    topic: &Topic,
    partition: u32,
) -> Result<(Topic, u64), log::Error> {
    let letters =
        topic_of(topic, group).ok_or(log::Error::NotSupported("dead-letter topics of such long names"))?;
    let source = shared.log.topic(topic);
    let incarnation = source.as_ref().map_or(0, |info| info.incarnation.0);
    let partitions = source.map_or(0, |info| info.spec.partitions).max(partition + 1);
    if shared.log.topic(&letters).is_none_or(|info| info.spec.partitions < partitions) {
        let spec = TopicSpec {
            name: letters.clone(),
            partitions,
            cleanup: Cleanup::Delete,
            retention: Some(shared.config.dead_letter_retention),
            retention_bytes: None,
        };
        shared.log.ensure_topic(&spec).await?;
        tracing::info!(topic = %letters, partitions, "dead-letter topic made");
    }
    Ok((letters, incarnation))
}
