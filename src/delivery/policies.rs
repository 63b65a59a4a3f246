//! The policies in force, and the table that keeps them in the log.
//!
//! The configuration file creates and updates, and never deletes. So that a restart does not undo a PUT, an entry
//! remembers which policy of the file it followed last: only a changed one is applied again. Every change is judged
//! against the table read to its end, so that of gateways which change a policy at once none undoes the other's part.
//! Beside them lies when each group was last told to go on ([`resumes`]), where its offsets were last moved ([`resets`]), and which
//! group of its name it is ([`incarnations`]).

mod entry;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch};

use crate::event::{GroupName, Timestamp, Topic};
use crate::log::{Draft, EventLog, Table};

use super::resumes::{self, GivenUp, Resumed};
use super::{Config, Error, Policy, PolicyPatch, Put};
use super::{deletion, incarnations, resets};
use entry::{Stored, fingerprint, stored, write};

pub(super) use entry::key;

/// Where policies lie.
const TABLE: &str = "_weirgate.groups";
/// More groups than this are refused.
const GROUPS_MAX: usize = 10_000;
/// Orders that wait, and are carried out together.
const ORDERS_MAX: usize = 64;

type All = BTreeMap<GroupName, Arc<Policy>>;

/// The policies in force. Cheap to clone; all clones see the same.
#[derive(Debug, Clone)]
pub(super) struct Policies {
    all: Arc<ArcSwap<All>>,
    resumes: Arc<ArcSwap<resumes::All>>,
    resets: Arc<ArcSwap<resets::All>>,
    incarnations: Arc<ArcSwap<incarnations::All>>,
    changes: Arc<watch::Sender<u64>>,
    is_loaded: Arc<watch::Sender<bool>>,
    orders: mpsc::Sender<Order>,
}

#[derive(Debug)]
enum Order {
    /// One policy, by an administrator.
    Put(Change, oneshot::Sender<Result<Put, Error>>),
    /// No policy, nor anything else that gateways are told of a group.
    Delete { group: GroupName, now: Timestamp, reply: oneshot::Sender<Result<(), Error>> },
    /// All of the file, read again.
    File { config: Box<Config>, reply: oneshot::Sender<Result<(), Error>> },
    /// A group is to go on, as somebody said at this time.
    Resume {
        group: GroupName,
        given_up: Arc<[GivenUp]>,
        passed: resumes::Passed,
        now: Timestamp,
        reply: oneshot::Sender<Result<(), Error>>,
    },
    /// A group's reset comes further.
    Reset {
        group: GroupName,
        step: resets::Step,
        now: Timestamp,
        reply: oneshot::Sender<Result<resets::Order, Error>>,
    },
}

/// What an administrator wants of one policy.
#[derive(Debug)]
struct Change {
    group: GroupName,
    patch: Box<PolicyPatch>,
}

/// Changes that are made together, and who waits for each.
type Changes = (Vec<Change>, Vec<oneshot::Sender<Result<Put, Error>>>);

/// The one writer of the table.
#[derive(Debug)]
pub(super) struct Keeper {
    policies: Policies,
    orders: mpsc::Receiver<Order>,
}

impl Policies {
    /// The policies of the file, until the table is read, and the keeper that reads it.
    pub(super) fn new(config: &Config) -> (Self, Keeper) {
        let of_file = config.groups.iter().filter_map(|(group, patch)| {
            let policy = of_file(config, patch).inspect_err(|error| {
                tracing::error!(%group, %error, "the policy of the configuration cannot be");
            });
            Some((group.clone(), Arc::new(policy.ok()?)))
        });
        let (sender, orders) = mpsc::channel(ORDERS_MAX);
        let policies = Self {
            all: Arc::new(ArcSwap::from_pointee(of_file.collect())),
            resumes: Arc::default(),
            resets: Arc::default(),
            incarnations: Arc::default(),
            changes: Arc::new(watch::Sender::new(0)),
            is_loaded: Arc::new(watch::Sender::new(false)),
            orders: sender,
        };
        (policies.clone(), Keeper { policies, orders })
    }

    pub(super) fn get(&self, group: &GroupName) -> Option<Arc<Policy>> {
        self.all.load().get(group).cloned()
    }

    /// The last time a group was told to go on.
    pub(super) fn resumed(&self, group: &GroupName) -> Option<Resumed> {
        self.resumes.load().get(group).cloned()
    }

    /// The last reset of a group.
    pub(super) fn reset(&self, group: &GroupName) -> Option<Arc<resets::Order>> {
        self.resets.load().get(group).cloned()
    }

