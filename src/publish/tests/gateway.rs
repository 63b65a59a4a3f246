//! The way in with everything it needs, as a test sets it up.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::fake_log::FakeLog;
use crate::auth::{self, Authenticator, Credential, Principal};
use crate::event::json::Pointer;
use crate::event::{
    Catalogue, Clock, DataMembers, EventType, KeyRule, LiveCatalogue, Timestamp, Topic, TopicRule,
};
use crate::publish::{
    Batch, BatchForm, Config, Error, Form, ItemResult, Options, Outcome, Pending, Published, Publisher,
    Receipt, Validation,
};
use crate::schema::{self, Schemas};
use crate::telemetry::Registry;

/// 2026-11-21T10:15:30.123Z.
pub(super) const NOW: i64 = 1_795_256_130_123;
pub(super) const ID: &str = "550e8400-e29b-41d4-a716-446655440000";
pub(super) const ID2: &str = "550e8400-e29b-41d4-a716-446655440001";

/// The way in over a log in memory.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) log: FakeLog,
    pub(super) publisher: Publisher,
    pub(super) catalogue: LiveCatalogue,
    pub(super) orders: Arc<Principal>,
    pub(super) billing: Arc<Principal>,
    pub(super) stranger: Arc<Principal>,
    pub(super) clock: Arc<AtomicI64>,
    registry: Registry,
    _schemas: tempfile::TempDir,
}

pub(super) fn config() -> Config {
    Config {
        dedupe_window: Duration::from_secs(86_400),
        dedupe_entries_max: 1_000,
        idempotency_lease: Duration::from_secs(60),
        idempotency_window: Duration::from_secs(86_400),
        idempotency_entries_max: 1_000,
        idempotency_bytes_max: 1 << 20,
        queue_bytes_max: 64 << 20,
        event_bytes_max: 960 << 10,
        batch_items_max: 1_000,
        json_depth_max: 64,
        quotas: Vec::new(),
        topics_auto_create: None,
        answers_are_durable: true,
    }
}

/// A rule of a topic with these types; no key, nothing required.
pub(super) fn rule(topic: &str, event_types: &[&str]) -> TopicRule {
    let types = event_types.iter().map(|text| EventType::parse(text).unwrap()).collect();
    TopicRule { is_schema_required: false, ..TopicRule::plain(Topic::parse(topic).unwrap(), types) }
}

pub(super) fn key(pointer: &str, is_optional: bool) -> Option<KeyRule> {
    Some(KeyRule { pointer: Pointer::parse(pointer).unwrap(), is_optional })
}

/// The shop's topics: `orders.v1` of 12 partitions keyed by customer, `payments` with an optional key.
pub(super) fn shop() -> Vec<TopicRule> {
    vec![
        TopicRule {
            key: key("/data/customerId", false),
            ..rule("orders.v1", &["orders.placed.v1", "orders.cancelled.v1"])
        },
        TopicRule { key: key("/data/account", true), ..rule("payments", &["payments.taken.v1"]) },
    ]
}

impl Gateway {
    pub(super) async fn start() -> Self {
        Self::with(config(), shop()).await
    }

    pub(super) async fn with(config: Config, rules: Vec<TopicRule>) -> Self {
        let millis = Arc::new(AtomicI64::new(NOW));
        let log = FakeLog::new(clock(&millis));
        for rule in &rules {
            log.create(rule.topic.as_str(), if rule.topic.as_str() == "orders.v1" { 12 } else { 3 });
        }
        Self::over(log, millis, config, rules).await
    }

    /// Another gateway on the same log, by the same clock.
    pub(super) async fn another(&self, config: Config) -> Self {
        Self::over(self.log.clone(), Arc::clone(&self.clock), config, shop()).await
    }

    async fn over(log: FakeLog, millis: Arc<AtomicI64>, config: Config, rules: Vec<TopicRule>) -> Self {
        let clock = clock(&millis);
        let registry = Registry::new();
        let catalogue = LiveCatalogue::new(Catalogue::new(rules, rule("defaults", &[])));
        let (directory, schemas) = schemas();
        let (authenticator, principals) = authenticator(&clock, &registry).await;
        let [orders, billing, stranger] = principals;
        let publisher = Publisher::new(
            config,
            Arc::new(log.clone()),
            catalogue.clone(),
            schemas,
            authenticator,
            clock,
            &registry,
        );
        Self {
            log,
            publisher,
            catalogue,
            orders,
            billing,
            stranger,
            clock: millis,
            registry,
            _schemas: directory,
        }
    }

    /// Publishes an envelope as the order service.
    pub(super) async fn publish(&self, body: &str) -> Result<Published, Error> {
        self.publish_with(body, &Options::default()).await
    }

