//! Where events go that their schema refuses, if their topic has such a place: kept with what is wrong, to be sent again
//! once the schema is put right.
//!
//! The caller is refused all the same, and told whether and where the event is kept. Keeping takes from the caller's
//! quota and from the queue as an event of its own does; what stands in its way is told and counted, and not tried again.
//!
//! ```text
//! judge ─ schema_violation, pattern_limit ─► Keeping (the envelope, filled in; the problem in headers)
//!                                               │ quota, queue, append
//!           Error::Quarantined (422) ◄── KeptState ◄─┘
//! ```

use std::sync::Arc;

use bytes::Bytes;

use crate::auth::Principal;
use crate::event::{
    Draft, Fill, HeaderName, Headers, Offset, Partition, Partitioner, Storage, Topic, TopicRule,
};
use crate::log::{self, Append, NewRecord};
use crate::schema;

use super::judge::Labels;
use super::parts::Parts;
use super::{Error, Options};

/// How much of the problem is kept; the log has room for it beside the largest event.
const ERRORS_BYTES_MAX: usize = 8 << 10;

/// What became of a refused event that its topic keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    /// The topic that keeps refused events.
    pub topic: Topic,
    /// How far it came.
    pub state: KeptState,
}

/// How far the keeping of a refused event came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptState {
    /// It lies there.
    At(Partition, Offset),
    /// It does not.
    Failed,
    /// It may lie there.
    Unknown,
}

/// A refused event that is to be kept.
#[derive(Debug)]
pub(super) struct Keeping {
    topic: Topic,
    record: NewRecord,
    /// Of the event without the problem.
    bytes: usize,
    labels: Labels,
}

/// What is known of a refused event.
#[derive(Debug, Clone, Copy)]
pub(super) struct RefusedEvent<'e> {
    pub(super) principal: &'e Principal,
    pub(super) options: &'e Options,
    pub(super) draft: &'e Draft<'e>,
    pub(super) rule: &'e TopicRule,
    pub(super) fill: &'e Fill,
    pub(super) key: Option<&'e Bytes>,
    pub(super) labels: &'e Labels,
}

impl Keeping {
    /// What is to be kept of an event: nothing of one that was only tried, or refused for other reasons than its schema,
    /// or whose topic keeps none.
    pub(super) fn of(event: RefusedEvent<'_>, error: &Error) -> Option<Box<Self>> {
        let RefusedEvent { principal, options, draft, rule, fill, key, labels } = event;
        let topic = rule.quarantine.as_ref().filter(|_| !options.dry_run)?.clone();
        let problem = Problem::of(error)?;
        let (value, mut headers) = draft.seal(fill, Storage::Native, None);
        headers.extend(options.headers.iter().map(|(name, value)| (Arc::clone(name), Some(value.clone()))));
        let size = |headers: &[(HeaderName, Option<Bytes>)]| {
            headers
                .iter()
                .map(|(name, value)| name.len() + value.as_ref().map_or(0, Bytes::len))
                .sum::<usize>()
        };
        let bytes = key.map_or(0, Bytes::len) + value.len() + size(&headers);
        headers.extend(problem.headers(&rule.topic, principal.id()));
        let headers = Headers::new(headers);
        let record = NewRecord { key: key.cloned(), value: Some(value), headers, timestamp: None };
        Some(Box::new(Self { topic, record, bytes, labels: labels.clone() }))
    }
}

/// What is wrong with the event, as its headers tell.
struct Problem<'e> {
    reason: &'static str,
    subject: &'e str,
    schema: schema::SchemaId,
    errors: &'e [schema::Violation],
}

impl<'e> Problem<'e> {
    fn of(error: &'e Error) -> Option<Self> {
        let Error::Schema(error) = error else { return None };
        match error {
            schema::Error::Violation { subject, schema_id, errors } => {
                Some(Self { reason: "schema_violation", subject, schema: *schema_id, errors })
            }
            schema::Error::PatternLimit { subject, schema_id } => {
                Some(Self { reason: "pattern_limit", subject, schema: *schema_id, errors: &[] })
            }
            schema::Error::Missing { .. }
            | schema::Error::Nameless { .. }
            | schema::Error::NotReady
            | schema::Error::OtherFormat { .. }
            | schema::Error::Unavailable { .. }
            | schema::Error::Unusable { .. } => None,
        }
    }

    fn headers(&self, topic: &Topic, principal: &str) -> [(HeaderName, Option<Bytes>); 6] {
        [
            ("weirgate-quarantine-topic", topic.to_string()),
            ("weirgate-quarantine-principal", principal.to_owned()),
            ("weirgate-quarantine-reason", self.reason.to_owned()),
            ("weirgate-quarantine-subject", self.subject.to_owned()),
            ("weirgate-quarantine-schema-id", self.schema.number().to_string()),
            ("weirgate-quarantine-errors", self.errors()),
        ]
        .map(|(name, text)| (name.into(), Some(Bytes::from(text))))
    }

    /// As many of the errors as there is room for.
    fn errors(&self) -> String {
        let mut text = String::from("[");
        for one in self.errors {
            let told =
                serde_json::json!({"pointer": one.pointer, "keyword": one.keyword, "message": one.message});
            let told = told.to_string();
            if text.len() + told.len() + 2 > ERRORS_BYTES_MAX {
                break;
            }
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&told);
        }
        text + "]"
    }
}

impl Parts {
    /// Hands a refused event to its quarantine at once; the answer is the refusal, with what became of that. It is
    /// kept whether anybody waits for the answer or not.
    pub(super) fn keep(
        self: &Arc<Self>,
        principal: &str,
        keeping: Keeping,
        refusal: Error,
    ) -> impl Future<Output = Error> + Send + use<> {
        let topic = keeping.topic.clone();
        let attendance = self.try_keep(principal, keeping);
        async move {
            let state = match attendance {
                Some(attendance) => attendance.await.unwrap_or(KeptState::Unknown),
                None => KeptState::Failed,
            };
            refusal.quarantined(Quarantine { topic, state })
        }
    }

    fn try_keep(
        self: &Arc<Self>,
        principal: &str,
        keeping: Keeping,
    ) -> Option<tokio::task::JoinHandle<KeptState>> {
        let Keeping { topic, record, bytes, labels } = keeping;
        let count = u64::try_from(bytes).unwrap_or(u64::MAX);
        let is_small = bytes <= self.config.load().event_bytes_max;
        let room = if is_small && self.take_quota(principal, 1, count).is_ok() {
            self.queue.enter(count).ok().zip(self.log.topic(&topic))
        } else {
            None
        };
        let Some((ticket, info)) = room else {
            self.count_kept(&labels, KeptState::Failed);
            return None;
        };
        let key = record.key.as_deref();
        let partition = self.spread.choose_one(&topic, Partitioner::Murmur2, key, info.spec.partitions);
        let appending = self.log.append(Append { topic: topic.clone(), partition, records: vec![record] });
        let parts = Arc::clone(self);
        Some(self.attend(async move {
            let state = match appending.await {
                Ok(appended) => KeptState::At(partition, appended.offset(0)),
                Err(log::Error::OutcomeUnknown) => KeptState::Unknown,
                Err(error) => {
                    tracing::warn!(%topic, %error, "a refused event cannot be kept");
                    KeptState::Failed
                }
            };
            parts.count_kept(&labels, state);
            drop(ticket);
            state
        }))
    }

    fn count_kept(&self, labels: &Labels, state: KeptState) {
        self.metrics.quarantined.with_label_values(&[labels.topic(), state.as_str()]).inc();
    }
}

impl KeptState {
    /// As in the answer and the metric.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::At(..) => "kept",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}
