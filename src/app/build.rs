//! Builds the rooms on one another, ground floor first.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, anyhow};
use tokio::runtime::Handle;

use crate::auth::{self, Authenticator};
use crate::config::Config;
use crate::delivery;
use crate::event::{Clock, LiveCatalogue};
use crate::feed;
use crate::http;
use crate::log_embedded;
use crate::publish::Publisher;
use crate::socket::{self, Sessions};
use crate::telemetry::Registry;

use super::engine::Engine;
use super::reload::Reload;
use super::tasks::Tasks;
use super::topics::{Topics, Wanted};
use super::{App, ReadSources, check_dev, node, playground, schemas};

/// What every floor stands on.
struct Ground {
    clock: Clock,
    registry: Registry,
    tasks: Tasks,
    data_directory: Option<PathBuf>,
}

/// Who comes in, and how.
struct Callers {
    authenticator: Authenticator,
    dev_key: Option<auth::dev::Key>,
    dev_token: Option<String>,
    front_page: Option<Arc<dyn Fn() -> String + Send + Sync>>,
    own_token: Option<Arc<dyn Fn() -> String + Send + Sync>>,
}

pub(super) async fn build(
    mut config: Config,
    read_sources: ReadSources,
    clock: Clock,
) -> anyhow::Result<App> {
    check_dev(&config)?;
    let data_directory = config.data_directory().map(Path::to_owned);
    let ground = Ground { clock, registry: Registry::new(), tasks: Tasks::default(), data_directory };

    // Before the log makes its directory: a mistake here leaves nothing behind.
    let schemas::Judges { schemas, registry: schema_registry, upkeep } =
        schemas::open(config.schemas.clone(), &ground.registry).await?;
    let (engine, topics) = open_log(&config, &ground).await?;
    let node_name = node::name(config.node.as_deref(), ground.data_directory.as_deref())?;
    config.delivery.node = node_name.as_str().into();
    let callers = let_callers_in(&mut config, &ground)?;

    let Ground { clock, registry, tasks, data_directory } = ground;
    let Callers { authenticator, dev_key, dev_token, front_page, own_token } = callers;
    let log = engine.log();
    let catalogue = LiveCatalogue::new(config.catalogue);
    let publisher = Publisher::new(
        config.publish,
        Arc::clone(&log),
        catalogue.clone(),
        schemas.clone(),
        authenticator.clone(),
        clock.clone(),
        &registry,
    );
    // Everything on the way out reads JSON, whatever the topic holds.
    let decoder = upkeep.decoder(&schema_registry, catalogue.clone(), &registry);
    let decoded = decoder.log(Arc::clone(&log));
    let (feed_service, feed) =
        feed::Service::new(config.feed, Arc::clone(&decoded), catalogue.clone(), clock.clone(), &registry);
    let (delivery_service, delivery) = delivery::Service::new(
        config.delivery,
        Arc::clone(&decoded),
        decoder.groups(engine.groups()),
        catalogue.clone(),
        clock.clone(),
        &registry,
    );
    let sessions = Sessions::new(
        config.socket,
        socket::Parts {
            node: node_name.into(),
            feed: feed.clone(),
            delivery: delivery.clone(),
            publisher: publisher.clone(),
            authenticator: authenticator.clone(),
            clock: clock.clone(),
        },
        &registry,
    );

    tasks.spawn(upkeep.run(log, catalogue.clone()));
    let shown = Arc::new(Mutex::new(config.view));
    let reload = Reload {
        read_sources,
        authenticator: authenticator.clone(),
        auth_mode: config.auth.mode,
        dev_key,
        catalogue: catalogue.clone(),
        schemas: schemas.clone(),
        publisher: publisher.clone(),
        delivery: delivery.clone(),
        limits: config.http.limits.clone(),
        topics,
        tasks: tasks.clone(),
        view: Arc::clone(&shown),
        turn: Arc::default(),
        runtime: Handle::current(),
        log: engine.log(),
        clock: clock.clone(),
    };
    let parts = http::Parts {
        catalogue,
        log: decoded,
        publisher: publisher.clone(),
        judged_by: schemas,
        schemas: schema_registry,
        feed,
        delivery,
        sessions,
        authenticator,
        clock,
        registry: registry.clone(),
        config_view: Arc::new(move || shown.lock().unwrap_or_else(PoisonError::into_inner).clone()),
        reload: reload.hook(),
        front_page,
        own_token,
    };
    let (listeners, server) = serve_http(config.http, parts, reload.dev_key.is_some())?;
    Ok(App {
        engine,
        feed: feed_service,
        delivery: delivery_service,
        sharing: publisher.sharing(),
        publisher,
        server,
        listeners,
        reload,
        tasks,
        dev_token,
        data_directory,
        registry,
    })
}

