//! The librdkafka properties of each client, the operator's own laid over them.
//!
//! What the engine's promises rest on cannot be set: see [`RESERVED`].

mod blame;
mod oauthbearer;

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use uuid::Uuid;

use crate::event::GroupName;

use super::config::{Config, GroupProtocol, SecurityProtocol};
use super::failure::OpenError;

/// Properties that belong to the engine.
const RESERVED: &[&str] = &[
    "acks",
    "allow.auto.create.topics",
    "auto.offset.reset",
    "bootstrap.servers",
    "client.id",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "isolation.level",
    "linger.ms",
    "log.queue",
    "message.timeout.ms",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "partitioner",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "request.required.acks",
    "transaction.timeout.ms",
    "transactional.id",
];

/// How the gateway can prove itself by name and password.
const MECHANISMS: &[&str] = &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// A record and what Kafka puts around it fit into the brokers' default limit of a batch.
const MESSAGE_BYTES_MAX: usize = 1_048_588;
/// What Kafka puts around one record, generously.
const OVERHEAD_BYTES: usize = 1_024;

/// How often clients tell their statistics, unless the operator says otherwise.
const STATISTICS_EVERY: Duration = Duration::from_secs(10);
const STATISTICS: &str = "statistics.interval.ms";
/// A transaction that takes longer is ended by the cluster. Until then, that of a gateway which died keeps what was
/// written behind it from readers.
const TRANSACTION_MAX: Duration = Duration::from_secs(10);

/// Makes clients' properties out of the configuration.
#[derive(Debug, Clone)]
pub(super) struct Settings(Config);

impl Settings {
    /// Checks what can be checked without a cluster.
    pub(super) fn new(config: Config) -> Result<Self, OpenError> {
        let problem = |name: &str, problem: &str| {
            Err(OpenError::Property { name: name.to_owned(), problem: problem.to_owned() })
        };
        if config.brokers.is_empty() {
            return problem("brokers", "needs at least one host:port");
        }
        if let Some(name) = config.properties.keys().find(|name| RESERVED.contains(&name.as_str())) {
            return problem(&format!("properties.{name}"), "belongs to the gateway and cannot be set");
        }
        let protocol = config.security.protocol;
        let needs_sasl = matches!(protocol, SecurityProtocol::SaslPlaintext | SecurityProtocol::SaslSsl);
        if needs_sasl && config.security.sasl.is_none() {
            let is_given = |name: &&str| config.properties.contains_key(*name);
            if !["sasl.mechanism", "sasl.mechanisms"].iter().any(is_given) {
                return problem("security.sasl", "is needed by this protocol");
            }
        }
        oauthbearer::check(config.security.sasl.as_ref(), &config.properties)?;
        if let Some(sasl) = &config.security.sasl
            && !MECHANISMS.contains(&sasl.mechanism.as_str())
        {
            let one_of = format!("must be one of {}", MECHANISMS.join(", "));
            return problem("security.sasl.mechanism", &one_of);
        }
        if config.security.protocol.is_encrypted() {
            config.security.tls.check()?;
        }
        let settings = Self(config);
        for client in [settings.producer(), settings.fetcher(0, 1_024)] {
            client.create_native_config().map_err(|error| settings.blamed(error.into()))?;
        }
        Ok(settings)
    }

    pub(super) const fn config(&self) -> &Config {
        &self.0
    }

    /// The largest record, counted as [`crate::event::Record::bytes`].
    pub(super) fn record_bytes_max(&self) -> usize {
        let given = self.0.properties.get("message.max.bytes");
        let bytes_max = given.and_then(|text| text.reveal().parse().ok()).unwrap_or(MESSAGE_BYTES_MAX);
        bytes_max.saturating_sub(OVERHEAD_BYTES)
    }

