//! The server over the real rooms and a log in memory, on a free port.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use weirgate::auth::{Authenticator, RawApiKey, RawConfig, RawGrant, RawIssuer, Secret};
use weirgate::event::{
    Catalogue, Clock, EventType, KeyRule, LiveCatalogue, Pattern, Topic, TopicRule, json::Pointer,
};
use weirgate::http::{
    Config, Error, Limits, Listeners, LiveLimits, OriginPattern, Parts, RegistryPath, ReloadError, Server,
    Tls,
};
use weirgate::publish::{Publisher, Quota};
use weirgate::schema::registry::confluent::Confluent;
use weirgate::schema::{Decoder, Schemas};
use weirgate::socket::Sessions;
use weirgate::telemetry::Registry;
use weirgate::{delivery, feed, publish, schema, socket};

use crate::client::{Answer, Client};
use crate::contract;
use crate::log::MemoryLog;

/// May do everything.
pub(crate) const SHOP: (&str, &str) = ("authorization", "ApiKey wg_shop_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
/// May read `orders.v1` where `/data/customerId` is `c-42`.
pub(crate) const READER: (&str, &str) = ("x-api-key", "wg_reader_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
/// May read the dead letters of `inventory-sync` from `orders.v1`.
pub(crate) const CLERK: (&str, &str) = ("x-api-key", "wg_clerk_eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
/// Has a key and no grant.
pub(crate) const STRANGER: (&str, &str) = ("x-api-key", "wg_stranger_cccccccccccccccccccccccccccccccc");
/// May publish one event per second.
pub(crate) const SLOW: (&str, &str) = ("x-api-key", "wg_slow_dddddddddddddddddddddddddddddddd");

pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");

/// An order that fits its schema.
pub(crate) const ORDER: &str = r#"{"orderId":"ord_1","customerId":"c-42","placedAt":"2026-11-21T10:15:30Z","currency":"EUR","totalAmount":1999,"items":[{"sku":"S-1","quantity":1,"unitPrice":1999}]}"#;

/// An envelope around it.
pub(crate) fn envelope(more: &str) -> String {
    format!(r#"{{"eventType":"orders.placed.v1",{more}"data":{ORDER}}}"#)
}

/// Waits for a condition; the time bounds a failing test only.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = SystemTime::now();
    while !is_so() {
        assert!(began.elapsed().unwrap() < Duration::from_secs(60), "waited in vain: {what}");
        std::thread::yield_now();
    }
}

/// What a test changes before the start.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    pub(crate) drain_delay: Duration,
    pub(crate) drain_window: Duration,
    pub(crate) front_page: Option<&'static str>,
    pub(crate) own_token: Option<&'static str>,
    pub(crate) tls: Option<Tls>,
    pub(crate) schemas: PathBuf,
    pub(crate) registry_path: RegistryPath,
    pub(crate) store: schema::Store,
    /// The catalogue's topics; `None` for those that most tests use.
    pub(crate) topics: Option<Vec<TopicRule>>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: Limits {
                body_bytes_max: 256 << 10,
                bodies_bytes_max: 8 << 20,
                event_bytes_max: 64 << 10,
                batch_items_max: 10,
                json_depth_max: 64,
                header_bytes_max: 32 << 10,
                headers_max: 90,
                uri_bytes_max: 8 << 10,
                header_timeout: Duration::from_secs(10),
                body_idle_timeout: Duration::from_secs(10),
                write_timeout: Duration::from_secs(20),
                keep_alive: Duration::from_secs(75),
                connections_max: 500,
                connections_per_address_max: 500,
                connections_new_per_second_max: 10_000,
            },
            drain_delay: Duration::ZERO,
            drain_window: Duration::from_secs(10),
            front_page: None,
            own_token: None,
            tls: None,
            schemas: Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas"),
            registry_path: RegistryPath::default(),
            store: schema::Store::Folder,
            topics: None,
        }
    }
}

