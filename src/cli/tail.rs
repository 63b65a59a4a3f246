//! `weirgate tail`: follows topics as everybody may, or plays a worker of a group, and comes back after every break.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::ValueEnum;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::config::Environment;
use crate::event::Timestamp;
use crate::socket::client::{self, Client, Endpoint, Trust, Update, Verdict, Wish};

use super::credential;
use super::output::counted;
use super::paint::Painter;
use super::words::{notice, subscribed};

/// Follow topics, or work in a group. Comes back after a disconnect where it left off; Ctrl-C leaves cleanly.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "Examples:\n  weirgate tail orders.v1 --from earliest\n  \
                        weirgate tail 'orders.**' --filter /data/customerId=c-42\n  \
                        weirgate tail --group inventory-sync --on-event nack")]
pub(super) struct Args {
    /// Topics by name or pattern (* within a segment, ** across); with a group, none or exactly its own.
    #[arg(value_name = "TOPIC", required_unless_present = "group")]
    topics: Vec<String>,
    #[command(flatten)]
    gateway: credential::Args,
    /// Where to begin: latest, earliest, an RFC 3339 time, a cursor, or the JSON of `from`. [default: latest]
    #[arg(long, value_name = "PLACE", value_parser = parse_place, conflicts_with = "group", verbatim_doc_comment)]
    from: Option<Value>,
    /// Only events that match: /data/customerId=c-42 (text equality), or a filter in JSON.
    #[arg(long, value_name = "FILTER", value_parser = parse_filter, conflicts_with = "group")]
    filter: Option<Value>,
    /// Work in this group: each event goes to one of its members, until it is settled.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Who settles a delivery: this tool (manual), or the gateway as it hands the event out (auto: at most once).
    #[arg(long, value_enum, default_value_t = Ack::Manual, requires = "group", value_name = "MODE")]
    ack: Ack,
    /// What to say of each delivery: ack is done, nack is tried again, reject goes to the dead letters.
    #[arg(long, value_enum, default_value_t = OnEvent::Ack, requires = "group", value_name = "VERDICT")]
    on_event: OnEvent,
    /// Why, for nack and reject; it is kept in the dead letter.
    #[arg(long, requires = "group", value_name = "TEXT")]
    reason: Option<String>,
    /// How long a nacked event waits, instead of the group's own delay.
    #[arg(long, requires = "group", value_name = "MILLISECONDS")]
    delay_ms: Option<u64>,
    /// How many deliveries may be unsettled at once.
    #[arg(long, requires = "group", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    credit: Option<u32>,
    /// Stop after this many events.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Print each message as the gateway sent it, one JSON object per line.
    #[arg(long)]
    json: bool,
    /// Whether to use colours.
    #[arg(long, value_enum, default_value_t = When::Auto, value_name = "WHEN")]
    color: When,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Ack {
    Manual,
    Auto,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnEvent {
    Ack,
    Nack,
    Reject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

pub(super) fn run(args: &Args, environment: &Environment) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(follow(args, environment))
}

async fn follow(args: &Args, environment: &Environment) -> anyhow::Result<ExitCode> {
    let trust = match args.gateway.ca()? {
        Some(pem) => Trust::only(&pem).context("the file of --ca cannot be used")?,
        None => Trust::System,
    };
    let credential = args.gateway.credential(environment)?.header();
    let is_known = credential.is_some();
    let endpoint = Endpoint { url: args.gateway.url.clone(), trust, credential };
    let mut client = Client::new(endpoint, args.wish());
    let mut screen = Screen::new(args);
    let mut pace = Pace::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    loop {
        let update = tokio::select! {
            update = client.next() => update.map_err(|error| explain(error, is_known))?,
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        };
        let delivery = match screen.show(&update) {
            Ok(delivery) => delivery,
            // Whoever read the output has had enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            Err(error) => return Err(error.into()),
        };
        if let Some(delivery) = delivery.filter(|_| args.ack == Ack::Manual) {
            pace.next().await;
            client.settle(&delivery, &args.verdict()).await;
        }
        if args.count.is_some_and(|count| screen.events >= count) {
            break;
        }
    }
    let place = client.place();
    client.close().await;
    screen.sum_up(place.as_ref());
    Ok(ExitCode::SUCCESS)
}

/// What ended it, and for a caller who showed nothing what to show.
fn explain(error: client::Error, is_known: bool) -> anyhow::Error {
    let wants_credential = error.wants_credential();
    let error = anyhow::Error::new(error);
    if wants_credential && !is_known { anyhow!("{error}; {}", credential::HOW) } else { error }
}

impl Args {
    fn wish(&self) -> Wish {
        match &self.group {
            Some(group) => Wish::Worker {
                group: group.clone(),
                topics: (!self.topics.is_empty()).then(|| self.topics.clone()),
                credit: self.credit,
                is_auto: self.ack == Ack::Auto,
            },
            None => Wish::Audience {
                topics: self.topics.clone(),
                from: self.from.clone(),
                filter: self.filter.clone(),
            },
        }
    }

    fn verdict(&self) -> Verdict {
        let reason = self.reason.clone();
        match self.on_event {
            OnEvent::Ack => Verdict::Ack,
            OnEvent::Nack => Verdict::Nack { delay: self.delay_ms.map(Duration::from_millis), reason },
            OnEvent::Reject => Verdict::Reject { reason },
        }
    }

    /// What to print beside a delivery.
    const fn verdict_word(&self) -> &'static str {
        match (self.ack, self.on_event) {
            (Ack::Auto, _) => "settled",
            (Ack::Manual, OnEvent::Ack) => "ack",
            (Ack::Manual, OnEvent::Nack) => "nack",
            (Ack::Manual, OnEvent::Reject) => "reject",
        }
    }
}

/// Keeps settlements below what a gateway takes of one connection, 5,000 messages a second (`socket.messages_per_second_max`).
struct Pace {
    since: Instant,
    count: u32,
}

impl Pace {
    const MOST: u32 = 800;
    const IN: Duration = Duration::from_millis(250);

