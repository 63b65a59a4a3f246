//! Making, changing and deleting topics: asked of the cluster, then waited for until it shows.

use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::time::{Instant, sleep};

use crate::event::Topic;
use crate::log::{Cleanup, Error, TopicInfo, TopicSpec};

use super::super::admin::Made;
use super::super::failure::code_of;
use super::super::locked;
use super::super::topic_settings::TopicSettings;
use super::{Cluster, Keeper};

/// How long a change may take to show.
const SHOWN_MAX: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(30);

/// What an existing topic needs to become what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Needs {
    partitions: bool,
    settings: bool,
}

impl Keeper {
    /// Brings a topic to this specification.
    ///
    /// Brokers learn of a new topic one after the other, and each look may ask another of them: one that does not know the
    /// topic yet, ours or one that another gateway has just made, is no reason to give up.
    pub(super) async fn ensure(&mut self, spec: &TopicSpec) -> Result<TopicInfo, Error> {
        check(spec)?;
        let deadline = Instant::now() + SHOWN_MAX;
        loop {
            match self.bring_about(spec).await {
                Err(Error::UnknownTopic(_)) if Instant::now() < deadline => sleep(LOOK_EVERY).await,
                Err(Error::UnknownTopic(_)) => return Err(Error::OutcomeUnknown),
                outcome => return outcome,
            }
        }
    }

    async fn bring_about(&mut self, spec: &TopicSpec) -> Result<TopicInfo, Error> {
        let cluster = self.cluster().await?;
        self.take_over(&cluster).await?;
        if !cluster.topics.contains_key(&spec.name) && self.make(spec, cluster.brokers).await? == Made::Now {
            let ledger = self.ledger.as_mut().ok_or(Error::Closed)?;
            ledger.renew(&spec.name).await?;
        }
        self.refresh(&spec.name).await?;
        let known = self.shared.topics.require(&spec.name)?;
        let wanted = self.wanted(&spec.name);
        let is_met = self.described.get(&spec.name).is_none_or(|keeping| wanted.is_met_by(keeping));
        let mut needs = needs(spec, &known.info.spec)?;
        needs.settings |= !is_met;
        if needs.partitions {
            self.grow(spec).await?;
        }
        if needs.settings {
            self.shared.admin.alter(spec, &wanted).await?;
        }
        if needs.partitions || needs.settings {
            self.refresh(&spec.name).await?;
        }
        Ok(TopicInfo::clone(&self.shared.topics.require(&spec.name)?.info))
    }

    /// Brings a topic as near to this specification as it can come without losing anything: it keeps partitions beyond
    /// it, and its way of cleaning up.
    pub(super) async fn keep(&mut self, mut spec: TopicSpec) -> Result<TopicInfo, Error> {
        let cluster = self.cluster().await?;
        self.take_over(&cluster).await?;
        if let Some(known) = self.shared.topics.get(&spec.name) {
            let known = &known.info.spec;
            spec.partitions = spec.partitions.max(known.partitions);
            if spec.cleanup != known.cleanup {
                spec = TopicSpec { partitions: spec.partitions, ..known.clone() };
            }
        }
        self.ensure(&spec).await
    }

    fn wanted(&self, topic: &Topic) -> TopicSettings {
        locked(&self.shared.wanted).topic_settings.of(topic).clone()
    }

    /// Deletes a topic, and waits until it is gone.
    pub(super) async fn delete(&mut self, topic: &Topic) -> Result<(), Error> {
        self.shared.topics.require(topic)?;
        self.shared.admin.delete(topic).await?;
        self.shown(|cluster| !cluster.topics.contains_key(topic)).await?;
        self.described.remove(topic);
        self.shared.topics.update(Vec::new(), std::slice::from_ref(topic));
        match &mut self.ledger {
            Some(ledger) => ledger.forget(topic).await,
            None => Ok(()),
        }
    }

    /// Makes a topic, and waits until it can be used.
    pub(super) async fn make(&mut self, spec: &TopicSpec, brokers: usize) -> Result<Made, Error> {
        let (what, troubles) = (format!("making topic {}", spec.name), &self.shared.connection.troubles);
        let made = match self.shared.admin.create(spec, &self.wanted(&spec.name), brokers).await {
            Ok(made) => made,
            Err(error) => {
                if let Error::Unavailable(cause) = &error {
                    let code = cause.downcast_ref::<KafkaError>().and_then(code_of);
                    let code = code.unwrap_or(Code::InvalidReplicationFactor);
                    troubles.befell(&what, code, &cause.to_string());
                }
                return Err(error);
            }
        };
        troubles.passed(&what);
        match made {
            Made::Now => self.shown(|cluster| cluster.serves(&spec.name, spec.partitions)).await?,
            Made::Before => self.shown(|cluster| cluster.topics.contains_key(&spec.name)).await?,
        };
        Ok(made)
    }

    /// Adds partitions, and waits until they can be used. Another gateway may have added them a moment ago.
    async fn grow(&mut self, spec: &TopicSpec) -> Result<(), Error> {
        let made = self.shared.admin.grow(spec).await?;
        match self.shown(|cluster| cluster.serves(&spec.name, spec.partitions)).await {
            // What is looked at next may be behind this look.
            Ok(cluster) => self.take_over(&cluster).await,
            Err(Error::OutcomeUnknown) if made == Made::Before => {
                let problem = "has a number of partitions Kafka does not take";
                Err(Error::InvalidTopic { topic: spec.name.clone(), problem })
            }
            Err(error) => Err(error),
        }
    }

    /// Takes over what the cluster has, this topic's settings anew.
    async fn refresh(&mut self, topic: &Topic) -> Result<(), Error> {
        self.described.remove(topic);
        let cluster = self.cluster().await?;
        self.take_over(&cluster).await
    }

    /// Looks until it is shown; answers that look.
    async fn shown(&mut self, is_shown: impl Fn(&Cluster) -> bool) -> Result<Cluster, Error> {
        let deadline = Instant::now() + SHOWN_MAX;
        loop {
            let cluster = self.cluster().await?;
            if is_shown(&cluster) {
                return Ok(cluster);
            }
            if Instant::now() >= deadline {
                return Err(Error::OutcomeUnknown);
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

fn check(spec: &TopicSpec) -> Result<(), Error> {
    let problem = if spec.partitions == 0 {
        "needs at least one partition"
    } else if spec.cleanup == Cleanup::Compact && (spec.retention.is_some() || spec.retention_bytes.is_some())
    {
        "is compacted, and so has no retention"
    } else {
        return Ok(());
    };
    Err(Error::InvalidTopic { topic: spec.name.clone(), problem })
}

fn needs(spec: &TopicSpec, known: &TopicSpec) -> Result<Needs, Error> {
    let problem = if known.partitions > spec.partitions {
        "cannot have fewer partitions than it has"
    } else if known.cleanup != spec.cleanup {
        "cannot change between deletion and compaction"
    } else {
        let settings = (known.retention, known.retention_bytes) != (spec.retention, spec.retention_bytes);
        return Ok(Needs { partitions: known.partitions < spec.partitions, settings });
    };
    Err(Error::InvalidTopic { topic: spec.name.clone(), problem })
}
