//! Each room's section, read into that room's own configuration.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use crate::auth;
use crate::delivery;
use crate::event::{GroupName, Pattern, Topic};
use crate::feed;
use crate::http;
use crate::log_embedded;
use crate::publish;
use crate::schema;
use crate::socket;
use crate::telemetry;

use super::section::Section;
use super::tree::Node;
use super::{Config, Log, kafka, show, topics};

/// Reads the whole tree; `None` after a mistake that leaves a room without a usable value.
pub(super) fn read(root: &Section<'_>, tree: &Node) -> Option<Config> {
    let node = root.text("node");
    let limits = http_limits(&root.section("http"));
    let http = http(root, limits);
    let socket = socket(root);
    let dev_directory = root.section("log").section("embedded").path("path");
    let log = log(root, &node);
    let topics = topics::read(root);
    let schemas = schemas(root);
    let auth = auth(root);
    let feed = feed(root);
    let delivery = delivery(root);
    let telemetry = telemetry(root);
    let is_auto_created = root.flag("topics_auto_create");
    let topics = topics?;
    let template = is_auto_created.then_some(publish::TopicTemplate {
        partitions: topics.defaults.partitions,
        retention: topics.defaults.retention,
    });
    let publish = http.as_ref().zip(log.as_ref()).map(|(http, log)| publish(root, http, log, template));
    Some(Config {
        node: (node != "auto").then_some(node),
        http: http?,
        socket,
        log: log?,
        dev_directory,
        topics: topics.specs,
        topic_defaults: topics.defaults,
        catalogue: topics.catalogue,
        schemas,
        auth: auth?,
        publish: publish?,
        feed,
        delivery,
        telemetry,
        shown: show::yaml(tree),
        view: show::json(tree),
    })
}

fn http(root: &Section<'_>, limits: http::Limits) -> Option<http::Config> {
    let section = root.section("http");
    let address = |text: &str| text.parse::<SocketAddr>().ok();
    let listen = section.parse("listen", "an address such as 127.0.0.1:8080", address);
    let metrics_listen =
        section.optional("metrics_listen", "an address such as 127.0.0.1:9464, or null", address);
    let config = listen.map(|listen| http::Config {
        listen,
        metrics_listen,
        shards: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        allowed_origins: section.list(
            "allowed_origins",
            "an origin such as https://shop.example.com or https://*.example.com",
            |text| http::OriginPattern::parse(text).ok(),
        ),
        trusted_proxies: section.list(
            "trusted_proxies",
            "an address or a range such as 10.0.0.0/8",
            |text| http::Network::parse(text).ok(),
        ),
        tls: section.optional_section("tls").map(|tls| {
            let files = http::Tls {
                certificate: tls.path("certificate"),
                key: tls.path("key"),
                client_ca: tls.optional_text("client_ca").map(Into::into),
            };
            tls.finish();
            files
        }),
        drain_delay: section.duration("drain_delay"),
        drain_window: root.section("socket").duration("drain_window"),
        limits: http::LiveLimits::new(limits),
    });
    if let Some(config) = &config {
        check_drain(&section, config);
    }
    section.section("limits");
    section.finish();
    config
}

/// A drain must leave time for groups, publishes and the log within the 30 seconds that the process has to exit.
fn check_drain(section: &Section<'_>, config: &http::Config) {
    let drain = config.drain_delay.saturating_add(config.drain_window);
    if drain > http::Config::DRAIN_MAX {
        section.mistake(
            "drain_delay",
            format!(
                "with socket.drain_window the drain takes {} s; it may take {} s, so that the gateway exits within 30 s",
                drain.as_secs_f64(),
                http::Config::DRAIN_MAX.as_secs()
            ),
        );
    }
}

