//! `weirgate schemas`: judges schemas before they are in force, for a pipeline or before a commit.

mod revision;
mod told;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::schema::compat::{ChangeLevel, Level, Policy};
use crate::schema::evolution::{Change, Outcome, compare_files, compare_folder};
use crate::schema::examples::{Report, judge};
use crate::schema::{Absent, Config, LoadError, Store};

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
}

/// Judge all schemas of the folder, and their examples.
///
/// The schema of orders.placed.v1 is orders/placed/v1.json, its examples lie in orders/placed/v1.examples/valid and
/// orders/placed/v1.examples/invalid. With --against each schema is compared with what the folder held at that
/// revision of git, and what breaks readers is told with an event that shows it. Ends with 1 when a schema or an
/// example is wrong, or a change is not compatible.
#[derive(Debug, clap::Args)]
struct Check {
    /// The folder of the schemas.
    #[arg(long, value_name = "FOLDER", default_value = "schemas")]
    directory: PathBuf,
    /// Compare with the folder at this revision of git, such as main or HEAD~1.
    #[arg(long, value_name = "REVISION", value_parser = parse_revision)]
    against: Option<String>,
    #[command(flatten)]
    rules: Rules,
}

/// Compare two schema files: whether NEW may follow OLD, and if not, what breaks whom.
///
/// References lead to the schemas of the folder. Ends with 1 when NEW is not compatible.
#[derive(Debug, clap::Args)]
struct Diff {
    /// The schema as it was.
    old: PathBuf,
    /// The schema as it will be.
    new: PathBuf,
    /// The folder of the schemas that the two refer to.
    #[arg(long, value_name = "FOLDER", default_value = "schemas")]
    directory: PathBuf,
    #[command(flatten)]
    rules: Rules,
}

#[derive(Debug, Clone, Copy, clap::Args)]
struct Rules {
    /// Who must be able to read whose data: BACKWARD (new readers, old data), FORWARD (old readers, new data), FULL
    /// (both) or NONE.
    #[arg(long, value_name = "LEVEL", default_value = "BACKWARD")]
    level: Level,
    /// LENIENT: producers send no members that the schema does not name, readers pass over them, so that members can
    /// be added. STRICT: to the letter of the schemas.
    #[arg(long, value_name = "POLICY", default_value = "LENIENT")]
    policy: Policy,
}

fn parse_revision(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.starts_with('-') { Err("is no revision") } else { Ok(text.to_owned()) }
}

/// Prints what is wrong, one finding after the other, or what was judged.
///
/// # Errors
/// When standard output is closed, or git does not know the revision.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (text, is_good) = match &args.command {
        Command::Check(check) => run_check(check)?,
        Command::Diff(diff) => run_diff(diff)?,
    };
    output::print(&text)?;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_check(check: &Check) -> anyhow::Result<(String, bool)> {
    let report =
        judge(&Config { store: Store::Folder, directory: check.directory.clone(), absent: Absent::Refused });
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
    if told.is_empty() {
        return Ok((summary, true));
    }
    Ok((format!("{}{}\n", told.concat(), output::counted(told.len(), "finding")), false))
}

