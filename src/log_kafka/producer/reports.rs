//! What the producer's client calls back: a report of every record, and what befell the client.

use std::sync::Arc;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::ProducerContext;
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::event::Topic;

use super::super::batch::Batch;
use super::super::connection::{Connection, Watch};
use super::super::failure::{code_of, delivery};
use super::super::record::{broker_time, native_bytes};
use super::Limits;

/// What the producer's client calls back.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) watch: Watch,
    pub(super) connection: Arc<Connection>,
    pub(super) limits: Arc<Limits>,
}

impl Context {
    /// Tells of a topic that takes no records; not of what the connection's own troubles bring.
    fn tell(&self, topic: &Topic, error: &KafkaError) {
        let Some(code) = code_of(error) else { return };
        let is_of_connection =
            matches!(code, Code::PurgeQueue | Code::PurgeInflight | Code::BrokerDestroy | Code::Fatal);
        if !is_of_connection && self.connection.is_up() {
            self.connection.troubles.befell(&publishing(topic), code, &error.to_string());
        }
    }
}

/// What a topic's troubles are told of.
pub(in crate::log_kafka) fn publishing(topic: &Topic) -> String {
    format!("publishing to {topic}")
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.watch.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.watch.stats_raw(statistics);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Arc<Batch>;

    fn delivery(&self, result: &DeliveryResult<'_>, batch: Arc<Batch>) {
        match result {
            Ok(message) => {
                batch.stored(message.offset(), broker_time(message));
                self.connection.heard();
                if self.connection.troubles.is_any() {
                    self.connection.troubles.passed(&publishing(&batch.topic));
                }
            }
            Err((error, message)) => {
                self.tell(&batch.topic, error);
                let size = (native_bytes(message), self.limits.of(&batch.topic, batch.record_bytes_max));
                batch.failed(delivery(error.clone(), &batch.topic, batch.partition, size), 1);
            }
        }
    }
}
