//! `weirgate schemas`: judges schemas before they are in force, for a pipeline or before a commit.

mod register;
mod registry;
mod revision;
mod told;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::config::Environment;
use crate::schema::compat::{ChangeLevel, Level, Policy};
use crate::schema::evolution::{Change, Outcome, Single, compare_files, compare_folder};
use crate::schema::examples::{Report, judge};
use crate::schema::registry::Kind;
use crate::schema::{Absent, Config, LoadError, Store, typescript};

use super::output;

/// Judge schemas.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Check(Check),
    Diff(Diff),
    Register(register::Args),
    Types(Types),
}

/// Judge all schemas of the folder, and their examples.
///
/// The schema of orders.placed.v1 is orders/placed/v1.json (JSON Schema), v1.avsc (Avro) or v1.proto (Protobuf, its first
/// message), its examples lie in orders/placed/v1.examples/valid and orders/placed/v1.examples/invalid, as JSON that is
/// posted. Avro files may name types that other files define; Protobuf files import others by their path, seen from their own
/// folder or from FOLDER. With --against each schema is compared with what the folder held at that
/// revision of git, and what breaks readers is told with an event that shows it. With --registered each is compared
/// with the versions in the gateway's registry, as the level of its subject asks. Ends with 1 when a schema or an
/// example is wrong, or a change is not compatible.
#[derive(Debug, clap::Args)]
struct Check {
    /// The folder of the schemas.
    #[arg(long, value_name = "FOLDER", default_value = "schemas")]
    directory: PathBuf,
    /// Compare with the folder at this revision of git, such as main or HEAD~1.
    #[arg(long, value_name = "REVISION", value_parser = parse_revision)]
    against: Option<String>,
    /// Compare with the versions in the gateway's registry.
    #[arg(long)]
    registered: bool,
    #[command(flatten)]
    registry: registry::Args,
    #[command(flatten)]
    rules: Rules,
}

/// Print the data of the folder's event types in the language of a program.
#[derive(Debug, clap::Args)]
struct Types {
    /// The language.
    #[arg(long, value_name = "LANGUAGE", value_enum, default_value = "typescript")]
    lang: Language,
    /// The folder of the schemas.
    #[arg(long, value_name = "FOLDER", default_value = "schemas")]
    directory: PathBuf,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Language {
    Typescript,
}

/// Compare two schema files: whether NEW may follow OLD, and if not, what breaks whom.
///
/// Both are of one language: JSON Schema (.json), Avro (.avsc) or Protobuf (.proto). References lead to the schemas of the
/// folder; those of an Avro or Protobuf file that lies elsewhere to what lies in its own folder. Nothing is fetched. Ends
/// with 1 when NEW is not compatible.
#[derive(Debug, clap::Args)]
struct Diff {
    /// The schema as it was.
    old: PathBuf,
    /// The schema as it will be.
    new: PathBuf,
    /// The folder of the schemas that the two refer to.
    #[arg(long, value_name = "FOLDER", default_value = "schemas")]
    directory: PathBuf,
    /// The language of both; as their names say where it is not given.
    #[arg(long, value_name = "LANGUAGE", value_enum)]
    format: Option<Format>,
    #[command(flatten)]
    rules: Rules,
}

/// The language of a schema.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    Avro,
    Json,
    Protobuf,
}

impl From<Format> for Kind {
    fn from(format: Format) -> Self {
        match format {
            Format::Avro => Self::Avro,
            Format::Json => Self::Json,
            Format::Protobuf => Self::Protobuf,
        }
    }
}

#[derive(Debug, Clone, Copy, clap::Args)]
struct Rules {
    /// Who must be able to read whose data: BACKWARD (new readers, old data), FORWARD (old readers, new data), FULL
    /// (both) or NONE.
    #[arg(long, value_name = "LEVEL", default_value = "BACKWARD")]
    level: Level,
    /// LENIENT: producers send no members that the schema does not name, readers pass over them, so that members can
    /// be added; of Protobuf, what readers of its bytes see. STRICT: to the letter of the schemas; of Protobuf, also what
    /// readers of its JSON see. Avro has one rule for both.
    #[arg(long, value_name = "POLICY", default_value = "LENIENT")]
    policy: Policy,
}

fn parse_revision(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.starts_with('-') { Err("is no revision") } else { Ok(text.to_owned()) }
}

