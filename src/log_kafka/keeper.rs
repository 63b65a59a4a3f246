//! The one task that follows the cluster: whether it answers, which topics it has, and changes to them.
//!
//! It looks every few seconds, at once when a client lost its brokers, and often while the cluster is away. Requests to
//! make and delete topics go through it one after the other, so that what it looks at and what it changes never cross.

mod change;
mod cluster;
mod missed;
mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::event::Topic;
use crate::log::{Error, TopicInfo, TopicSpec};

use self::cluster::Cluster;
use self::missed::{Missed, is_shown};
use self::watch::Told;
use super::admin::Keeping;
use super::failure::unavailable;
use super::ledger::{self, Ledger};
use super::locked;
use super::producer::Away;
use super::shared::Shared;

const LOOK_EVERY: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How long the cluster may take to say what it has, before it counts as away.
const LOOK_MAX: Duration = Duration::from_secs(2);
/// Topics' settings are asked for again every so many looks.
const DESCRIBE_EVERY: u32 = 12;

pub(super) use self::cluster::Layout;

/// What callers want changed.
#[derive(Debug)]
pub(super) enum Order {
    Ensure(TopicSpec, oneshot::Sender<Result<TopicInfo, Error>>),
    /// As far as the cluster's topic can become it; the rest is told as drift.
    Keep(TopicSpec, oneshot::Sender<Result<TopicInfo, Error>>),
    Delete(Topic, oneshot::Sender<Result<(), Error>>),
}

