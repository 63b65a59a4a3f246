//! The configured topics: made at the start, or later where Kafka is away then, and changed by a reload.
//!
//! ```text
//! start ── make ──────────────┐                        ┌─ done: the log may be ready
//!            └ Kafka is away: make_later, each second ─┤
//! reload ── replace ──────────┘                        └─ refused: what was in force before still is
//! ```
//! Only one of them is at it at a time, and each goes by what is in force then: a reload that mends a topic ends the
//! tries of the start.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::config::{Config, Log};
use crate::event::Topic;
use crate::log::{Error, EventLog as _, TopicSpec};
use crate::log_embedded;
use crate::log_kafka::{self, AllTopicSettings};

use super::tasks::Tasks;

/// How soon the configured topics are tried again while Kafka is away.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// What the configuration wants of topics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) topics: Vec<TopicSpec>,
    /// For Kafka; `None` leaves what was wanted before, where the configuration names another engine than the one that
    /// runs.
    pub(super) settings: Option<AllTopicSettings>,
}

/// An engine, as far as it brings topics about.
#[async_trait]
pub(super) trait Keeper: std::fmt::Debug + Send + Sync {
    /// Whether the start goes on without it.
    fn may_be_away(&self) -> bool;

    /// Takes over what is wanted, to compare topics with.
    fn want(&self, topics: &[TopicSpec], settings: &AllTopicSettings);

    /// Makes a topic, or brings it to its specification.
    async fn keep(&self, spec: &TopicSpec) -> Result<(), Error>;

    /// All that is wanted is there.
    fn admit(&self);
}

/// The configured topics, and what brings them about. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Topics {
    keeper: Arc<dyn Keeper>,
    /// What is in force. Held while topics are brought about, so that a reload and a later try do not undo one another.
    in_force: Arc<Mutex<Wanted>>,
}

/// A topic that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("topic '{topic}'")]
pub(super) struct Failed {
    pub(super) topic: Topic,
    #[source]
    pub(super) source: Error,
}

impl Wanted {
    /// What a configuration wants.
    pub(super) fn of(config: &Config) -> Self {
        let settings = match &config.log {
            Log::Kafka(kafka) => Some(kafka.topic_settings.clone()),
            Log::Embedded(_) => None,
        };
        Self { topics: config.topics.clone(), settings }
    }
}

impl Topics {
    /// The topics that the start wants; nothing happens before [`Topics::make`].
    pub(super) fn new(keeper: Arc<dyn Keeper>, wanted: Wanted) -> Self {
        Self { keeper, in_force: Arc::new(Mutex::new(wanted)) }
    }

    /// Brings the topics about. Where Kafka is away this goes on in the background, and the gateway is not ready until
    /// it is done.
    pub(super) async fn make(&self, tasks: &Tasks) -> Result<(), Failed> {
        let wanted = self.in_force.lock().await;
        self.want(&wanted, &wanted);
        match self.keep(&wanted).await {
            Ok(()) => {
                self.keeper.admit();
                Ok(())
            }
            Err(failed) if self.keeper.may_be_away() && failed.source.is_temporary() => {
                tracing::warn!(reason = failed.whole(), "the configured topics cannot be made yet");
                tasks.spawn(self.clone().make_later());
                Ok(())
            }
            Err(failed) => Err(failed),
        }
    }

    /// Brings about what a reload wants, then does the `rest` of what the log must take. Where one of them fails, what
    /// was in force before still is; a topic that was changed by then stays so, and is told as drift.
    pub(super) async fn replace<E: From<Failed>>(
        &self,
        wanted: Wanted,
        rest: impl Future<Output = Result<(), E>>,
    ) -> Result<(), E> {
        let mut in_force = self.in_force.lock().await;
        self.want(&wanted, &in_force);
        let replaced = match self.keep(&wanted).await {
            Ok(()) => rest.await,
            Err(failed) => Err(failed.into()),
        };
        match &replaced {
            Ok(()) => {
                let settings = wanted.settings.or_else(|| in_force.settings.take());
                *in_force = Wanted { topics: wanted.topics, settings };
                self.keeper.admit();
            }
            Err(_) => self.want(&in_force, &in_force),
        }
        replaced
    }

