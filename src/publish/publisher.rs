//! The handle to the way in.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::auth::{Authenticator, Principal};
use crate::event::json::{Document, Limits};
use crate::event::{Clock, Draft, EventType, LiveCatalogue, Topic};
use crate::log::EventLog;
use crate::schema::Schemas;
use crate::schema::framing::{HEADER, OWN_HEADER};
use crate::telemetry::Registry;

use super::batch;
use super::dedupe::Dedupe;
use super::guess::guess;
use super::headers::check_headers;
use super::judge::{Judged, Refused, Request};
use super::metrics::Metrics;
use super::parts::{Names, Parts};
use super::pending::{Arrival, Pending};
use super::queue::Queue;
use super::quota::Quotas;
use super::sharing::until_loaded;
use super::sightings::Sightings;
use super::spread::Spread;
use super::violators::Violators;
use super::{
    Batch, BatchForm, Config, Counts, Error, Form, Idempotency, Memory, Options, Published, Series, Sharing,
    Sighting, Validation,
};

/// Searches read old records; more at once would only slow each other down.
const SEARCHES_MAX: usize = 4;

/// The way in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Publisher {
    parts: Arc<Parts>,
    idempotency: Idempotency,
}

impl Publisher {
    /// The way in to this log. Must be called within a Tokio runtime that lasts until [`Publisher::drain`] returns:
    /// answers that nobody waits for any more are waited for there.
    #[must_use]
    pub fn new(
        config: Config,
        log: Arc<dyn EventLog>,
        catalogue: LiveCatalogue,
        schemas: Schemas,
        authenticator: Authenticator,
        clock: Clock,
        registry: &Registry,
    ) -> Self {
        let metrics = Arc::new(Metrics::register(registry));
        let idempotency = Idempotency::new(&config, Arc::clone(&metrics));
        let parts = Parts {
            dedupe: Dedupe::new(config.dedupe_window, config.dedupe_entries_max, Arc::clone(&metrics)),
            memory: watch::Sender::new(Memory::Loaded),
            queue: Queue::new(config.queue_bytes_max, Arc::clone(&metrics)),
            quotas: Quotas::new(&config.quotas, Arc::clone(&metrics)),
            violators: Violators::new(Arc::clone(&metrics)),
            sightings: Sightings::default(),
            spread: Spread::new(),
            names: Names {
                traceparent: "traceparent".into(),
                tracestate: "tracestate".into(),
                value_schema_id: HEADER.into(),
                schema_id: OWN_HEADER.into(),
            },
            searches: Semaphore::new(SEARCHES_MAX),
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            config: ArcSwap::from_pointee(config),
            log,
            catalogue,
            schemas,
            authenticator,
            clock,
            metrics,
        };
        Self { parts: Arc::new(parts), idempotency }
    }

    /// Publishes one event and waits for the log's answer.
    ///
    /// # Errors
    /// Why it was not stored, or [`Error::OutcomeUnknown`].
    pub async fn publish(
        &self,
        principal: &Arc<Principal>,
        body: Bytes,
        form: Form,
        options: &Options,
    ) -> Result<Published, Error> {
        let arrival = self.arrival();
        let pending = match self.judge_known(principal, &body, &form, options, arrival).await {
            Ok(judged) => self.hand_over(principal, judged, options, arrival),
            Err(refused) => self.refuse(principal, *refused),
        };
        pending?.await
    }

    /// Judges one event and hands it over without waiting; the order of calls is the order in the log. The answer
    /// follows by [`Pending`], which may be dropped: the event is stored all the same.
    ///
    /// # Errors
    /// Why it was refused; nothing was handed over then. A refused event that its topic keeps is answered later.
    #[expect(clippy::needless_pass_by_value, reason = "the body and its form are used up")]
    pub fn submit(
        &self,
        principal: &Arc<Principal>,
        body: Bytes,
        form: Form,
        options: &Options,
    ) -> Result<Pending, Error> {
        let arrival = self.arrival();
        match self.judge(principal, &body, &form, options, arrival) {
            Ok(judged) => self.hand_over(principal, judged, options, arrival),
            Err(refused) => self.refuse(principal, *refused),
        }
    }

