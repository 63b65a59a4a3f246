//! Dead letters as people handle them: listed, looked at, counted, and settled. Their records lie in the topics that
//! `burial` writes, what became of them in a table that all gateways share.
//!
//! ```text
//! dlq.{topic}.{group} ── reading (bounded) ── letter ─┬─ list · one · count
//! _weirgate.dead_letters ──────────────────── states ─┘
//!                     └─ keeper: forgets letters that have gone
//! ```

mod count;
mod handle;
mod id;
mod keeper;
mod letter;
mod list;
mod reading;
mod states;

use crate::event::{GroupName, Record, RecordView, Storage, Topic};

use super::Error;
use super::shared::Shared;
use reading::LetterTopic;
use states::Change;

pub(super) use keeper::keep;
pub(super) use states::States;

pub use count::{DeadLetterCount, DeadLetterCounts};
pub use id::DeadLetterId;
pub use letter::DeadLetter;
pub use list::{DeadLetterPage, DeadLetterQuery};
pub use states::{DeadLetterState, Note, Settled, Standing};

/// Why a letter can be dead, as its header says.
pub const REASONS: [&str; 7] = [
    "retries_exhausted",
    "rejected",
    "expired",
    "undecodable",
    "schema_violation",
    "key_parked",
    "too_large",
];

/// A letter with its record.
#[derive(Debug, Clone)]
pub struct WholeDeadLetter {
    /// What is told of it.
    pub letter: DeadLetter,
    record: Record,
    storage: Storage,
}

impl WholeDeadLetter {
    /// Writes the members of its event, `"event":{…}` or `"meta"` and `"data"`, as subscribers of the source topic get
    /// them, without braces.
    pub fn write_event(&self, out: &mut Vec<u8>) {
        RecordView::parse(&self.record, self.storage).write_event(out);
    }
}

/// The dead-letter topics of a group: of all topics that it reads or ever read, by source topic.
fn topics_of(shared: &Shared, group: &GroupName) -> Result<Vec<LetterTopic>, Error> {
    shared.log.topics_known()?;
    let mut topics = reading::topics(&*shared.log);
    topics.retain(|topic| topic.group == *group);
    topics.sort_by(|left, right| left.source.cmp(&right.source));
    Ok(topics)
}

/// The source topics of a group's dead letters.
fn sources_of(shared: &Shared, group: &GroupName) -> Result<Vec<Topic>, Error> {
    Ok(topics_of(shared, group)?.into_iter().map(|topic| topic.source).collect())
}

/// A letter of one of these source topics.
async fn find(
    shared: &Shared,
    group: &GroupName,
    sources: &[Topic],
    id: &DeadLetterId,
) -> Result<WholeDeadLetter, Error> {
    for topic in topics_of(shared, group)? {
        if !sources.contains(&topic.source) || id.partition().number() >= topic.partitions {
            continue;
        }
        let found = reading::one(&*shared.log, &topic.name, id.partition(), id.offset()).await?;
        let Some(record) = found.filter(|record| letter::id_of(record, id.partition()).as_ref() == Some(id))
        else {
            continue;
        };
        let standing = shared.states.read(group, id)?;
        if let Some(letter) = letter::read(group, id.clone(), &record, standing) {
            let storage = shared.catalogue.load().rule(&letter.topic).storage;
            return Ok(WholeDeadLetter { letter, record, storage });
        }
    }
    Err(Error::UnknownDeadLetter)
}

/// Declares a letter unneeded, durably and for all gateways.
async fn discard(
    shared: &Shared,
    group: &GroupName,
    sources: &[Topic],
    id: &DeadLetterId,
    by: &str,
) -> Result<Standing, Error> {
    let DeadLetter { topic, .. } = find(shared, group, sources, id).await?.letter;
    shared.states.discard(Change { group, topic: &topic, id, by, now: shared.clock.now() }).await
}

/// Adds a note to a letter, durably and for all gateways.
async fn annotate(
    shared: &Shared,
    group: &GroupName,
    sources: &[Topic],
    id: &DeadLetterId,
    by: &str,
    text: &str,
) -> Result<Standing, Error> {
    let DeadLetter { topic, .. } = find(shared, group, sources, id).await?.letter;
    shared.states.annotate(Change { group, topic: &topic, id, by, now: shared.clock.now() }, text).await
}
