//! `weirgate schemas register`, and how the folder is compared with what is registered.

use std::path::{Path, PathBuf};

use crate::cli::output;
use crate::config::Environment;
use crate::schema::portable::{Portable, read_folder};

use super::registry::{self, Registry};
use super::{describe_errors, runtime, shown};

/// Register the schemas of the folder in the gateway's registry: orders/placed/v1.json (or .avsc, or .proto) as the next
/// version of orders.placed.v1-value.
///
/// A schema takes along what it refers to: a JSON Schema within itself; what an Avro or Protobuf file refers to is registered
/// first, the type shop.Money as the subject shop.Money, the import shop/money.proto as the subject shop/money.proto. One that is registered already keeps its version. Ends with 1 when the
/// registry refuses one; the others are registered.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The event types whose schemas are registered; all where none is named.
    #[arg(value_name = "EVENT_TYPE")]
    event_types: Vec<String>,
    /// The folder of the schemas.
    #[arg(long, value_name = "FOLDER", default_value = "schemas")]
    directory: PathBuf,
    /// Ask whether each schema may be registered, and register nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    registry: registry::Args,
}

/// What the registry says against the schemas of the folder, and in one line what it was asked.
pub(super) fn compare(
    directory: &Path,
    registry: &registry::Args,
    environment: &Environment,
) -> anyhow::Result<(Vec<String>, String)> {
    let registry = registry.open(environment)?;
    let schemas = match read_folder(directory) {
        Ok(schemas) => schemas,
        Err(errors) => return Ok((errors.iter().map(|error| format!("{error}\n")).collect(), String::new())),
    };
    let told = runtime()?.block_on(refused(&registry, &schemas))?;
    let compared = output::counted(schemas.len(), "schema");
    Ok((told, format!("compatible with the registry at {}: {compared}\n", registry.url())))
}

/// What the registry says against each schema that it would not take.
async fn refused(registry: &Registry, schemas: &[Portable]) -> anyhow::Result<Vec<String>> {
    let mut told = Vec::new();
    for schema in schemas {
        let differences = registry.differences(schema).await?;
        if !differences.is_empty() {
            let lines: String = differences.iter().map(|line| format!("  - {line}\n")).collect();
            told.push(format!("{}: may not follow what is registered\n{lines}", shown(&schema.path)));
        }
    }
    Ok(told)
}

pub(super) fn run(args: &Args, environment: &Environment) -> anyhow::Result<(String, bool)> {
    let mut schemas = match read_folder(&args.directory) {
        Ok(schemas) => schemas,
        Err(errors) => return Ok((describe_errors(&errors), false)),
    };
    let is_there = |name: &String| schemas.iter().any(|schema| schema.event_type.as_str() == name);
    if let Some(absent) = args.event_types.iter().find(|name| !is_there(name)) {
        anyhow::bail!("{} has no schema of {absent}", shown(&args.directory));
    }
    let is_meant = |schema: &Portable| {
        let mut names = args.event_types.iter();
        args.event_types.is_empty() || names.any(|name| name == schema.event_type.as_str())
    };
    schemas.retain(is_meant);
    let registry = args.registry.open(environment)?;
    if args.dry_run {
        let told = runtime()?.block_on(refused(&registry, &schemas))?;
        let sum = output::counted(schemas.len() - told.len(), "schema");
        return Ok((format!("{}{sum} may be registered\n", told.concat()), told.is_empty()));
    }
    runtime()?.block_on(register_all(&registry, &schemas))
}

async fn register_all(registry: &Registry, schemas: &[Portable]) -> anyhow::Result<(String, bool)> {
    let (mut text, mut is_good) = (String::new(), true);
    for schema in schemas {
        let event_type = &schema.event_type;
        match registry.register(schema).await? {
            Ok(place) => {
                let version = place.version.map(|version| format!(" version {version},")).unwrap_or_default();
                let change =
                    place.change_level.map(|level| format!(", a {level} change")).unwrap_or_default();
                text.push_str(&format!("{event_type}-value:{version} id {}{change}\n", place.id));
            }
            Err(problem) => {
                is_good = false;
                text.push_str(&format!("{}: refused: {problem}\n", shown(&schema.path)));
            }
        }
    }
    Ok((text, is_good))
}
