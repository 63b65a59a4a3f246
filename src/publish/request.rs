//! What a caller asks for: the form of the body and the options beside it.

use bytes::Bytes;
use uuid::Uuid;

use crate::event::{DataMembers, EventId, HeaderName, Partition, Topic};
use crate::telemetry::TraceContext;

/// How the body of a single publish is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// One native envelope.
    Native,
    /// One CloudEvent in structured mode.
    CloudEvent,
    /// One CloudEvent in binary mode: the body is its data.
    CloudEventBinary {
        /// The attributes: names in lower case without `ce-`, values percent-decoded.
        attributes: Vec<(String, String)>,
        /// The media type of the data, where it is not just `application/json`.
        content_type: Option<String>,
    },
    /// The body is the data alone.
    Data {
        /// The topic of the route.
        topic: Topic,
        /// The envelope members given beside the body, unchecked.
        members: DataMembers,
    },
}

/// How the body of a batch is to be read; both are JSON arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchForm {
    /// Native envelopes.
    Native,
    /// CloudEvents.
    CloudEvents,
}

/// What one refused event means for its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validation {
    /// The whole batch is refused, nothing is stored.
    All,
    /// The others are stored.
    Each,
    /// The whole batch is refused, and so it is where the log does not take one event: all are stored in one transaction, or
    /// none.
    Atomic,
}

/// When the caller wants its answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ack {
    /// When the log has the event durably.
    #[default]
    Stored,
    /// Once the event is checked and handed over.
    None,
}

/// Where the ids of events without one come from when the request has an idempotency key: the same principal,
/// route, key and place in the body give the same id again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdSeed(Uuid);

impl IdSeed {
    /// The seed of a request; `route` is its method and path.
    #[must_use]
    pub fn new(principal: &str, route: &str, key: &str) -> Self {
        // Lengths go first, so that no two triples give one text.
        let name = format!("{}:{principal}{}:{route}{key}", principal.len(), route.len());
        Self(Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()))
    }

    /// The id of the event at this place in the body, from 0.
    #[must_use]
    pub fn event_id(&self, index: usize) -> EventId {
        EventId::from_uuid(Uuid::new_v5(&self.0, index.to_string().as_bytes()))
    }
}

/// What a request says beside its body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// When to answer.
    pub ack: Ack,
    /// Whether to do everything but the append.
    pub dry_run: bool,
    /// The record's key, instead of the catalogue's rule; single events only. Empty is a key.
    pub key: Option<Bytes>,
    /// An explicit partition, instead of the topic's partitioner; single events only.
    pub partition: Option<Partition>,
    /// Further record headers, names in lower case.
    pub headers: Vec<(HeaderName, Bytes)>,
    /// `correlationId` of envelopes that have none.
    pub correlation_id: Option<String>,
    /// The caller's trace context.
    pub trace: Option<TraceContext>,
    /// Where absent event ids come from; at random when there is no idempotency key.
    pub id_seed: Option<IdSeed>,
}

#[cfg(test)]
mod tests {
    use super::IdSeed;

    #[test]
    fn an_idempotency_key_gives_the_same_event_ids_again_and_no_other_requests_ids() {
        let seed = IdSeed::new("service:orders", "POST /v1/events", "k1");
        assert_eq!(seed.event_id(0), IdSeed::new("service:orders", "POST /v1/events", "k1").event_id(0));
        let others = [
            seed.event_id(1),
            IdSeed::new("service:orders", "POST /v1/events", "k2").event_id(0),
            IdSeed::new("service:billing", "POST /v1/events", "k1").event_id(0),
            IdSeed::new("service:orders", "POST /v1/topics/t/events", "k1").event_id(0),
            IdSeed::new("service:orders", "POST /v1/events1", "k").event_id(0),
        ];
        assert!(!others.contains(&seed.event_id(0)));
    }
}