    /// Begins a series of events, each handed over in the order of the calls, with at most `lanes_max` lanes held.
    #[must_use]
    pub fn series(&self, principal: Arc<Principal>, options: Options, lanes_max: usize) -> Series {
        Series::new(self.clone(), principal, options, lanes_max)
    }

    /// What became of the events of a type that the catalogue binds to a topic, since the start.
    #[must_use]
    pub fn counts(&self, event_type: &EventType, topic: &Topic) -> Counts {
        self.parts.metrics.counts(event_type, topic)
    }

    /// What is remembered of a type since the start, for people.
    #[must_use]
    pub fn sighting(&self, event_type: &EventType) -> Sighting {
        self.parts.sightings.look(event_type)
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    pub(super) fn arrival(&self) -> Arrival {
        (Instant::now(), self.parts.clock.now())
    }

    /// Refuses an event: at once, or when it is known what became of its keeping.
    pub(super) fn refuse(&self, principal: &Principal, refused: Refused) -> Result<Pending, Error> {
        match refused.keeping {
            None => Err(refused.error),
            Some(keeping) => Ok(Pending::refused(self.parts.keep(principal.id(), *keeping, refused.error))),
        }
    }

    /// Hands an event over, its judgement being good.
    pub(super) fn hand_over(
        &self,
        principal: &Principal,
        judged: Judged,
        options: &Options,
        arrival: Arrival,
    ) -> Result<Pending, Error> {
        let parts = &self.parts;
        parts
            .take_quota(principal.id(), 1, judged.bytes)
            .map_err(|error| parts.refused(&judged.labels, error))?;
        if options.dry_run {
            return parts.check_only(judged).map(Pending::answered);
        }
        if judged.info.is_none() {
            return Ok(Pending::deferred(parts, judged, options.ack, arrival));
        }
        Pending::hand_over(parts, judged, options.ack, arrival)
    }

    /// Publishes a batch: one result for each event, in input order.
    ///
    /// # Errors
    /// What concerns the request as a whole, and [`Error::BatchRefused`]; nothing was handed over then.
    pub async fn publish_batch(
        &self,
        principal: &Arc<Principal>,
        body: Bytes,
        form: BatchForm,
        validation: Validation,
        options: &Options,
    ) -> Result<Batch, Error> {
        batch::publish(&self.parts, principal, body, form, validation, options).await
    }

    /// Puts the quotas, limits and auto-creation of another configuration in force; the rest stays as it is.
    pub fn replace(&self, config: Config) {
        let parts = &self.parts;
        let answers_are_durable = parts.config.load().answers_are_durable;
        parts.quotas.replace(&config.quotas);
        parts.config.store(Arc::new(Config { answers_are_durable, ..config }));
    }

    /// The claims and answers of idempotency keys.
    #[must_use]
    pub const fn idempotency(&self) -> &Idempotency {
        &self.idempotency
    }

    /// What shares the memory of ids and keys with other gateways and with the next start, by way of the log. To be made once,
    /// and run until after the drain; without it the memory is this gateway's own.
    #[must_use]
    pub fn sharing(&self) -> Sharing {
        Sharing::new(&self.parts, &self.idempotency)
    }

    /// How far this gateway knows what was stored before its start and by others.
    #[must_use]
    pub fn memory(&self) -> Memory {
        *self.parts.memory.borrow()
    }

    /// Waits until it knows that, or should not be waited for any longer.
    pub async fn until_loaded(&self) {
        until_loaded(self.parts.memory.subscribe()).await;
    }

    /// Waits until the log has answered everything handed over, `ack=none` included. Submissions still pass; a
    /// [`Pending`] that is neither polled nor dropped is waited for.
    pub async fn drain(&self) {
        self.parts.tasks.close();
        self.parts.queue.emptied().await;
        self.parts.tasks.wait().await;
    }

    /// Judges an event; a refusal is counted.
    pub(super) fn judge(
        &self,
        principal: &Principal,
        body: &[u8],
        form: &Form,
        options: &Options,
        arrival: Arrival,
    ) -> Result<Judged, Box<Refused>> {
        self.counted(self.judge_uncounted(principal, body, form, options, arrival))
    }

    /// As [`Self::judge`], after a wait where the event's schema has to be fetched first.
    pub(super) async fn judge_known(
        &self,
        principal: &Principal,
        body: &[u8],
        form: &Form,
        options: &Options,
        arrival: Arrival,
    ) -> Result<Judged, Box<Refused>> {
        let judged = self.judge_uncounted(principal, body, form, options, arrival);
        let Some(event_type) = judged.as_ref().err().and_then(|refused| refused.error.unfetched()) else {
            return self.counted(judged);
        };
        self.parts.schemas.learn(event_type).await;
        self.judge(principal, body, form, options, arrival)
    }

    fn counted(&self, judged: Result<Judged, Box<Refused>>) -> Result<Judged, Box<Refused>> {
        judged.inspect_err(|refused| {
            self.parts.count_refused(&refused.labels, &refused.error);
        })
    }

    fn judge_uncounted(
        &self,
        principal: &Principal,
        body: &[u8],
        form: &Form,
        options: &Options,
        arrival: Arrival,
    ) -> Result<Judged, Box<Refused>> {
        let parts = &self.parts;
        let refused = |error: Error| Box::new(Refused::from(error));
        check_headers(options).map_err(refused)?;
        let limits = Limits { depth_max: parts.config.load().json_depth_max };
        let has_body = !matches!(form, Form::CloudEventBinary { .. }) || !body.is_empty();
        let document = has_body.then(|| Document::parse(body, limits)).transpose();
        let document = document.map_err(|error| refused(error.into()))?;
        let node = document.as_ref().map(Document::node);
        let catalogue = parts.catalogue.load();
        let mut received = vec![body.trim_ascii()];
        let (draft, topic) = match (form, node) {
            (Form::Native | Form::CloudEvent, Some(node)) if node.value().as_array().is_some() => {
                return Err(refused(Error::NotSingle));
            }
            (Form::Native, Some(node)) => (Draft::from_native(node, &catalogue), None),
            (Form::CloudEvent, Some(node)) => (Draft::from_cloud_event(node, &catalogue), None),
            (Form::CloudEventBinary { attributes, content_type }, node) => {
                let mut texts: Vec<_> = attributes.iter().collect();
                // Proxies may bring headers into another order.
                texts.sort();
                received.extend(texts.iter().flat_map(|(name, text)| [name.as_bytes(), text.as_bytes()]));
                (Draft::from_cloud_event_binary(attributes, content_type.as_deref(), node, &catalogue), None)
            }
            (Form::Data { topic, members }, Some(node)) => {
                let texts =
                    [&members.event_type, &members.source, &members.correlation_id, &members.timestamp];
                received.extend(texts.map(|text| text.as_deref().unwrap_or_default().as_bytes()));
                (Draft::from_data(topic, members, node, &catalogue), Some(topic))
            }
            (Form::Native | Form::CloudEvent | Form::Data { .. }, None) => {
                return Err(refused(Error::NotSingle));
            }
        };
        let draft = draft.map_err(|error| match (form, node) {
            (Form::Native, Some(node)) => {
                Box::new(guess(&parts.schemas, &catalogue, BatchForm::Native, node, error))
            }
            (Form::Native | Form::CloudEvent | Form::CloudEventBinary { .. } | Form::Data { .. }, _) => {
                refused(error.into())
            }
        })?;
        let request = Request { catalogue: &catalogue, principal, options, topic, index: 0, now: arrival.1 };
        parts.judge(request, &draft, &received)
    }
}