/// Prints what is wrong, one finding after the other, or what was judged.
///
/// # Errors
/// When standard output is closed, git does not know the revision, or the registry cannot be asked.
pub(super) fn run(args: &Args, environment: &Environment) -> anyhow::Result<ExitCode> {
    let (text, is_good) = match &args.command {
        Command::Check(check) => run_check(check, environment)?,
        Command::Diff(diff) => run_diff(diff)?,
        Command::Register(args) => register::run(args, environment)?,
        Command::Types(types) => run_types(types),
    };
    output::print(&text)?;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_check(check: &Check, environment: &Environment) -> anyhow::Result<(String, bool)> {
    let report = judge(&folder(&check.directory));
    let mut told: Vec<String> = report.findings.iter().map(|finding| format!("{finding}\n")).collect();
    let mut summary = describe(&report);
    if let Some(revision) = &check.against {
        let before = revision::files_at(&check.directory, revision)?;
        let Rules { level, policy } = check.rules;
        match runtime()?.block_on(compare_folder(&check.directory, before, policy, level)) {
            Ok(changes) => {
                let broken = changes.iter().filter(|change| is_broken(change, level));
                told.extend(broken.map(|change| describe_change(change, revision, check.rules)));
                summary.push_str(&summarize(&changes, revision, check.rules));
            }
            // Mistakes of the folder as it is were told already.
            Err(errors) if told.is_empty() => told.extend(errors.iter().map(|error| format!("{error}\n"))),
            Err(_) => {}
        }
    }
    if check.registered && report.findings.is_empty() {
        let (found, sum) = register::compare(&check.directory, &check.registry, environment)?;
        told.extend(found);
        summary.push_str(&sum);
    }
    if told.is_empty() {
        return Ok((summary, true));
    }
    Ok((format!("{}{}\n", told.concat(), output::counted(told.len(), "finding")), false))
}

fn folder(directory: &Path) -> Config {
    Config { store: Store::Folder, directory: directory.to_owned(), absent: Absent::Refused }
}

fn run_types(types: &Types) -> (String, bool) {
    let written = match types.lang {
        Language::Typescript => typescript::of_folder(&folder(&types.directory)),
    };
    match written {
        Ok(text) => (text, true),
        Err(errors) => (describe_errors(&errors), false),
    }
}

fn run_diff(diff: &Diff) -> anyhow::Result<(String, bool)> {
    let Rules { level, policy } = diff.rules;
    let kind = diff.format.map(Kind::from);
    let (old, new) = (Single { path: &diff.old, kind }, Single { path: &diff.new, kind });
    let compared = compare_files(&diff.directory, old, new, policy, level);
    let report = match runtime()?.block_on(compared) {
        Ok(report) => report,
        Err(errors) => return Ok((describe_errors(&errors), false)),
    };
    let change = report.change_level.unwrap_or(ChangeLevel::Patch).as_str();
    let text = if report.compatible {
        format!("compatible ({level}, {policy}); a {change} change\n")
    } else {
        format!("{}: a {change} change\n{}", shown(&diff.new), told::breaks(&report, policy, level))
    };
    Ok((text, report.compatible))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// A schema that is gone judges nothing any more.
fn is_broken(change: &Change, level: Level) -> bool {
    match &change.outcome {
        Outcome::Compared(report) => !report.compatible,
        Outcome::Gone => level != Level::None,
    }
}

fn describe_change(change: &Change, revision: &str, rules: Rules) -> String {
    let path = shown(&change.path);
    match &change.outcome {
        Outcome::Compared(report) => {
            let breaks = told::breaks(report, rules.policy, rules.level);
            format!("{path}: changed since {revision}\n{breaks}")
        }
        Outcome::Gone => format!(
            "{path}: gone since {revision}; events of {} would no longer be judged: keep it, or use --level NONE\n",
            change.event_type
        ),
    }
}

fn summarize(changes: &[Change], revision: &str, rules: Rules) -> String {
    let of = |wanted: ChangeLevel| {
        let is_wanted = |change: &&Change| match &change.outcome {
            Outcome::Compared(report) => report.change_level == Some(wanted),
            Outcome::Gone => wanted == ChangeLevel::Major,
        };
        changes.iter().filter(is_wanted).count()
    };
    let (minor, major) = (of(ChangeLevel::Minor), of(ChangeLevel::Major));
    let compared = output::counted(changes.len(), "schema");
    let major = if major > 0 { format!(", {major} with a major change") } else { String::new() };
    let Rules { level, policy } = rules;
    format!(
        "compatible with {revision} ({level}, {policy}): {compared}, {minor} with a minor change{major}\n"
    )
}

fn describe_errors(errors: &[LoadError]) -> String {
    let lines: String = errors.iter().map(|error| format!("{error}\n")).collect();
    format!("{lines}{}\n", output::counted(errors.len(), "finding"))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn describe(report: &Report) -> String {
    let Report { schemas, examples, findings } = report;
    if findings.is_empty() {
        let (schemas, examples) =
            (output::counted(*schemas, "schema"), output::counted(*examples, "example"));
        return format!("as they should be: {schemas}, {examples}\n");
    }
    describe_errors(findings)
}

#[cfg(test)]
mod tests;