    /// A client of the gateway's producer.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.base();
        // More than the engine's own bound ever lets through, so that librdkafka's queue is never the one that is full.
        let queue_kbytes = (self.0.queue_bytes_max / 1_024 * 2).clamp(1_024, 2_000_000);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", millis(self.0.linger))
            .set("message.timeout.ms", millis(self.0.delivery_timeout))
            .set("message.max.bytes", MESSAGE_BYTES_MAX.to_string())
            .set("queue.buffering.max.messages", "10000000")
            .set("queue.buffering.max.kbytes", queue_kbytes.to_string())
            .set("compression.type", "lz4")
            .set("partitioner", "murmur2_random")
            .set(STATISTICS, millis(STATISTICS_EVERY));
        self.overlaid(config)
    }

    /// A producer that writes in transactions, alone under this id.
    pub(super) fn transactional(&self, id: &str) -> ClientConfig {
        // librdkafka refuses a transaction shorter than one request may take.
        let given = self.0.properties.get("socket.timeout.ms").and_then(|text| text.reveal().parse().ok());
        let transaction_max = TRANSACTION_MAX.max(Duration::from_millis(given.unwrap_or(0)));
        let mut config = self.producer();
        config
            .set("transactional.id", id)
            .set("transaction.timeout.ms", millis(transaction_max))
            .set("message.timeout.ms", millis(self.0.delivery_timeout.min(transaction_max)))
            .set("linger.ms", "0")
            // Asked for the end of a partition, it tells the true one, behind transactions that are still open.
            .set("isolation.level", "read_uncommitted");
        silent(config)
    }

    /// The id of this process's transactions. A named gateway ends what the process before it left open.
    pub(super) fn transactional_id(&self) -> String {
        match &self.0.instance {
            Some(instance) => format!("weirgate-{instance}"),
            None => format!("weirgate-{}", Uuid::new_v4().simple()),
        }
    }

    /// A client that changes topics and groups. Nobody reads its log lines, so it makes none.
    pub(super) fn admin(&self) -> ClientConfig {
        let mut config = silent(self.overlaid(self.base()));
        config.set_log_level(RDKafkaLogLevel::Emerg);
        config
    }

    /// A client that asks for offsets.
    pub(super) fn queries(&self) -> ClientConfig {
        let mut config = self.base();
        config.set("isolation.level", "read_committed").set("enable.auto.commit", "false");
        silent(self.overlaid(config))
    }

    /// A client that reads partitions assigned to it one by one. `wait_ms` is how long a partition that has nothing
    /// keeps a new one waiting.
    pub(super) fn fetcher(&self, wait_ms: u32, queued_kbytes: u32) -> ClientConfig {
        let mut config = self.consumer(queued_kbytes);
        config
            .set("group.id", format!("{}-reader", self.0.client_id))
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", wait_ms.to_string());
        self.overlaid(config)
    }

    /// The gateway's member of a group.
    pub(super) fn member(&self, group: &GroupName, protocol: GroupProtocol) -> ClientConfig {
        let mut config = self.consumer(1_024);
        config.set("group.id", group.as_str());
        match protocol {
            GroupProtocol::Consumer => {
                config.set("group.protocol", "consumer");
            }
            GroupProtocol::Classic | GroupProtocol::Auto => {
                config
                    .set("partition.assignment.strategy", "cooperative-sticky")
                    .set("heartbeat.interval.ms", "500")
                    .set("topic.metadata.refresh.interval.ms", "5000");
            }
        }
        if let Some(instance) = &self.0.instance {
            config.set("group.instance.id", format!("weirgate-{instance}"));
        }
        self.overlaid(config)
    }

    /// A client that reads and sets a group's offsets without being its member.
    pub(super) fn offsets(&self, group: &GroupName) -> ClientConfig {
        let mut config = self.consumer(1_024);
        config.set("group.id", group.as_str());
        silent(self.overlaid(config))
    }

    /// A client that tells what one broker offers.
    pub(super) fn probe(&self, broker: &str) -> ClientConfig {
        let mut config = silent(self.overlaid(self.base()));
        config.set("bootstrap.servers", broker).set("debug", "feature").set_log_level(RDKafkaLogLevel::Debug);
        config
    }

    fn consumer(&self, queued_kbytes: u32) -> ClientConfig {
        let mut config = self.base();
        config
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("check.crcs", "true")
            // Counted for each partition, since each has a queue of its own.
            .set("queued.max.messages.kbytes", queued_kbytes.to_string())
            .set("queued.min.messages", "10000")
            // A full queue is looked at again soon; the default of a second would be the reader's pace.
            .set("fetch.queue.backoff.ms", "10")
            .set(STATISTICS, millis(STATISTICS_EVERY));
        config
    }

    fn base(&self) -> ClientConfig {
        let Config { brokers, client_id, security, .. } = &self.0;
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", brokers.join(","))
            .set("client.id", client_id)
            .set("security.protocol", security.protocol.as_str())
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "1000")
            .set_log_level(RDKafkaLogLevel::Warning);
        if let Some(sasl) = &security.sasl {
            config
                .set("sasl.mechanism", &sasl.mechanism)
                .set("sasl.username", &sasl.username)
                .set("sasl.password", sasl.password.reveal());
        }
        if security.protocol.is_encrypted() {
            let ca = security.tls.ca.as_deref().map_or_else(|| "probe".into(), |path| path.to_string_lossy());
            config.set("ssl.ca.location", ca);
            let own = [
                ("ssl.certificate.location", &security.tls.certificate),
                ("ssl.key.location", &security.tls.key),
            ];
            for (name, path) in own {
                if let Some(path) = path {
                    config.set(name, path.to_string_lossy());
                }
            }
        }
        config
    }

    fn overlaid(&self, mut config: ClientConfig) -> ClientConfig {
        for (name, value) in &self.0.properties {
            config.set(name, value.reveal());
        }
        config
    }
}

