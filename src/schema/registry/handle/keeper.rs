//! Who opens the registry's table, and takes over what others write there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use crate::event::Topic;
use crate::log::{EventLog, Table};
use crate::schema::registry::rows::{self, Concern};

use super::Registry;

/// Where the registry lies.
const TABLE: &str = "_weirgate.schemas";
const OPEN_AGAIN_FIRST: Duration = Duration::from_millis(100);
const OPEN_AGAIN_MAX: Duration = Duration::from_secs(5);

/// Who opens the registry's table.
#[derive(Debug)]
pub struct Keeper(Registry);

impl Keeper {
    pub(super) const fn of(registry: Registry) -> Self {
        Self(registry)
    }

    /// Opens the table, and follows it for as long as it can be followed.
    pub async fn run(self, log: Arc<dyn EventLog>) {
        self.open(log).await;
        let Ok(table) = self.0.table() else { return };
        let mut changes = table.changes();
        let mut seen = *changes.borrow_and_update();
        // What came since it was opened.
        self.0.0.live.fill(&*table);
        while changes.changed().await.is_ok() {
            // Looked at first: what comes after it is taken over twice rather than not at all.
            let now = *changes.borrow_and_update();
            self.take_over(&table, table.changed_since(seen));
            seen = now;
        }
    }

    /// Opens the table, however long the log takes to answer.
    pub async fn open(&self, log: Arc<dyn EventLog>) {
        let mut wait = OPEN_AGAIN_FIRST;
        loop {
            match open(&log).await {
                Ok(table) => {
                    self.0.0.live.fill(&table);
                    self.0.0.table.store(Some(Arc::new(table)));
                    return;
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the schema registry cannot be read yet");
                }
            }
            sleep(wait).await;
            wait = (wait * 2).min(OPEN_AGAIN_MAX);
        }
    }

    /// Lets events be judged by what changed under these keys, or under any.
    fn take_over(&self, table: &Table, changed: Option<Vec<Bytes>>) {
        let live = &self.0.0.live;
        let Some(keys) = changed else { return live.fill(table) };
        let mut subjects = BTreeSet::new();
        for concern in keys.iter().filter_map(|key| rows::concern_of(key)) {
            match concern {
                Concern::All => return live.fill(table),
                Concern::One(subject) => drop(subjects.insert(subject)),
            }
        }
        live.fill_some(table, &subjects);
    }
}

async fn open(log: &Arc<dyn EventLog>) -> Result<Table, crate::log::Error> {
    let invalid = |_| crate::log::Error::NotSupported("the registry's own topic");
    Table::open(Arc::clone(log), Topic::parse(TABLE).map_err(invalid)?, 1).await
}
