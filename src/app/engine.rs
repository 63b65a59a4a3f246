//! The log's engine, chosen by the configuration; everything else holds the port.

use std::sync::Arc;

use anyhow::Context;
use tokio::time::{Instant, timeout_at};

use crate::config::Log;
use crate::event::Clock;
use crate::log::{EventLog, Groups};
use crate::log_embedded;
use crate::log_kafka;
use crate::telemetry::Registry;

use super::build::off_thread;
use super::topics::{Topics, Wanted};

/// An engine.
#[derive(Debug, Clone)]
pub(super) enum Engine {
    Embedded(Arc<log_embedded::Engine>),
    Kafka(Arc<log_kafka::Engine>),
}

impl Engine {
    pub(super) async fn open(log: Log, clock: Clock, registry: Registry) -> anyhow::Result<Self> {
        match log {
            Log::Embedded(config) => {
                if config.fsync != log_embedded::Fsync::Group {
                    tracing::warn!(fsync = ?config.fsync, "publishes are answered 202 before they are on disk");
                }
                let opened = off_thread(move || log_embedded::Engine::open(&config, clock, &registry));
                Ok(Self::Embedded(opened.await?.context("the log cannot be opened")?))
            }
            Log::Kafka(config) => {
                let opened = log_kafka::Engine::open(*config, clock, &registry);
                Ok(Self::Kafka(opened.context("the log cannot be opened")?))
            }
        }
    }

    pub(super) fn log(&self) -> Arc<dyn EventLog> {
        match self {
            Self::Embedded(engine) => Arc::<log_embedded::Engine>::clone(engine),
            Self::Kafka(engine) => Arc::<log_kafka::Engine>::clone(engine),
        }
    }

    pub(super) fn groups(&self) -> Arc<dyn Groups> {
        match self {
            Self::Embedded(engine) => Arc::<log_embedded::Engine>::clone(engine),
            Self::Kafka(engine) => Arc::<log_kafka::Engine>::clone(engine),
        }
    }

    /// The configured topics on this engine.
    pub(super) fn topics(&self, wanted: Wanted) -> Topics {
        match self {
            Self::Embedded(engine) => Topics::new(Arc::<log_embedded::Engine>::clone(engine), wanted),
            Self::Kafka(engine) => Topics::new(Arc::<log_kafka::Engine>::clone(engine), wanted),
        }
    }

    /// Closes the log; `false` when that did not end by then.
    pub(super) async fn close_by(&self, end: Instant) -> bool {
        match self {
            Self::Embedded(engine) => engine.close_by(end).await,
            Self::Kafka(engine) => timeout_at(end, engine.close()).await.is_ok(),
        }
    }
}
