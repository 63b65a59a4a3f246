//! The room's service: it starts and ends the tasks of groups; and the handle to it.

mod looks;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::event::{Clock, GroupName, LiveCatalogue, Topic};
use crate::log::{EventLog, Groups};
use crate::telemetry::Registry;

use super::dead_letters::{self, States};
use super::gateways::{self, Gateways};
use super::lag;
use super::lookups::Lookups;
use super::metrics::Metrics;
use super::owner::{Command, Owner};
use super::policies::{Keeper, Policies};
use super::resets;
use super::resumes;
use super::shared::Shared;
use super::{Error, GroupView, Join, Member, Policy, PolicyPatch, Resume};

/// A group's task that does not answer a look by then is shown without what it knows.
const LOOK_MAX: Duration = Duration::from_secs(1);
/// A group's task may end just when somebody joins; then the next one is asked.
const JOIN_TRIES: usize = 5;

/// How groups are served.
#[derive(Debug, Clone)]
pub struct Config {
    /// This gateway's name.
    pub node: Arc<str>,
    /// What a group has that says nothing else; its topics are empty.
    pub defaults: Policy,
    /// Groups of the configuration file: they create and update, and never delete.
    pub groups: BTreeMap<GroupName, PolicyPatch>,
    /// How long dead letters are kept.
    pub dead_letter_retention: Duration,
    /// Bytes that what is known of all dead letters may take.
    pub dead_letter_states_bytes_max: usize,
    /// Keys that one group can have parked.
    pub parked_keys_max: usize,
    /// The largest credit of a member.
    pub in_flight_max: u32,
}

/// Whether a PUT made a group or changed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// There was none.
    Created,
    /// There was one.
    Changed,
}

#[derive(Debug)]
enum Request {
    /// The task of a group, started where there is none.
    Owner {
        group: GroupName,
        reply: oneshot::Sender<Result<mpsc::Sender<Command>, Error>>,
    },
    /// The task of a group, where there is one.
    Peek {
        group: GroupName,
        reply: oneshot::Sender<Option<mpsc::Sender<Command>>>,
    },
    /// The groups that have a task.
    Active {
        reply: oneshot::Sender<Vec<GroupName>>,
    },
    Drain {
        reply: oneshot::Sender<()>,
    },
}

/// Owns all groups; run it beside the handle.
#[derive(Debug)]
pub struct Service {
    shared: Arc<Shared>,
    keeper: Keeper,
    handle: Delivery,
    requests: mpsc::Receiver<Request>,
}

/// The handle to all groups. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub(super) shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
}

/// The tasks of active groups.
#[derive(Debug, Default)]
struct Owners {
    senders: BTreeMap<GroupName, mpsc::Sender<Command>>,
    tasks: JoinSet<()>,
    /// Tells the redrives of the drain.
    redriving: CancellationToken,
    is_draining: bool,
    drained: Vec<oneshot::Sender<()>>,
}

impl Service {
    /// A service and the handle to it; nothing happens before [`Service::run`].
    #[must_use]
    pub fn new(
        config: Config,
        log: Arc<dyn EventLog>,
        groups: Arc<dyn Groups>,
        catalogue: LiveCatalogue,
        clock: Clock,
        registry: &Registry,
    ) -> (Self, Delivery) {
        const REQUESTS_MAX: usize = 1_024;
        let (policies, keeper) = Policies::new(&config);
        let metrics = Metrics::register(registry);
        let states = States::new(config.dead_letter_states_bytes_max, config.parked_keys_max);
        let life = format!("{}-{:016x}", config.node, RandomState::new().hash_one(0)).into();
        let shared = Arc::new(Shared {
            config,
            life,
            log,
            groups,
            catalogue,
            clock,
            metrics,
            policies,
            states,
            gateways: Gateways::default(),
            lookups: Lookups::new(),
            last_member: AtomicU32::new(0),
        });
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let handle = Delivery { shared: Arc::clone(&shared), requests: sender };
        (Self { shared, keeper, handle: handle.clone(), requests }, handle)
    }

    /// Serves until the shutdown, then drains if nobody did before.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { shared, keeper, handle, mut requests } = self;
        let mut owners = Owners::default();
        owners.tasks.spawn(dead_letters::keep_redrives(Arc::clone(&shared), owners.redriving.clone()));
        let keeping = keeper.run(&shared.config, &shared.log);
        let measuring = lag::show(&handle);
        let remembering = dead_letters::keep(&shared);
        let counting = dead_letters::show(&shared);
        let finishing = resets::finish_all(&handle);
        let telling = gateways::keep(&handle);
        tokio::pin!(keeping, measuring, remembering, counting, finishing, telling);
        loop {
            tokio::select! {
                request = requests.recv() => {
                    let Some(request) = request else { break };
                    owners.serve(&shared, request);
                }
                Some(ended) = owners.tasks.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "the task of a group failed");
                    }
                    owners.forget_ended();
                }
                () = &mut keeping => break,
                () = &mut remembering => break,
                () = &mut measuring => break,
                () = &mut counting => break,
                () = &mut finishing => break,
                () = &mut telling => break,
                // Also when all has drained before the shutdown: then this ends the loop.
                () = shutdown.cancelled(), if !owners.is_draining || owners.tasks.is_empty() => owners.drain(),
            }
            if owners.is_draining && owners.tasks.is_empty() {
                for reply in owners.drained.drain(..) {
                    reply.send(()).ok();
                }
                if shutdown.is_cancelled() {
                    break;
                }
            }
        }
        tokio::join!(shared.lookups.stop(), shared.gateways.leave(&shared.life));
        tracing::debug!("groups have ended");
    }
}

