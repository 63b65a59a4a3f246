//! `weirgate dlq redrive`, `jobs` and `cancel`: dead letters sent back to their group.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use crate::cli::ask::{Asker, encoded};
use crate::cli::job::{self, Kind, count};
use crate::cli::table::Table;
use crate::cli::{credential, output};
use crate::event::{GroupName, Timestamp};

use super::told;

/// Send dead letters back to their group, all that fit or those named by their ids.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  weirgate dlq redrive inventory-sync --reason retries_exhausted --dry-run\n  \
                        weirgate dlq redrive inventory-sync --from 2026-11-21T10:00:00Z --rate 100\n  \
                        weirgate dlq redrive inventory-sync 5f70bf18a086007016e948b04aed3b82-2-1044\n  \
                        weirgate dlq redrive inventory-sync --all --no-wait"
)]
pub(super) struct Redrive {
    /// The group.
    #[arg(value_name = "GROUP", value_parser = GroupName::parse)]
    group: GroupName,
    /// The letters' ids, as `list` has them, at most 100; those that are held too.
    #[arg(value_name = "ID", conflicts_with = "meant")]
    ids: Vec<String>,
    #[command(flatten)]
    meant: Meant,
    /// Letters in a second; without it as many as can be.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// Only tell what would be sent.
    #[arg(long)]
    dry_run: bool,
    /// Do not wait for the end.
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
    /// Wait for the end, which is the default.
    #[arg(long)]
    wait: bool,
    /// Print what the gateway answers in one line, at the end.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: credential::Args,
}

#[derive(Debug, clap::Args)]
#[group(id = "meant", multiple = true)]
struct Meant {
    /// Only letters of this source topic.
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Only letters that are dead for this reason: retries_exhausted, rejected, expired, too_large, …
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Only letters with this key.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Only letters of events with this correlation id.
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// Only letters that failed last at or after this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    from: Option<Timestamp>,
    /// Only letters that failed last before this time.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    to: Option<Timestamp>,
    /// Letters in this state, open or held; without it open ones.
    #[arg(long, value_name = "STATE", value_parser = ["open", "held"])]
    state: Option<String>,
    /// All letters that are open.
    #[arg(long)]
    all: bool,
}

/// List the last redrives of a group, the newest first.
#[derive(Debug, clap::Args)]
pub(super) struct Jobs {
    /// The group.
    #[arg(value_name = "GROUP", value_parser = GroupName::parse)]
    group: GroupName,
    /// Print one JSON object per line, as the gateway answers.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: credential::Args,
}

/// End a redrive that runs; what was sent stays sent.
#[derive(Debug, clap::Args)]
pub(super) struct Cancel {
    /// The redrive's id, as `redrive` and `jobs` tell it.
    #[arg(value_name = "REDRIVE")]
    id: String,
    /// Print the gateway's answer in one line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: credential::Args,
}

impl Redrive {
    pub(super) const fn gateway(&self) -> &credential::Args {
        &self.gateway
    }

    /// Plans a redrive, or begins one and sees it through.
    pub(super) async fn run(&self, asker: &Asker) -> anyhow::Result<ExitCode> {
        if self.ids.is_empty() && self.meant.is_nothing() {
            anyhow::bail!("name letters by their ids or by filters; --all takes all that are open");
        }
        let begun = asker.post(&redrives_of(&self.group), Some(&self.wanted())).await?;
        if self.dry_run {
            output::print(&if self.json { format!("{begun}\n") } else { told::plan(&begun) })?;
            return Ok(ExitCode::SUCCESS);
        }
        let ended = if self.no_wait { begun } else { watch(asker, begun).await? };
        output::print(&if self.json { format!("{ended}\n") } else { told::redrive(&ended) })?;
        let state = job::state(&ended).unwrap_or_default();
        let is_good = matches!(state, "done" | "running") && count(&ended, "failed") == 0;
        Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn wanted(&self) -> Value {
        let mut wanted = Map::new();
        if self.ids.is_empty() {
            wanted.insert("filter".to_owned(), self.meant.filter());
        } else {
            wanted.insert("ids".to_owned(), json!(self.ids));
        }
        wanted.extend(self.rate.map(|rate| ("ratePerSecond".to_owned(), json!(rate))));
        wanted.extend(self.dry_run.then(|| ("dryRun".to_owned(), json!(true))));
        Value::Object(wanted)
    }
}

impl Meant {
    fn is_nothing(&self) -> bool {
        !self.all && self.filter() == json!({})
    }

    fn filter(&self) -> Value {
        let given = [
            ("topic", self.topic.clone()),
            ("reason", self.reason.clone()),
            ("key", self.key.clone()),
            ("correlationId", self.correlation_id.clone()),
            ("from", self.from.map(|time| time.to_string())),
            ("to", self.to.map(|time| time.to_string())),
            ("state", self.state.clone()),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))).collect()
    }
}

impl Jobs {
    pub(super) const fn gateway(&self) -> &credential::Args {
        &self.gateway
    }

    pub(super) async fn run(&self, asker: &Asker) -> anyhow::Result<()> {
        let page = asker.get(&redrives_of(&self.group), &[("limit", "100".to_owned())]).await?;
        let redrives = page.get("redrives").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if self.json {
            let lines: String = redrives.iter().map(|one| format!("{one}\n")).collect();
            return output::print(&lines);
        }
        let mut table = Table::new(&told::REDRIVE_HEAD);
        for one in redrives {
            table.row(&told::redrive_cells(one).each_ref().map(String::as_str));
        }
        output::print(&table.to_text())
    }
}

impl Cancel {
    pub(super) const fn gateway(&self) -> &credential::Args {
        &self.gateway
    }

    pub(super) async fn run(&self, asker: &Asker) -> anyhow::Result<()> {
        let ended = asker.post(&format!("/v1/redrives/{}:cancel", encoded(&self.id)), None).await?;
        output::print(&if self.json { format!("{ended}\n") } else { told::redrive(&ended) })
    }
}

/// How redrives are told of.
const KIND: Kind = Kind {
    noun: "redrive",
    whole: "letters",
    done: ("moved", "letter", "sent back"),
    open: &["running"],
    line: told::redrive,
};

/// Asks how far a redrive is until it has ended.
async fn watch(asker: &Asker, begun: Value) -> anyhow::Result<Value> {
    let id = begun.get("id").and_then(Value::as_str).unwrap_or_default();
    let path = format!("/v1/redrives/{}", encoded(id));
    job::watch(asker, &KIND, &path, begun).await
}

fn redrives_of(group: &GroupName) -> String {
    format!("/v1/groups/{group}/redrives")
}
