//! `weirgate groups`: who works on what, how far behind, and what is in the way; where a group goes on, what it is to have
//! once more, and its end.

mod delete;
mod place;
mod replay;
mod reset;

use std::io::{self, BufRead as _};
use std::process::ExitCode;

use serde_json::Value;

use crate::config::Environment;
use crate::event::GroupName;

use super::ask::Asker;
use super::paint::harmless;
use super::table::Table;
use super::{credential, output};

/// Look at consumer groups, move their offsets, deliver to them once more, and delete them.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(List),
    Show(Show),
    Reset(Box<reset::Reset>),
    Replay(Box<replay::Replay>),
    Replays(replay::Replays),
    CancelReplay(replay::CancelReplay),
    Delete(delete::Delete),
}

/// List the groups that the caller may see.
#[derive(Debug, clap::Args)]
struct List {
    /// Print one JSON object per line, as the gateway answers.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: credential::Args,
}

/// Show a group: its policy, members, partitions and blocked lanes.
#[derive(Debug, clap::Args)]
struct Show {
    /// The group.
    #[arg(value_name = "GROUP", value_parser = GroupName::parse)]
    group: GroupName,
    /// Print the gateway's answer in one line.
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
        let text = match &args.command {
            Command::List(list) => {
                let groups = all(&Asker::new(&list.gateway, environment)?).await?;
                let lines = || groups.iter().map(|group| format!("{group}\n")).collect();
                if list.json { lines() } else { listed(&groups) }
            }
            Command::Show(show) => {
                let path = format!("/v1/groups/{}", show.group);
                let group = Asker::new(&show.gateway, environment)?.get(&path, &[]).await?;
                if show.json { format!("{group}\n") } else { shown(&group) }
            }
            Command::Reset(reset) => return reset.run(environment).await,
            Command::Replay(replay) => return replay.run(environment).await,
            Command::Replays(replays) => {
                replays.run(environment).await?;
                return Ok(ExitCode::SUCCESS);
            }
            Command::CancelReplay(cancel) => {
                cancel.run(environment).await?;
                return Ok(ExitCode::SUCCESS);
            }
            Command::Delete(delete) => return delete.run(environment).await,
        };
        output::print(&text)?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Asks the person at the terminal.
fn is_confirmed(question: &str) -> anyhow::Result<bool> {
    output::print(question)?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// All groups, page by page.
async fn all(asker: &Asker) -> anyhow::Result<Vec<Value>> {
    let (mut groups, mut query) = (Vec::new(), Vec::new());
    loop {
        let mut page = asker.get("/v1/groups", &query).await?;
        if let Some(Value::Array(more)) = page.get_mut("groups").map(Value::take) {
            groups.extend(more);
        }
        match page.get("cursor").and_then(Value::as_str) {
            Some(cursor) => query = vec![("cursor", cursor.to_owned())],
            None => return Ok(groups),
        }
    }
}

fn listed(groups: &[Value]) -> String {
    let mut table = Table::new(&[
        "GROUP",
        "GATEWAYS",
        "MEMBERS",
        "IN FLIGHT",
        "LAG",
        "LAG S",
        "BLOCKED",
        "PARKED",
        "TOPICS",
    ]);
    for group in groups {
        let (gateways, partitions) = (items(group, "gateways"), items(group, "partitions"));
        let blocked: usize = partitions.iter().map(|one| items(one, "lanesBlocked").len()).sum();
        let oldest = partitions.iter().filter_map(|one| one.get("lagSeconds")?.as_f64()).fold(0.0, f64::max);
        table.row(&[
            &text(group, "group"),
            &gateways.len().to_string(),
            &sum(gateways, "members").to_string(),
            &sum(gateways, "inFlight").to_string(),
            &sum(partitions, "lag").to_string(),
            &format!("{oldest:.1}"),
            &blocked.to_string(),
            &sum(partitions, "keysParked").to_string(),
            &topics(group),
        ]);
    }
    table.to_text()
}

fn shown(group: &Value) -> String {
    let policy = group.get("policy").unwrap_or(&Value::Null);
    let mut told = String::new();
    let mut line = |name: &str, value: &str| told.push_str(&format!("{name:<14}{}\n", harmless(value)));
    line("group", &text(group, "group"));
    line("topics", &topics(group));
    line("ordering", &text(policy, "ordering"));
    line("max retries", &text(policy, "maxRetries"));
    line("on exhausted", &text(policy, "onExhausted"));
    line("max redrives", &text(policy, "maxRedrives"));
    let breaker = text(group, "breaker");
    let reason = group.get("breakerReason").map(|_| format!(" ({})", text(group, "breakerReason")));
    line("breaker", &format!("{breaker}{}", reason.unwrap_or_default()));
    if let Some(reset) = group.get("reset") {
        line("reset", &format!("{} partitions left to move", text(reset, "partitionsLeft")));
    }
    line("as of", &text(group, "updatedAt"));
    let (members, partitions) = (items(group, "members"), items(group, "partitions"));
    let mut table =
        Table::new(&["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "LAG S", "BLOCKED", "PARKED", "ON"]);
    let mut lanes = Table::new(&["BLOCKED IN", "PARTITION", "OFFSET", "ATTEMPTS", "AGE S", "REASON"]);
    let mut gaps = Table::new(&["GAP IN", "PARTITION", "FROM", "TO", "AT"]);
    let (mut has_blocked, mut has_gaps) = (false, false);
    for one in partitions {
        let (topic, partition) = (text(one, "topic"), text(one, "partition"));
        let blocked = items(one, "lanesBlocked");
        let lag = one.get("lagSeconds").and_then(Value::as_f64).unwrap_or(0.0);
        table.row(&[
            &topic,
            &partition,
            &text(one, "committedOffset"),
            &text(one, "endOffset"),
            &text(one, "lag"),
            &format!("{lag:.1}"),
            &blocked.len().to_string(),
            &text(one, "keysParked"),
            &text(one, "node"),
        ]);
        for lane in blocked {
            has_blocked = true;
            let age = lane.get("ageMs").and_then(Value::as_u64).unwrap_or(0) / 1_000;
            table_of_lane(&mut lanes, &topic, &partition, lane, age);
        }
        if let Some(gap) = one.get("lastGap") {
            has_gaps = true;
            gaps.row(&[&topic, &partition, &text(gap, "from"), &text(gap, "to"), &text(gap, "at")]);
        }
    }
    told.push_str(&format!("\n{}", table.to_text()));
    told.push_str(&gateways(items(group, "gateways")));
    if !members.is_empty() {
        let mut table = Table::new(&["MEMBER ON", "KIND", "IN FLIGHT", "CONNECTION"]);
        for one in members {
            table.row(&[
                &text(one, "node"),
                &text(one, "kind"),
                &text(one, "inFlight"),
                &text(one, "connection"),
            ]);
        }
        told.push_str(&format!("\n{}", table.to_text()));
    }
    if has_blocked {
        told.push_str(&format!("\n{}", lanes.to_text()));
    }
    if has_gaps {
        told.push_str(&format!("\n{}", gaps.to_text()));
    }
    told
}

/// The gateways that serve a group, and how old what each told is.
fn gateways(all: &[Value]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let mut table =
        Table::new(&["GATEWAY", "MEMBERS", "IN FLIGHT", "PARTITIONS", "BREAKER", "AGE S", "NOT SHOWN"]);
    for one in all {
        let age = one.get("ageMs").and_then(Value::as_u64).unwrap_or(0) / 1_000;
        let left_out =
            [("membersLeftOut", "members"), ("partitionsLeftOut", "partitions"), ("lanesLeftOut", "lanes")];
        let left_out =
            left_out.iter().filter_map(|(key, name)| Some(format!("{} {name}", one.get(key)?.as_u64()?)));
        table.row(&[
            &text(one, "node"),
            &text(one, "members"),
            &text(one, "inFlight"),
            &text(one, "partitions"),
            &text(one, "breaker"),
            &age.to_string(),
            &left_out.collect::<Vec<_>>().join(", "),
        ]);
    }
    format!("\n{}", table.to_text())
}

fn table_of_lane(lanes: &mut Table, topic: &str, partition: &str, lane: &Value, age: u64) {
    let (offset, attempts) = (text(lane, "offset"), text(lane, "attempts"));
    lanes.row(&[topic, partition, &offset, &attempts, &age.to_string(), &text(lane, "reason")]);
}

fn items<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn sum(values: &[Value], name: &str) -> u64 {
    values.iter().filter_map(|value| value.get(name)?.as_u64()).fold(0, u64::saturating_add)
}

fn topics(group: &Value) -> String {
    let policy = group.get("policy").unwrap_or(&Value::Null);
    let topics: Vec<&str> = items(policy, "topics").iter().filter_map(Value::as_str).collect();
    topics.join(", ")
}

/// A member as text; `-` where there is none.
fn text(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{listed, shown};

    fn group() -> serde_json::Value {
        json!({
            "group": "inventory-sync", "breaker": "open", "breakerReason": "connections_lost", "updatedAt": "2026-11-21T10:00:00.000Z",
            "policy": {"topics": ["orders.v1"], "ordering": "key", "maxRetries": 3, "onExhausted": "skip"},
            "members": [{"node": "g1", "kind": "socket", "connection": "c-1", "inFlight": 2}],
            "gateways": [
                {"node": "g1", "members": 1, "inFlight": 2, "partitions": 1, "breaker": "closed", "ageMs": 0},
                {"node": "g2", "members": 1007, "inFlight": 40, "partitions": 1, "breaker": "open", "ageMs": 3400,
                 "membersLeftOut": 7, "lanesLeftOut": 2},
            ],
            "partitions": [
                {"topic": "orders.v1", "partition": 0, "committedOffset": null, "endOffset": 7, "lag": 7,
                 "lagSeconds": 61.25, "lanesBlocked": [{"offset": 3, "reason": "retrying", "attempts": 2, "ageMs": 4200}],
                 "keysParked": 1, "node": "g1"},
                {"topic": "orders.v1", "partition": 1, "committedOffset": 5, "endOffset": 5, "lag": 0,
                 "lagSeconds": 0.0, "lanesBlocked": [], "keysParked": 0,
                 "lastGap": {"from": 1, "to": 4, "at": "2026-11-20T10:00:00.000Z"}},
            ],
        })
    }

    #[test]
    fn a_list_has_a_line_for_each_group() {
        let expected = "GROUP           GATEWAYS  MEMBERS  IN FLIGHT  LAG  LAG S  BLOCKED  PARKED  TOPICS\n\
             inventory-sync         2     1008         42    7   61.2        1       1  orders.v1\n";
        assert_eq!(listed(&[group()]), expected);
    }

    #[test]
    fn a_group_is_shown_with_what_is_in_its_way() {
        let told = shown(&group());
        for line in [
            "ordering      key",
            "orders.v1          0          -    7    7   61.2        1       1  g1",
            "orders.v1          1          5    5    0    0.0        0       0  -",
            "g1             1          2           1  closed       0",
            "g2          1007         40           1  open         3  7 members, 2 lanes",
            "g1         socket          2  c-1",
            "orders.v1           0       3         2      4  retrying",
            "orders.v1          1     1   4  2026-11-20T10:00:00.000Z",
        ] {
            assert!(told.lines().any(|have| have == line), "{line}\n{told}");
        }
    }
}