/// Opens the log, and brings the configured topics about.
async fn open_log(config: &Config, ground: &Ground) -> anyhow::Result<(Engine, Topics)> {
    make_directory(ground.data_directory.clone()).await?;
    let engine = Engine::open(config.log.clone(), ground.clock.clone(), ground.registry.clone()).await?;
    let topics = engine.topics(Wanted::of(config));
    topics.make(&ground.tasks).await?;
    Ok((engine, topics))
}

/// Sets up who may come in. In development mode the configuration then knows the gateway's own key.
fn let_callers_in(config: &mut Config, ground: &Ground) -> anyhow::Result<Callers> {
    let clock = &ground.clock;
    let dev_key = dev_key(config.auth.mode, ground.data_directory.as_deref())?;
    config.auth.dev_key.clone_from(&dev_key);
    let authenticator = Authenticator::build(&config.auth, clock.clone(), &ground.registry)?;
    let fetching = authenticator.clone();
    // The time limit of a fetch bounds it, and nobody waits for its end.
    ground.tasks.spawn(async move { fetching.fetch_keys().await });
    let dev_token = dev_key.as_ref().map(|key| key.dev_token(clock.now())).transpose()?;
    let own_token = dev_key.clone().map(|key| playground::tokens(key, clock.clone()));
    let front_page = own_token.clone().map(|token| playground::server(config, token));
    Ok(Callers { authenticator, dev_key, dev_token, front_page, own_token })
}

/// Binds the listeners and makes what serves them; a development gateway lets its own pages in.
fn serve_http(
    mut config: http::Config,
    parts: http::Parts,
    is_dev: bool,
) -> anyhow::Result<(http::Listeners, http::Server)> {
    let listeners = http::Listeners::bind(&config)?;
    if is_dev {
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        config.allowed_origins.extend(own_origins(scheme, listeners.address().port()));
    }
    Ok((listeners, http::Server::new(config, parts)?))
}

/// Makes the directory of the gateway's own state, where it keeps any.
async fn make_directory(directory: Option<PathBuf>) -> anyhow::Result<()> {
    let Some(directory) = directory else { return Ok(()) };
    let problem = format!("the data directory {} cannot be made", directory.display());
    off_thread(move || log_embedded::make_directory(&directory)).await?.context(problem)
}

fn dev_key(mode: auth::Mode, directory: Option<&Path>) -> anyhow::Result<Option<auth::dev::Key>> {
    match (mode, directory) {
        (auth::Mode::Dev, Some(directory)) => Ok(Some(auth::dev::Key::load_or_create(directory)?)),
        (auth::Mode::Dev, None) => Err(anyhow!("development mode needs a directory for its key")),
        (auth::Mode::Required, _) => Ok(None),
    }
}

/// The origins of the development gateway's own pages.
fn own_origins(scheme: &str, port: u16) -> impl Iterator<Item = http::OriginPattern> {
    ["127.0.0.1", "localhost", "[::1]"]
        .into_iter()
        .filter_map(move |name| http::OriginPattern::parse(&format!("{scheme}://{name}:{port}")).ok())
}

pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("start-up was interrupted")
}
