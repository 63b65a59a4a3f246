//! What librdkafka says went wrong, in the words of the port.

use std::sync::Arc;

use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaConfRes, RDKafkaErrorCode as Code};
use rdkafka::util::get_rdkafka_version;

use crate::event::{Partition, Topic};
use crate::log::Error;

/// Why the engine cannot be made at all, whatever the cluster is like.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting that cannot be.
    #[error("log.kafka: '{name}' {problem}")]
    Property {
        /// The setting or librdkafka property.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file that a setting names cannot be used.
    #[error("log.kafka: the file of '{name}' {problem}")]
    File {
        /// The setting.
        name: &'static str,
        /// What is wrong with the file.
        problem: String,
    },
    /// librdkafka refuses to make a client.
    #[error("log.kafka: no client can be made with these settings")]
    Client(#[source] KafkaError),
    /// A thread cannot be started.
    #[error("log.kafka: a thread cannot be started")]
    Thread(#[source] std::io::Error),
}

impl From<KafkaError> for OpenError {
    fn from(error: KafkaError) -> Self {
        match error {
            KafkaError::ClientConfig(result, text, name, _) => {
                Self::Property { name, problem: refused_setting(result, &text) }
            }
            error => Self::Client(error),
        }
    }
}

/// Why librdkafka does not take a setting. Its own words may hold the value, which may be a secret.
fn refused_setting(result: RDKafkaConfRes, text: &str) -> String {
    if result == RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN {
        let (_, version) = get_rdkafka_version();
        return format!("is no property of librdkafka {version}");
    }
    let range = text.split_once("allowed range ").map(|(_, range)| range.trim_end_matches('.'));
    match range.and_then(|range| range.split_once("..")) {
        Some((least, most)) => format!("must be a number from {least} to {most}"),
        None => {
            "has a value that librdkafka does not take; its CONFIGURATION.md lists those it does".to_owned()
        }
    }
}

/// The code behind an error, also where rdkafka hides it.
pub(super) fn code_of(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        error => error.rdkafka_error_code(),
    }
}

/// A failure that says nothing of the caller: the cluster is away, slow, or does not let the gateway.
pub(super) fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Unavailable(Arc::new(error))
}

/// What a look-up in a topic's partition failed of.
pub(super) fn lookup(error: KafkaError, topic: &Topic) -> Error {
    match code_of(&error) {
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Error::UnknownTopic(topic.clone()),
        _ => unavailable(error),
    }
}

/// Whether a look-up failed of something that passes: brokers learn of new topics and leaders one by one, and a client
/// asks a leader that died until it learns of the next one.
pub(super) fn is_passing(error: &KafkaError) -> bool {
    matches!(
        code_of(error),
        Some(
            Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::FencedLeaderEpoch
                | Code::UnknownLeaderEpoch
                | Code::OffsetNotAvailable
                | Code::BrokerTransportFailure
                | Code::DestroyBroker
                | Code::OperationTimedOut
                | Code::RequestTimedOut
        )
    )
}

/// Why a record was not stored, as far as that is known. `bytes` of at most `bytes_max` is the record's size.
pub(super) fn delivery(
    error: KafkaError,
    topic: &Topic,
    partition: Partition,
    (bytes, bytes_max): (usize, usize),
) -> Error {
    match code_of(&error) {
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize) if bytes > bytes_max => {
            Error::RecordTooLarge { bytes, bytes_max }
        }
        // The record alone may pass: the limit is one of all the records that were sent together.
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize) => unavailable(error),
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition) => Error::UnknownTopic(topic.clone()),
        Some(Code::UnknownPartition) => {
            Error::UnknownPartition { topic: topic.clone(), partition, partitions: partition.number() }
        }
        Some(
            Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::InvalidTopic
            | Code::InvalidRecord
            | Code::PolicyViolation
            | Code::InvalidTimestamp,
        ) => unavailable(error),
        // Time-outs, purges, disconnects and whatever else: the broker may have it.
        _ => Error::OutcomeUnknown,
    }
}

/// Why a record was not even taken by the client; surely it was not stored.
pub(super) fn refusal(error: KafkaError, topic: &Topic, partition: Partition, size: (usize, usize)) -> Error {
    match code_of(&error) {
        Some(Code::QueueFull) => Error::Overloaded,
        Some(
            Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::UnknownPartition,
        ) => delivery(error, topic, partition, size),
        _ => unavailable(error),
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::error::KafkaError;
    use rdkafka::types::RDKafkaErrorCode as Code;

    use super::{Error, OpenError, RDKafkaConfRes, delivery, refusal, refused_setting};
    use crate::event::{Partition, Topic};

    fn of(code: Code) -> (Error, Error) {
        let topic = Topic::parse("t").unwrap();
        let (error, partition) = (KafkaError::MessageProduction(code), Partition::new(1));
        (delivery(error.clone(), &topic, partition, (9, 8)), refusal(error, &topic, partition, (9, 8)))
    }

    #[test]
    fn a_time_out_is_an_unknown_outcome() {
        for code in [
            Code::MessageTimedOut,
            Code::PurgeQueue,
            Code::PurgeInflight,
            Code::Fatal,
            Code::BrokerTransportFailure,
        ] {
            assert!(matches!(of(code).0, Error::OutcomeUnknown), "{code:?}");
        }
    }

    #[test]
    fn what_the_client_refuses_was_surely_not_stored() {
        assert!(matches!(of(Code::QueueFull).1, Error::Overloaded));
        assert!(matches!(of(Code::Fatal).1, Error::Unavailable(_)));
        assert!(matches!(of(Code::MessageSizeTooLarge).1, Error::RecordTooLarge { bytes: 9, bytes_max: 8 }));
    }

    #[test]
    fn a_small_record_among_too_many_is_not_too_large() {
        let topic = Topic::parse("t").unwrap();
        let error = KafkaError::MessageProduction(Code::MessageSizeTooLarge);
        let failed = delivery(error, &topic, Partition::new(0), (8, 8));
        assert!(matches!(failed, Error::Unavailable(_)), "{failed:?}");
    }

    #[test]
    fn values_of_properties_are_not_told() {
        let invalid = RDKafkaConfRes::RD_KAFKA_CONF_INVALID;
        let text = "Invalid value \"s3cret\" for configuration property \"x\"";
        assert!(!refused_setting(invalid, text).contains("s3cret"));
        let text = "Configuration property \"x\" value 7 is outside allowed range 0..5";
        assert_eq!(refused_setting(invalid, text), "must be a number from 0 to 5");
        let unknown = refused_setting(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, "");
        assert!(unknown.starts_with("is no property of librdkafka "), "{unknown}");
        assert!(OpenError::Property { name: "x.y".into(), problem: "p".into() }.to_string().contains("x.y"));
    }
}