impl Owners {
    fn serve(&mut self, shared: &Arc<Shared>, request: Request) {
        match request {
            Request::Owner { group, reply } => drop(reply.send(self.start(shared, &group))),
            Request::Peek { group, reply } => drop(reply.send(self.active(&group))),
            Request::Active { reply } => drop(reply.send(self.senders.keys().cloned().collect())),
            Request::Drain { reply } => {
                self.drained.push(reply);
                self.drain();
            }
        }
    }

    fn start(&mut self, shared: &Arc<Shared>, group: &GroupName) -> Result<mpsc::Sender<Command>, Error> {
        if self.is_draining {
            return Err(Error::Draining);
        }
        if let Some(sender) = self.active(group) {
            return Ok(sender);
        }
        let policy = shared.policies.get(group).ok_or_else(|| Error::UnknownGroup(group.clone()))?;
        let (owner, sender) = Owner::new(Arc::clone(shared), group.clone(), policy);
        self.tasks.spawn(owner.run());
        self.senders.insert(group.clone(), sender.clone());
        Ok(sender)
    }

    fn drain(&mut self) {
        self.is_draining = true;
        self.redriving.cancel();
        // A full channel must not keep the other groups waiting.
        for sender in self.senders.values() {
            if sender.try_send(Command::Drain).is_err() {
                let sender = sender.clone();
                self.tasks.spawn(async move { drop(sender.send(Command::Drain).await) });
            }
        }
    }

    fn forget_ended(&mut self) {
        self.senders.retain(|_, sender| !sender.is_closed());
    }

    fn active(&self, group: &GroupName) -> Option<mpsc::Sender<Command>> {
        self.senders.get(group).filter(|sender| !sender.is_closed()).cloned()
    }
}

impl Delivery {
    /// Becomes a member of a group.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`], [`Error::TopicsDiffer`], [`Error::UnknownTopic`], [`Error::Draining`], or what the
    /// log says.
    pub async fn join(&self, join: Join) -> Result<Member, Error> {
        let policy = self.known(&join.group)?;
        if let Some(topics) = &join.topics {
            let mut wanted: Vec<&Topic> = topics.iter().collect();
            wanted.sort();
            wanted.dedup();
            if !wanted.into_iter().eq(&policy.topics) {
                return Err(Error::TopicsDiffer { group: join.group });
            }
        }
        if let Some(topic) = policy.topics.iter().find(|topic| self.shared.log.topic(topic).is_none()) {
            self.shared.log.topics_known()?;
            return Err(Error::UnknownTopic(topic.clone()));
        }
        for _ in 0..JOIN_TRIES {
            let (reply, answer) = oneshot::channel();
            let request = Request::Owner { group: join.group.clone(), reply };
            self.requests.send(request).await.map_err(|_| Error::Closed)?;
            let owner = answer.await.map_err(|_| Error::Closed)??;
            let (reply, answer) = oneshot::channel();
            let command = Command::Join { join: Box::new(join.clone()), reply };
            if owner.send(command).await.is_ok()
                && let Ok(joined) = answer.await
            {
                return joined.map(Member::new);
            }
        }
        Err(Error::Closed)
    }

    /// Creates a group or changes its policy, durably; deliveries from now on follow it.
    ///
    /// # Errors
    /// [`Error::InvalidPolicy`], [`Error::UnknownTopic`], or what the log says.
    pub async fn put_policy(&self, group: &GroupName, patch: PolicyPatch) -> Result<(Put, GroupView), Error> {
        let put = self.shared.policies.put(group.clone(), patch).await?;
        Ok((put, self.group(group).await?))
    }

    /// Tells a group to go on, durably and on every gateway: a breaker closes, halted partitions try their record anew, or
    /// make a dead letter of it; where nobody serves them now, when somebody does.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`], [`Error::InvalidResume`], [`Error::TooManyGivenUp`], or what the log says.
    pub async fn resume(&self, group: &GroupName, resume: Resume) -> Result<GroupView, Error> {
        let policy = self.known(group)?;
        resume.check(&policy)?;
        let passed = resumes::passed(&self.shared, group, &policy).await?;
        let now = self.shared.clock.now();
        self.shared.policies.resume(group.clone(), resume.dead_letter.into(), passed, now).await?;
        // The task hears of it with the table's other changes; told here, it has heard before it is looked at.
        let told = async { self.owner(group).await?.send(Command::Follow).await.ok() };
        drop(timeout(LOOK_MAX, told).await);
        self.group(group).await
    }

    /// Puts the groups and defaults of another configuration in force, durably: groups of the file are created, and
    /// updated where the file changed since it was followed last; none is deleted. The rest stays as it is.
    ///
    /// # Errors
    /// What the log says; what was written before then holds, and the rest can be tried again.
    pub async fn replace(&self, config: Config) -> Result<(), Error> {
        self.shared.policies.follow(config).await
    }

    /// Takes no new members, withdraws what is unsent, gives members up to `rebalance_grace` to settle, commits
    /// and leaves every group. Returns when that is done.
    pub async fn drain(&self) {
        let (reply, answer) = oneshot::channel();
        if self.requests.send(Request::Drain { reply }).await.is_ok() {
            drop(answer.await);
        }
    }
}
