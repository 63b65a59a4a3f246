//! Whether the cluster can be reached, as far as the gateway has seen, and what it is told about it.
//!
//! Clients report errors; that no broker is left means down. There is no report of the way back: the keeper asks for
//! metadata, and an answer means up.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::Notify;

use crate::log::{Error, Health};

use super::failure::code_of;
use super::locked;
use super::metrics::Metrics;
use super::statistics::Teller;
use super::trouble::Troubles;

/// A cluster that leaves so many looks in a row unanswered is away, also where its connections stand.
const UNANSWERED_MAX: u32 = 2;

/// The connection to the cluster.
#[derive(Debug)]
pub(super) struct Connection {
    is_up: AtomicBool,
    /// How many looks in a row the cluster left unanswered.
    unanswered: AtomicU32,
    /// Whether the topics were read since the start.
    has_topics: AtomicBool,
    /// Whether all is there that the gateway needs of the cluster.
    is_admitted: AtomicBool,
    /// Guards the reason shown while down.
    reason: Mutex<Reason>,
    went_down: Notify,
    /// What was told and is not over.
    pub(super) troubles: Troubles,
    metrics: Arc<Metrics>,
}

/// What is told of while the connection itself fails.
const ITSELF: &str = "the connection";

#[derive(Debug)]
struct Reason {
    code: Option<Code>,
    text: String,
}

impl Connection {
    /// Not connected yet.
    pub(super) fn new(brokers: &[String], metrics: Arc<Metrics>) -> Self {
        let text = format!("Kafka at {} has not answered yet", brokers.join(", "));
        Self {
            is_up: AtomicBool::new(false),
            unanswered: AtomicU32::new(0),
            has_topics: AtomicBool::new(false),
            is_admitted: AtomicBool::new(false),
            reason: Mutex::new(Reason { code: None, text }),
            went_down: Notify::new(),
            troubles: Troubles::default(),
            metrics,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Acquire)
    }

    /// The cluster answered.
    pub(super) fn saw_up(&self) {
        self.unanswered.store(0, Ordering::Release);
        if !self.is_up.swap(true, Ordering::AcqRel) {
            self.metrics.up.set(1);
            locked(&self.reason).code = None;
            self.troubles.passed(ITSELF);
            tracing::info!("connected to Kafka");
        }
    }

    /// A broker stored something: looks that went unanswered before were put to another one, which stands still.
    pub(super) fn heard(&self) {
        if self.unanswered.load(Ordering::Acquire) > 0 {
            self.unanswered.store(0, Ordering::Release);
        }
    }

    /// The cluster did not answer in time; whether it is away. As long as no client lost its brokers, a slow answer alone
    /// does not say so.
    pub(super) fn unanswered(&self, text: &str) -> bool {
        let unanswered = self.unanswered.fetch_add(1, Ordering::AcqRel) + 1;
        let is_away = !self.is_up() || unanswered >= UNANSWERED_MAX;
        if is_away {
            self.saw_down(text);
        }
        is_away
    }

    /// A client has no broker left.
    pub(super) fn saw_down(&self, text: &str) {
        if self.is_up.swap(false, Ordering::AcqRel) {
            self.metrics.up.set(0);
            tracing::warn!(reason = text, "Kafka cannot be reached; publishes are refused until it is back");
        }
        let mut reason = locked(&self.reason);
        // The reason why a connection broke says more than that all are gone.
        if reason.code.is_none() {
            text.clone_into(&mut reason.text);
        }
        drop(reason);
        self.went_down.notify_one();
    }

    /// The topics were read.
    pub(super) fn saw_topics(&self) {
        self.has_topics.store(true, Ordering::Release);
    }

    pub(super) fn has_topics(&self) -> bool {
        self.has_topics.load(Ordering::Acquire)
    }

    /// What the gateway needs is there.
    pub(super) fn admit(&self) {
        self.is_admitted.store(true, Ordering::Release);
    }

    /// The topics cannot be read, though the cluster may answer.
    pub(super) fn troubled(&self, error: &Error) {
        if self.is_up() && !self.has_topics() {
            let text =
                std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
            let mut reason = locked(&self.reason);
            if reason.text != text {
                tracing::warn!(reason = text, "Kafka answers, but its topics cannot be read");
            }
            reason.text = text;
        }
    }

    /// Something failed that explains why the cluster cannot be reached, or soon will.
    fn note(&self, code: Code, text: &str) {
        *locked(&self.reason) = Reason { code: Some(code), text: text.to_owned() };
        if !self.is_up() {
            self.troubles.befell(ITSELF, code, text);
        }
    }

    /// Waits until the cluster was seen to be away.
    pub(super) async fn down(&self) {
        self.went_down.notified().await;
    }

    pub(super) fn health(&self) -> Health {
        let is_admitted = self.is_admitted.load(Ordering::Acquire);
        let summary = match (self.is_up(), self.has_topics()) {
            (true, true) if is_admitted => return Health::Ready,
            (true, true) => "the configured topics are being made on Kafka",
            (true, false) => "Kafka answers, but its topics cannot be read yet",
            (false, _) => summary(&locked(&self.reason)),
        };
        Health::Unready { summary, detail: format!("{summary}: {}", locked(&self.reason).text) }
    }
}

/// How librdkafka begins to say that it got no token; a test on a broker holds the wording.
const NO_TOKEN: &str = "Failed to acquire SASL OAUTHBEARER token";

/// Why the cluster is away, in words that anyone may hear.
fn summary(reason: &Reason) -> &'static str {
    match reason.code {
        Some(Code::Authentication) if reason.text.starts_with(NO_TOKEN) => {
            "the gateway gets no token for Kafka"
        }
        Some(
            Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState,
        ) => "Kafka does not accept the gateway's credentials",
        Some(Code::SSL) => "there is no trusted connection to Kafka",
        _ => "Kafka cannot be reached",
    }
}

