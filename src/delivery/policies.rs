//! The policies in force, and the table that keeps them in the log.
//!
//! The configuration file creates and updates, and never deletes. So that a restart does not undo a PUT, an entry
//! remembers which policy of the file it followed last: only a changed one is applied again.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot, watch};

use crate::event::{GroupName, Topic};
use crate::log::{EventLog, Table};

use super::{Config, Error, Policy, PolicyPatch, Put};

/// Where policies lie.
const TABLE: &str = "_weirgate.groups";
/// Keys of policies; other kinds of entries come with later parts.
const KEY_PREFIX: &str = "policy/";
/// More groups than this are refused.
const GROUPS_MAX: usize = 10_000;

type All = BTreeMap<GroupName, Arc<Policy>>;

/// The policies in force. Cheap to clone; all clones see the same.
#[derive(Debug, Clone)]
pub(super) struct Policies {
    all: Arc<ArcSwap<All>>,
    changes: Arc<watch::Sender<u64>>,
    is_loaded: Arc<watch::Sender<bool>>,
    orders: mpsc::Sender<Order>,
}

#[derive(Debug)]
enum Order {
    /// One policy, by an administrator.
    Put { group: GroupName, patch: Box<PolicyPatch>, reply: oneshot::Sender<Result<Put, Error>> },
    /// All of the file, read again.
    File { config: Box<Config>, reply: oneshot::Sender<Result<(), Error>> },
}

/// The one writer of the table.
#[derive(Debug)]
pub(super) struct Keeper {
    policies: Policies,
    orders: mpsc::Receiver<Order>,
}

/// An entry of the table.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Stored {
    policy: Policy,
    /// Hash of the file's policy that was applied last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

impl Policies {
    /// The policies of the file, until the table is read, and the keeper that reads it.
    pub(super) fn new(config: &Config) -> (Self, Keeper) {
        const ORDERS_MAX: usize = 64;
        let of_file = config.groups.iter().filter_map(|(group, patch)| {
            let policy = of_file(config, patch).inspect_err(|error| {
                tracing::error!(%group, %error, "the policy of the configuration cannot be");
            });
            Some((group.clone(), Arc::new(policy.ok()?)))
        });
        let (sender, orders) = mpsc::channel(ORDERS_MAX);
        let policies = Self {
            all: Arc::new(ArcSwap::from_pointee(of_file.collect())),
            changes: Arc::new(watch::Sender::new(0)),
            is_loaded: Arc::new(watch::Sender::new(false)),
            orders: sender,
        };
        (policies.clone(), Keeper { policies, orders })
    }

    pub(super) fn get(&self, group: &GroupName) -> Option<Arc<Policy>> {
        self.all.load().get(group).cloned()
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
        let (reply, answer) = oneshot::channel();
        let order = Order::Put { group, patch: Box::new(patch), reply };
        self.orders.send(order).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Creates and updates what another reading of the file says, durably, and takes its defaults for groups to come.
    pub(super) async fn follow(&self, config: Config) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        let order = Order::File { config: Box::new(config), reply };
        self.orders.send(order).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    fn set(&self, all: All) {
        if **self.all.load() != all {
            self.all.store(Arc::new(all));
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
        self.policies.set(read(&table));
        self.policies.is_loaded.send_replace(true);
        let mut changes = table.changes();
        loop {
            tokio::select! {
                order = self.orders.recv() => {
                    match order {
                        Some(Order::Put { group, patch, reply }) => {
                            let outcome = self.put(&table, &group, &patch, &config, log).await;
                            drop(reply.send(outcome));
                        }
                        Some(Order::File { config: file, reply }) => {
                            let outcome = apply(&table, &file).await;
                            self.policies.set(read(&table));
                            config = *file;
                            drop(reply.send(outcome));
                        }
                        None => return,
                    }
                }
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.policies.set(read(&table));
                }
            }
        }
    }

    async fn put(
        &self,
        table: &Table,
        group: &GroupName,
        patch: &PolicyPatch,
        config: &Config,
        log: &Arc<dyn EventLog>,
    ) -> Result<Put, Error> {
        let before = stored(table, group);
        let base = before.as_ref().map_or(&config.defaults, |stored| &stored.policy);
        let policy = with_topics(patch.apply(base)?)?;
        let is_missing = |topic: &&Topic| log.topic(topic).is_none();
        if let Some(topic) = policy.topics.iter().find(is_missing) {
            return Err(Error::UnknownTopic(topic.clone()));
        }
        let put = if before.is_some() { Put::Changed } else { Put::Created };
        if put == Put::Created && self.policies.all().len() >= GROUPS_MAX {
            return Err(Error::invalid("", format!("there are {GROUPS_MAX} groups already")));
        }
        let file = before.and_then(|stored| stored.file);
        write(table, group, &Stored { policy, file }).await?;
        self.policies.set(read(table));
        tracing::info!(%group, "policy stored");
        Ok(put)
    }
}

/// Opens the table and applies what is new in the file, however long the log takes to answer.
async fn open(config: &Config, log: &Arc<dyn EventLog>) -> Table {
    use std::time::Duration;
    const RETRY_MAX: Duration = Duration::from_secs(5);
    let mut delay = Duration::from_millis(100);
    loop {
        match try_open(config, log).await {
            Ok(table) => return table,
            Err(error) => tracing::warn!(%error, "the policies of groups cannot be read yet"),
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
    for (group, patch) in &config.groups {
        let Ok(policy) = of_file(config, patch) else { continue };
        let hash = fingerprint(&policy);
        let is_applied = stored(table, group).is_some_and(|stored| stored.file.as_ref() == Some(&hash));
        if !is_applied {
            write(table, group, &Stored { policy, file: Some(hash) }).await?;
        }
    }
    Ok(())
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

fn fingerprint(policy: &Policy) -> String {
    let text = serde_json::to_vec(policy).unwrap_or_default();
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key(group: &GroupName) -> Bytes {
    format!("{KEY_PREFIX}{group}").into()
}

fn stored(table: &Table, group: &GroupName) -> Option<Stored> {
    serde_json::from_slice(&table.read(&key(group))?).ok()
}

async fn write(table: &Table, group: &GroupName, stored: &Stored) -> Result<(), Error> {
    let value = serde_json::to_vec(stored).map_err(|error| Error::invalid("", error.to_string()))?;
    table.write(key(group), Some(value.into())).await?;
    Ok(())
}

fn read(table: &Table) -> All {
    let entry = |(key, value): (Bytes, Bytes)| {
        let name = std::str::from_utf8(&key).ok()?.strip_prefix(KEY_PREFIX)?;
        let group = GroupName::parse(name).ok()?;
        let stored: Stored = serde_json::from_slice(&value)
            .inspect_err(|error| tracing::error!(%group, %error, "a stored policy cannot be read"))
            .ok()?;
        Some((group, Arc::new(stored.policy)))
    };
    table.entries().into_iter().filter_map(entry).collect()
}
