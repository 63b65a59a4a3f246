//! `weirgate dlq`: what could not be worked on, for a person who decides about it.

mod redrive;
mod told;

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::config::Environment;
use crate::event::{GroupName, Timestamp};

use super::ask::{Asker, encoded};
use super::table::Table;
use super::{credential, output};

/// Letters of one answer.
const PAGE_MAX: u32 = 1_000;

/// Look at dead letters, send them back to their group, or discard them.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(List),
    Show(Show),
    Redrive(redrive::Redrive),
    Jobs(redrive::Jobs),
    Cancel(redrive::Cancel),
    Discard(Discard),
}

/// List the dead letters of a group, or count those of all groups.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  weirgate dlq list\n  weirgate dlq list inventory-sync --reason rejected\n  \
                        weirgate dlq list inventory-sync --state all --from 2026-11-21T10:00:00Z --json"
)]
struct List {
    /// The group; without one, how many there are by group, topic and reason.
    #[arg(value_name = "GROUP", value_parser = GroupName::parse)]
    group: Option<GroupName>,
    #[command(flatten)]
    filter: Filter,
    /// At most this many letters.
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Print one JSON object per line, as the gateway answers.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: credential::Args,
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct Filter {
    /// Only letters of this source topic.
    #[arg(long, value_name = "TOPIC", requires = "group")]
    topic: Option<String>,
    /// Only letters that are dead for this reason: retries_exhausted, rejected, expired, too_large, …
    #[arg(long, value_name = "REASON", requires = "group")]
    reason: Option<String>,
    /// Only letters with this key.
    #[arg(long, value_name = "KEY", requires = "group")]
    key: Option<String>,
    /// Only letters of events with this correlation id.
    #[arg(long, value_name = "ID", requires = "group")]
    correlation_id: Option<String>,
    /// Only letters that failed last at or after this time (RFC 3339).
    #[arg(long, value_name = "TIME", requires = "group", value_parser = Timestamp::parse)]
    from: Option<Timestamp>,
    /// Only letters that failed last before this time.
    #[arg(long, value_name = "TIME", requires = "group", value_parser = Timestamp::parse)]
    to: Option<Timestamp>,
    /// Only letters in this state: open, discarded, …; all for every state.
    #[arg(long, value_name = "STATE", default_value = "open")]
    state: String,
}

/// Show one dead letter, with its event where the caller may see that.
#[derive(Debug, clap::Args)]
struct Show {
    /// The group.
    #[arg(value_name = "GROUP", value_parser = GroupName::parse)]
    group: GroupName,
    /// The letter's id, as `list` has it.
    #[arg(value_name = "ID")]
    id: String,
    /// Print the gateway's answer in one line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: credential::Args,
}

/// Declare dead letters unneeded. Their records stay until retention removes them; to discard one again changes nothing.
#[derive(Debug, clap::Args)]
struct Discard {
    /// The group.
    #[arg(value_name = "GROUP", value_parser = GroupName::parse)]
    group: GroupName,
    /// The letters' ids, as `list` has them.
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Why; added to each letter before it is discarded.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Print one JSON object per line, as the gateway answers.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: credential::Args,
}

/// Asks, and prints what was answered.
///
/// # Errors
/// When the gateway cannot be asked or refuses, or standard output is closed.
pub(super) fn run(args: &Args, environment: &Environment) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match &args.command {
            Command::List(list) => list.run(&Asker::new(&list.gateway, environment)?).await?,
            Command::Show(show) => show.run(&Asker::new(&show.gateway, environment)?).await?,
            Command::Redrive(redrive) => {
                return redrive.run(&Asker::new(redrive.gateway(), environment)?).await;
            }
            Command::Jobs(jobs) => jobs.run(&Asker::new(jobs.gateway(), environment)?).await?,
            Command::Cancel(cancel) => cancel.run(&Asker::new(cancel.gateway(), environment)?).await?,
            Command::Discard(discard) => {
                return discard.run(&Asker::new(&discard.gateway, environment)?).await;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

impl List {
    /// Reads up to `--limit` items page by page, and prints them.
    async fn run(&self, asker: &Asker) -> anyhow::Result<()> {
        let (path, mut query) = match &self.group {
            Some(group) => (letters_of(group), self.filter.query()),
            None => ("/v1/dead-letters".to_owned(), Vec::new()),
        };
        let mut table = Table::new(if self.group.is_some() { &told::LETTER_HEAD } else { &told::COUNT_HEAD });
        let fixed = query.len();
        let mut left = self.limit;
        loop {
            query.push(("limit", left.min(PAGE_MAX).to_string()));
            let page = asker.get(&path, &query).await?;
            let items = page.get("deadLetters").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            for item in items {
                if self.json {
                    output::print(&format!("{item}\n"))?;
                } else if self.group.is_some() {
                    table.row(&told::letter_cells(item).each_ref().map(String::as_str));
                } else {
                    table.row(&told::count_cells(item).each_ref().map(String::as_str));
                }
            }
            left = left.saturating_sub(u32::try_from(items.len()).unwrap_or(u32::MAX));
            let cursor = page.get("cursor").and_then(Value::as_str).map(str::to_owned);
            query.truncate(fixed);
            match cursor {
                Some(cursor) if left > 0 => query.push(("cursor", cursor)),
                cursor => {
                    if !self.json {
                        output::print(&table.to_text())?;
                    }
                    if cursor.is_some() {
                        tell_more();
                    }
                    return Ok(());
                }
            }
        }
    }
}

impl Filter {
    fn query(&self) -> Vec<(&'static str, String)> {
        let given = [
            ("topic", self.topic.clone()),
            ("reason", self.reason.clone()),
            ("key", self.key.clone()),
            ("correlationId", self.correlation_id.clone()),
            ("from", self.from.map(|time| time.to_string())),
            ("to", self.to.map(|time| time.to_string())),
            ("state", Some(self.state.clone()).filter(|state| state != "all")),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl Show {
    async fn run(&self, asker: &Asker) -> anyhow::Result<()> {
        let letter = asker.get(&letter_of(&self.group, &self.id), &[]).await?;
        let text = if self.json { format!("{letter}\n") } else { told::letter(&letter) };
        output::print(&text)
    }
}

impl Discard {
    /// Goes on after a letter that is refused.
    async fn run(&self, asker: &Asker) -> anyhow::Result<ExitCode> {
        let mut code = ExitCode::SUCCESS;
        for id in &self.ids {
            match self.discard(asker, id).await {
                Ok(standing) => {
                    let text = if self.json { standing.to_string() } else { told::standing(&standing) };
                    output::print(&format!("{text}\n"))?;
                }
                Err(error) => {
                    complain(id, &error);
                    code = ExitCode::FAILURE;
                }
            }
        }
        Ok(code)
    }

    async fn discard(&self, asker: &Asker, id: &str) -> anyhow::Result<Value> {
        let letter = letter_of(&self.group, id);
        if let Some(note) = &self.note {
            asker.post(&format!("{letter}:annotate"), Some(&json!({ "note": note }))).await?;
        }
        asker.post(&format!("{letter}:discard"), None).await
    }
}

fn letters_of(group: &GroupName) -> String {
    format!("/v1/groups/{group}/dead-letters")
}

fn letter_of(group: &GroupName, id: &str) -> String {
    format!("{}/{}", letters_of(group), encoded(id))
}

#[expect(clippy::print_stderr, reason = "what is said about a list belongs on standard error")]
fn tell_more() {
    eprintln!("there are more; --limit shows them, and filters narrow them down");
}

#[expect(clippy::print_stderr, reason = "what went wrong belongs on standard error")]
fn complain(id: &str, error: &anyhow::Error) {
    eprintln!("{}: {error:#}", super::paint::harmless(id));
}
