//! What the gateway of these tests is configured with, and who may do what there.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use sha2::Digest;
use weirgate::auth::{self, RawConfig};
use weirgate::delivery::{self, Policy, PolicyPatch};
use weirgate::event::{EventType, GroupName, Topic, TopicRule};
use weirgate::log::{Cleanup, TopicSpec};
use weirgate::{publish, socket};

/// Who holds every right.
pub(crate) const OWNER: &str = "wg_owner_0123456789abcdef0123456789abcdef";
/// Who may read `orders.v1`, its own rows, and nothing else.
pub(crate) const CUSTOMER: &str = "wg_customer_0123456789abcdef0123456789abcdef";

pub(crate) fn config() -> socket::Config {
    socket::Config {
        ping: Duration::from_secs(25),
        pong: Duration::from_secs(10),
        hello_timeout: Duration::from_secs(5),
        inbound_bytes_max: 64 * 1024,
        messages_per_second_max: 5_000,
        unsent_bytes_max: 1024 * 1024,
        subscriptions_max: 32,
        in_flight_max: 256,
        drain_window: Duration::from_secs(20),
    }
}

/// The `auth` section: the customer's part of it may be left out.
pub(crate) fn grants(has_customer: bool) -> auth::Config {
    let key = |id: &str, principal: &str, key: &str| {
        let digest = sha2::Sha256::digest(key.as_bytes());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        json!({ "id": id, "principal": principal, "sha256": hex })
    };
    let mut grants = vec![json!({
        "principal": "owner", "allow": ["publish", "subscribe", "consume"], "topics": ["**"], "groups": ["*"],
        "sources": ["**"],
    })];
    if has_customer {
        grants.push(json!({
            "principal": "customer", "allow": ["subscribe"], "topics": ["orders.v1"],
            "key_filter": "/data/customerId == c-1",
        }));
    }
    let section = json!({
        "api_keys": [key("owner", "owner", OWNER), key("customer", "customer", CUSTOMER)],
        "grants": grants,
    });
    serde_json::from_value::<RawConfig>(section).unwrap().check().unwrap()
}

pub(crate) fn topic_spec(name: &str) -> TopicSpec {
    TopicSpec {
        name: Topic::parse(name).unwrap(),
        partitions: 1,
        cleanup: Cleanup::Delete,
        retention: None,
        retention_bytes: None,
    }
}

pub(crate) fn rule(name: &str) -> TopicRule {
    let types = vec![EventType::parse("orders.placed.v1").unwrap()];
    TopicRule { is_schema_required: false, ..TopicRule::plain(Topic::parse(name).unwrap(), types) }
}

pub(crate) fn publish_config() -> publish::Config {
    publish::Config {
        dedupe_window: Duration::from_secs(3_600),
        dedupe_entries_max: 1_000,
        idempotency_lease: Duration::from_secs(60),
        idempotency_window: Duration::from_secs(3_600),
        idempotency_entries_max: 1_000,
        idempotency_bytes_max: 1 << 20,
        queue_bytes_max: 64 << 20,
        event_bytes_max: 960 * 1024,
        batch_items_max: 1_000,
        json_depth_max: 64,
        quotas: Vec::new(),
        topics_auto_create: None,
        answers_are_durable: true,
    }
}

pub(crate) fn delivery_config() -> delivery::Config {
    let patch = PolicyPatch::parse(br#"{"topics":["orders.v1"],"backoff":{"firstMs":1}}"#).unwrap();
    delivery::Config {
        node: "g1".into(),
        defaults: Policy::default(),
        groups: BTreeMap::from([(GroupName::parse("workers").unwrap(), patch)]),
        dead_letter_retention: Duration::from_secs(3_600),
        dead_letter_states_bytes_max: 1 << 20,
        parked_keys_max: 100,
        in_flight_max: 256,
    }
}
