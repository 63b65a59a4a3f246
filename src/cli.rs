//! The commands: arguments in, exit code out.
//!
//! 0 is success, 1 a failure that the message explains, 2 a wrong call. Results go to standard output, everything else
//! to standard error; there are no stack traces. Each command has a file of its own.

mod ask;
mod check_config;
mod credential;
mod dev;
mod dlq;
mod groups;
mod job;
mod key;
mod output;
mod paint;
mod publish;
mod schemas;
mod serve;
mod sources;
mod table;
mod tail;
mod token;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Environment;

/// An HTTP and WebSocket event gateway for Kafka.
#[derive(Debug, Parser)]
#[command(name = "weirgate", version, about, max_term_width = 100, propagate_version = true)]
#[command(
    after_help = "`weirgate dev` is the place to start: it runs the whole gateway on this machine and prints \
                        commands to paste."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a gateway for development on this machine: embedded log, sample topics and schemas, a token, a playground.
    Dev(dev::Args),
    /// Run a gateway with your configuration.
    Serve(serve::Args),
    /// Check the configuration and print what holds, secrets hidden.
    CheckConfig(check_config::Args),
    /// Work with schemas.
    Schemas(schemas::Args),
    /// Publish events from a file or standard input, one JSON envelope per line.
    Publish(publish::Args),
    /// Follow topics, or work in a group.
    Tail(tail::Args),
    /// Look at dead letters, send them back to their group, or discard them.
    Dlq(dlq::Args),
    /// Look at consumer groups, and move their offsets.
    Groups(groups::Args),
    /// Sign a token with the development key.
    Token(token::Args),
    /// Work with API keys.
    Key(key::Args),
}

/// Runs the command that the arguments name.
pub fn main(
    arguments: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (String, String)>,
) -> ExitCode {
    let environment = Environment::new(variables);
    let outcome = Arguments::try_parse_from(arguments)
        .map_err(anyhow::Error::new)
        .and_then(|arguments| run(arguments.command, environment));
    outcome.unwrap_or_else(|error| match error.downcast::<clap::Error>() {
        Ok(call) => {
            drop(call.print());
            if call.exit_code() == 0 { ExitCode::SUCCESS } else { ExitCode::from(2) }
        }
        Err(error) => {
            say_error(&error);
            ExitCode::from(1)
        }
    })
}

fn run(command: Command, environment: Environment) -> anyhow::Result<ExitCode> {
    match command {
        Command::Dev(args) => dev::run(args, environment),
        Command::Serve(args) => serve::run(args, environment),
        Command::CheckConfig(args) => check_config::run(&args, environment),
        Command::Schemas(args) => schemas::run(&args, &environment),
        Command::Publish(args) => publish::run(args, &environment),
        Command::Tail(args) => tail::run(&args, &environment),
        Command::Dlq(args) => dlq::run(&args, &environment),
        Command::Groups(args) => groups::run(&args, &environment),
        Command::Token(args) => token::run(&args),
        Command::Key(args) => key::run(&args),
    }
}

#[expect(clippy::print_stderr, reason = "the one place where a command's failure is told")]
fn say_error(error: &anyhow::Error) {
    eprintln!("weirgate: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because {cause}");
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Arguments;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
