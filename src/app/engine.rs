//! The log's engine, chosen by the configuration; everything else holds the port.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep, timeout_at};

use crate::config::Log;
use crate::event::Clock;
use crate::log::{Error, EventLog, Groups, TopicSpec};
use crate::log_embedded;
use crate::log_kafka;
use crate::telemetry::Registry;

use super::build::off_thread;

/// How soon the configured topics are tried again while Kafka is away.
const TRY_AGAIN: Duration = Duration::from_secs(1);

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

    /// Brings the configured topics about. Where Kafka is away this goes on in the background, and the gateway is not
    /// ready until it is done.
    pub(super) async fn make_topics(&self, topics: Vec<TopicSpec>, log: &Log) -> anyhow::Result<()> {
        match self {
            Self::Embedded(_) => Ok(self.bring_about(&topics, log).await?),
            Self::Kafka(engine) => match self.bring_about(&topics, log).await {
                Ok(()) => {
                    engine.admit();
                    Ok(())
                }
                Err(failed) if failed.source.is_temporary() => {
                    tracing::warn!(reason = failed.whole(), "the configured topics cannot be made yet");
                    tokio::spawn(make_later(Arc::clone(engine), topics));
                    Ok(())
                }
                Err(failed) => Err(failed.into()),
            },
        }
    }

    /// Makes the configured topics, and changes those that are not as configured.
    pub(super) async fn bring_about(&self, topics: &[TopicSpec], log: &Log) -> Result<(), Failed> {
        match (self, log) {
            (Self::Kafka(engine), Log::Kafka(config)) => {
                engine.want(topics.to_vec(), config.topic_settings.clone());
                keep(engine, topics).await
            }
            // Another engine than the one that runs waits for a restart.
            (Self::Embedded(_) | Self::Kafka(_), _) => make(&*self.log(), topics).await,
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

/// A topic that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("topic '{topic}'")]
pub(super) struct Failed {
    pub(super) topic: crate::event::Topic,
    #[source]
    pub(super) source: Error,
}

impl Failed {
    /// The error with all its causes in one line.
    fn whole(&self) -> String {
        let causes = std::iter::successors(std::error::Error::source(self), |cause| cause.source());
        causes.fold(self.to_string(), |text, cause| format!("{text}: {cause}"))
    }
}

/// The same on Kafka, where a topic that cannot become what is configured stays what it is.
async fn keep(engine: &log_kafka::Engine, topics: &[TopicSpec]) -> Result<(), Failed> {
    for spec in topics {
        let kept = engine.keep_topic(spec).await;
        kept.map_err(|source| Failed { topic: spec.name.clone(), source })?;
    }
    Ok(())
}

async fn make(log: &dyn EventLog, topics: &[TopicSpec]) -> Result<(), Failed> {
    for spec in topics {
        let made = log.ensure_topic(spec).await;
        made.map_err(|source| Failed { topic: spec.name.clone(), source })?;
    }
    Ok(())
}

/// Which failures are news to an operator: the first that does not pass by itself. Every second brings another.
#[derive(Debug, Default)]
struct News {
    is_told: bool,
}

impl News {
    fn is_news(&mut self, error: &Error) -> bool {
        let is_news = !self.is_told && !error.is_temporary();
        self.is_told |= is_news;
        is_news
    }
}

/// Tries until it is done, or the log closes.
async fn make_later(engine: Arc<log_kafka::Engine>, topics: Vec<TopicSpec>) {
    let mut news = News::default();
    loop {
        sleep(TRY_AGAIN).await;
        match keep(&engine, &topics).await {
            Ok(()) => {
                engine.admit();
                tracing::info!("the configured topics are there");
                return;
            }
            Err(Failed { source: Error::Closed, .. }) => return,
            Err(failed) if news.is_news(&failed.source) => {
                tracing::error!(
                    reason = failed.whole(),
                    "a configured topic cannot be made; it is tried again every second"
                );
            }
            Err(failed) => {
                tracing::debug!(reason = failed.whole(), "the configured topics cannot be made yet");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, News};

    #[test]
    fn a_hopeless_topic_is_news_once_and_what_passes_never() {
        let mut news = News::default();
        let (passing, hopeless) = (Error::Overloaded, Error::NotSupported("so many replicas"));
        let told = [&passing, &hopeless, &hopeless, &passing, &hopeless].map(|error| news.is_news(error));
        assert_eq!(told, [false, true, false, false, false]);
    }
}