    fn new() -> Self {
        Self { since: Instant::now(), count: 0 }
    }

    /// Waits until one more may go.
    async fn next(&mut self) {
        if self.count == Self::MOST {
            tokio::time::sleep_until(self.since + Self::IN).await;
            *self = Self::new();
        }
        self.count += 1;
    }
}

fn parse_place(text: &str) -> Result<Value, String> {
    if text.starts_with('{') {
        return serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"));
    }
    let is_word = matches!(text, "latest" | "earliest") || Timestamp::parse(text).is_ok();
    Ok(if is_word { json!(text) } else { json!({ "cursor": text }) })
}

fn parse_filter(text: &str) -> Result<Value, String> {
    if text.starts_with('{') {
        return serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"));
    }
    match text.split_once('=') {
        Some((pointer, value)) if pointer.starts_with('/') => Ok(json!({ "pointer": pointer, "eq": value })),
        _ => Err("must be /pointer=text, such as /data/customerId=c-42, or a filter in JSON".to_owned()),
    }
}

/// What is printed, and counted: events to standard output, everything about them to standard error.
struct Screen {
    painter: Painter,
    is_raw: bool,
    verdict: &'static str,
    events: u64,
    breaks: u64,
    /// Whether there is no connection, and that was told.
    is_away: bool,
    begun_at: Instant,
}

impl Screen {
    fn new(args: &Args) -> Self {
        let is_coloured = match args.color {
            When::Auto => io::stdout().is_terminal(),
            When::Always => true,
            When::Never => false,
        };
        Self {
            painter: Painter::new(is_coloured),
            is_raw: args.json,
            verdict: args.verdict_word(),
            events: 0,
            breaks: 0,
            is_away: false,
            begun_at: Instant::now(),
        }
    }

    /// Shows what happened; answers the tag of a delivery that waits to be settled.
    fn show(&mut self, update: &Update) -> io::Result<Option<String>> {
        match update {
            Update::Subscribed(ok) => {
                self.is_away = false;
                self.tell(&subscribed(ok));
                Ok(None)
            }
            Update::Lost { reason, delay } => {
                let what = if self.is_away { "still away" } else { "disconnected" };
                self.breaks += u64::from(!self.is_away);
                self.is_away = true;
                self.tell(&format!("{what}: {reason}; trying again in {:.1} s", delay.as_secs_f64()));
                Ok(None)
            }
            Update::Message { text, value } => self.show_message(text, value),
        }
    }

    fn show_message(&mut self, text: &str, value: &Value) -> io::Result<Option<String>> {
        let is_event = value.get("offset").is_some();
        let mut out = io::stdout().lock();
        if self.is_raw {
            writeln!(out, "{text}")?;
        } else if is_event {
            let verdict = value.get("delivery").map(|_| self.verdict);
            writeln!(out, "{}", self.painter.event(value, verdict))?;
        } else if let Some(notice) = notice(value) {
            self.tell(&notice);
        }
        out.flush()?;
        self.events += u64::from(is_event);
        Ok(value.get("delivery").and_then(Value::as_str).map(str::to_owned))
    }

    fn sum_up(&self, place: Option<&Value>) {
        let seconds = self.begun_at.elapsed().as_secs_f64();
        let (events, breaks) = (counted(self.events, "event"), counted(self.breaks, "break"));
        self.tell(&format!("{events} in {seconds:.1} s, {breaks}"));
        if let Some(place) = place.filter(|_| self.events > 0) {
            self.tell(&format!("to go on from here: --from '{place}'"));
        }
    }

    #[expect(clippy::print_stderr, reason = "what is said about events belongs on standard error")]
    fn tell(&self, text: &str) {
        if self.is_raw {
            return;
        }
        eprintln!("{}", self.painter.aside(text));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Pace, parse_filter, parse_place};

    #[tokio::test(start_paused = true)]
    async fn settlements_of_a_backlog_stay_below_what_a_gateway_takes() {
        let mut pace = Pace::new();
        let began = tokio::time::Instant::now();
        for _ in 0..4 * Pace::MOST {
            pace.next().await;
        }
        assert_eq!(began.elapsed(), 3 * Pace::IN);
        tokio::time::advance(10 * Pace::IN).await;
        let rested = tokio::time::Instant::now();
        for _ in 0..2 * Pace::MOST {
            pace.next().await;
        }
        assert_eq!(rested.elapsed(), Pace::IN, "what was not used is not made up for");
    }

    #[test]
    fn a_place_is_a_word_a_time_a_cursor_or_json() {
        assert_eq!(parse_place("earliest").unwrap(), json!("earliest"));
        assert_eq!(parse_place("2026-11-21T10:15:30Z").unwrap(), json!("2026-11-21T10:15:30Z"));
        assert_eq!(parse_place("AbC").unwrap(), json!({"cursor": "AbC"}));
        assert_eq!(parse_place(r#"{"orders.v1":{"0":1}}"#).unwrap(), json!({"orders.v1": {"0": 1}}));
        assert!(parse_place("{").is_err());
    }

    #[test]
    fn a_filter_is_an_equality_or_json() {
        assert_eq!(parse_filter("/data/a=b=c").unwrap(), json!({"pointer": "/data/a", "eq": "b=c"}));
        assert_eq!(parse_filter(r#"{"key":true}"#).unwrap(), json!({"key": true}));
        for bad in ["data=1", "/data", "{"] {
            assert!(parse_filter(bad).is_err(), "{bad}");
        }
    }
}