fn http_limits(http: &Section<'_>) -> http::Limits {
    let section = http.section("limits");
    let limits = http::Limits {
        body_bytes_max: section.bytes("body_bytes_max"),
        bodies_bytes_max: section.bytes("bodies_bytes_max"),
        event_bytes_max: section.bytes("event_bytes_max"),
        batch_items_max: section.number("batch_items_max"),
        json_depth_max: section.number("json_depth_max"),
        header_bytes_max: section.bytes("header_bytes_max"),
        headers_max: section.number("headers_max"),
        uri_bytes_max: section.bytes("uri_bytes_max"),
        header_timeout: section.duration("header_timeout"),
        body_idle_timeout: section.duration("body_idle_timeout"),
        write_timeout: section.duration("write_timeout"),
        keep_alive: section.duration("keep_alive"),
        connections_max: section.number("connections_max"),
        connections_per_address_max: section.number("connections_per_address_max"),
        connections_new_per_second_max: section.number("connections_new_per_second_max"),
    };
    if limits.bodies_bytes_max < limits.body_bytes_max {
        section
            .mistake("bodies_bytes_max", "must be at least body_bytes_max, or no large body ever finds room");
    }
    if limits.json_depth_max > 100 {
        section.mistake("json_depth_max", "must be at most 100");
    }
    section.finish();
    limits
}

fn socket(root: &Section<'_>) -> socket::Config {
    let section = root.section("socket");
    let config = socket::Config {
        ping: section.duration("ping"),
        pong: section.duration("pong"),
        hello_timeout: section.duration("hello_timeout"),
        inbound_bytes_max: section.bytes("inbound_bytes_max"),
        messages_per_second_max: section.number("messages_per_second_max"),
        unsent_bytes_max: section.bytes("unsent_bytes_max"),
        subscriptions_max: section.number("subscriptions_max"),
        in_flight_max: section.number("in_flight_max"),
        drain_window: section.duration("drain_window"),
    };
    section.finish();
    config
}

fn log(root: &Section<'_>, node: &str) -> Option<Log> {
    let section = root.section("log");
    let is_kafka = section.choice("engine", &[("embedded", false), ("kafka", true)]);
    let kafka = kafka::read(section.section("kafka"), node, is_kafka == Some(true));
    let embedded = section.section("embedded");
    let policies = [
        ("group", log_embedded::Fsync::Group),
        ("interval", log_embedded::Fsync::Interval(Duration::from_millis(50))),
        ("never", log_embedded::Fsync::Never),
    ];
    let fsync = embedded.choice("fsync", &policies);
    let config = fsync.map(|fsync| {
        Log::Embedded(log_embedded::Config { fsync, ..log_embedded::Config::at(embedded.path("path")) })
    });
    embedded.finish();
    section.finish();
    if is_kafka? { Some(Log::Kafka(kafka)) } else { config }
}

fn schemas(root: &Section<'_>) -> schema::Config {
    let section = root.section("schemas");
    section.choice("store", &[("folder", ())]);
    let config = schema::Config { directory: section.path("directory") };
    section.finish();
    config
}

fn auth(root: &Section<'_>) -> Option<auth::Config> {
    let section = root.section("auth");
    let mode = section.choice("mode", &[("required", auth::RawMode::Required), ("dev", auth::RawMode::Dev)]);
    let raw = auth::RawConfig {
        mode: mode.unwrap_or_default(),
        issuers: section.sections("issuers").into_iter().map(issuer).collect(),
        api_keys: section.sections("api_keys").into_iter().map(api_key).collect(),
        client_certificate_prefix: section.text("client_certificate_prefix"),
        ticket_key: section.secret("ticket_key").map(auth::Secret::new),
        ticket_ttl: section.optional_text("ticket_ttl"),
        grants: section.sections("grants").into_iter().map(grant).collect(),
    };
    let checked = raw.check();
    if let Err(mistakes) = &checked {
        for (path, problem) in mistakes {
            if path.ends_with(".jwks_file") {
                section.mistake_in_file_below(path, problem);
            } else {
                section.mistake_below(path, problem);
            }
        }
    }
    section.finish();
    checked.ok()
}

