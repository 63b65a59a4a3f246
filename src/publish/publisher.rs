//! The handle to the way in.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::auth::{Authenticator, Principal};
use crate::event::{Clock, LiveCatalogue};
use crate::log::EventLog;
use crate::schema::Schemas;
use crate::telemetry::Registry;

use super::metrics::Metrics;
use super::{Batch, BatchForm, Config, Error, Form, Idempotency, Options, Published, Validation};

/// The way in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Publisher {
    idempotency: Idempotency,
}

impl Publisher {
    /// The way in to this log.
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
        let _ = (log, catalogue, schemas, authenticator, clock, &config);
        let metrics = Arc::new(Metrics::register(registry));
        Self { idempotency: Idempotency::in_memory(&config, metrics) }
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
        self.submit(principal, body, form, options)?.await
    }

    /// Judges one event and hands it over without waiting; the order of calls is the order in the log. The answer
    /// follows by [`Pending`], which may be dropped: the event is stored all the same.
    ///
    /// # Errors
    /// Why it was refused; nothing was handed over then.
    pub fn submit(
        &self,
        principal: &Arc<Principal>,
        body: Bytes,
        form: Form,
        options: &Options,
    ) -> Result<Pending, Error> {
        let _ = (principal, body, form, options);
        unimplemented!()
    }

    /// Publishes a batch: one result for each event, in input order.
    ///
    /// # Errors
    /// What concerns the request as a whole, and [`Error::BatchRefused`]; nothing was handed over then.
    #[expect(clippy::unused_async, reason = "the door first")]
    pub async fn publish_batch(
        &self,
        principal: &Arc<Principal>,
        body: Bytes,
        form: BatchForm,
        validation: Validation,
        options: &Options,
    ) -> Result<Batch, Error> {
        let _ = (principal, body, form, validation, options);
        unimplemented!()
    }

    /// The claims and answers of idempotency keys.
    #[must_use]
    pub const fn idempotency(&self) -> &Idempotency {
        &self.idempotency
    }

    /// Waits until the log has answered everything handed over, `ack=none` included. Submissions still pass.
    #[expect(clippy::unused_async, reason = "the door first")]
    pub async fn drain(&self) {
        unimplemented!()
    }
}

/// An event handed over, whose answer is on its way. Dropping it takes nothing back.
#[derive(Debug)]
#[must_use = "the answer tells whether the event was stored"]
pub struct Pending(());

impl Pending {
    /// Whether the event has not been handed over yet because its topic is being made. To keep the order of events,
    /// wait for this answer before submitting the next.
    #[must_use]
    pub const fn is_deferred(&self) -> bool {
        false
    }
}

impl Future for Pending {
    type Output = Result<Published, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let _ = (self, context);
        unimplemented!()
    }
}