    /// The last reset of every group.
    pub(super) fn resets(&self) -> Arc<resets::All> {
        self.resets.load_full()
    }

    /// Which group of its name it is; 0 for one that was never deleted.
    pub(super) fn incarnation(&self, group: &GroupName) -> u64 {
        self.incarnations.load().get(group).copied().unwrap_or(0)
    }

    pub(super) fn all(&self) -> Arc<All> {
        self.all.load_full()
    }

    pub(super) fn is_loaded(&self) -> bool {
        *self.is_loaded.borrow()
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Creates or changes a policy, durably.
    pub(super) async fn put(&self, group: GroupName, patch: PolicyPatch) -> Result<Put, Error> {
        let change = Change { group, patch: Box::new(patch) };
        self.order(|reply| Order::Put(change, reply)).await
    }

    /// Deletes a group's policy and whatever else gateways are told of it, durably; the next one of its name is another group.
    pub(super) async fn delete(&self, group: GroupName, now: Timestamp) -> Result<(), Error> {
        self.order(|reply| Order::Delete { group, now, reply }).await
    }

    /// Creates and updates what another reading of the file says, durably, and takes its defaults for groups to come.
    pub(super) async fn follow(&self, config: Config) -> Result<(), Error> {
        self.order(|reply| Order::File { config: Box::new(config), reply }).await
    }

    /// Tells a group that has come so far to go on, durably and on every gateway.
    pub(super) async fn resume(
        &self,
        group: GroupName,
        given_up: Arc<[GivenUp]>,
        passed: resumes::Passed,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.order(|reply| Order::Resume { group, given_up, passed, now, reply }).await
    }

    /// Takes a group's reset further, durably and on every gateway; answers how it is then.
    pub(super) async fn step_reset(
        &self,
        group: GroupName,
        step: resets::Step,
        now: Timestamp,
    ) -> Result<resets::Order, Error> {
        self.order(|reply| Order::Reset { group, step, now, reply }).await
    }

    async fn order<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Order,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(order(reply)).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    fn set(&self, table: &Table) {
        let all = entry::read(table, &self.all.load());
        let (resumes, resets) = (resumes::read(table), resets::read(table));
        let incarnations = incarnations::read(table);
        let is_same = **self.all.load() == all
            && **self.resumes.load() == resumes
            && **self.resets.load() == resets
            && **self.incarnations.load() == incarnations;
        if !is_same {
            // Before the policy, so that nobody takes a new group for the one before it.
            self.incarnations.store(Arc::new(incarnations));
            self.all.store(Arc::new(all));
            self.resumes.store(Arc::new(resumes));
            self.resets.store(Arc::new(resets));
            self.changes.send_modify(|version| *version += 1);
        }
    }
}

impl Keeper {
    /// Reads the table, brings it to the file's policies, then serves puts and follows what others write. Ends
    /// when dropped.
    pub(super) async fn run(mut self, config: &Config, log: &Arc<dyn EventLog>) {
        let table = open(config, log).await;
        let mut config = config.clone();
        self.policies.set(&table);
        self.policies.is_loaded.send_replace(true);
        let mut changes = table.changes();
        loop {
            let mut orders = Vec::new();
            // Both branches are cancel safe.
            tokio::select! {
                count = self.orders.recv_many(&mut orders, ORDERS_MAX) => {
                    if count == 0 {
                        return;
                    }
                    self.carry_out(orders, &table, &mut config, log).await;
                }
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.policies.set(&table);
                }
            }
        }
    }

    /// Carries orders out in their turn, puts that follow one another together.
    async fn carry_out(
        &self,
        orders: Vec<Order>,
        table: &Table,
        config: &mut Config,
        log: &Arc<dyn EventLog>,
    ) {
        let mut changes = Changes::default();
        for order in orders {
            match order {
                Order::Put(change, reply) => {
                    changes.0.push(change);
                    changes.1.push(reply);
                }
                Order::Delete { group, now, reply } => {
                    self.put(std::mem::take(&mut changes), table, config, log).await;
                    let outcome = deletion::write(table, &group, now).await;
                    self.policies.set(table);
                    drop(reply.send(outcome));
                }
                Order::File { config: file, reply } => {
                    self.put(std::mem::take(&mut changes), table, config, log).await;
                    let outcome = apply(table, &file).await;
                    self.policies.set(table);
                    if outcome.is_ok() {
                        *config = *file;
                    }
                    drop(reply.send(outcome));
                }
                Order::Resume { group, given_up, passed, now, reply } => {
                    self.put(std::mem::take(&mut changes), table, config, log).await;
                    let outcome = resumes::write(table, &group, &given_up, &passed, now).await;
                    self.policies.set(table);
                    drop(reply.send(outcome));
                }
                Order::Reset { group, step, now, reply } => {
                    self.put(std::mem::take(&mut changes), table, config, log).await;
                    let outcome = resets::write(table, &group, &step, now).await;
                    self.policies.set(table);
                    drop(reply.send(outcome));
                }
            }
        }
        self.put(changes, table, config, log).await;
    }

