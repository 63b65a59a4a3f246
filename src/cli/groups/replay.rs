//! `weirgate groups replay`, `replays` and `cancel-replay`: a range that is delivered to a group once more.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::super::ask::{Asker, encoded};
use super::super::job::{self, Kind, count};
use super::super::paint::harmless;
use super::super::table::Table;
use super::super::{credential, output};
use super::place::{self, Place};
use super::{items, text};
use crate::config::Environment;
use crate::event::{GroupName, Topic};

/// How replays are told of.
const KIND: Kind = Kind {
    noun: "replay",
    whole: "events",
    done: ("delivered", "event", "delivered"),
    open: &["waiting", "running"],
    line: told,
};

/// Deliver a range of its topics to a group once more, beside what comes live; its offsets stay.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  weirgate groups replay inventory-sync --from 2026-11-21T10:00:00Z --to 2026-11-21T11:00:00Z --dry-run\n  \
                        weirgate groups replay inventory-sync --from earliest --topic orders.v1 --rate 100\n  \
                        weirgate groups replay inventory-sync --from orders.v1:0=1200 --to orders.v1:0=1300"
)]
pub(super) struct Replay {
    /// The group.
    #[arg(value_name = "GROUP", value_parser = GroupName::parse)]
    group: GroupName,
    /// The first event: earliest, a time (RFC 3339), or TOPIC:PARTITION=OFFSET, as often as there are partitions.
    #[arg(long, value_name = "PLACE", required = true, value_parser = Place::parse)]
    from: Vec<Place>,
    /// The first event that is not meant; without it the end of now.
    #[arg(long, value_name = "PLACE", value_parser = Place::parse)]
    to: Vec<Place>,
    /// Only this topic of the group; may be given several times.
    #[arg(long, value_name = "TOPIC", value_parser = Topic::parse)]
    topic: Vec<Topic>,
    /// Only events that this filter fits, as in {"pointer":"/data/region","eq":"eu"}.
    #[arg(long, value_name = "JSON", value_parser = filter)]
    filter: Option<Value>,
    /// Events in a second; without it as many as members take.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// Only tell what would be read.
    #[arg(long)]
    dry_run: bool,
    /// Do not wait for the end.
    #[arg(long)]
    no_wait: bool,
    /// Print what the gateway answers in one line, at the end.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: credential::Args,
}

/// List the last replays of a group, the newest first.
#[derive(Debug, clap::Args)]
pub(super) struct Replays {
    /// The group.
    #[arg(value_name = "GROUP", value_parser = GroupName::parse)]
    group: GroupName,
    /// Print one JSON object per line, as the gateway answers.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: credential::Args,
}

/// End a replay; what is in flight of it is taken back.
#[derive(Debug, clap::Args)]
pub(super) struct CancelReplay {
    /// The replay's id, as `replay` and `replays` tell it.
    #[arg(value_name = "REPLAY")]
    id: String,
    /// Print the gateway's answer in one line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: credential::Args,
}

impl Replay {
    /// Plans a replay, or begins one and sees it through.
    pub(super) async fn run(&self, environment: &Environment) -> anyhow::Result<ExitCode> {
        let asker = Asker::new(&self.gateway, environment)?;
        let begun = asker.post(&replays_of(&self.group), Some(&self.wanted()?)).await?;
        if self.dry_run {
            output::print(&if self.json { format!("{begun}\n") } else { plan(&begun) })?;
            return Ok(ExitCode::SUCCESS);
        }
        let ended = if self.no_wait {
            begun
        } else {
            let path = format!("/v1/replays/{}", encoded(&text(&begun, "id")));
            job::watch(&asker, &KIND, &path, begun).await?
        };
        output::print(&if self.json { format!("{ended}\n") } else { told(&ended) })?;
        let state = job::state(&ended).unwrap_or_default();
        let is_good = matches!(state, "waiting" | "running" | "done") && count(&ended, "failed") == 0;
        Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn wanted(&self) -> anyhow::Result<Value> {
        let mut wanted = Map::new();
        wanted.insert("from".to_owned(), place::body("--from", &self.from)?);
        if !self.to.is_empty() {
            wanted.insert("to".to_owned(), place::body("--to", &self.to)?);
        }
        if !self.topic.is_empty() {
            wanted.insert("topics".to_owned(), json!(self.topic));
        }
        wanted.extend(self.filter.clone().map(|filter| ("filter".to_owned(), filter)));
        wanted.extend(self.rate.map(|rate| ("ratePerSecond".to_owned(), json!(rate))));
        wanted.extend(self.dry_run.then(|| ("dryRun".to_owned(), json!(true))));
        Ok(Value::Object(wanted))
    }
}

impl Replays {
    pub(super) async fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        let asker = Asker::new(&self.gateway, environment)?;
        let page = asker.get(&replays_of(&self.group), &[("limit", "100".to_owned())]).await?;
        let replays = items(&page, "replays");
        if self.json {
            let lines: String = replays.iter().map(|one| format!("{one}\n")).collect();
            return output::print(&lines);
        }
        output::print(&listed(replays))
    }
}

