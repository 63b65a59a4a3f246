//! Dead letters as a list: read from their topics page by page, in bounded memory.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::event::{GroupName, Headers, Offset, Partition, Record, Timestamp, Topic};
use crate::log::{EventLog, Purpose};

use super::Error;
use super::burial::{LETTER_HEADERS, topic_of};

/// Letters of one page.
const LIMIT_MAX: usize = 1_000;
/// Bytes of one page's keys and headers, about.
const PAGE_BYTES_MAX: usize = 4 << 20;
const READ_BYTES: usize = 256 << 10;
/// A read below the end that takes longer is not worth waiting for.
const READ_MAX: Duration = Duration::from_secs(10);

/// Which letters to list.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterQuery {
    /// Only those of this source topic.
    pub topic: Option<Topic>,
    /// At most this many, 1 to 1,000.
    pub limit: usize,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// A dead letter, without its payload.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// Its id; repeats of one failure are the same letter.
    pub id: String,
    /// The group that failed.
    pub group: GroupName,
    /// The source topic.
    pub topic: Topic,
    /// The source partition.
    pub partition: Partition,
    /// The source offset.
    pub offset: Offset,
    /// The record's key, where it is UTF-8.
    pub key: Option<String>,
    /// `open`.
    pub state: &'static str,
    /// Why it is dead.
    pub reason: String,
    /// In the consumer's words.
    pub error: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it failed first.
    pub first_failed_at: Option<Timestamp>,
    /// When it failed last.
    pub last_failed_at: Option<Timestamp>,
    /// How often it was redriven.
    pub redrives: u32,
    /// The record's headers, those of the letter itself left out.
    pub headers: Map<String, Value>,
    /// What people wrote to it.
    pub notes: Vec<String>,
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

/// Where a page begins: source topic, partition and offset in the dead-letter topic.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Place(u8, Topic, Partition, Offset);

const CURSOR_VERSION: u8 = 1;

/// A page being filled.
struct Page {
    letters: Vec<DeadLetter>,
    seen: HashSet<String>,
    limit: usize,
    bytes: usize,
}

/// Reads one page.
pub(super) async fn list(
    log: &Arc<dyn EventLog>,
    group: &GroupName,
    topics: &[Topic],
    query: &DeadLetterQuery,
) -> Result<DeadLetterPage, Error> {
    let from = query.cursor.as_deref().map(Place::parse).transpose()?;
    let limit = query.limit.clamp(1, LIMIT_MAX);
    let mut page = Page { letters: Vec::new(), seen: HashSet::new(), limit, bytes: 0 };
    let is_meant = |topic: &&Topic| query.topic.as_ref().is_none_or(|only| only == *topic);
    for topic in topics.iter().filter(is_meant) {
        let Some(name) = topic_of(topic, group) else { continue };
        let Some(info) = log.topic(&name) else { continue };
        for partition in (0..info.spec.partitions).map(Partition::new) {
            let begin = match &from {
                Some(Place(_, at, number, _)) if (topic, partition) < (at, *number) => continue,
                Some(Place(_, at, number, offset)) if (topic, partition) == (at, *number) => *offset,
                Some(_) | None => Offset::ZERO,
            };
            if let Some(next) = page.read(log, group, &name, partition, begin).await? {
                let cursor = Place(CURSOR_VERSION, topic.clone(), partition, next).to_text();
                return Ok(DeadLetterPage { dead_letters: page.letters, cursor: Some(cursor) });
            }
        }
    }
    Ok(DeadLetterPage { dead_letters: page.letters, cursor: None })
}

impl Page {
    /// Adds a partition's letters; where to go on when the page is full before the partition's end.
    async fn read(
        &mut self,
        log: &Arc<dyn EventLog>,
        group: &GroupName,
        name: &Topic,
        partition: Partition,
        from: Offset,
    ) -> Result<Option<Offset>, Error> {
        let bounds = log.bounds(name, partition).await?;
        let from = from.max(bounds.start);
        if from >= bounds.end {
            return Ok(None);
        }
        let mut reader = log.reader(name, partition, from, Purpose::CatchUp).await?;
        while reader.position() < bounds.end {
            let Ok(fetched) = timeout(READ_MAX, reader.next(READ_BYTES)).await else { return Ok(None) };
            for record in fetched?.records {
                if self.is_full() {
                    return Ok(Some(record.offset));
                }
                self.add(group, &record);
            }
        }
        Ok(None)
    }

