//! Dead letters as people handle them: listed, looked at, counted, and settled. Their records lie in the topics that
//! `burial` writes, what became of them in a table that all gateways share.
//!
//! ```text
//! dlq.{topic}.{group} ── reading (bounded) ── letter ─┬─ list · one · count
//! _weirgate.dead_letters ──────────────────── states ─┘
//!                     ├─ keeper: forgets letters that have gone, and parked keys that nobody reads
//!                     ├─ gauges: how many are open, for metrics
//!                     └─ redrives: many of them sent back
//! ```

mod bars;
mod count;
mod entry;
mod filter;
mod forgetting;
mod gauges;
mod handle;
mod id;
mod judging;
mod keeper;
mod letter;
mod list;
mod moves;
mod packing;
mod parked;
mod reading;
mod redrives;
mod standing;
mod states;
mod unread;

use crate::event::{GroupName, Record, RecordView, Storage, Topic};

use super::Error;
use super::group::Reason;
use super::redrive::{self, Letter, Outcome};
use super::shared::Shared;
use reading::LetterTopic;
use states::Change;

pub(super) use forgetting::{call_back, end_jobs, forget_group};
pub(super) use gauges::show;
pub(super) use judging::{Finding, Readings, judge};
pub(super) use keeper::keep;
pub(super) use moves::{Asked, Before, Begun, Ended, Fate, Held, Verdict};
pub(super) use parked::{NewPark, Place, Unparked};
pub(super) use reading::one as one_record;
pub(super) use redrives::keep as keep_redrives;
pub(super) use redrives::{Closing, closings};
pub(super) use states::States;

pub use count::{DeadLetterCount, DeadLetterCounts};
pub use filter::DeadLetterFilter;
pub use id::DeadLetterId;
pub use letter::DeadLetter;
pub use list::{DeadLetterPage, DeadLetterQuery};
pub use redrives::{Redrive, RedriveCounts, RedriveOf, RedriveOrder, RedrivePage, RedrivePlan, RedriveState};
pub use standing::{DeadLetterState, Note, Settled, Standing};

/// Why a letter can be dead, as its header says.
pub const REASONS: [&str; 5] = [
    Reason::RetriesExhausted.as_str(),
    Reason::Rejected.as_str(),
    Reason::Expired.as_str(),
    Reason::KeyParked.as_str(),
    Reason::TooLarge.as_str(),
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
        let Some(record) = record_of(shared, &topic, id).await? else { continue };
        let entry = shared.states.entry(group, id)?;
        let newest = entry.as_ref().and_then(|entry| entry.newer_than(id));
        // An older record of a letter that was redriven and failed again stands for the letter.
        let (id, record) = match newest {
            Some(newest) => match record_of(shared, &topic, &newest).await? {
                Some(record) => (newest, record),
                None => (id.clone(), record),
            },
            None => (id.clone(), record),
        };
        let standing = entry.map(|entry| entry.standing).unwrap_or_default();
        let letter = letter::read(group, id, &record, standing);
        if let Some(letter) = letter.filter(|letter| letter.topic == topic.source) {
            let storage = shared.catalogue.load().rule(&letter.topic).storage;
            return Ok(WholeDeadLetter { letter, record, storage });
        }
    }
    Err(Error::UnknownDeadLetter)
}

/// The record that an id says, where there is one.
async fn record_of(shared: &Shared, topic: &LetterTopic, id: &DeadLetterId) -> Result<Option<Record>, Error> {
    let found = reading::one(&*shared.log, &topic.name, id.partition(), id.offset()).await?;
    Ok(found.filter(|record| letter::id_of(record, id.partition()).as_ref() == Some(id)))
}

/// Sends a letter back to its group, whoever held it; answers when it is on its way.
async fn redrive(
    shared: &Shared,
    group: &GroupName,
    sources: &[Topic],
    id: &DeadLetterId,
    by: &str,
) -> Result<Standing, Error> {
    let WholeDeadLetter { letter: found, record, .. } = find(shared, group, sources, id).await?;
    let letter = Letter { id: found.id, topic: found.topic, record };
    let asked = Asked { group, by, held: Held::Go, now: shared.clock.now() };
    let outcomes = redrive::send(shared, asked, std::slice::from_ref(&letter)).await?;
    match outcomes.into_iter().next() {
        Some(Outcome::Moved) | None => shared.states.read(group, &letter.id),
        Some(Outcome::Skipped(state)) => Err(Error::DeadLetterSettled { state, wanted: "redriven" }),
        Some(Outcome::Failed(failure)) => Err(failure.into()),
    }
}

/// Declares a letter unneeded, durably and for all gateways.
async fn discard(
    shared: &Shared,
    group: &GroupName,
    sources: &[Topic],
    id: &DeadLetterId,
    by: &str,
) -> Result<Standing, Error> {
    let DeadLetter { topic, id, .. } = &find(shared, group, sources, id).await?.letter;
    shared.states.discard(Change { group, topic, id, by, now: shared.clock.now() }).await
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
    let DeadLetter { topic, id, .. } = &find(shared, group, sources, id).await?.letter;
    shared.states.annotate(Change { group, topic, id, by, now: shared.clock.now() }, text).await
}
