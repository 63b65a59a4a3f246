//! What stands in the way, each told once with its remedy, and once more when it is over.
//!
//! Clients, producers and members meet the same refusal again and again; an operator shall read it once.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::types::RDKafkaErrorCode as Code;

use super::locked;

/// Troubles remembered; beyond them some are told again.
const TOLD_MAX: usize = 4_096;

/// Troubles by what they befell.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    /// Whether there is any: asked for every record stored.
    is_any: AtomicBool,
    /// Guards what was told and is not over.
    told: Mutex<HashSet<(String, i32)>>,
}

impl Troubles {
    /// Something failed; tells it where it is new. Whether it is.
    pub(super) fn befell(&self, what: &str, code: Code, reason: &str) -> bool {
        let mut told = locked(&self.told);
        if told.len() >= TOLD_MAX {
            told.clear();
        }
        let is_new = told.insert((what.to_owned(), code as i32));
        self.is_any.store(true, Ordering::Release);
        drop(told);
        if is_new {
            tracing::warn!(what, reason, remedy = remedy(code), "Kafka does not do what the gateway asks");
        }
        is_new
    }

    /// Whether anything is told and not over.
    pub(super) fn is_any(&self) -> bool {
        self.is_any.load(Ordering::Relaxed)
    }

    /// What failed works again; whether it had failed.
    pub(super) fn passed(&self, what: &str) -> bool {
        if !self.is_any() {
            return false;
        }
        let mut told = locked(&self.told);
        let before = told.len();
        told.retain(|(known, _)| known != what);
        let is_over = told.len() < before;
        self.is_any.store(!told.is_empty(), Ordering::Release);
        drop(told);
        if is_over {
            tracing::info!(what, "Kafka does again what the gateway asks");
        }
        is_over
    }
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
        | Code::IllegalSASLState => "check mechanism, username and password in log.kafka.security.sasl",
        Code::SSL => {
            "check log.kafka.security.tls: ca names who signed the brokers' certificates; brokers that ask for one need certificate and key"
        }
        Code::TopicAuthorizationFailed => {
            "grant the gateway Read, Write, Create, Describe, DescribeConfigs and AlterConfigs on the topic; it also needs topics named _weirgate. and dlq."
        }
        Code::GroupAuthorizationFailed => "grant the gateway Read, Describe and Delete on the group",
        Code::ClusterAuthorizationFailed => {
            "grant the gateway Create, Describe and IdempotentWrite on the cluster"
        }
        Code::TransactionalIdAuthorizationFailed => {
            "grant the gateway Write and Describe on transactional ids"
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
    use super::{Code, Troubles};

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
    }
}