/// A gateway, drained when dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) log: MemoryLog,
    pub(crate) address: SocketAddr,
    pub(crate) metrics_address: SocketAddr,
    ahead_ms: Arc<AtomicI64>,
    shutdown: CancellationToken,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Gateway {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup::default();
        change(&mut setup);
        let log = MemoryLog::new(&[("orders.v1", 2), ("loose.v1", 1), ("keyed.v1", 1), ("_internal", 1)]);
        let config = config(&setup);
        let listeners = Listeners::bind(&config).unwrap();
        let (address, metrics_address) = (listeners.address(), listeners.metrics_address().unwrap());
        let (shutdown, ahead_ms) = (CancellationToken::new(), Arc::new(AtomicI64::new(0)));
        let thread = std::thread::spawn({
            let (log, shutdown, clock) = (log.clone(), shutdown.clone(), clock(&ahead_ms));
            move || Runtime::new().unwrap().block_on(run(setup, config, log, clock, listeners, shutdown))
        });
        Self { log, address, metrics_address, ahead_ms, shutdown, thread: Some(thread) }
    }

    /// Puts the gateway's wall clock forward.
    pub(crate) fn advance(&self, by: Duration) {
        self.ahead_ms.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// One request on a connection of its own, whose answer is held to the contract.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let answer = self.client().send(method, path, headers, body.as_bytes());
        contract::hold(method, path, &answer);
        answer
    }

    /// Posts a native envelope as the shop.
    pub(crate) fn post(&self, query: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers = [&[SHOP, JSON], headers].concat();
        self.send("POST", &format!("/v1/events{query}"), &headers, body)
    }

    /// Begins the drain.
    pub(crate) fn stop(&self) {
        self.shutdown.cancel();
    }

    /// Waits for the end of the drain.
    pub(crate) fn ended(&mut self) {
        self.thread.take().unwrap().join().unwrap().unwrap();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(std::thread::panicking() || matches!(ended, Ok(Ok(()))), "{ended:?}");
        }
    }
}

async fn run(
    setup: Setup,
    config: Config,
    log: MemoryLog,
    clock: Clock,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let registry = Registry::new();
    let authenticator = Authenticator::build(&auth(), clock.clone(), &registry).unwrap();
    let (schema_registry, keeper) = schema::registry::Registry::new();
    keeper.open(Arc::new(log.clone())).await;
    let catalogue = catalogue(setup.topics);
    let (schemas, decoder) = judges(setup.store, setup.schemas, &schema_registry, &catalogue, &registry);
    let event_log: Arc<dyn weirgate::log::EventLog> = Arc::new(log.clone());
    let decoded = decoder.log(Arc::clone(&event_log));
    let publisher = Publisher::new(
        publishing(&setup.limits),
        Arc::clone(&event_log),
        catalogue.clone(),
        schemas.clone(),
        authenticator.clone(),
        clock.clone(),
        &registry,
    );
    let bounds = feed::Config {
        ring_bytes_per_partition: 1 << 20,
        ring_bytes_total: 8 << 20,
        catch_up_readers_max: 2,
    };
    let (feed_service, feed) =
        feed::Service::new(bounds, Arc::clone(&decoded), catalogue.clone(), clock.clone(), &registry);
    let (delivery_service, delivery) = delivery::Service::new(
        groups(),
        Arc::clone(&decoded),
        Arc::new(log),
        catalogue.clone(),
        clock.clone(),
        &registry,
    );
    let sessions = Sessions::new(
        sockets(setup.drain_window),
        socket::Parts {
            node: "g1".into(),
            feed: feed.clone(),
            delivery: delivery.clone(),
            publisher: publisher.clone(),
            authenticator: authenticator.clone(),
            clock: clock.clone(),
        },
        &registry,
    );
    let background = CancellationToken::new();
    let services = [
        tokio::spawn(keeper.run(event_log)),
        tokio::spawn(feed_service.run(background.clone())),
        tokio::spawn(delivery_service.run(background.clone())),
    ];
    let parts = Parts {
        catalogue,
        authenticator,
        publisher,
        judged_by: schemas,
        schemas: schema_registry,
        feed,
        delivery,
        sessions,
        log: decoded,
        clock,
        registry,
        config_view: Arc::new(|| serde_json::json!({"node": "g1"})),
        reload: Arc::new(|| Err(ReloadError::Refused("line 7: http.listen: must be an address".to_owned()))),
        front_page: setup.front_page.map(|page| Arc::new(move || page.to_owned()) as Arc<_>),
        own_token: setup.own_token.map(|token| Arc::new(move || token.to_owned()) as Arc<_>),
    };
    let result = Server::new(config, parts).unwrap().run(listeners, shutdown).await;
    background.cancel();
    // The log in memory holds nothing that would have to be closed in order.
    services.iter().for_each(tokio::task::JoinHandle::abort);
    result
}

