//! Reload: reads the configuration again and puts in force what can change while running.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;

use crate::auth;
use crate::config::{Config, Sources};
use crate::event::LiveCatalogue;
use crate::log::EventLog;
use crate::schema::Schemas;

use super::ReadSources;

/// What a reload changes: grants, keys and issuers, topics and their rules, schemas.
#[derive(Clone)]
pub(super) struct Reload {
    pub(super) read_sources: ReadSources,
    pub(super) authenticator: auth::Authenticator,
    pub(super) dev_key: Option<auth::dev::Key>,
    pub(super) catalogue: LiveCatalogue,
    pub(super) schemas: Schemas,
    pub(super) log: Arc<dyn EventLog>,
    /// The configuration in force, secrets hidden.
    pub(super) view: Arc<Mutex<serde_json::Value>>,
    pub(super) runtime: Handle,
}

impl std::fmt::Debug for Reload {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Reload")
    }
}

impl Reload {
    /// The hook that reloads. It blocks (files, the log): call it off the async threads.
    pub(super) fn hook(&self) -> Arc<dyn Fn() -> Result<(), String> + Send + Sync> {
        let reload = self.clone();
        Arc::new(move || reload.run())
    }

    fn run(&self) -> Result<(), String> {
        let sources: Sources = (self.read_sources)()?;
        let mut config = Config::read(&sources).map_err(|mistakes| lines(&mistakes))?;
        config.auth.dev_key.clone_from(&self.dev_key);
        // Everything that can be refused is tried before anything is put in force.
        Schemas::load(&config.schemas).map_err(|errors| lines(&errors))?;
        let make_topics = async {
            for spec in &config.topics {
                self.log.ensure_topic(spec).await.map_err(|error| error.to_string())?;
            }
            Ok::<(), String>(())
        };
        self.runtime.block_on(make_topics)?;
        self.authenticator.replace(&config.auth).map_err(|error| error.to_string())?;
        self.schemas.reload().map_err(|errors| lines(&errors))?;
        self.catalogue.replace(config.catalogue);
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = config.view;
        tracing::info!(
            "configuration reloaded; addresses, limits, groups and the log keep theirs until a restart"
        );
        Ok(())
    }
}

fn lines<M: ToString>(mistakes: &[M]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
