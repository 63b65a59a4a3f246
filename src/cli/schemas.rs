//! `weirgate schemas check`: judges the schema folder and its examples, for a pipeline or before a commit.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::schema::examples::{Report, judge};
use crate::schema::{Absent, Config, Store};

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
}

/// Judge all schemas of the folder, and their examples.
///
/// The schema of orders.placed.v1 is orders/placed/v1.json, its examples lie in orders/placed/v1.examples/valid and
/// orders/placed/v1.examples/invalid. Ends with 1 when a schema or an example is wrong.
#[derive(Debug, clap::Args)]
struct Check {
    /// The folder of the schemas.
    #[arg(long, value_name = "FOLDER", default_value = "schemas")]
    directory: PathBuf,
}

/// Prints what is wrong, one finding a line, or what was judged.
///
/// # Errors
/// When standard output is closed.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Command::Check(check) = &args.command;
    let report =
        judge(&Config { store: Store::Folder, directory: check.directory.clone(), absent: Absent::Refused });
    output::print(&describe(&report))?;
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn describe(report: &Report) -> String {
    let Report { schemas, examples, findings } = report;
    if findings.is_empty() {
        let (schemas, examples) =
            (output::counted(*schemas, "schema"), output::counted(*examples, "example"));
        return format!("as they should be: {schemas}, {examples}\n");
    }
    let lines: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
    format!("{lines}{}\n", output::counted(findings.len(), "finding"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::ExitCode;

    use clap::Parser as _;

    use super::{Args, Report, describe, run};

    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        args: Args,
    }

    fn check(directory: &str) -> ExitCode {
        let program = Program::try_parse_from(["schemas", "check", "--directory", directory]).unwrap();
        run(&program.args).unwrap()
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
}