impl CancelReplay {
    pub(super) async fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        let asker = Asker::new(&self.gateway, environment)?;
        let ended = asker.post(&format!("/v1/replays/{}:cancel", encoded(&self.id)), None).await?;
        output::print(&if self.json { format!("{ended}\n") } else { told(&ended) })
    }
}

fn filter(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))
}

fn replays_of(group: &GroupName) -> String {
    format!("/v1/groups/{group}/replays")
}

fn listed(replays: &[Value]) -> String {
    let head = ["ID", "STATE", "DELIVERED", "FAILED", "SKIPPED", "LOOKED AT", "RATE", "CREATED", "BY"];
    let mut table = Table::new(&head);
    for one in replays {
        let looked_at = format!("{}/{}", text(one, "examined"), text(one, "events"));
        let [id, state, delivered, failed, skipped, rate, created, by] =
            ["id", "state", "delivered", "failed", "skipped", "ratePerSecond", "createdAt", "by"]
                .map(|name| text(one, name));
        table.row(&[&id, &state, &delivered, &failed, &skipped, &looked_at, &rate, &created, &by]);
    }
    table.to_text()
}

/// How far a replay is, in a line.
fn told(replay: &Value) -> String {
    let why = replay.get("reason").map(|_| format!(": {}", text(replay, "reason"))).unwrap_or_default();
    let [id, state, delivered, failed, skipped, examined, events] =
        ["id", "state", "delivered", "failed", "skipped", "examined", "events"]
            .map(|name| text(replay, name));
    let told = format!(
        "{id}: {state}{why}; {delivered} delivered, {failed} failed, {skipped} skipped, looked at {examined}/{events}"
    );
    format!("{}\n", harmless(&told))
}

/// What a replay would read.
fn plan(plan: &Value) -> String {
    let ranges = items(plan, "partitions");
    let mut table = Table::new(&["TOPIC", "PARTITION", "FROM", "TO", "EVENTS"]);
    for one in ranges {
        let cells = ["topic", "partition", "from", "to", "events"].map(|name| text(one, name));
        table.row(&cells.each_ref().map(String::as_str));
    }
    let partitions = output::counted(u64::try_from(ranges.len()).unwrap_or(u64::MAX), "partition");
    let events = output::counted(count(plan, "events"), "event");
    format!("{}\n{partitions} would be read: at most {events}\n", table.to_text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_a_table_and_a_sentence() {
        let answer = json!({"group": "g", "events": 9, "partitions": [
            {"topic": "orders.v1", "partition": 0, "from": 3, "to": 11, "events": 8},
            {"topic": "orders.v1", "partition": 1, "from": 0, "to": 1, "events": 1},
        ]});
        let expected = "TOPIC      PARTITION  FROM  TO  EVENTS\n\
                        orders.v1          0     3  11       8\n\
                        orders.v1          1     0   1       1\n\
                        \n2 partitions would be read: at most 9 events\n";
        assert_eq!(plan(&answer), expected);
    }

    #[test]
    fn a_replay_is_told_in_a_line_and_nothing_in_it_steers_the_terminal() {
        let mut replay = json!({"id": "g.7", "state": "running", "events": 9, "examined": 4, "matched": 5,
            "delivered": 3, "failed": 0, "skipped": 1, "ratePerSecond": null, "createdAt": "x", "by": "p"});
        assert_eq!(told(&replay), "g.7: running; 3 delivered, 0 failed, 1 skipped, looked at 4/9\n");
        let line = listed(std::slice::from_ref(&replay)).lines().nth(1).unwrap().to_owned();
        assert_eq!(
            line.split_whitespace().collect::<Vec<_>>(),
            ["g.7", "running", "3", "0", "1", "4/9", "-", "x", "p"]
        );
        replay["reason"] = json!("a\u{1b}[2J");
        assert!(!told(&replay).contains('\u{1b}'));
    }
}