    /// Tries until it is done, or the log closes.
    async fn make_later(self) {
        let mut news = News::default();
        loop {
            sleep(TRY_AGAIN).await;
            // Not what the start wanted: a reload may have mended it.
            let in_force = self.in_force.lock().await;
            match self.keep(&in_force).await {
                Ok(()) => {
                    self.keeper.admit();
                    tracing::info!("the configured topics are there");
                    return;
                }
                Err(Failed { source: Error::Closed, .. }) => return,
                Err(failed) if news.is_news(&failed) => {
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

    fn want(&self, wanted: &Wanted, before: &Wanted) {
        let settings = wanted.settings.as_ref().or(before.settings.as_ref());
        let default = AllTopicSettings::default();
        self.keeper.want(&wanted.topics, settings.unwrap_or(&default));
    }

    async fn keep(&self, wanted: &Wanted) -> Result<(), Failed> {
        for spec in &wanted.topics {
            let kept = self.keeper.keep(spec).await;
            kept.map_err(|source| Failed { topic: spec.name.clone(), source })?;
        }
        Ok(())
    }
}

impl Failed {
    /// The error with all its causes in one line.
    fn whole(&self) -> String {
        let causes = std::iter::successors(std::error::Error::source(self), |cause| cause.source());
        causes.fold(self.to_string(), |text, cause| format!("{text}: {cause}"))
    }
}

/// Which failures are news to an operator: what does not pass by itself, and is not what was told last. Every second
/// brings another.
#[derive(Debug, Default)]
struct News {
    told: Option<String>,
}

impl News {
    fn is_news(&mut self, failed: &Failed) -> bool {
        let whole = failed.whole();
        let is_news = !failed.source.is_temporary() && self.told.as_ref() != Some(&whole);
        if is_news {
            self.told = Some(whole);
        }
        is_news
    }
}

#[async_trait]
impl Keeper for log_embedded::Engine {
    fn may_be_away(&self) -> bool {
        false
    }

    fn want(&self, _topics: &[TopicSpec], _settings: &AllTopicSettings) {}

    async fn keep(&self, spec: &TopicSpec) -> Result<(), Error> {
        self.ensure_topic(spec).await.map(drop)
    }

    fn admit(&self) {}
}

#[async_trait]
impl Keeper for log_kafka::Engine {
    fn may_be_away(&self) -> bool {
        true
    }

    fn want(&self, topics: &[TopicSpec], settings: &AllTopicSettings) {
        Self::want(self, topics.to_vec(), settings.clone());
    }

    async fn keep(&self, spec: &TopicSpec) -> Result<(), Error> {
        self.keep_topic(spec).await.map(drop)
    }

    fn admit(&self) {
        Self::admit(self);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use tokio::time::{Duration, timeout};

    use super::{AllTopicSettings, Error, Failed, Keeper, News, Tasks, Topic, TopicSpec, Topics, Wanted};
    use crate::log::Cleanup;

    /// A cluster that is away, or refuses topics of more partitions than it takes.
    #[derive(Debug, Default)]
    struct Cluster(Mutex<State>);

    #[derive(Debug, Default, Clone, PartialEq, Eq)]
    struct State {
        is_away: bool,
        wanted: Vec<TopicSpec>,
        kept: Vec<TopicSpec>,
        is_admitted: bool,
        tries: usize,
    }

    const PARTITIONS_MAX: u32 = 10;

    #[async_trait]
    impl Keeper for Cluster {
        fn may_be_away(&self) -> bool {
            true
        }

        fn want(&self, topics: &[TopicSpec], _settings: &AllTopicSettings) {
            self.0.lock().unwrap().wanted = topics.to_vec();
        }

        async fn keep(&self, spec: &TopicSpec) -> Result<(), Error> {
            let mut state = self.0.lock().unwrap();
            state.tries += 1;
            if state.is_away {
                return Err(Error::Overloaded);
            }
            if spec.partitions > PARTITIONS_MAX {
                return Err(invalid(&spec.name));
            }
            state.kept.retain(|kept| kept.name != spec.name);
            state.kept.push(spec.clone());
            Ok(())
        }

        fn admit(&self) {
            self.0.lock().unwrap().is_admitted = true;
        }
    }

    fn invalid(topic: &Topic) -> Error {
        Error::InvalidTopic {
            topic: topic.clone(),
            problem: "has a number of partitions Kafka does not take",
        }
    }

    fn topic(name: &str, partitions: u32) -> TopicSpec {
        let (name, cleanup) = (Topic::parse(name).unwrap(), Cleanup::Delete);
        TopicSpec { name, partitions, cleanup, retention: None, retention_bytes: None }
    }

    fn wanted(topics: &[TopicSpec]) -> Wanted {
        Wanted { topics: topics.to_vec(), settings: None }
    }

    async fn until(cluster: &Cluster, is_so: impl Fn(&State) -> bool) {
        let waiting = async {
            while !is_so(&cluster.0.lock().unwrap()) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(Duration::from_secs(60), waiting).await.expect("it comes by itself");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_that_mends_a_topic_ends_the_tries_of_the_start() {
        let cluster = Arc::new(Cluster(Mutex::new(State { is_away: true, ..State::default() })));
        let tasks = Tasks::default();
        let topics = Topics::new(Arc::<Cluster>::clone(&cluster), wanted(&[topic("a", 1), topic("b", 11)]));
        topics.make(&tasks).await.unwrap();
        cluster.0.lock().unwrap().is_away = false;
        until(&cluster, |state| state.tries > 4).await;
        assert!(!cluster.0.lock().unwrap().is_admitted);

        let mended = [topic("a", 2), topic("b", 10)];
        topics.replace(wanted(&mended), async { Ok::<_, Failed>(()) }).await.unwrap();
        assert!(cluster.0.lock().unwrap().is_admitted);
        timeout(Duration::from_secs(60), tasks.ended()).await.expect("nobody tries any more");
        assert_eq!(cluster.0.lock().unwrap().kept, mended);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_reload_leaves_in_force_what_was() {
        let cluster = Arc::<Cluster>::default();
        let before = [topic("a", 1)];
        let topics = Topics::new(Arc::<Cluster>::clone(&cluster), wanted(&before));
        topics.make(&Tasks::default()).await.unwrap();
        let refused = topics.replace(wanted(&[topic("b", 11)]), async { Ok::<_, Failed>(()) }).await;
        assert_eq!(refused.unwrap_err().topic.as_str(), "b");
        assert_eq!(cluster.0.lock().unwrap().wanted, before);

        let rest = async { Err(Failed { topic: before[0].name.clone(), source: Error::Overloaded }) };
        topics.replace(wanted(&[topic("c", 1)]), rest).await.unwrap_err();
        assert_eq!(cluster.0.lock().unwrap().wanted, before);

        let after = [topic("d", 1)];
        topics.replace(wanted(&after), async { Ok::<_, Failed>(()) }).await.unwrap();
        assert_eq!(cluster.0.lock().unwrap().wanted, after);
    }

    #[tokio::test(start_paused = true)]
    async fn tries_end_with_the_gateway() {
        let cluster = Arc::new(Cluster(Mutex::new(State { is_away: true, ..State::default() })));
        let tasks = Tasks::default();
        Topics::new(cluster, wanted(&[topic("a", 1)])).make(&tasks).await.unwrap();
        timeout(Duration::from_secs(60), tasks.ended()).await.expect_err("it tries again");
        tasks.stop();
        timeout(Duration::from_secs(60), tasks.ended()).await.expect("it ends");
    }

    #[test]
    fn each_hopeless_topic_is_news_once_and_what_passes_never() {
        let mut news = News::default();
        let of = |name: &str, source| Failed { topic: Topic::parse(name).unwrap(), source };
        let passing = || of("a", Error::Overloaded);
        let hopeless = || of("a", Error::NotSupported("so many replicas"));
        let another = || of("b", Error::NotSupported("so many replicas"));
        let reason = || of("b", Error::NotSupported("so few replicas"));
        let told = [passing(), hopeless(), hopeless(), passing(), hopeless(), another(), another(), reason()]
            .map(|failed| news.is_news(&failed));
        assert_eq!(told, [false, true, false, false, false, true, false, true]);
    }
}