    pub(super) async fn publish_with(&self, body: &str, options: &Options) -> Result<Published, Error> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        self.publisher.publish(&self.orders, body, Form::Native, options).await
    }

    pub(super) fn submit(&self, body: &str) -> Result<Pending, Error> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        self.publisher.submit(&self.orders, body, Form::Native, &Options::default())
    }

    pub(super) async fn publish_data(
        &self,
        topic: &str,
        members: DataMembers,
        body: &str,
        options: &Options,
    ) -> Result<Published, Error> {
        let form = Form::Data { topic: Topic::parse(topic).unwrap(), members };
        self.publisher.publish(&self.orders, Bytes::copy_from_slice(body.as_bytes()), form, options).await
    }

    pub(super) async fn batch(&self, validation: Validation, body: &str) -> Result<Batch, Error> {
        self.batch_with(validation, body, &Options::default()).await
    }

    pub(super) async fn batch_with(
        &self,
        validation: Validation,
        body: &str,
        options: &Options,
    ) -> Result<Batch, Error> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        self.publisher.publish_batch(&self.orders, body, BatchForm::Native, validation, options).await
    }

    /// Moves the wall clock on.
    pub(super) fn advance_clock(&self, millis: i64) {
        self.clock.fetch_add(millis, Ordering::Relaxed);
    }

    /// Moves both clocks on.
    pub(super) async fn advance(&self, by: Duration) {
        self.advance_clock(i64::try_from(by.as_millis()).unwrap());
        tokio::time::advance(by).await;
    }

    /// The line of a metric in the text format.
    pub(super) fn metric(&self, name: &str) -> String {
        let text = self.registry.render();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or("absent").to_owned()
    }
}

fn clock(millis: &Arc<AtomicI64>) -> Clock {
    let millis = Arc::clone(millis);
    Clock::new(move || Timestamp::from_millis(millis.load(Ordering::Relaxed)))
}

/// The receipt of an event that was stored now.
pub(super) fn accepted(published: Result<Published, Error>) -> Receipt {
    match published.unwrap().outcome {
        Outcome::Accepted(receipt) => receipt,
        other => panic!("{other:?}"),
    }
}

/// The first receipt of an event that was stored before.
pub(super) fn duplicate(published: Result<Published, Error>) -> Receipt {
    match published.unwrap().outcome {
        Outcome::Duplicate(receipt) => receipt,
        other => panic!("{other:?}"),
    }
}

/// The statuses of a batch's events, as the public contract names them.
pub(super) fn statuses(batch: &Batch) -> Vec<&'static str> {
    assert!(batch.items.iter().enumerate().all(|(index, item)| item.index == index), "input order");
    let status = |result: &ItemResult| match result {
        ItemResult::Accepted(_) => "accepted",
        ItemResult::Duplicate(_) => "duplicate",
        ItemResult::Queued(_) => "queued",
        ItemResult::Checked(_) => "checked",
        ItemResult::Failed(_) => "failed",
        ItemResult::Aborted => "aborted",
        ItemResult::Unknown => "unknown",
    };
    batch.items.iter().map(|item| status(&item.result)).collect()
}

/// A record's value as JSON.
pub(super) fn json_of(value: Option<&Bytes>) -> Value {
    serde_json::from_slice(value.unwrap()).unwrap()
}

/// An order of a customer, without an id.
pub(super) fn order(customer: &str) -> String {
    json!({ "eventType": "orders.placed.v1", "data": { "customerId": customer } }).to_string()
}

/// An order of a customer, with an id.
pub(super) fn order_with_id(id: &str, customer: &str) -> String {
    json!({ "eventId": id, "eventType": "orders.placed.v1", "data": { "customerId": customer } }).to_string()
}

/// The schema of `orders.placed.v1`: an amount is an integer.
fn schemas() -> (tempfile::TempDir, Schemas) {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("orders/placed");
    std::fs::create_dir_all(&folder).unwrap();
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": { "amount": { "type": "integer" } }
    });
    std::fs::write(folder.join("v1.json"), schema.to_string()).unwrap();
    let schemas = Schemas::load(&schema::Config {
        directory: directory.path().to_owned(),
        absent: schema::Absent::Refused,
        store: schema::Store::Folder,
    })
    .unwrap();
    (directory, schemas)
}

async fn authenticator(clock: &Clock, registry: &Registry) -> (Authenticator, [Arc<Principal>; 3]) {
    let names = ["service:orders", "service:billing", "person:stranger"];
    let keys = ["orders", "billing", "stranger"].map(|id| auth::api_key::generate(id).unwrap());
    let api_keys: Vec<_> = names
        .iter()
        .zip(["orders", "billing", "stranger"])
        .zip(&keys)
        .map(|((principal, id), key)| json!({ "id": id, "principal": principal, "sha256": key.sha256 }))
        .collect();
    let section = json!({
        "api_keys": api_keys,
        "grants": [
            { "principal": "service:orders", "allow": ["publish"], "topics": ["**", "_internal"], "sources": ["order-service", "shop-*"] },
            { "principal": "service:billing", "allow": ["publish"], "topics": ["**"], "sources": ["billing"] },
            { "principal": "person:stranger", "allow": ["publish"], "topics": ["payments"] },
        ],
    });
    let raw: auth::RawConfig = serde_json::from_value(section).unwrap();
    let authenticator = Authenticator::build(&raw.check().unwrap(), clock.clone(), registry).unwrap();
    let mut principals = Vec::new();
    for key in &keys {
        principals.push(authenticator.authenticate(Credential::ApiKey(&key.text)).await.unwrap());
    }
    (authenticator, principals.try_into().unwrap())
}