/// What events are judged by, and who reads records by it.
fn judges(
    store: schema::Store,
    directory: PathBuf,
    own: &schema::registry::Registry,
    catalogue: &LiveCatalogue,
    registry: &Registry,
) -> (Schemas, Decoder) {
    let decoder = || Decoder::new(own.clone(), catalogue.clone(), registry);
    match store {
        schema::Store::Folder => {
            let (absent, store) = (schema::Absent::Refused, schema::Store::Folder);
            (Schemas::load(&schema::Config { directory, absent, store }).unwrap(), decoder())
        }
        schema::Store::Embedded => (Schemas::registered(own.clone()), decoder()),
        schema::Store::Confluent(elsewhere) => {
            let (confluent, keeper) = Confluent::new(&elsewhere, registry).unwrap();
            tokio::spawn(keeper.run(catalogue.clone()));
            (Schemas::fetched(confluent.clone()), Decoder::asking(confluent, catalogue.clone(), registry))
        }
    }
}

/// The system's time, put forward by so much.
fn clock(ahead_ms: &Arc<AtomicI64>) -> Clock {
    let ahead_ms = Arc::clone(ahead_ms);
    Clock::new(move || Clock::system().now().plus_millis(ahead_ms.load(Ordering::SeqCst)))
}

fn config(setup: &Setup) -> Config {
    Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        metrics_listen: Some("127.0.0.1:0".parse().unwrap()),
        shards: NonZeroUsize::new(2).unwrap(),
        allowed_origins: vec![OriginPattern::parse("https://*.example.com").unwrap()],
        trusted_proxies: vec![],
        tls: setup.tls.clone(),
        drain_delay: setup.drain_delay,
        drain_window: setup.drain_window,
        registry_path: setup.registry_path.clone(),
        limits: LiveLimits::new(setup.limits.clone()),
    }
}

fn auth() -> weirgate::auth::Config {
    let key = |id: &str, header: (&str, &str)| {
        let text = header.1.trim_start_matches("ApiKey ");
        let sha256 = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        RawApiKey { id: id.to_owned(), principal: format!("service:{id}"), sha256, expires: None }
    };
    let grant = |principal: &str, allow: &[&str], key_filter: Option<&str>| RawGrant {
        principal: Some(format!("service:{principal}")),
        role: None,
        claim: None,
        allow: allow.iter().map(|&text| text.to_owned()).collect(),
        topics: vec!["**".to_owned()],
        groups: if allow.contains(&"consume") { vec!["*".to_owned()] } else { vec![] },
        sources: if allow.contains(&"publish") { vec!["shop".to_owned()] } else { vec![] },
        subjects: if allow.contains(&"schema.read") { vec!["**".to_owned()] } else { vec![] },
        key_filter: key_filter.map(ToOwned::to_owned),
    };
    let all = [
        "publish",
        "subscribe",
        "consume",
        "deadletter.read",
        "deadletter.payload",
        "deadletter.redrive",
        "replay",
        "group.admin",
        "schema.read",
        "schema.write",
        "audit.read",
        "admin",
    ];
    // Nobody serves its keys: that port is never bound.
    let absent = RawIssuer {
        issuer: "https://id.example.com".to_owned(),
        audience: "weirgate".to_owned(),
        algorithms: vec!["ES256".to_owned()],
        jwks_url: Some("http://127.0.0.1:1/jwks".to_owned()),
        jwks_file: None,
        principal_prefix: "id:".to_owned(),
        role_claim: None,
        jwks_max_age: None,
        jwks_cooldown: None,
        jwks_stale_max: None,
    };
    let raw = RawConfig {
        issuers: vec![absent],
        api_keys: vec![
            key("shop", SHOP),
            key("reader", READER),
            key("clerk", CLERK),
            key("stranger", STRANGER),
            key("slow", SLOW),
        ],
        ticket_key: Some(Secret::new("0123456789abcdef0123456789abcdef".to_owned())),
        client_certificate_prefix: "cert:".to_owned(),
        grants: vec![
            RawGrant {
                principal: Some("cert:spiffe://shop/**".to_owned()),
                ..grant("", &["publish", "subscribe"], None)
            },
            grant("shop", &all, None),
            grant("slow", &["publish"], None),
            RawGrant {
                groups: vec!["inventory-sync".to_owned()],
                topics: vec!["orders.v1".to_owned()],
                ..grant("clerk", &["deadletter.read", "replay"], None)
            },
            grant("reader", &["subscribe"], Some("/data/customerId == c-42")),
            RawGrant {
                subjects: vec!["orders.**".to_owned()],
                topics: vec![],
                ..grant("reader", &["schema.read"], None)
            },
        ],
        ..RawConfig::default()
    };
    raw.check().unwrap()
}