fn issuer(section: Section<'_>) -> auth::RawIssuer {
    let issuer = auth::RawIssuer {
        issuer: section.text("issuer"),
        audience: section.text("audience"),
        algorithms: section.texts("algorithms"),
        jwks_url: section.optional_text("jwks_url"),
        jwks_file: section.optional_text("jwks_file"),
        principal_prefix: section.optional_text("principal_prefix").unwrap_or_default(),
        role_claim: section.optional_text("role_claim"),
        jwks_max_age: section.optional_text("jwks_max_age"),
        jwks_cooldown: section.optional_text("jwks_cooldown"),
        jwks_stale_max: section.optional_text("jwks_stale_max"),
    };
    section.finish();
    issuer
}

fn api_key(section: Section<'_>) -> auth::RawApiKey {
    let key = auth::RawApiKey {
        id: section.text("id"),
        principal: section.text("principal"),
        sha256: section.text("sha256"),
        expires: section.optional_text("expires"),
    };
    section.finish();
    key
}

fn grant(section: Section<'_>) -> auth::RawGrant {
    let claim = |(name, value)| (name, auth::RawScalar::Text(value));
    let claims: BTreeMap<_, _> = section.named_texts("claim").into_iter().map(claim).collect();
    let grant = auth::RawGrant {
        principal: section.optional_text("principal"),
        role: section.optional_text("role"),
        claim: section.is_set("claim").then_some(claims),
        allow: section.texts("allow"),
        topics: section.texts("topics"),
        groups: section.texts("groups"),
        sources: section.texts("sources"),
        key_filter: section.optional_text("key_filter"),
    };
    section.finish();
    grant
}

fn publish(
    root: &Section<'_>,
    http: &http::Config,
    log: &Log,
    topics_auto_create: Option<publish::TopicTemplate>,
) -> publish::Config {
    let section = root.section("publish");
    let quotas = section
        .sections("quotas")
        .into_iter()
        .map(|quota| {
            let read = publish::Quota {
                principal: Pattern::new(&quota.text("principal")),
                events_per_second: quota
                    .is_set("events_per_second")
                    .then(|| quota.number("events_per_second")),
                bytes_per_second: quota
                    .is_set("bytes_per_second")
                    .then(|| quota.bytes("bytes_per_second") as u64),
            };
            quota.finish();
            read
        })
        .collect();
    let answers_are_durable = match log {
        Log::Embedded(embedded) => embedded.fsync == log_embedded::Fsync::Group,
        Log::Kafka(_) => true,
    };
    let limits = http.limits.load();
    let config = publish::Config {
        dedupe_window: section.duration("dedupe_window"),
        dedupe_entries_max: section.number("dedupe_entries_max"),
        idempotency_lease: section.duration("idempotency_lease"),
        idempotency_window: section.duration("dedupe_window"),
        idempotency_entries_max: section.number("dedupe_entries_max"),
        idempotency_bytes_max: section.bytes("queue_bytes_max"),
        queue_bytes_max: section.bytes("queue_bytes_max") as u64,
        quotas,
        event_bytes_max: limits.event_bytes_max,
        batch_items_max: limits.batch_items_max,
        json_depth_max: limits.json_depth_max,
        topics_auto_create,
        answers_are_durable,
    };
    section.finish();
    config
}

fn feed(root: &Section<'_>) -> feed::Config {
    let section = root.section("feed");
    let config = feed::Config {
        ring_bytes_per_partition: section.bytes("ring_bytes_per_partition"),
        ring_bytes_total: section.bytes("ring_bytes_total"),
        catch_up_readers_max: section.number("catch_up_readers_max"),
    };
    section.finish();
    config
}

