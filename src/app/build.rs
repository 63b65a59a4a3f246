//! Builds the rooms on one another, ground floor first.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, anyhow};
use tokio::runtime::Handle;

use crate::auth::{self, Authenticator};
use crate::config::{Config, Log};
use crate::delivery;
use crate::event::{Clock, LiveCatalogue};
use crate::feed;
use crate::http;
use crate::log::{EventLog, Groups};
use crate::log_embedded;
use crate::publish::Publisher;
use crate::schema::{self, Schemas};
use crate::socket::{self, Sessions};
use crate::telemetry::Registry;

use super::{App, ReadSources, check_dev, node, playground, reload::Reload};

pub(super) async fn build(
    mut config: Config,
    read_sources: ReadSources,
    clock: Clock,
) -> anyhow::Result<App> {
    check_dev(&config)?;
    let registry = Registry::new();
    let data_directory = config.data_directory();

    let Log::Embedded(embedded) = config.log.clone();
    let engine = off_thread({
        let (clock, registry) = (clock.clone(), registry.clone());
        move || log_embedded::Engine::open(&embedded, clock, &registry)
    })
    .await?
    .context("the log cannot be opened")?;
    let log: Arc<dyn EventLog> = Arc::<log_embedded::Engine>::clone(&engine);
    let groups: Arc<dyn Groups> = Arc::<log_embedded::Engine>::clone(&engine);
    for spec in &config.topics {
        log.ensure_topic(spec).await.with_context(|| format!("topic '{}'", spec.name))?;
    }

    let node_name = node::name(config.node.as_deref(), &data_directory)?;
    config.delivery.node = node_name.as_str().into();
    let schemas = load_schemas(config.schemas.clone()).await?;
    let dev_key = match config.auth.mode {
        auth::Mode::Dev => Some(auth::dev::Key::load_or_create(&data_directory)?),
        auth::Mode::Required => None,
    };
    config.auth.dev_key.clone_from(&dev_key);
    let authenticator = Authenticator::build(&config.auth, clock.clone(), &registry)?;
    let dev_token = dev_key.as_ref().map(|key| key.dev_token(clock.now())).transpose()?;
    let front_page = dev_token.as_deref().map(|token| Arc::from(playground::page(&config, token)));

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
    let (feed_service, feed) =
        feed::Service::new(config.feed, Arc::clone(&log), catalogue.clone(), clock.clone(), &registry);
    let (delivery_service, delivery) = delivery::Service::new(
        config.delivery,
        Arc::clone(&log),
        groups,
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

    let shown = Arc::new(Mutex::new(config.shown));
    let reload = Reload {
        read_sources,
        authenticator: authenticator.clone(),
        dev_key,
        catalogue,
        schemas,
        log: Arc::clone(&log),
        shown: Arc::clone(&shown),
        runtime: Handle::current(),
    };
    let parts = http::Parts {
        log,
        publisher: publisher.clone(),
        feed,
        delivery,
        sessions,
        authenticator,
        clock,
        registry,
        config_view: Arc::new(move || {
            serde_json::Value::from(shown.lock().unwrap_or_else(PoisonError::into_inner).as_str())
        }),
        reload: reload.hook(),
        front_page,
    };
    let listeners = http::Listeners::bind(&config.http)?;
    let server = http::Server::new(config.http, parts)?;
    Ok(App {
        engine,
        feed: feed_service,
        delivery: delivery_service,
        publisher,
        server,
        listeners,
        reload,
        dev_token,
        data_directory,
    })
}

async fn load_schemas(config: schema::Config) -> anyhow::Result<Schemas> {
    off_thread(move || Schemas::load(&config)).await?.map_err(|errors| {
        let list = errors.iter().map(|error| format!("\n  {error}")).collect::<String>();
        anyhow!("schemas cannot be used:{list}")
    })
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("start-up was interrupted")
}
