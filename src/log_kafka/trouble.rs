//! What stands in the way, each told once with its remedy, and once more when it is over.
//!
//! Clients, producers and members meet the same refusal again and again; an operator shall read it once.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::time::Instant;

use super::locked;

/// What is remembered; beyond it some is told again.
const TOLD_MAX: usize = 4_096;
/// What is never said to be over is told again after so long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3_600);

/// Troubles by what they befell.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    /// Whether any is not over: asked for every record stored.
    is_any: AtomicBool,
    /// Guards what was told and is not over, with all its reasons.
    told: Mutex<HashMap<String, Vec<Code>>>,
    /// Guards when was told what nobody hears the end of.
    denied: Mutex<HashMap<String, Instant>>,
}

impl Troubles {
    /// Something failed; tells it where it is new. Whether it is.
    pub(super) fn befell(&self, what: &str, code: Code, reason: &str) -> bool {
        let mut told = locked(&self.told);
        if told.len() >= TOLD_MAX {
            told.clear();
        }
        let codes = told.entry(what.to_owned()).or_default();
        let is_new = !codes.contains(&code);
        if is_new {
            codes.push(code);
        }
        self.is_any.store(true, Ordering::Release);
        drop(told);
        if is_new {
            tell(what, code, reason);
        }
        is_new
    }

    /// A client was not let do something, in its own words; nobody hears when it is. Tells it where it is new.
    pub(super) fn denied(&self, code: Code, reason: &str) -> bool {
        let now = Instant::now();
        let mut denied = locked(&self.denied);
        if denied.len() >= TOLD_MAX {
            denied.clear();
        }
        let is_new = denied.get(reason).is_none_or(|told| now.duration_since(*told) > FORGOTTEN_AFTER);
        if is_new {
            denied.insert(reason.to_owned(), now);
        }
        drop(denied);
        if is_new {
            tell(reason, code, reason);
        }
        is_new
    }

    /// Whether anything is told and not over.
    pub(super) fn is_any(&self) -> bool {
        self.is_any.load(Ordering::Relaxed)
    }

    /// What failed works again; whether it had failed.
    pub(super) fn passed(&self, what: &str) -> bool {
        let is_over = self.forget(what);
        if is_over {
            tracing::info!(what, "Kafka does again what the gateway asks");
        }
        is_over
    }

    /// What failed is gone; whether it had failed.
    pub(super) fn forget(&self, what: &str) -> bool {
        if !self.is_any() {
            return false;
        }
        let mut told = locked(&self.told);
        let is_over = told.remove(what).is_some();
        self.is_any.store(!told.is_empty(), Ordering::Release);
        is_over
    }
}

fn tell(what: &str, code: Code, reason: &str) {
    tracing::warn!(what, reason, remedy = remedy(code), "Kafka does not do what the gateway asks");
}

/// What an operator can do about it.
pub(super) const fn remedy(code: Code) -> &'static str {
    match code {
        Code::Resolve => "check the host names in log.kafka.brokers and in the brokers' advertised.listeners",
        Code::BrokerTransportFailure | Code::AllBrokersDown => {
            "check log.kafka.brokers, the network between, that the brokers' listener speaks log.kafka.security.protocol, and with TLS that it accepts the gateway's certificate"
        }
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState => {
            "check mechanism, username and password in log.kafka.security.sasl; with OAUTHBEARER the properties sasl.oauthbearer.…, and what the issuer of tokens says of them"
        }
        Code::SSL => {
            "check log.kafka.security.tls: ca names who signed the brokers' certificates; brokers that ask for one need certificate and key"
        }
        Code::TopicAuthorizationFailed => {
            "grant the gateway Read, Write and DescribeConfigs on the topic, with Create, Alter and AlterConfigs where it is to make and change it; it also needs topics named _weirgate. and dlq.: see deploy/kafka.md"
        }
        Code::GroupAuthorizationFailed => {
            "grant the gateway Read on the group; readers need it on the group of log.kafka.client_id and -reader"
        }
        Code::ClusterAuthorizationFailed => {
            "nothing is needed on the cluster itself since Kafka 3.0, but Write on the topics; older brokers want IdempotentWrite on the cluster"
        }
        Code::TransactionalIdAuthorizationFailed => {
            "grant the gateway Write and Describe on transactional ids that begin with weirgate-"
        }
        Code::MessageTimedOut | Code::RequestTimedOut | Code::OperationTimedOut => {
            "look for brokers that are down, slow or full: the topic may have fewer replicas in sync than its min.insync.replicas"
        }
        Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend => {
            "bring brokers back, or lower the topic's min.insync.replicas"
        }
        Code::InvalidReplicationFactor => {
            "start more brokers, or lower 'replication' of the topic or in topic_defaults"
        }
        Code::KafkaStorageError => "free or replace the broker's disk, then restart the broker",
        Code::MessageSizeTooLarge => {
            "raise the topic's max.message.bytes to 1048588, or set batch.size in log.kafka.properties below it"
        }
        Code::PolicyViolation => "the cluster's policy for topics refuses this; change the topic's settings",
        Code::UnreleasedInstanceId | Code::FencedInstanceId => {
            "give each gateway a name of its own in node; after a crash the old session ends by itself"
        }
        Code::GroupMaxSizeReached => "raise the brokers' group.max.size, or run fewer gateways",
        Code::InconsistentGroupProtocol | Code::UnsupportedAssignor => {
            "members of the group must share an assignor: cooperative-sticky, or all on KIP-848"
        }
        _ => "see the brokers' logs",
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, FORGOTTEN_AFTER, Troubles};

    #[test]
    fn a_trouble_is_told_once_until_it_is_over() {
        let troubles = Troubles::default();
        assert!(!troubles.is_any());
        assert!(troubles.befell("topic a", Code::TopicAuthorizationFailed, "denied"));
        assert!(!troubles.befell("topic a", Code::TopicAuthorizationFailed, "denied"));
        assert!(troubles.befell("topic b", Code::TopicAuthorizationFailed, "denied"));
        assert!(troubles.befell("topic a", Code::MessageTimedOut, "slow"), "another reason is news");
        assert!(
            !troubles.befell("topic a", Code::TopicAuthorizationFailed, "denied"),
            "though they take turns"
        );
        assert!(troubles.passed("topic a") && !troubles.passed("topic a"));
        assert!(troubles.is_any(), "the other is not over");
        assert!(troubles.befell("topic a", Code::TopicAuthorizationFailed, "denied"), "it came back");
        assert!(troubles.forget("topic a") && troubles.passed("topic b") && !troubles.is_any());
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_hears_the_end_of_is_told_again_after_a_while() {
        let troubles = Troubles::default();
        assert!(troubles.denied(Code::TopicAuthorizationFailed, "not topic a"));
        for _ in 0..3 {
            tokio::time::advance(FORGOTTEN_AFTER / 4).await;
            assert!(!troubles.denied(Code::TopicAuthorizationFailed, "not topic a"));
        }
        tokio::time::advance(FORGOTTEN_AFTER / 2).await;
        assert!(troubles.denied(Code::TopicAuthorizationFailed, "not topic a"));
        assert!(!troubles.is_any(), "records stored need not ask");
    }
}
