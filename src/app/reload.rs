//! Reload: reads the configuration again and puts in force what can change while running.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;

use crate::auth;
use crate::config::{self, Config, Mistake, Sources};
use crate::delivery::{self, Delivery};
use crate::event::{Clock, LiveCatalogue};
use crate::http::{self, LiveLimits, ReloadError, Reloaded};
use crate::log::EventLog;
use crate::publish::Publisher;
use crate::schema::{self, Schemas};

use super::ReadSources;
use super::tasks::Tasks;
use super::topics::{Failed, Topics, Wanted};

/// What a reload changes: topics, groups, grants, keys and issuers, schemas, quotas, limits.
#[derive(Clone)]
pub(super) struct Reload {
    pub(super) read_sources: ReadSources,
    pub(super) authenticator: auth::Authenticator,
    pub(super) auth_mode: auth::Mode,
    pub(super) dev_key: Option<auth::dev::Key>,
    pub(super) catalogue: LiveCatalogue,
    pub(super) schemas: Schemas,
    pub(super) publisher: Publisher,
    pub(super) delivery: Delivery,
    pub(super) limits: LiveLimits,
    pub(super) topics: Topics,
    pub(super) tasks: Tasks,
    /// The configuration in force, secrets hidden.
    pub(super) view: Arc<Mutex<serde_json::Value>>,
    /// Guards a reload from its beginning to its end, so that two do not mix; only threads that may block wait here.
    pub(super) turn: Arc<Mutex<()>>,
    pub(super) runtime: Handle,
    /// Where the audit trail is.
    pub(super) log: Arc<dyn EventLog>,
    pub(super) clock: Clock,
}

/// Why a reload failed, as the operator's log tells it.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Sources(String),
    #[error("{}", lines(.0))]
    Mistakes(Vec<Mistake>),
    #[error("schemas cannot be used: {}", lines(.0))]
    Schemas(Vec<schema::LoadError>),
    #[error("{0}: {cause}", cause = .0.source)]
    Topic(#[source] Failed),
    #[error("groups: {0}")]
    Groups(#[source] delivery::Error),
    #[error("{0}")]
    Auth(#[source] auth::SetupError),
}

impl fmt::Debug for Reload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Reload")
    }
}

impl Reload {
    /// The hook that reloads. It blocks (files, the log): call it off the async threads.
    pub(super) fn hook(&self) -> http::Reload {
        let reload = self.clone();
        Arc::new(move || {
            let _turn = reload.turn.lock().unwrap_or_else(PoisonError::into_inner);
            match reload.run() {
                Ok(kept) => {
                    tracing::info!(?kept, "configuration reloaded; what is kept holds until a restart");
                    Ok(Reloaded { kept })
                }
                Err(failure) => {
                    tracing::error!(error = %failure, "the configuration was not reloaded");
                    Err(failure.told())
                }
            }
        })
    }

    /// The same for a signal, which the trail is told of.
    pub(super) fn by_signal(&self) -> http::Reload {
        let (reload, hook) = (self.clone(), self.hook());
        Arc::new(move || {
            reload.runtime.block_on(http::tell_signal(&*reload.log, reload.clock.now()));
            hook()
        })
    }

    /// Everything that can be refused is tried before anything is put in force; then comes what the log must take, and
    /// at last what cannot fail.
    fn run(&self) -> Result<Vec<String>, Failure> {
        let sources: Sources = (self.read_sources)().map_err(Failure::Sources)?;
        let mut config = Config::read(&sources).map_err(Failure::Mistakes)?;
        config.auth.mode = self.auth_mode;
        config.auth.dev_key.clone_from(&self.dev_key);
        self.schemas.check_reload().map_err(Failure::Schemas)?;
        self.runtime.block_on(self.put_into_log(&config))?;
        self.authenticator.replace(&config.auth).map_err(Failure::Auth)?;
        let authenticator = self.authenticator.clone();
        let _on_runtime = self.runtime.enter();
        self.tasks.spawn(async move { authenticator.fetch_keys().await });
        self.schemas.reload().map_err(Failure::Schemas)?;
        self.catalogue.replace(config.catalogue);
        self.publisher.replace(config.publish);
        self.limits.replace(config.http.limits.load().as_ref().clone());
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = config::adopt(&mut view, &config.view);
        // Certificate and key are read once, so other contents of the same files wait as well.
        const TLS: &str = "http.tls";
        if config.http.tls.is_some() && !kept.iter().any(|key| key.starts_with(TLS)) {
            kept.push(TLS.to_owned());
        }
        Ok(kept)
    }

    async fn put_into_log(&self, config: &Config) -> Result<(), Failure> {
        let groups = async { self.delivery.replace(config.delivery.clone()).await.map_err(Failure::Groups) };
        self.topics.replace(Wanted::of(config), groups).await
    }
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        Self::Topic(failed)
    }
}

impl Failure {
    /// What the caller may know: never a path, nor what a file holds.
    fn told(self) -> ReloadError {
        let log_tells = "; the gateway's log says more";
        ReloadError::Refused(match self {
            Self::Topic(Failed { source, .. }) | Self::Groups(delivery::Error::Log(source)) => {
                return ReloadError::Log(source);
            }
            Self::Groups(error) => error.to_string(),
            Self::Mistakes(mistakes) => mistakes.iter().map(Mistake::told).collect::<Vec<_>>().join("\n"),
            Self::Sources(_) => format!("the configuration cannot be read{log_tells}"),
            Self::Schemas(errors) if errors.len() == 1 => format!("1 schema cannot be used{log_tells}"),
            Self::Schemas(errors) => format!("{} schemas cannot be used{log_tells}", errors.len()),
            Self::Auth(_) => format!("keys and issuers cannot be set up{log_tells}"),
        })
    }
}

fn lines<M: ToString>(mistakes: &[M]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