/// What every client of the engine tells, and to whom.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    connection: Arc<Connection>,
    role: &'static str,
    /// Whether this client's losing all brokers means that the cluster is away.
    is_leading: bool,
    /// Where one client's statistics go.
    teller: Option<Arc<Teller>>,
}

impl Watch {
    /// For a client whose troubles are its own.
    pub(super) const fn of(connection: Arc<Connection>, role: &'static str) -> Self {
        Self { connection, role, is_leading: false, teller: None }
    }

    /// For the client that says whether the cluster can be reached.
    pub(super) const fn leading(connection: Arc<Connection>, role: &'static str) -> Self {
        Self { connection, role, is_leading: true, teller: None }
    }

    /// For one client more of this kind, its statistics told. Whoever uses the client polls it.
    pub(super) fn measured(&self) -> Self {
        let teller = Teller::new(self.role, Arc::clone(&self.connection.metrics));
        Self { teller: Some(Arc::new(teller)), ..self.clone() }
    }
}

impl ClientContext for Watch {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, text: &str) {
        tracing::debug!(client = self.role, facility, text, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(client = self.role, %error, reason, "librdkafka");
        let Some(code) = code_of(&error) else { return };
        match code {
            Code::AllBrokersDown if self.is_leading => self.connection.saw_down(reason),
            Code::Authentication
            | Code::BrokerTransportFailure
            | Code::Resolve
            | Code::SSL
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism => self.connection.note(code, reason),
            Code::ClusterAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::TopicAuthorizationFailed => {
                if !self.connection.is_up() {
                    self.connection.note(code, reason);
                }
                // The reason names what is denied.
                self.connection.troubles.denied(code, reason);
            }
            _ => {}
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        if let Some(teller) = &self.teller {
            teller.tell(statistics);
        }
    }
}

impl ConsumerContext for Watch {}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rdkafka::client::ClientContext;
    use rdkafka::error::KafkaError;
    use rdkafka::types::RDKafkaErrorCode as Code;

    use super::{Connection, Watch};
    use crate::log::Health;
    use crate::log_kafka::metrics::Metrics;
    use crate::telemetry::Registry;

    fn connection() -> Arc<Connection> {
        let metrics = Arc::new(Metrics::register(&Registry::new()));
        Arc::new(Connection::new(&["k:9092".to_owned()], metrics))
    }

    fn reason(connection: &Connection) -> String {
        let Health::Unready { detail: reason, .. } = connection.health() else { panic!("it should be away") };
        reason
    }

    #[test]
    fn it_is_away_until_it_answered_and_says_why() {
        let connection = connection();
        assert!(reason(&connection).contains("k:9092"));
        let watch = Watch::leading(Arc::clone(&connection), "test");
        watch.error(KafkaError::Global(Code::Authentication), "wrong password");
        watch.error(KafkaError::Global(Code::AllBrokersDown), "1/1 brokers are down");
        let told = reason(&connection);
        assert!(told.contains("credentials") && told.contains("wrong password"), "{told}");
        connection.saw_up();
        assert!(reason(&connection).contains("cannot be read yet"));
        connection.saw_topics();
        assert!(reason(&connection).contains("being made"));
        connection.admit();
        assert_eq!(connection.health(), Health::Ready);
        watch.error(KafkaError::Global(Code::AllBrokersDown), "1/1 brokers are down");
        assert!(reason(&connection).contains("1/1 brokers"));
    }

    #[test]
    fn one_slow_answer_does_not_mean_that_the_cluster_is_away() {
        let connection = connection();
        connection.saw_up();
        assert!(!connection.unanswered("slow") && connection.is_up());
        connection.saw_up();
        assert!(!connection.unanswered("slow") && connection.is_up());
        assert!(connection.unanswered("slow") && !connection.is_up());
        connection.saw_up();
        let watch = Watch::leading(Arc::clone(&connection), "test");
        watch.error(KafkaError::Global(Code::AllBrokersDown), "1/1 brokers are down");
        assert!(connection.unanswered("gone"), "its brokers are lost, too");
    }

    #[test]
    fn a_cluster_that_stores_events_is_not_away_because_one_broker_stands_still() {
        let connection = connection();
        connection.saw_up();
        for _ in 0..3 {
            assert!(!connection.unanswered("slow") && connection.is_up());
            connection.heard();
        }
        assert!(
            !connection.unanswered("slow") && connection.unanswered("slow"),
            "nothing was stored meanwhile"
        );
        connection.heard();
        assert!(!connection.is_up(), "what comes late is no answer");
    }

    #[test]
    fn reasons_that_take_turns_are_told_once_until_it_is_back() {
        let connection = connection();
        let watch = Watch::leading(Arc::clone(&connection), "test");
        for _ in 0..3 {
            watch.error(KafkaError::Global(Code::Resolve), "no such host");
            watch.error(KafkaError::Global(Code::BrokerTransportFailure), "refused");
        }
        assert!(!connection.troubles.befell(super::ITSELF, Code::Resolve, "no such host"));
        assert!(!connection.troubles.befell(super::ITSELF, Code::BrokerTransportFailure, "refused"));
        connection.saw_up();
        assert!(!connection.troubles.is_any());
    }

    #[test]
    fn only_the_leading_client_says_that_the_cluster_is_away() {
        let connection = connection();
        connection.saw_up();
        let watch = Watch::of(Arc::clone(&connection), "test");
        watch.error(KafkaError::Global(Code::AllBrokersDown), "1/1 brokers are down");
        assert!(connection.is_up());
    }
}
