//! Why an event was not stored, or may not have been.

use std::time::Duration;

use crate::auth;
use crate::event::{EventId, EventType, Partition, Topic, envelope, json};
use crate::log;
use crate::schema;

use super::{Batch, Quarantine};

/// Which part of an event is above its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Key, headers and value together.
    Event,
    /// The key.
    Key,
    /// The name and value of one record header.
    Header,
}

impl std::fmt::Display for Part {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Event => "event with its key and headers",
            Self::Key => "key",
            Self::Header => "record header",
        })
    }
}

/// How far a quota is used; what `RateLimit` and `RateLimit-Policy` tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// The policy's name: `events` or `bytes`.
    pub policy: &'static str,
    /// The unit of the quota (`requests` or `content-bytes`).
    pub unit: &'static str,
    /// How much passes in each window.
    pub quota: u64,
    /// The window.
    pub window: Duration,
    /// How much is left now.
    pub remaining: u64,
}

/// Whether the same request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It will fail again.
    Never,
    /// After this time.
    After(Duration),
}

/// Why an event was not stored, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The body is not acceptable JSON.
    #[error(transparent)]
    Json(#[from] json::Error),
    /// The envelope, or the CloudEvent, is not one.
    #[error(transparent)]
    Envelope(#[from] envelope::Error),
    /// A batch's body is no JSON array.
    #[error("a batch must be a JSON array of events")]
    NotABatch,
    /// A single event was expected and an array came.
    #[error("the body must be one event, not an array")]
    NotSingle,
    /// A batch without events.
    #[error("a batch must hold at least one event")]
    EmptyBatch,
    /// A batch of too many events.
    #[error("a batch of {items} events is above the limit of {items_max}")]
    TooManyItems {
        /// How many there are.
        items: usize,
        /// The limit.
        items_max: usize,
    },
    /// An option that only a single event can have.
    #[error("{0} goes with a single event only")]
    SingleOnly(&'static str),
    /// A record header that cannot be given.
    #[error("the record header '{name}' {problem}")]
    InvalidHeader {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An explicit partition that the topic does not have.
    #[error("partition {partition} is out of range; the topic '{topic}' has {partitions}")]
    InvalidPartition {
        /// The topic.
        topic: Topic,
        /// The partition asked for.
        partition: Partition,
        /// How many there are.
        partitions: u32,
    },
    /// No grant, or a source that is not the caller's.
    #[error(transparent)]
    Auth(#[from] auth::Error),
    /// No topic takes this type.
    #[error("no topic takes the event type '{event_type}': the topic '{topic}' does not exist")]
    TopicNotFound {
        /// The topic it would go to.
        topic: Topic,
        /// The type.
        event_type: EventType,
    },
    /// The data breaks its schema, or there is none.
    #[error(transparent)]
    Schema(#[from] schema::Error),
    /// The data breaks its schema, and the topic keeps such events.
    #[error("{refusal}")]
    Quarantined {
        /// Why it was refused.
        refusal: schema::Error,
        /// What became of the keeping.
        kept: Quarantine,
    },
    /// The event has no usable key.
    #[error("the key at {pointer} {problem}")]
    InvalidKey {
        /// The key rule's pointer, or the name of the header or attribute that gave the key.
        pointer: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A part of the event is above its limit.
    #[error("the {part} of {bytes} bytes is above the limit of {bytes_max}")]
    TooLarge {
        /// Which part.
        part: Part,
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// More record headers than an event may have.
    #[error("{headers} record headers are above the limit of {headers_max}")]
    TooManyHeaders {
        /// How many there are.
        headers: usize,
        /// The limit.
        headers_max: usize,
    },
    /// The id was used before for other bytes.
    #[error("the event id '{event_id}' was used before for another event")]
    Conflict {
        /// The id.
        event_id: EventId,
    },
    /// A batch with a refused event; nothing of it is stored.
    #[error("at least one event of the batch is refused, so none was stored")]
    BatchRefused(Box<Batch>),
    /// The caller's quota is used up.
    #[error("the quota of {} {} per {} s is used up", used.quota, used.policy, used.window.as_secs())]
    RateLimited {
        /// When there is room again.
        retry_after: Duration,
        /// Which quota, and how far it is used.
        used: Box<Used>,
    },
    /// The queue to the log is full; surely not stored.
    #[error("too many bytes wait for the log; try again")]
    Overloaded,
    /// The gateway is going away; surely not stored.
    #[error("the gateway is going away; try again")]
    Draining,
    /// Perhaps stored.
    #[error("the outcome is unknown; retry with the same event id or idempotency key")]
    OutcomeUnknown {
        /// The id to retry with, where one is known.
        event_id: Option<EventId>,
    },
    /// The log refused; surely not stored, save for [`log::Error::OutcomeUnknown`], which never stands here.
    #[error(transparent)]
    Log(log::Error),
}

impl From<log::Error> for Error {
    fn from(error: log::Error) -> Self {
        match error {
            log::Error::OutcomeUnknown => Self::OutcomeUnknown { event_id: None },
            log::Error::Overloaded => Self::Overloaded,
            log::Error::Closed => Self::Draining,
            error => Self::Log(error),
        }
    }
}

/// What the variants come to for those who ask no further.
enum Nature<'e> {
    /// The caller must send something else.
    Callers,
    /// The caller must wait.
    Early(Duration),
    /// The gateway cannot serve it now.
    Gateways,
    /// The log did not take it now.
    Logs,
    /// As the log says.
    AsOf(&'e log::Error),
}

impl Error {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> log::Fault {
        match self.nature() {
            Nature::Callers | Nature::Early(_) => log::Fault::Caller,
            Nature::Gateways => log::Fault::Gateway,
            Nature::Logs => log::Fault::Log,
            Nature::AsOf(error) => error.fault(),
        }
    }

    /// Whether the same request may be sent again, and when.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        const SOON: Duration = Duration::from_secs(1);
        match self.nature() {
            Nature::Callers => Retry::Never,
            Nature::Early(retry_after) => Retry::After(retry_after),
            Nature::Gateways | Nature::Logs => Retry::After(SOON),
            Nature::AsOf(error) if error.is_temporary() => Retry::After(SOON),
            Nature::AsOf(_) => Retry::Never,
        }
    }

    /// A refusal by a schema with what became of the event's keeping.
    pub(super) fn quarantined(self, kept: Quarantine) -> Self {
        match self {
            Self::Schema(refusal) => Self::Quarantined { refusal, kept },
            other => other,
        }
    }

    /// The event type whose schema has to be fetched before anything can be said of the event.
    pub(super) const fn unfetched(&self) -> Option<&EventType> {
        match self {
            Self::Schema(schema::Error::Unavailable { event_type }) => Some(event_type),
            _ => None,
        }
    }

    const fn nature(&self) -> Nature<'_> {
        match self {
            Self::Json(_)
            | Self::Envelope(_)
            | Self::NotABatch
            | Self::NotSingle
            | Self::EmptyBatch
            | Self::TooManyItems { .. }
            | Self::SingleOnly(_)
            | Self::InvalidHeader { .. }
            | Self::InvalidPartition { .. }
            | Self::TopicNotFound { .. }
            | Self::Schema(
                schema::Error::Violation { .. }
                | schema::Error::PatternLimit { .. }
                | schema::Error::Unusable { .. }
                | schema::Error::OtherFormat { .. }
                | schema::Error::Nameless { .. }
                | schema::Error::Missing { .. },
            )
            | Self::Quarantined { .. }
            | Self::InvalidKey { .. }
            | Self::TooLarge { .. }
            | Self::TooManyHeaders { .. }
            | Self::Conflict { .. }
            | Self::BatchRefused(_) => Nature::Callers,
            Self::RateLimited { retry_after, .. } => Nature::Early(*retry_after),
            Self::Auth(auth::Error::Unavailable)
            | Self::Draining
            | Self::Schema(schema::Error::NotReady | schema::Error::Unavailable { .. }) => Nature::Gateways,
            Self::Auth(_) => Nature::Callers,
            Self::Overloaded | Self::OutcomeUnknown { .. } => Nature::Logs,
            Self::Log(error) => Nature::AsOf(error),
        }
    }
}
