//! Each room's section, read into that room's own configuration.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::event::Pattern;
use crate::feed;
use crate::http;
use crate::log_embedded;
use crate::publish;
use crate::schema;
use crate::socket;
use crate::telemetry;

use super::section::Section;
use super::tree::Node;
use super::{Config, Files, Log, callers, confluent, files, groups, kafka, show, topics};

/// What stands for an address that was not understood; the configuration is refused then.
const UNREAD: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

/// Reads the whole tree; `None` after a mistake that leaves a room without a usable value.
pub(super) fn read(root: &Section<'_>, tree: &Node, is_dev: bool, tried: Files) -> Option<Config> {
    let node = root.text("node");
    let http = http(root);
    let socket = socket(root);
    let dev_directory = root.section("log").section("embedded").path("path");
    let mut log = log(root, &node);
    let topics = topics::read(root);
    let schemas = schemas(root, is_dev);
    let auth = callers::read(root);
    let feed = feed(root);
    let delivery = groups::read(root);
    let telemetry = telemetry(root);
    let is_auto_created = root.flag("topics_auto_create");
    let template = topics.as_ref().filter(|_| is_auto_created).map(|topics| publish::TopicTemplate {
        partitions: topics.defaults.partitions,
        retention: topics.defaults.retention,
    });
    let publish = publish(root, &http, &log, template);
    if tried == Files::Tried {
        files::check_schemas(root, &schemas);
        files::check_tls(root, http.tls.as_ref());
        if let Some(topics) = topics.as_ref().filter(|_| !is_auto_created) {
            files::check_groups(root, &delivery, topics, &log);
        }
    }
    let topics = topics?;
    if let Log::Kafka(kafka) = &mut log {
        kafka.topic_settings = topics.settings;
    }
    Some(Config {
        node: (node != "auto").then_some(node),
        http,
        socket,
        log,
        dev_directory,
        topics: topics.specs,
        topic_defaults: topics.defaults,
        catalogue: topics.catalogue,
        schemas,
        auth: auth?,
        publish,
        feed,
        delivery,
        telemetry,
        shown: show::yaml(tree),
        view: show::json(tree),
    })
}

/// What cannot be read is a mistake, and stands in by a value that nobody uses then: so the rest is still looked at.
fn http(root: &Section<'_>) -> http::Config {
    let address = |text: &str| text.parse::<SocketAddr>().ok();
    root.section("http").read(|section| {
        let listen = section.parse("listen", "an address such as 127.0.0.1:8080", address);
        let config = http::Config {
            listen: listen.unwrap_or(UNREAD),
            metrics_listen: section.optional(
                "metrics_listen",
                "an address such as 127.0.0.1:9464, or null",
                address,
            ),
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
            tls: section.optional_section("tls").map(|tls| tls.read(tls_files)),
            drain_delay: section.duration("drain_delay"),
            drain_window: root.section("socket").duration("drain_window"),
            registry_path: registry_path(root),
            limits: http::LiveLimits::new(section.section("limits").read(limits)),
        };
        check_drain(section, &config);
        config
    })
}

fn registry_path(root: &Section<'_>) -> http::RegistryPath {
    let read = |text: &str| http::RegistryPath::parse(text).ok();
    let wanted = "/ or a path such as /registry that nothing else of the gateway begins with";
    root.section("schemas").parse("registry_path", wanted, read).unwrap_or_default()
}