/// The task's state.
#[derive(Debug)]
pub(super) struct Keeper {
    shared: Arc<Shared>,
    orders: mpsc::Receiver<Order>,
    ledger: Option<Ledger>,
    /// What is known of topics' settings.
    described: HashMap<Topic, Keeping>,
    missed: Missed,
    looks: u32,
    next_look: Instant,
    /// Whether the cluster counts as away.
    is_away: bool,
    /// What operators were told.
    told: Told,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>, orders: mpsc::Receiver<Order>) -> Self {
        Self {
            shared,
            orders,
            ledger: None,
            described: HashMap::new(),
            missed: Missed::default(),
            looks: 0,
            next_look: Instant::now(),
            is_away: false,
            told: Told::default(),
        }
    }

    /// Follows the cluster until the engine closes.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let following = async {
            loop {
                // Every branch is cancel safe: a channel, notifications that keep their permit, and a timer.
                tokio::select! {
                    order = self.orders.recv() => match order {
                        Some(order) => self.carry_out(order).await,
                        None => return,
                    },
                    () = shared.connection.down() => self.look().await,
                    () = shared.look.notified() => self.look().await,
                    () = sleep_until(self.next_look) => self.look().await,
                }
            }
        };
        tokio::select! {
            () = following => {}
            () = shared.closed.cancelled() => {}
        }
    }

    async fn carry_out(&mut self, order: Order) {
        // Nobody waits for a cluster that has just not answered.
        if self.is_away {
            return match order {
                Order::Ensure(_, reply) | Order::Keep(_, reply) => drop(reply.send(Err(unavailable(Away)))),
                Order::Delete(_, reply) => drop(reply.send(Err(unavailable(Away)))),
            };
        }
        match order {
            Order::Ensure(spec, reply) => drop(reply.send(self.ensure(&spec).await)),
            Order::Keep(spec, reply) => drop(reply.send(self.keep(spec).await)),
            Order::Delete(topic, reply) => drop(reply.send(self.delete(&topic).await)),
        }
    }

    async fn look(&mut self) {
        self.looks = self.looks.wrapping_add(1);
        if self.looks.is_multiple_of(DESCRIBE_EVERY) {
            self.described.clear();
        }
        let looked = match self.cluster().await {
            Ok(cluster) => self.take_over(&cluster).await,
            Err(error) => Err(error),
        };
        self.next_look = Instant::now() + if looked.is_ok() { LOOK_EVERY } else { LOOK_AGAIN };
        if let Err(error) = looked {
            tracing::debug!(error = &error as &dyn std::error::Error, "the cluster's topics cannot be read");
            self.shared.connection.troubled(&error);
        }
        let shared = Arc::clone(&self.shared);
        let tend = move || {
            shared.queries.tend();
            shared.offsets.tidy();
        };
        drop(self.shared.blocking.watch(tend).await);
    }

    /// What the cluster has now; an answer means that it can be reached.
    async fn cluster(&mut self) -> Result<Cluster, Error> {
        let error = loop {
            let shared = Arc::clone(&self.shared);
            let look = move || shared.producer.metadata(LOOK_MAX).map(|metadata| Cluster::read(&metadata));
            match self.shared.blocking.watch(look).await? {
                Ok(cluster) => {
                    self.is_away = false;
                    self.shared.connection.saw_up();
                    return Ok(cluster);
                }
                // A slow answer alone says nothing, and fails nobody who waits for it.
                Err(error) if !self.shared.connection.unanswered(&error.to_string()) => {
                    tracing::debug!(%error, "the cluster is asked again");
                }
                Err(error) => break error,
            }
        };
        if !std::mem::replace(&mut self.is_away, true) {
            let shared = Arc::clone(&self.shared);
            self.shared.blocking.watch(move || shared.producer.purge()).await?;
        }
        Err(unavailable(error))
    }

    /// Brings what the gateway knows up to what the cluster has.
    async fn take_over(&mut self, cluster: &Cluster) -> Result<(), Error> {
        let mut ledger = match self.ledger.take() {
            Some(ledger) => ledger,
            None => self.open_ledger(cluster).await?,
        };
        let taken = self.take_over_with(&mut ledger, cluster).await;
        // A ledger that failed is read anew.
        if taken.is_ok() {
            self.ledger = Some(ledger);
            self.shared.connection.saw_topics();
        }
        taken
    }

    async fn take_over_with(&mut self, ledger: &mut Ledger, cluster: &Cluster) -> Result<(), Error> {
        ledger.follow()?;
        let suspects = std::mem::take(&mut *locked(&self.shared.suspects));
        for topic in suspects.iter().filter(|topic| cluster.topics.contains_key(*topic)) {
            tracing::warn!(%topic, "the topic was made anew by someone else");
            ledger.renew(topic).await?;
        }
        let unnamed = cluster.topics.keys().filter(|topic| ledger.get(topic).is_none()).cloned().collect();
        ledger.name(unnamed).await?;
        let unknown: Vec<Topic> =
            cluster.topics.keys().filter(|topic| !self.described.contains_key(*topic)).cloned().collect();
        self.described.extend(self.shared.admin.describe(&unknown).await?);
        let gone = self.gone(cluster);
        for topic in &gone {
            tracing::warn!(%topic, "the topic is gone");
            ledger.forget(topic).await?;
            self.described.remove(topic);
            watch::forget(&self.shared.connection.troubles, topic);
        }
        let current = cluster.topics.iter().filter(|(topic, _)| !self.is_behind(topic, cluster));
        let infos = current.filter_map(|(topic, layout)| {
            let keeping = self.described.get(topic).cloned().unwrap_or_default();
            let Keeping { cleanup, retention, retention_bytes, .. } = keeping;
            let (name, partitions) = (topic.clone(), layout.partitions);
            let spec = TopicSpec { name, partitions, cleanup, retention, retention_bytes };
            Some(TopicInfo { spec, incarnation: ledger.get(topic)? })
        });
        let infos = infos.collect();
        self.shared.topics.update(infos, &gone);
        let limit = |(topic, keeping): (&Topic, &Keeping)| Some((topic.clone(), keeping.record_bytes_max?));
        self.shared.producer.learn_limits(self.described.iter().filter_map(limit).collect());
        self.compare(cluster);
        Ok(())
    }

    /// Known topics that the cluster has no more.
    fn gone(&mut self, cluster: &Cluster) -> Vec<Topic> {
        let known = self.shared.topics.all();
        let gone = self.missed.judge(known.iter().map(|topic| &topic.info.spec), cluster);
        if self.missed.is_any() || !gone.is_empty() {
            // Whether it is really gone, and whether another has its name, shows soon.
            self.shared.look.notify_one();
        }
        gone
    }

    /// Whether a look says less of a topic than is known; whatever it says then is old.
    fn is_behind(&self, topic: &Topic, cluster: &Cluster) -> bool {
        self.shared.topics.get(topic).is_some_and(|known| !is_shown(&known.info.spec, cluster))
    }

    async fn open_ledger(&mut self, cluster: &Cluster) -> Result<Ledger, Error> {
        let spec = ledger::spec()?;
        if !cluster.topics.contains_key(&spec.name) {
            self.make(&spec, cluster.brokers).await?;
        }
        Ledger::open(Arc::clone(&self.shared)).await
    }
}