    /// Makes changes, each on top of the one before; one that is refused stands in no other's way.
    async fn put(
        &self,
        (changes, replies): Changes,
        table: &Table,
        config: &Config,
        log: &Arc<dyn EventLog>,
    ) {
        if changes.is_empty() {
            return;
        }
        let updated = table
            .update(|draft| {
                let mut groups = self.policies.all().len();
                let judged = changes.iter().map(|change| {
                    let put = judge(draft, change, groups, config, log);
                    groups += usize::from(matches!(put, Ok(Put::Created)));
                    put
                });
                Ok::<_, Error>(judged.collect::<Vec<_>>())
            })
            .await;
        self.policies.set(table);
        let outcomes = updated.unwrap_or_else(|error| vec![Err(error); changes.len()]);
        for ((change, reply), outcome) in changes.iter().zip(replies).zip(outcomes) {
            if outcome.is_ok() {
                tracing::info!(group = %change.group, "policy stored");
            }
            drop(reply.send(outcome));
        }
    }
}

/// Makes one change, where it can be, of so many `groups`.
fn judge(
    draft: &mut Draft<'_>,
    change: &Change,
    groups: usize,
    config: &Config,
    log: &Arc<dyn EventLog>,
) -> Result<Put, Error> {
    let before = stored(draft, &change.group);
    let base = before.as_ref().map_or(&config.defaults, |stored| &stored.policy);
    let policy = with_topics(change.patch.apply(base)?)?;
    let is_missing = |topic: &&Topic| log.topic(topic).is_none();
    if let Some(topic) = policy.topics.iter().find(is_missing) {
        return Err(Error::UnknownTopic(topic.clone()));
    }
    let put = if before.is_some() { Put::Changed } else { Put::Created };
    if put == Put::Created && groups >= GROUPS_MAX {
        return Err(Error::invalid("", format!("there are {GROUPS_MAX} groups already")));
    }
    let file = before.and_then(|stored| stored.file);
    write(draft, &change.group, &Stored { policy, file })?;
    Ok(put)
}

/// Opens the table and applies what is new in the file, however long the log takes to answer.
async fn open(config: &Config, log: &Arc<dyn EventLog>) -> Table {
    use std::time::Duration;
    const RETRY_MAX: Duration = Duration::from_secs(5);
    let mut delay = Duration::from_millis(100);
    loop {
        match try_open(config, log).await {
            Ok(table) => return table,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the policies of groups cannot be read yet");
            }
        }
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(RETRY_MAX);
    }
}

async fn try_open(config: &Config, log: &Arc<dyn EventLog>) -> Result<Table, Error> {
    let topic = Topic::parse(TABLE).map_err(|error| Error::invalid("", error.to_string()))?;
    let table = Table::open(Arc::clone(log), topic, 1).await?;
    apply(&table, config).await?;
    Ok(table)
}

/// Brings the table to the policies of the file that changed since they were applied last.
async fn apply(table: &Table, config: &Config) -> Result<(), Error> {
    let update = |draft: &mut Draft<'_>| {
        for (group, patch) in &config.groups {
            let Ok(policy) = of_file(config, patch) else { continue };
            let hash = fingerprint(&policy);
            let is_applied = stored(draft, group).is_some_and(|stored| stored.file.as_ref() == Some(&hash));
            if !is_applied {
                write(draft, group, &Stored { policy, file: Some(hash) })?;
            }
        }
        Ok(())
    };
    table.update(update).await
}

fn of_file(config: &Config, patch: &PolicyPatch) -> Result<Policy, Error> {
    with_topics(patch.apply(&config.defaults)?)
}

fn with_topics(policy: Policy) -> Result<Policy, Error> {
    if policy.topics.is_empty() {
        return Err(Error::invalid("/topics", "a group reads at least one topic"));
    }
    Ok(policy)
}