fn catalogue(topics: Option<Vec<TopicRule>>) -> LiveCatalogue {
    let rule = |topic: &str, types: &[&str], is_schema_required| {
        let types = types.iter().map(|name| EventType::parse(name).unwrap()).collect();
        TopicRule { is_schema_required, ..TopicRule::plain(Topic::parse(topic).unwrap(), types) }
    };
    let orders = TopicRule {
        key: Some(KeyRule { pointer: Pointer::parse("/data/customerId").unwrap(), is_optional: false }),
        ..rule("orders.v1", &["orders.placed.v1", "orders.lost.v1"], true)
    };
    let loose = rule("loose.v1", &["things.noted.v1"], false);
    let keyed = TopicRule { key: orders.key.clone(), ..rule("keyed.v1", &["keys.made.v1"], false) };
    let topics = topics.unwrap_or_else(|| vec![orders, loose, keyed]);
    LiveCatalogue::new(Catalogue::new(topics, rule("defaults", &[], true)))
}

fn publishing(limits: &Limits) -> publish::Config {
    publish::Config {
        dedupe_window: Duration::from_secs(3600),
        dedupe_entries_max: 10_000,
        idempotency_lease: Duration::from_secs(60),
        idempotency_window: Duration::from_secs(3600),
        idempotency_entries_max: 1_000,
        idempotency_bytes_max: 8 << 20,
        queue_bytes_max: 8 << 20,
        event_bytes_max: limits.event_bytes_max,
        batch_items_max: limits.batch_items_max,
        json_depth_max: limits.json_depth_max,
        quotas: vec![Quota {
            principal: Pattern::new("service:slow"),
            events_per_second: Some(1),
            bytes_per_second: None,
        }],
        topics_auto_create: None,
        answers_are_durable: true,
    }
}

fn groups() -> delivery::Config {
    delivery::Config {
        node: "g1".into(),
        defaults: delivery::Policy::default(),
        groups: BTreeMap::new(),
        dead_letter_retention: Duration::from_secs(3600),
        dead_letter_states_bytes_max: 1 << 20,
        parked_keys_max: 100,
        in_flight_max: 256,
    }
}

fn sockets(drain_window: Duration) -> socket::Config {
    socket::Config {
        ping: Duration::from_secs(25),
        pong: Duration::from_secs(10),
        hello_timeout: Duration::from_secs(5),
        inbound_bytes_max: 64 << 10,
        messages_per_second_max: 5_000,
        unsent_bytes_max: 1 << 20,
        subscriptions_max: 32,
        in_flight_max: 256,
        drain_window,
    }
}
