//! The letters of a group, page by page: in bounded memory, and with a bounded amount of reading for each page, so that
//! one of many letters of which few are meant may come back short, with a cursor.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::event::{GroupName, Offset, Partition, Record, Topic};

use super::super::Error;
use super::super::shared::Shared;
use super::reading::{Budget, LetterTopic, Span};
use super::{DeadLetter, DeadLetterFilter, letter};

/// Letters of one page.
const LIMIT_MAX: usize = 1_000;
/// Bytes of one page's keys, headers and notes, about.
const PAGE_BYTES_MAX: usize = 4 << 20;
const CURSOR_VERSION: u8 = 2;

/// Which letters to list, and how many.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterQuery {
    /// Which they are.
    pub filter: DeadLetterFilter,
    /// At most this many, 1 to 1,000.
    pub limit: usize,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// A page of letters.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterPage {
    /// The letters, by topic, partition and offset.
    pub dead_letters: Vec<DeadLetter>,
    /// Where the next page begins; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Where a page begins: of which list, then source topic, partition and offset in the dead-letter topic.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Place(u8, String, Topic, Partition, Offset);

/// A page being filled.
struct Page<'q> {
    shared: &'q Shared,
    group: &'q GroupName,
    query: &'q DeadLetterQuery,
    letters: Vec<DeadLetter>,
    seen: HashSet<Box<str>>,
    bytes: usize,
    budget: Budget,
}

/// Reads one page.
pub(in crate::delivery) async fn list(
    shared: &Shared,
    group: &GroupName,
    query: &DeadLetterQuery,
) -> Result<DeadLetterPage, Error> {
    let list = fingerprint(group, query);
    let from = query.cursor.as_deref().map(|cursor| Place::parse(cursor, &list)).transpose()?;
    let mut page = Page {
        shared,
        group,
        query,
        letters: Vec::new(),
        seen: HashSet::new(),
        bytes: 0,
        budget: Budget::new(),
    };
    for topic in super::topics_of(shared, group)? {
        if !query.filter.takes_topic(&topic.source) {
            continue;
        }
        for partition in (0..topic.partitions).map(Partition::new) {
            let begin = match &from {
                Some(Place(_, _, at, number, _)) if (&topic.source, partition) < (at, *number) => continue,
                Some(Place(_, _, at, number, offset)) if (&topic.source, partition) == (at, *number) => {
                    *offset
                }
                Some(_) | None => Offset::ZERO,
            };
            if let Some(next) = page.read(&topic, partition, begin).await? {
                let cursor = Place(CURSOR_VERSION, list, topic.source, partition, next).to_text();
                return Ok(DeadLetterPage { dead_letters: page.letters, cursor: Some(cursor) });
            }
            page.budget.ask();
        }
    }
    Ok(DeadLetterPage { dead_letters: page.letters, cursor: None })
}

impl Page<'_> {
    /// Adds a partition's letters; where to go on when the page is full, or enough was read, before the partition's end.
    async fn read(
        &mut self,
        topic: &LetterTopic,
        partition: Partition,
        from: Offset,
    ) -> Result<Option<Offset>, Error> {
        if self.budget.is_spent() {
            return Ok(Some(from));
        }
        let log = &*self.shared.log;
        let bounds = log.bounds(&topic.name, partition).await?;
        let from = from.max(bounds.start);
        let Some(mut span) = Span::open(log, &topic.name, partition, from, bounds.end).await? else {
            return Ok(None);
        };
        while let Some(records) = span.next(&mut self.budget).await? {
            for record in records {
                if self.is_full() {
                    return Ok(Some(record.offset));
                }
                self.add(topic, partition, &record)?;
            }
            if self.budget.is_spent() && span.position() < bounds.end {
                return Ok(Some(span.position()));
            }
        }
        Ok(None)
    }

    fn add(&mut self, topic: &LetterTopic, partition: Partition, record: &Record) -> Result<(), Error> {
        let is_meant = self.query.filter.takes(self.shared, &topic.source, record);
        let Some(id) = letter::id_of(record, partition).filter(|_| is_meant) else {
            return Ok(());
        };
        let entry = self.shared.states.entry(self.group, &id)?;
        if entry.as_ref().is_some_and(|entry| entry.is_newer_than(&id)) {
            return Ok(());
        }
        let standing = entry.map(|entry| entry.standing).unwrap_or_default();
        let state = self.query.filter.state;
        if state.is_some_and(|state| state != standing.state) || self.seen.contains(id.name()) {
            return Ok(());
        }
        let notes: usize = standing.notes.iter().map(|note| note.text.len()).sum();
        self.seen.insert(id.name().into());
        if let Some(letter) = letter::read(self.group, id, record, standing) {
            self.bytes += record.headers.bytes() + record.key.as_ref().map_or(0, bytes::Bytes::len) + notes;
            self.letters.push(letter);
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.letters.len() >= self.query.limit.clamp(1, LIMIT_MAX) || self.bytes >= PAGE_BYTES_MAX
    }
}

impl Place {
    /// Reads a cursor of this list; those of others, and of other filters, are none.
    fn parse(text: &str, list: &str) -> Result<Self, Error> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Error::InvalidCursor)?;
        let place: Self = serde_json::from_slice(&bytes).map_err(|_| Error::InvalidCursor)?;
        if place.0 == CURSOR_VERSION && place.1 == list { Ok(place) } else { Err(Error::InvalidCursor) }
    }

    fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// Tells lists apart: of whom, and which of its letters.
fn fingerprint(group: &GroupName, query: &DeadLetterQuery) -> String {
    let DeadLetterFilter { topic, reason, key, correlation_id, from, to, state } = &query.filter;
    let said = serde_json::json!([group, topic, reason, key, correlation_id, from, to, state]);
    let digest = Sha256::digest(said.to_string());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_by_its_own_list_only() {
        let group = GroupName::parse("inventory-sync").unwrap();
        let query = DeadLetterQuery { limit: 5, ..DeadLetterQuery::default() };
        let list = fingerprint(&group, &query);
        let (topic, partition) = (Topic::parse("orders.v1").unwrap(), Partition::new(3));
        let place = Place(CURSOR_VERSION, list.clone(), topic, partition, Offset::new(7));
        assert_eq!(Place::parse(&place.to_text(), &list).unwrap(), place);
        for bad in ["", "?", "e30", "WzIsImEiLDAsMF0"] {
            assert!(matches!(Place::parse(bad, &list), Err(Error::InvalidCursor)), "{bad}");
        }
        let filtered = |filter| DeadLetterQuery { filter, ..query.clone() };
        let wanted = Some("42".to_owned());
        let others = [
            fingerprint(&GroupName::parse("other").unwrap(), &query),
            fingerprint(&group, &filtered(DeadLetterFilter { key: wanted.clone(), ..Default::default() })),
            fingerprint(&group, &filtered(DeadLetterFilter { reason: wanted, ..Default::default() })),
        ];
        for other in &others {
            assert!(matches!(Place::parse(&place.to_text(), other), Err(Error::InvalidCursor)));
        }
        assert_eq!(
            list,
            fingerprint(&group, &DeadLetterQuery { limit: 9, ..query }),
            "pages may differ in size"
        );
        assert_ne!(others[1], others[2]);
    }
}
