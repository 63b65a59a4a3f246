//! `weirgate publish`: events from a file or standard input, in batches, each line told apart; or all of them in one
//! that is stored whole or not at all.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::config::Environment;

use super::ask::is_untrusted;
use super::{credential, output};

/// As many events as a gateway takes at once.
const EVENTS_MAX: u16 = 1_000;

/// Publish events. Each line is an event's envelope; a JSON array of envelopes is taken too. Exit code 1 when any event
/// was not stored.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  echo '{\"eventType\":\"orders.placed.v1\",\"data\":{…}}' | weirgate publish\n\
                        Events without an eventId are given one here, so that a repeat after a broken connection is \
                        stored once."
)]
pub(super) struct Args {
    /// The file; - or nothing is standard input.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    gateway: credential::Args,
    /// Events per request.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=i64::from(EVENTS_MAX)))]
    batch: u16,
    /// Store all the events or none of them, in one transaction: 1,000 at most.
    #[arg(long, conflicts_with = "batch")]
    atomic: bool,
    /// Judge the events and store nothing.
    #[arg(long)]
    dry_run: bool,
}

/// One line of input, ready to be sent.
struct Line {
    number: usize,
    event: Box<serde_json::value::RawValue>,
}

/// A batch's answer, or a problem.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Answer {
    items: Vec<Item>,
    code: String,
    detail: String,
}

#[derive(Debug, serde::Deserialize)]
struct Item {
    index: usize,
    status: String,
    problem: Option<Problem>,
}

#[derive(Debug, serde::Deserialize)]
struct Problem {
    detail: String,
}

#[derive(Debug, Default)]
struct Tally {
    accepted: u64,
    duplicate: u64,
    refused: u64,
}

pub(super) fn run(args: Args, environment: &Environment) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(publish(args, environment))
}

