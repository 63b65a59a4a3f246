//! Making, changing and deleting topics: asked of the cluster, then waited for until it shows.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::time::{Instant, sleep};

use crate::event::Topic;
use crate::log::{Cleanup, Error, TopicInfo, TopicSpec};

use super::super::admin::Made;
use super::super::failure::code_of;
use super::super::locked;
use super::super::topic_settings::{TooFewBrokers, TopicSettings};
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
        let needs = self.needs(spec)?;
        let (what, shared) = (changing(&spec.name), Arc::clone(&self.shared));
        if let Err(error) = self.change(spec, needs).await {
            if let Some((code, cause)) = cause_of(&error) {
                shared.connection.troubles.befell(&what, code, &cause.to_string());
            }
            return Err(error);
        }
        shared.connection.troubles.passed(&what);
        Ok(TopicInfo::clone(&self.shared.topics.require(&spec.name)?.info))
    }

    /// What the gateway may not see of a topic counts as right.
    fn needs(&self, spec: &TopicSpec) -> Result<Needs, Error> {
        let known = &self.shared.topics.require(&spec.name)?.info.spec;
        match self.described.get(&spec.name) {
            Some(keeping) => {
                let is_met = self.wanted(&spec.name).is_met_by(keeping);
                needs(spec, known).map(|needs| Needs { settings: needs.settings || !is_met, ..needs })
            }
            None => needs(spec, &TopicSpec { partitions: known.partitions, ..spec.clone() }),
        }
    }

    async fn change(&mut self, spec: &TopicSpec, needs: Needs) -> Result<(), Error> {
        if needs.partitions {
            self.grow(spec).await?;
        }
        if needs.settings {
            self.shared.admin.alter(spec, &self.wanted(&spec.name)).await?;
        }
        if needs.partitions || needs.settings {
            self.refresh(&spec.name).await?;
        }
        Ok(())
    }

    /// Brings a topic as near to this specification as it can come without losing anything: it keeps partitions beyond
    /// it, its way of cleaning up, and what the gateway has no right to change.
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
        match (self.ensure(&spec).await, self.shared.topics.get(&spec.name)) {
            (Err(error), Some(known)) if is_denied(&error) => Ok(TopicInfo::clone(&known.info)),
            (kept, _) => kept,
        }
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
                if let Some((code, cause)) = cause_of(&error) {
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

fn changing(topic: &Topic) -> String {
    format!("changing topic {topic}")
}

/// What the cluster said against a change, where it said anything.
fn cause_of(error: &Error) -> Option<(Code, &(dyn std::error::Error + Send + Sync))> {
    let Error::Unavailable(cause) = error else { return None };
    let code = cause.downcast_ref::<KafkaError>().and_then(code_of);
    let code = code.or_else(|| cause.is::<TooFewBrokers>().then_some(Code::InvalidReplicationFactor))?;
    Some((code, &**cause))
}

/// Whether the gateway has no right to what it asked for.
fn is_denied(error: &Error) -> bool {
    let denials = [Code::TopicAuthorizationFailed, Code::ClusterAuthorizationFailed];
    cause_of(error).is_some_and(|(code, _)| denials.contains(&code))
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
