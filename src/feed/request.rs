//! What a subscriber asks for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::event::{Cursor, Filter, Pattern, Positions, Timestamp, Topic};

use super::{Frame, Gap};

/// What a reader may see of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Nothing; the topic might as well not exist.
    Denied,
    /// Every event.
    All,
    /// The events this filter lets through.
    Rows(Filter),
}

/// Where reading begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// At the log's end as of the subscription: what is published after the answer is delivered.
    Latest,
    /// At the oldest record kept.
    Earliest,
    /// At the first record at or after this time.
    Time(Timestamp),
    /// Where a cursor stands, moved on by positions of later events seen. What neither names (a partition or a
    /// topic created since) is read from its beginning.
    Cursor {
        /// The cursor.
        cursor: Cursor,
        /// Later positions; an earlier one than the cursor's does not count.
        positions: Positions,
    },
    /// At these positions; a partition not named is read from its beginning.
    Positions(Positions),
}

/// A moment to which a cursor is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The log's end as of now.
    Latest,
    /// The oldest record kept.
    Earliest,
    /// The first record at or after this time.
    Time(Timestamp),
}

/// What happens to a subscription that leaves the live set because it reads too slowly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum OnSlow {
    /// It reads the log until it has caught up; nothing is lost.
    #[default]
    Resume,
    /// It jumps to the end and is told of the gap.
    Skip,
    /// It ends with [`super::Error::Slow`].
    Close,
}

impl Admission {
    /// What is left of it for a reader that wants only these.
    pub(super) fn narrowed(self, wanted: Option<&Filter>) -> Self {
        match (self, wanted) {
            (Self::Denied, _) => Self::Denied,
            (Self::All, None) => Self::All,
            (Self::All, Some(wanted)) => Self::Rows(wanted.clone()),
            (Self::Rows(rows), None) => Self::Rows(rows),
            (Self::Rows(rows), Some(wanted)) => Self::Rows(Filter::all(vec![wanted.clone(), rows])),
        }
    }

    /// The filter events must pass, if any.
    pub(super) const fn rows(&self) -> Option<&Filter> {
        match self {
            Self::Rows(filter) => Some(filter),
            Self::Denied | Self::All => None,
        }
    }
}

impl OnSlow {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resume => "resume",
            Self::Skip => "skip",
            Self::Close => "close",
        }
    }
}

/// A subscription as asked for.
#[derive(Clone)]
pub struct Request {
    /// Topics by name or pattern; topics created later join where a pattern meets them.
    pub topics: Vec<Pattern>,
    /// Where to begin.
    pub from: From,
    /// Which events are wanted; `None` wants all.
    pub filter: Option<Filter>,
    /// What the reader may see of a topic; asked when a topic joins and again at each recheck.
    pub admission: Arc<dyn Fn(&Topic) -> Admission + Send + Sync>,
    /// What happens when it falls behind.
    pub on_slow: OnSlow,
}

impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topics, from, filter, admission: _, on_slow } = self;
        formatter
            .debug_struct("Request")
            .field("topics", topics)
            .field("from", from)
            .field("filter", filter)
            .field("on_slow", on_slow)
            .finish_non_exhaustive()
    }
}

/// One page of events, asked for.
#[derive(Debug, Clone)]
pub struct PageRequest {
    /// The topics, the place and the filter.
    pub request: Request,
    /// At most this many events.
    pub limit: usize,
    /// How long to wait for a first event at the log's end; zero answers an empty page at once.
    pub wait: Duration,
}

/// One page of events.
#[derive(Debug, Clone)]
pub struct Page {
    /// The events, in order within each partition.
    pub frames: Vec<Arc<Frame>>,
    /// What is missing before them.
    pub gaps: Vec<Gap>,
    /// Where the next page begins.
    pub cursor: Cursor,
    /// Whether the log held no more when the page was read.
    pub is_at_end: bool,
}