fn tls_files(section: &Section<'_>) -> http::Tls {
    http::Tls {
        certificate: section.path("certificate"),
        key: section.path("key"),
        client_ca: section.if_set("client_ca", Section::path),
    }
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

fn limits(section: &Section<'_>) -> http::Limits {
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
    limits
}

fn socket(root: &Section<'_>) -> socket::Config {
    root.section("socket").read(|section| socket::Config {
        ping: section.duration("ping"),
        pong: section.duration("pong"),
        hello_timeout: section.duration("hello_timeout"),
        inbound_bytes_max: section.bytes("inbound_bytes_max"),
        messages_per_second_max: section.number("messages_per_second_max"),
        unsent_bytes_max: section.bytes("unsent_bytes_max"),
        subscriptions_max: section.number("subscriptions_max"),
        in_flight_max: section.number("in_flight_max"),
        drain_window: section.duration("drain_window"),
    })
}

fn log(root: &Section<'_>, node: &str) -> Log {
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
    let config = log_embedded::Config {
        fsync: fsync.unwrap_or(log_embedded::Fsync::Group),
        ..log_embedded::Config::at(embedded.path("path"))
    };
    embedded.finish();
    section.finish();
    if is_kafka == Some(true) { Log::Kafka(Box::new(kafka)) } else { Log::Embedded(config) }
}

fn schemas(root: &Section<'_>, is_dev: bool) -> schema::Config {
    root.section("schemas").read(|section| {
        let stores = [("folder", "folder"), ("embedded", "embedded"), ("confluent", "confluent")];
        let confluent = section.section("confluent").read(confluent::read);
        let store = match section.choice("store", &stores) {
            Some("embedded") => schema::Store::Embedded,
            Some("confluent") => {
                if confluent.urls.is_empty() {
                    section.mistake_below(
                        "confluent.urls",
                        "is empty: schemas.store: confluent needs an address",
                    );
                }
                schema::Store::Confluent(confluent)
            }
            _ => schema::Store::Folder,
        };
        // Read by the HTTP side.
        section.text("registry_path");
        // A folder that somebody named is expected to be there, also in development.
        let has_samples = is_dev && section.is_default("directory");
        let absent = if has_samples { schema::Absent::Samples } else { schema::Absent::Refused };
        schema::Config { store, directory: section.path("directory"), absent }
    })
}

fn publish(
    root: &Section<'_>,
    http: &http::Config,
    log: &Log,
    topics_auto_create: Option<publish::TopicTemplate>,
) -> publish::Config {
    let answers_are_durable = match log {
        Log::Embedded(embedded) => embedded.fsync == log_embedded::Fsync::Group,
        Log::Kafka(_) => true,
    };
    let limits = http.limits.load();
    root.section("publish").read(|section| publish::Config {
        dedupe_window: section.duration("dedupe_window"),
        dedupe_entries_max: section.number("dedupe_entries_max"),
        idempotency_lease: section.duration("idempotency_lease"),
        idempotency_window: section.duration("dedupe_window"),
        idempotency_entries_max: section.number("dedupe_entries_max"),
        idempotency_bytes_max: section.bytes("queue_bytes_max"),
        queue_bytes_max: section.bytes("queue_bytes_max") as u64,
        quotas: section.sections("quotas").into_iter().map(|one| one.read(quota)).collect(),
        event_bytes_max: limits.event_bytes_max,
        batch_items_max: limits.batch_items_max,
        json_depth_max: limits.json_depth_max,
        topics_auto_create,
        answers_are_durable,
    })
}

fn quota(section: &Section<'_>) -> publish::Quota {
    publish::Quota {
        principal: Pattern::new(&section.text("principal")),
        events_per_second: section.if_set("events_per_second", Section::number),
        bytes_per_second: section.if_set("bytes_per_second", Section::bytes).map(|bytes| bytes as u64),
    }
}

fn feed(root: &Section<'_>) -> feed::Config {
    root.section("feed").read(|section| feed::Config {
        ring_bytes_per_partition: section.bytes("ring_bytes_per_partition"),
        ring_bytes_total: section.bytes("ring_bytes_total"),
        catch_up_readers_max: section.number("catch_up_readers_max"),
    })
}

fn telemetry(root: &Section<'_>) -> telemetry::Config {
    let formats = [("json", telemetry::LogFormat::Json), ("text", telemetry::LogFormat::Text)];
    root.section("telemetry").read(|section| telemetry::Config {
        log: section.text("log"),
        log_format: section.choice("log_format", &formats).unwrap_or(telemetry::LogFormat::Json),
    })
}