async fn publish(args: Args, environment: &Environment) -> anyhow::Result<ExitCode> {
    let (input, bytes) = open(args.file.as_ref())?;
    let progress = progress(bytes);
    let mut sender = Sender::new(&args, environment)?;
    let mut lines = BufReader::new(progress.wrap_read(input)).lines().enumerate();
    let mut tally = Tally::default();
    let mut batch = Vec::new();
    let batch_max = usize::from(if args.atomic { EVENTS_MAX } else { args.batch });
    loop {
        let line = lines.next();
        if let Some((index, line)) = line {
            let text = line.context("cannot read the input")?;
            read_line(index + 1, &text, &mut batch, &mut tally);
            if batch.len() < batch_max || (args.atomic && batch.len() == batch_max) {
                continue;
            }
        } else if batch.is_empty() {
            break;
        }
        if args.atomic {
            require_whole(&batch, &tally)?;
        }
        sender.send(std::mem::take(&mut batch), &mut tally).await?;
        progress.set_message(format!(
            "{} stored, {} refused",
            tally.accepted + tally.duplicate,
            tally.refused
        ));
    }
    progress.finish_and_clear();
    tell(&tally, args.dry_run)?;
    Ok(if tally.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is to be stored whole must be there whole.
fn require_whole(batch: &[Line], tally: &Tally) -> anyhow::Result<()> {
    if tally.refused > 0 {
        bail!("nothing is stored: not all lines are events");
    }
    if batch.len() > usize::from(EVENTS_MAX) {
        bail!("nothing is stored: --atomic takes {EVENTS_MAX} events at most");
    }
    Ok(())
}

fn open(file: Option<&PathBuf>) -> anyhow::Result<(Box<dyn Read>, Option<u64>)> {
    match file.filter(|path| path.as_os_str() != "-") {
        None => Ok((Box::new(io::stdin()), None)),
        Some(path) => {
            let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
            let bytes = file.metadata().ok().map(|metadata| metadata.len());
            Ok((Box::new(file), bytes))
        }
    }
}

/// A bar on a terminal once the input turns out to be long; nothing elsewhere.
fn progress(bytes: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match bytes {
        Some(bytes) => (ProgressBar::new(bytes), "{bar:30} {bytes}/{total_bytes} {eta} {msg}"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} {msg}"),
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style)
}

/// Takes the events of one line: one envelope, or an array of them.
fn read_line(number: usize, text: &str, batch: &mut Vec<Line>, tally: &mut Tally) {
    let text = text.trim();
    let parsed = match text {
        "" => return,
        array if array.starts_with('[') => {
            serde_json::from_str::<Vec<Box<serde_json::value::RawValue>>>(array)
        }
        one => serde_json::from_str(one).map(|event| vec![event]),
    };
    match parsed {
        Ok(events) => batch.extend(events.into_iter().map(|event| Line { number, event: with_id(event) })),
        Err(error) => {
            tally.refused += 1;
            complain(number, &format!("not JSON: {error}"));
        }
    }
}

/// The event with an id, so that sending it again after a broken connection stores it once.
fn with_id(event: Box<serde_json::value::RawValue>) -> Box<serde_json::value::RawValue> {
    let has_id =
        serde_json::from_str::<Value>(event.get()).map_or(true, |value| value.get("eventId").is_some());
    let Some(rest) = event.get().strip_prefix('{').filter(|_| !has_id) else { return event };
    let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
    let text = format!("{{\"eventId\":\"{}\"{comma}{rest}", uuid::Uuid::now_v7());
    serde_json::value::RawValue::from_string(text).unwrap_or(event)
}

struct Sender {
    client: reqwest::Client,
    url: String,
    /// The address as it was given.
    gateway: String,
    header: Option<(&'static str, String)>,
    is_atomic: bool,
    /// Whether the gateway has ever answered.
    was_reached: bool,
}

/// A request that came to nothing.
struct Failed {
    error: anyhow::Error,
    /// Whether trying again can help.
    is_passing: bool,
    /// Whether the batch may have been stored all the same.
    is_unknown: bool,
}

impl Sender {
    fn new(args: &Args, environment: &Environment) -> anyhow::Result<Self> {
        let how = if args.atomic { "atomic=true" } else { "validation=each" };
        let dry_run = if args.dry_run { "&dryRun=true" } else { "" };
        let gateway = args.gateway.url.trim_end_matches('/').to_owned();
        Ok(Self {
            client: args.gateway.client(Duration::from_secs(60))?,
            url: format!("{gateway}/v1/events?{how}{dry_run}"),
            gateway,
            header: args.gateway.credential(environment)?.header(),
            is_atomic: args.atomic,
            was_reached: false,
        })
    }

    /// Sends a batch, again while that can help, and counts what became of each item.
    async fn send(&mut self, batch: Vec<Line>, tally: &mut Tally) -> anyhow::Result<()> {
        const TRIES: u32 = 6;
        let events: Vec<&serde_json::value::RawValue> = batch.iter().map(|line| &*line.event).collect();
        let body = serde_json::to_vec(&events)?;
        let mut delay = Duration::from_millis(200);
        let mut tries = 1;
        let mut is_unknown = false;
        loop {
            let failed = match self.post(body.clone()).await {
                Ok((200 | 202 | 207, answer)) => {
                    self.was_reached = true;
                    count(&batch, &answer, tally);
                    return Ok(());
                }
                Ok((status, problem)) => {
                    if self.is_atomic {
                        complain_of(&batch, &problem);
                    }
                    self.refused(status, &problem)
                }
                Err(failed) => failed,
            };
            is_unknown |= failed.is_unknown;
            let Failed { error, is_passing, .. } = failed;
            if !is_passing || tries == TRIES {
                return Err(if self.is_atomic { error.context(fate(is_unknown)) } else { error });
            }
            hesitate(&error, delay);
            tokio::time::sleep(delay).await;
            delay *= 2;
            tries += 1;
        }
    }

    fn refused(&mut self, status: u16, problem: &Answer) -> Failed {
        self.was_reached = true;
        let is_stranger = status == 401 && self.header.is_none();
        let how = if is_stranger { format!("; {}", credential::HOW) } else { String::new() };
        let error = anyhow!("the gateway answered {status} {}: {}{how}", problem.code, problem.detail);
        let is_unknown = status >= 500 && status != 503;
        Failed { error, is_passing: matches!(status, 429 | 503 | 504), is_unknown }
    }

    async fn post(&self, body: Vec<u8>) -> Result<(u16, Answer), Failed> {
        let mut request = self.client.post(&self.url).header("content-type", "application/json").body(body);
        if let Some((name, value)) = &self.header {
            request = request.header(*name, value);
        }
        let answer = request.send().await.map_err(|error| self.unreached(error))?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.context("the answer broke off");
        let body = body.map_err(|error| Failed { error, is_passing: true, is_unknown: true })?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }

    /// Whoever was there before may come back; who never was, or cannot be trusted, is told of at once.
    fn unreached(&self, error: reqwest::Error) -> Failed {
        if is_untrusted(&error) {
            let told = format!(
                "the gateway at {} cannot be trusted; --ca names who signs its certificate",
                self.gateway
            );
            let error = anyhow::Error::new(error).context(told);
            return Failed { error, is_passing: false, is_unknown: false };
        }
        let is_passing = !error.is_builder() && (self.was_reached || !error.is_connect());
        let is_unknown = !error.is_builder() && !error.is_connect();
        let hint = if self.was_reached { "" } else { "; does the gateway run there?" };
        Failed {
            error: anyhow::Error::new(error).context(format!("cannot reach {}{hint}", self.gateway)),
            is_passing,
            is_unknown,
        }
    }
}

/// What became of a batch that is stored whole or not at all.
const fn fate(is_unknown: bool) -> &'static str {
    if is_unknown {
        "all of it is stored or nothing, and which is not known; with the same event ids it can be sent again"
    } else {
        "nothing is stored"
    }
}

#[expect(clippy::print_stderr, reason = "what goes on belongs on standard error")]
fn hesitate(error: &anyhow::Error, delay: Duration) {
    eprintln!("{error}; trying again in {:.1} s", delay.as_secs_f64());
}

fn count(batch: &[Line], answer: &Answer, tally: &mut Tally) {
    for line in batch.iter().skip(answer.items.len()) {
        tally.refused += 1;
        complain(line.number, "not answered; send it again with the same eventId");
    }
    for item in &answer.items {
        match item.status.as_str() {
            "accepted" | "queued" | "checked" => tally.accepted += 1,
            "duplicate" => tally.duplicate += 1,
            status => {
                tally.refused += 1;
                let number = batch.get(item.index).map_or(0, |line| line.number);
                let detail =
                    item.problem.as_ref().map_or("see the other lines of its key", |one| &one.detail);
                complain(number, &format!("{status}: {detail}"));
            }
        }
    }
}

/// What is wrong with which events, where a whole batch is refused for them; the others are only not stored.
fn complain_of(batch: &[Line], answer: &Answer) {
    for item in &answer.items {
        if let (Some(line), Some(problem)) = (batch.get(item.index), &item.problem) {
            complain(line.number, &format!("{}: {}", item.status, problem.detail));
        }
    }
}

#[expect(clippy::print_stderr, reason = "what went wrong belongs on standard error")]
fn complain(number: usize, problem: &str) {
    eprintln!("line {number}: {problem}");
}

fn tell(tally: &Tally, is_dry: bool) -> anyhow::Result<()> {
    let verb = if is_dry { "would be stored" } else { "stored" };
    output::print(&format!(
        "{} {verb}, {} known before, {} refused
",
        tally.accepted, tally.duplicate, tally.refused
    ))
}

#[cfg(test)]
mod tests {
    use super::{Tally, read_line, with_id};

    fn raw(text: &str) -> Box<serde_json::value::RawValue> {
        serde_json::value::RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn an_event_without_id_gets_one_and_keeps_its_bytes() {
        let event = with_id(raw(r#"{ "eventType":"a.b.v1","n":1.0}"#));
        assert!(
            event.get().starts_with("{\"eventId\":\"")
                && event.get().ends_with(r#" "eventType":"a.b.v1","n":1.0}"#)
        );
        assert_eq!(with_id(raw(r#"{"eventId":"x"}"#)).get(), r#"{"eventId":"x"}"#);
        assert!(serde_json::from_str::<serde_json::Value>(with_id(raw("{}")).get()).is_ok());
    }

    #[test]
    fn lines_may_be_events_or_arrays_and_empty_ones_are_passed_over() {
        let (mut batch, mut tally) = (Vec::new(), Tally::default());
        for (index, line) in ["{}", "", "[{},{}]", "nonsense"].iter().enumerate() {
            read_line(index + 1, line, &mut batch, &mut tally);
        }
        assert_eq!(batch.iter().map(|line| line.number).collect::<Vec<_>>(), [1, 3, 3]);
        assert_eq!(tally.refused, 1);
    }
}