fn delivery(root: &Section<'_>) -> delivery::Config {
    let dead_letters = root.section("dead_letters");
    let dead_letter_retention = dead_letters.duration("retention");
    dead_letters.finish();

    let section = root.section("group_defaults");
    let patch = policy(&section, false);
    let defaults = patch.apply(&delivery::Policy::default()).unwrap_or_else(|error| {
        section.mistake_below("", &error.to_string());
        delivery::Policy::default()
    });
    section.finish();

    let mut groups = BTreeMap::new();
    for (name, section) in root.named_sections("groups") {
        let patch = policy(&section, true);
        if patch.topics.as_ref().is_none_or(Vec::is_empty) {
            section.mistake("topics", "a group reads at least one topic");
        }
        if let Err(error) = patch.apply(&defaults) {
            section.mistake_below("", &error.to_string());
        }
        match GroupName::parse(&name) {
            Ok(name) => drop(groups.insert(name, patch)),
            Err(error) => section.mistake("", error.to_string()),
        }
        section.finish();
    }
    delivery::Config {
        node: Arc::from(""),
        defaults,
        groups,
        dead_letter_retention,
        in_flight_max: root.section("socket").number("in_flight_max"),
    }
}

fn policy(section: &Section<'_>, has_topics: bool) -> delivery::PolicyPatch {
    let millis =
        |key| section.is_set(key).then(|| section.duration(key).as_millis().try_into().unwrap_or(u64::MAX));
    let orderings = [
        ("partition", delivery::Ordering::Partition),
        ("key", delivery::Ordering::Key),
        ("none", delivery::Ordering::None),
    ];
    let starts = [("earliest", delivery::Start::Earliest), ("latest", delivery::Start::Latest)];
    let topic = |text: &str| Topic::parse(text).ok();
    delivery::PolicyPatch {
        topics: has_topics.then(|| section.list("topics", "a topic's name", topic)),
        ordering: section.is_set("ordering").then(|| section.choice("ordering", &orderings)).flatten(),
        start: section.is_set("start").then(|| section.choice("start", &starts)).flatten(),
        lane_window: section.is_set("lane_window").then(|| section.number("lane_window")),
        max_retries: section.is_set("max_retries").then(|| section.number("max_retries")),
        backoff: section.optional_section("backoff").map(|backoff| {
            let millis = |key| {
                backoff.is_set(key).then(|| backoff.duration(key).as_millis().try_into().unwrap_or(u64::MAX))
            };
            let patch = delivery::BackoffPatch {
                first_ms: millis("first"),
                factor: backoff.is_set("factor").then(|| backoff.decimal("factor")),
                max_ms: millis("max"),
                jitter: backoff.is_set("jitter").then(|| backoff.decimal("jitter")),
            };
            backoff.finish();
            patch
        }),
        on_exhausted: section
            .is_set("on_exhausted")
            .then(|| section.choice("on_exhausted", &[("skip", delivery::Exhausted::Skip)]))
            .flatten(),
        ack_timeout_ms: millis("ack_timeout"),
        extend_max_ms: millis("extend_max"),
        nack_delay_max_ms: millis("nack_delay_max"),
        commit_interval_ms: millis("commit_interval"),
        rebalance_grace_ms: millis("rebalance_grace"),
        reconnect_grace_ms: millis("reconnect_grace"),
        unsettled_per_partition_max: section
            .is_set("unsettled_per_partition_max")
            .then(|| section.number("unsettled_per_partition_max")),
        span_max: section.is_set("span_max").then(|| section.number("span_max")),
    }
}

fn telemetry(root: &Section<'_>) -> telemetry::Config {
    let section = root.section("telemetry");
    let formats = [("json", telemetry::LogFormat::Json), ("text", telemetry::LogFormat::Text)];
    let config = telemetry::Config {
        log: section.text("log"),
        log_format: section.choice("log_format", &formats).unwrap_or(telemetry::LogFormat::Json),
    };
    section.finish();
    config
}
