//! `weirgate groups reset`: shows what would be moved, asks, and moves it.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use anyhow::bail;
use serde_json::{Map, Value, json};

use crate::config::Environment;
use crate::event::{GroupName, Topic};

use super::super::ask::Asker;
use super::super::table::Table;
use super::super::{credential, output};
use super::place::{self, Place};
use super::{items, sum, text};

/// Move the offsets of a group, on every gateway: back, to have events again, or on, to pass over some.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  weirgate groups reset inventory-sync --to earliest --dry-run\n  \
                        weirgate groups reset inventory-sync --to 2026-11-21T10:00:00Z --topic orders.v1 --yes\n  \
                        weirgate groups reset inventory-sync --to orders.v1:0=1200 --to orders.v1:1=1180")]
pub(super) struct Reset {
    /// The group.
    #[arg(value_name = "GROUP", value_parser = GroupName::parse)]
    group: GroupName,
    /// Where to: earliest, latest, a time (RFC 3339), or TOPIC:PARTITION=OFFSET, as often as there are partitions to move.
    #[arg(long, value_name = "PLACE", required = true, value_parser = Place::parse)]
    to: Vec<Place>,
    /// Only this topic of the group; may be given several times.
    #[arg(long, value_name = "TOPIC", value_parser = Topic::parse)]
    topic: Vec<Topic>,
    /// Show what would be moved, and move nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Print the gateway's answer in one line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: credential::Args,
}

impl Reset {
    /// Plans first, so that a person decides by what would be moved.
    pub(super) async fn run(&self, environment: &Environment) -> anyhow::Result<ExitCode> {
        let asker = Asker::new(&self.gateway, environment)?;
        let path = format!("/v1/groups/{}:reset", self.group);
        let mut body = self.body()?;
        let may_ask = io::stdin().is_terminal();
        if !self.dry_run && !self.yes && !may_ask {
            bail!("nobody is here to be asked; --yes resets, --dry-run shows what would be moved");
        }
        if self.dry_run || !self.yes {
            body.insert("dryRun".to_owned(), json!(true));
            let plan = asker.post(&path, Some(&Value::Object(body.clone()))).await?;
            body.remove("dryRun");
            let is_wanted = self.dry_run && self.json;
            output::print(&if is_wanted { format!("{plan}\n") } else { told(&plan) })?;
            if self.dry_run {
                return Ok(ExitCode::SUCCESS);
            }
            if !super::is_confirmed(&format!("\nMove group {} so? [y/N] ", self.group))? {
                output::print("nothing was moved\n")?;
                return Ok(ExitCode::SUCCESS);
            }
        }
        let answer = asker.post(&path, Some(&Value::Object(body))).await?;
        output::print(&if self.json { format!("{answer}\n") } else { told(&answer) })?;
        Ok(ExitCode::SUCCESS)
    }

    fn body(&self) -> anyhow::Result<Map<String, Value>> {
        let mut body = Map::new();
        body.insert("to".to_owned(), place::body("--to", &self.to)?);
        if !self.topic.is_empty() {
            body.insert("topics".to_owned(), json!(self.topic));
        }
        Ok(body)
    }
}

fn told(answer: &Value) -> String {
    let moves = items(answer, "partitions");
    let mut table = Table::new(&["TOPIC", "PARTITION", "FROM", "TO", "SKIPPED", "READ AGAIN"]);
    for one in moves {
        let cells = ["topic", "partition", "from", "to", "skipped", "again"].map(|name| text(one, name));
        table.row(&cells.each_ref().map(String::as_str));
    }
    let (skipped, again) = (sum(moves, "skipped"), sum(moves, "again"));
    let state = match text(answer, "state").as_str() {
        "planned" => "would be moved",
        "done" => "moved",
        _ => "being moved; `weirgate groups show` tells when that is done",
    };
    let partitions = output::counted(u64::try_from(moves.len()).unwrap_or(u64::MAX), "partition");
    format!(
        "{}\n{partitions} {state}: at most {} skipped, {} read again\n",
        table.to_text(),
        output::counted(skipped, "event"),
        output::counted(again, "event"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::told;

    #[test]
    fn a_plan_is_a_table_and_a_sentence() {
        let plan = json!({"group": "g", "state": "planned", "partitions": [
            {"topic": "orders.v1", "partition": 0, "from": null, "to": 7, "skipped": 7, "again": 0},
            {"topic": "orders.v1", "partition": 1, "from": 9, "to": 8, "skipped": 0, "again": 1},
        ]});
        let expected = "TOPIC      PARTITION  FROM  TO  SKIPPED  READ AGAIN\n\
                        orders.v1          0     -   7        7           0\n\
                        orders.v1          1     9   8        0           1\n\
                        \n2 partitions would be moved: at most 7 events skipped, 1 event read again\n";
        assert_eq!(told(&plan), expected);
    }
}
