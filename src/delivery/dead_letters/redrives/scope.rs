//! Where the letters lie that somebody asks for, and where each partition ends at that moment.

use std::collections::BTreeMap;

use crate::event::{GroupName, Offset, Partition, Topic};

use super::super::super::Error;
use super::super::super::shared::Shared;
use super::super::reading::LetterTopic;
use super::super::{DeadLetterFilter, DeadLetterId, DeadLetterState, find, topics_of};
use super::job::Part;
use super::{IDS_MAX, RedriveOf};

/// Partitions with letters that one redrive can have.
const PARTS_MAX: usize = 4_096;

/// What a redrive looks at.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) topics: Vec<Topic>,
    /// Of the dead-letter topics.
    pub(super) incarnations: Vec<u64>,
    pub(super) parts: Vec<Part>,
}

impl Scope {
    pub(super) async fn of(
        shared: &Shared,
        group: &GroupName,
        sources: &[Topic],
        of: &RedriveOf,
    ) -> Result<Self, Error> {
        let mut topics = topics_of(shared, group)?;
        topics.retain(|topic| sources.contains(&topic.source));
        match of {
            RedriveOf::Filter(filter) => Self::of_filter(shared, topics, filter).await,
            RedriveOf::Ids(ids) => Self::of_ids(shared, group, &topics, ids).await,
        }
    }

    async fn of_filter(
        shared: &Shared,
        topics: Vec<LetterTopic>,
        filter: &DeadLetterFilter,
    ) -> Result<Self, Error> {
        if let Some(state) = filter.state
            && !matches!(state, DeadLetterState::Open | DeadLetterState::Held)
        {
            let state = state.as_str();
            return Err(Error::InvalidRedrive(format!(
                "letters that are {state} cannot be redriven; 'state' is open or held"
            )));
        }
        let mut scope = Self::default();
        for topic in topics.iter().filter(|topic| filter.takes_topic(&topic.source)) {
            let place = scope.add(shared, topic);
            for partition in (0..topic.partitions).map(Partition::new) {
                let bounds = shared.log.bounds(&topic.name, partition).await?;
                if bounds.start < bounds.end {
                    let (next, end) = (bounds.start, bounds.end);
                    scope.parts.push(Part { topic: place, partition, next, end, only: None, is_late: false });
                }
            }
        }
        if scope.parts.len() > PARTS_MAX {
            let parts = scope.parts.len();
            return Err(Error::InvalidRedrive(format!(
                "the letters lie in {parts} partitions, and a redrive has at most {PARTS_MAX}; name a topic"
            )));
        }
        Ok(scope)
    }

    async fn of_ids(
        shared: &Shared,
        group: &GroupName,
        topics: &[LetterTopic],
        ids: &[DeadLetterId],
    ) -> Result<Self, Error> {
        if ids.is_empty() || ids.len() > IDS_MAX {
            return Err(Error::InvalidRedrive(format!("'ids' has 1 to {IDS_MAX} ids; more fit a filter")));
        }
        let sources: Vec<Topic> = topics.iter().map(|topic| topic.source.clone()).collect();
        let mut places: BTreeMap<(&LetterTopic, Partition), Vec<Offset>> = BTreeMap::new();
        for id in ids {
            let found = find(shared, group, &sources, id).await.map_err(|error| match error {
                Error::UnknownDeadLetter => Error::UnknownDeadLetterOf(id.clone()),
                error => error,
            })?;
            // A letter that died again lies elsewhere than its older id says.
            let (id, source) = (&found.letter.id, &found.letter.topic);
            if let Some(topic) = topics.iter().find(|topic| topic.source == *source) {
                places.entry((topic, id.partition())).or_default().push(id.offset());
            }
        }
        let mut scope = Self::default();
        for ((topic, partition), mut offsets) in places {
            offsets.sort_unstable();
            offsets.dedup();
            let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else { continue };
            let (next, end) = (*first, last.next());
            let known = scope.topics.iter().position(|known| *known == topic.source);
            let place = known.unwrap_or_else(|| scope.add(shared, topic));
            scope.parts.push(Part {
                topic: place,
                partition,
                next,
                end,
                only: Some(offsets),
                is_late: false,
            });
        }
        Ok(scope)
    }

    /// Adds a topic, and answers its place among them.
    fn add(&mut self, shared: &Shared, topic: &LetterTopic) -> usize {
        self.topics.push(topic.source.clone());
        self.incarnations.push(shared.log.topic(&topic.name).map_or(0, |info| info.incarnation.0));
        self.topics.len() - 1
    }

    pub(super) fn letters(&self) -> u64 {
        self.parts.iter().map(Part::left).sum()
    }
}