    fn add(&mut self, group: &GroupName, record: &Record) {
        let Some(letter) = letter(group, record) else { return };
        if self.seen.insert(letter.id.clone()) {
            self.bytes += record.headers.bytes() + record.key.as_ref().map_or(0, bytes::Bytes::len);
            self.letters.push(letter);
        }
    }

    fn is_full(&self) -> bool {
        self.letters.len() >= self.limit || self.bytes >= PAGE_BYTES_MAX
    }
}

impl Place {
    fn parse(text: &str) -> Result<Self, Error> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Error::InvalidCursor)?;
        let place: Self = serde_json::from_slice(&bytes).map_err(|_| Error::InvalidCursor)?;
        if place.0 == CURSOR_VERSION { Ok(place) } else { Err(Error::InvalidCursor) }
    }

    fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// What a record of a dead-letter topic says; `None` for a record that is no letter.
fn letter(group: &GroupName, record: &Record) -> Option<DeadLetter> {
    let headers = &record.headers;
    let text = |name: &str| headers.last_text(name);
    let time = |name: &str| text(name).and_then(|text| Timestamp::parse(text).ok());
    let number = |name: &str| text(name).and_then(|text| text.parse().ok());
    Some(DeadLetter {
        id: text("weirgate-dlq-id")?.to_owned(),
        group: group.clone(),
        topic: Topic::parse(text("__dlq.errors.topic")?).ok()?,
        partition: Partition::new(text("__dlq.errors.partition")?.parse().ok()?),
        offset: Offset::new(text("__dlq.errors.offset")?.parse().ok()?),
        key: record.key.as_ref().and_then(|key| std::str::from_utf8(key).ok()).map(str::to_owned),
        state: "open",
        reason: text("weirgate-dlq-reason")?.to_owned(),
        error: text("weirgate-dlq-error").map(str::to_owned),
        attempts: number("weirgate-dlq-attempts").unwrap_or(0),
        first_failed_at: time("weirgate-dlq-first-failed-at"),
        last_failed_at: time("weirgate-dlq-last-failed-at"),
        redrives: number("weirgate-dlq-redrives").unwrap_or(0),
        headers: source_headers(headers),
        notes: Vec::new(),
    })
}

/// The headers as in a subscriber's frame: text, `{"base64":…}`, null, and an array where a name repeats.
fn source_headers(headers: &Headers) -> Map<String, Value> {
    let mut shown = Map::new();
    for (name, value) in headers.iter().filter(|(name, _)| !LETTER_HEADERS.contains(&&***name)) {
        let value = value.map_or(Value::Null, |bytes| match std::str::from_utf8(bytes) {
            Ok(text) => Value::from(text),
            Err(_) => json!({ "base64": base64::engine::general_purpose::STANDARD.encode(bytes) }),
        });
        match shown.get_mut(&**name) {
            None => drop(shown.insert(name.to_string(), value)),
            Some(Value::Array(all)) => all.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is() {
        let place =
            Place(CURSOR_VERSION, Topic::parse("orders.v1").unwrap(), Partition::new(3), Offset::new(7));
        assert_eq!(Place::parse(&place.to_text()).unwrap(), place);
        for bad in ["", "?", "e30", "WzIsImEiLDAsMF0"] {
            assert!(matches!(Place::parse(bad), Err(Error::InvalidCursor)), "{bad}");
        }
    }

    #[test]
    fn repeated_and_binary_headers_are_shown_as_in_frames() {
        let header =
            |name: &str, value: &'static [u8]| (Arc::from(name), Some(bytes::Bytes::from_static(value)));
        let all =
            vec![header("a", b"1"), header("a", b"2"), header("b", b"\xff"), header("weirgate-dlq-id", b"x")];
        let shown = source_headers(&Headers::new(all));
        assert_eq!(Value::Object(shown), json!({"a": ["1", "2"], "b": {"base64": "/w=="}}));
    }
}
