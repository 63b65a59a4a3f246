//! What a subscription yields: shared frames, gaps and positions.

use std::sync::Arc;

use bytes::Bytes;

use crate::event::{self, Cursor, Offset, Partition, Positions, Record, Storage, Topic};

use super::SubscriptionId;

/// One event, encoded once for all subscriptions of one id.
#[derive(Debug)]
pub struct Frame {
    /// Its topic.
    pub topic: Topic,
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: Offset,
    /// The whole message of the socket: `{"sub":7,"topic":…}`.
    pub socket_json: Bytes,
    members_from: usize,
}

impl Frame {
    /// Encodes a record for the subscriptions of this id.
    pub(super) fn encode(
        sub: SubscriptionId,
        topic: &Topic,
        partition: Partition,
        record: &Record,
        storage: Storage,
    ) -> Self {
        let mut json = head(sub, record.bytes() + MEMBERS_BYTES);
        let members_from = json.len();
        event::write_members(&mut json, topic, partition, record, storage);
        json.push(b'}');
        let socket_json = Bytes::from(json);
        Self { topic: topic.clone(), partition, offset: record.offset, socket_json, members_from }
    }

    /// The same event for the subscriptions of another id.
    pub(super) fn for_sub(&self, sub: SubscriptionId) -> Self {
        let mut json = head(sub, self.members().len() + 1);
        let members_from = json.len();
        json.extend_from_slice(self.members());
        json.push(b'}');
        let socket_json = Bytes::from(json);
        Self { topic: self.topic.clone(), socket_json, members_from, ..*self }
    }

    /// The members after `"sub":7,` without braces, for streams and pages that know no `sub`.
    #[must_use]
    pub fn members(&self) -> &[u8] {
        self.socket_json.get(self.members_from..self.socket_json.len().saturating_sub(1)).unwrap_or_default()
    }
}

/// About what a frame holds besides the record's own bytes.
const MEMBERS_BYTES: usize = 160;

fn head(sub: SubscriptionId, bytes_after: usize) -> Vec<u8> {
    let head = format!("{{\"sub\":{sub},");
    let mut json = Vec::with_capacity(head.len() + bytes_after);
    json.extend_from_slice(head.as_bytes());
    json
}

/// Why events are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// The reader was too slow and asked to skip.
    Overrun,
    /// The topic was deleted and made anew.
    Recreated,
    /// The log no longer keeps them.
    Retention,
    /// The log lost its end.
    Truncated,
}

impl GapReason {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overrun => "overrun",
            Self::Recreated => "recreated",
            Self::Retention => "retention",
            Self::Truncated => "truncated",
        }
    }
}

/// Events that are missing from one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The topic.
    pub topic: Topic,
    /// The partition.
    pub partition: Partition,
    /// The first offset missed: where the reader stood.
    pub from: Offset,
    /// The next offset delivered; before `from` when the topic was recreated or truncated.
    pub to: Offset,
    /// Why.
    pub reason: GapReason,
}

/// What a subscription hands to its connection.
#[derive(Debug, Clone)]
pub enum Push {
    /// An event.
    Event(Arc<Frame>),
    /// Events are missing here.
    Gap(Gap),
    /// Where the subscription stands, though no event says so.
    Positions {
        /// The positions that moved since the last such push.
        positions: Positions,
        /// The whole place.
        cursor: Cursor,
    },
}
