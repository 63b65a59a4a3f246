//! Where the schemas come from, chosen by the configuration, and who keeps them up to date.

use std::sync::Arc;

use anyhow::{Context, anyhow};

use crate::event::LiveCatalogue;
use crate::log::EventLog;
use crate::schema::registry::confluent::{self, Confluent};
use crate::schema::registry::{self, Registry};
use crate::schema::{Config, Decoder, Schemas, Store};
use crate::telemetry;

use super::build::off_thread;

/// By what events are judged.
#[derive(Debug)]
pub(super) struct Judges {
    pub(super) schemas: Schemas,
    /// What the gateway serves below the registry's path.
    pub(super) registry: Registry,
    pub(super) upkeep: Upkeep,
}

/// What runs beside the rooms for the schemas' sake.
#[derive(Debug)]
pub(super) enum Upkeep {
    /// Reads the gateway's own registry from the log.
    Own(registry::Keeper),
    /// Asks a registry elsewhere.
    Elsewhere(Box<confluent::Keeper>, Confluent),
}

/// Reads what can be read before there is a log.
pub(super) async fn open(config: Config, metrics: &telemetry::Registry) -> anyhow::Result<Judges> {
    if let Store::Confluent(elsewhere) = config.store {
        let metrics = metrics.clone();
        let built = off_thread(move || Confluent::new(&elsewhere, &metrics)).await?;
        let (confluent, keeper) = built.context("schemas.confluent cannot be used")?;
        let (schemas, registry) = (Schemas::fetched(confluent.clone()), Registry::elsewhere());
        return Ok(Judges { schemas, registry, upkeep: Upkeep::Elsewhere(Box::new(keeper), confluent) });
    }
    let (registry, keeper) = Registry::new();
    let schemas = if config.store == Store::Embedded {
        Schemas::registered(registry.clone())
    } else {
        off_thread(move || Schemas::load(&config)).await?.map_err(|errors| {
            let list = errors.iter().map(|error| format!("\n  {error}")).collect::<String>();
            anyhow!("schemas cannot be used:{list}")
        })?
    };
    Ok(Judges { schemas, registry, upkeep: Upkeep::Own(keeper) })
}

impl Upkeep {
    /// Who reads records that name their schema.
    pub(super) fn decoder(
        &self,
        registry: &Registry,
        catalogue: LiveCatalogue,
        metrics: &telemetry::Registry,
    ) -> Decoder {
        match self {
            Self::Own(_) => Decoder::new(registry.clone(), catalogue, metrics),
            Self::Elsewhere(_, confluent) => Decoder::asking(confluent.clone(), catalogue, metrics),
        }
    }

    /// Runs for as long as there is something to keep.
    pub(super) async fn run(self, log: Arc<dyn EventLog>, catalogue: LiveCatalogue) {
        match self {
            Self::Own(keeper) => keeper.run(log).await,
            Self::Elsewhere(keeper, _) => keeper.run(catalogue).await,
        }
    }
}