fn run_diff(diff: &Diff) -> anyhow::Result<(String, bool)> {
    let Rules { level, policy } = diff.rules;
    let compared = compare_files(&diff.directory, &diff.old, &diff.new, policy, level);
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
    Ok(tokio::runtime::Builder::new_current_thread().enable_time().build()?)
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
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::{Command, ExitCode};

    use clap::Parser as _;

    use super::{Args, Report, describe, run};

    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        args: Args,
    }

    fn schemas(arguments: &[&str]) -> ExitCode {
        let program = Program::try_parse_from(["schemas"].iter().chain(arguments)).unwrap();
        run(&program.args).unwrap()
    }

    fn check(directory: &str) -> ExitCode {
        schemas(&["check", "--directory", directory])
    }

    #[test]
    fn the_sample_schemas_and_their_examples_are_good() {
        assert_eq!(check(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas")), ExitCode::SUCCESS);
    }

    #[test]
    fn one_finding_is_one_finding() {
        let folder = tempfile::tempdir().unwrap();
        let config = super::Config {
            store: super::Store::Folder,
            directory: folder.path().join("absent"),
            absent: super::Absent::Refused,
        };
        let report = super::judge(&config);
        assert!(describe(&report).ends_with("absent: there is no such folder\n1 finding\n"));
        let report = Report { schemas: 1, examples: 2, findings: Vec::new() };
        assert_eq!(describe(&report), "as they should be: 1 schema, 2 examples\n");
    }

    #[test]
    fn a_wrong_example_or_an_absent_folder_fails() {
        let folder = tempfile::tempdir().unwrap();
        let examples = folder.path().join("a/b/v1.examples/invalid");
        fs::create_dir_all(&examples).unwrap();
        fs::write(folder.path().join("a/b/v1.json"), r#"{"type":"string"}"#).unwrap();
        fs::write(examples.join("number.json"), "1").unwrap();
        let directory = folder.path().to_str().unwrap();
        assert_eq!(check(directory), ExitCode::SUCCESS);
        fs::write(examples.join("text.json"), "\"x\"").unwrap();
        assert_eq!(check(directory), ExitCode::FAILURE);
        assert_eq!(check("/nowhere"), ExitCode::FAILURE);
    }

    #[test]
    fn a_revision_is_no_option_of_git() {
        for revision in ["", "-rf", "--output=x"] {
            let against = format!("--against={revision}");
            assert!(Program::try_parse_from(["schemas", "check", &against]).is_err(), "{revision}");
        }
        for rules in [["--level", "BACKWARDS"], ["--policy", "LAX"]] {
            assert!(Program::try_parse_from(["schemas", "check"].iter().chain(&rules)).is_err());
        }
    }

    fn git(folder: &Path, arguments: &[&str]) {
        let name = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"];
        let output = Command::new("git").arg("-C").arg(folder).args(name).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    #[test]
    fn a_folder_is_compared_with_what_it_was_at_a_revision() {
        let folder = tempfile::tempdir().unwrap();
        let schemas = folder.path().join("work/schemas");
        let write = |path: &str, text: &str| {
            let path = schemas.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let common =
            |least: u8| format!(r#"{{"$defs":{{"amount":{{"type":"integer","minimum":{least}}}}}}}"#);
        write("shop/common.json", &common(0));
        write("a/b/v1.json", r##"{"properties":{"m":{"$ref":"../../shop/common.json#/$defs/amount"}}}"##);
        write("a/c/v1.json", r#"{"type":"string"}"#);
        write("a/c/v1.examples/valid/x.json", "\"x\"");
        git(folder.path(), &["init", "-q", "-b", "main"]);
        git(folder.path(), &["add", "."]);
        git(folder.path(), &["commit", "-q", "-m", "first"]);
        let directory = schemas.to_str().unwrap();
        let against = |more: &[&str]| {
            let call = [&["check", "--directory", directory, "--against", "main"], more].concat();
            self::schemas(&call)
        };
        assert_eq!(against(&[]), ExitCode::SUCCESS);
        write("a/d/v1.json", "{}");
        write("a/c/v1.json", r#"{"type":["string","null"]}"#);
        assert_eq!(against(&[]), ExitCode::SUCCESS, "a new type and a wider one");
        assert_eq!(against(&["--level", "FULL"]), ExitCode::FAILURE, "old readers know no null");
        write("shop/common.json", &common(1));
        assert_eq!(against(&[]), ExitCode::FAILURE, "what is referred to is narrower");
        assert_eq!(against(&["--level", "NONE"]), ExitCode::SUCCESS);
        write("shop/common.json", &common(0));
        fs::remove_file(schemas.join("a/c/v1.json")).unwrap();
        assert_eq!(against(&[]), ExitCode::FAILURE, "a schema is gone");
        let call = ["check", "--directory", directory, "--against", "absent"];
        let program = Program::try_parse_from(["schemas"].iter().chain(&call)).unwrap();
        let problem = run(&program.args).unwrap_err().to_string();
        assert!(problem.starts_with("absent is no revision that git knows in "), "{problem}");
    }
}