/// For clients that nobody polls regularly: what they tell would pile up.
fn silent(mut config: ClientConfig) -> ClientConfig {
    config.set(STATISTICS, "0");
    config
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use super::Settings;
    use crate::log_kafka::config::{Config, Secret, SecurityProtocol, Tls};

    fn config() -> Config {
        Config::of(vec!["localhost:9092".to_owned()])
    }

    #[test]
    fn a_property_of_the_engine_is_refused_by_name() {
        let mut config = config();
        config.properties.insert("acks".to_owned(), Secret::new("1"));
        let error = Settings::new(config).unwrap_err().to_string();
        assert!(error.contains("acks"), "{error}");
    }

    #[test]
    fn what_librdkafka_refuses_is_named_without_its_value() {
        for (name, value) in [("no.such.property", "value-1"), ("fetch.max.bytes", "value-2")] {
            let mut config = config();
            config.properties.insert(name.to_owned(), Secret::new(value));
            let error = Settings::new(config).unwrap_err().to_string();
            assert!(error.contains(&format!("properties.{name}")) && !error.contains(value), "{error}");
        }
    }

    #[test]
    fn sasl_without_a_user_is_refused() {
        let mut config = config();
        config.security.protocol = SecurityProtocol::SaslSsl;
        assert!(Settings::new(config).unwrap_err().to_string().contains("security.sasl"));
    }

    #[test]
    fn files_that_are_not_what_they_should_be_are_named_by_their_setting() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        let certificate = || file("c.pem", "-----BEGIN CERTIFICATE-----\n");
        let key = || file("k.pem", "-----BEGIN PRIVATE KEY-----\n");
        let absent = || Some(directory.path().join("absent.pem"));
        for (tls, name) in [
            (Tls { ca: absent(), ..Tls::default() }, "security.tls.ca"),
            (Tls { ca: file("ca.pem", "not PEM"), ..Tls::default() }, "security.tls.ca"),
            (Tls { ca: key(), ..Tls::default() }, "security.tls.ca"),
            (Tls { certificate: certificate(), ..Tls::default() }, "security.tls.key"),
            (Tls { key: key(), ..Tls::default() }, "security.tls.certificate"),
            (Tls { certificate: key(), key: key(), ca: None }, "security.tls.certificate"),
            (Tls { certificate: certificate(), key: certificate(), ca: None }, "security.tls.key"),
        ] {
            let mut config = config();
            config.security.protocol = SecurityProtocol::Ssl;
            config.security.tls = tls;
            let error = Settings::new(config).unwrap_err().to_string();
            assert!(error.contains(&format!("'{name}'")), "{name}: {error}");
        }
    }

    #[test]
    fn the_operators_properties_win() {
        let mut config = config();
        config.properties.insert("compression.type".to_owned(), Secret::new("zstd"));
        config.properties.insert("message.max.bytes".to_owned(), Secret::new("2000000"));
        let settings = Settings::new(config).unwrap();
        assert_eq!(settings.producer().get("compression.type"), Some("zstd"));
        assert_eq!(settings.record_bytes_max(), 1_998_976);
    }

    #[test]
    fn no_property_makes_a_transactional_client_impossible() {
        for given in [None, Some("60000"), Some("1000")] {
            let mut config = config();
            config.delivery_timeout = std::time::Duration::from_secs(120);
            config.properties.extend(given.map(|value| ("socket.timeout.ms".to_owned(), Secret::new(value))));
            let client = Settings::new(config).unwrap().transactional("t");
            client.create::<rdkafka::producer::BaseProducer>().unwrap();
        }
    }

    #[test]
    fn only_clients_that_are_polled_tell_statistics() {
        let interval =
            |client: rdkafka::ClientConfig| client.get("statistics.interval.ms").map(str::to_owned);
        let group = crate::event::GroupName::parse("g").unwrap();
        for (given, told) in [(None, "10000"), (Some("500"), "500"), (Some("0"), "0")] {
            let mut config = config();
            config
                .properties
                .extend(given.map(|value| ("statistics.interval.ms".to_owned(), Secret::new(value))));
            let settings = Settings::new(config).unwrap();
            let member = settings.member(&group, super::GroupProtocol::Classic);
            for client in [settings.producer(), settings.fetcher(1, 1), member] {
                assert_eq!(interval(client).as_deref(), Some(told));
            }
            let silent =
                [settings.admin(), settings.queries(), settings.offsets(&group), settings.transactional("t")];
            assert!(silent.into_iter().all(|client| interval(client).as_deref() == Some("0")));
        }
    }

    #[test]
    fn secrets_do_not_show() {
        let mut config = config();
        config.properties.insert("sasl.password".to_owned(), Secret::new("not-to-be-seen"));
        assert!(!format!("{config:?}").contains("not-to-be-seen"));
    }
}
