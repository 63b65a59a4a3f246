//! The registry: many subjects, and what judging by it costs beside judging by files.

use std::time::Duration;

use anyhow::bail;
use serde_json::json;
use tokio::time::Instant;

use crate::client::Client;
use crate::event::Ids;
use crate::gateway::{Gateway, Setup};
use crate::publishing;

const SCHEMA: &str = include_str!("schemas/load/event/v1.json");

/// What makes a gateway judge by its registry.
pub(crate) const EMBEDDED: &str = "schemas.store=embedded";

/// How many of all subjects are used by events.
const USED: usize = 1_000;

/// Registers many subjects, each with a schema of its own; then starts the gateway again and tells how long that takes and
/// what it weighs, before and after events were judged by some of them.
#[expect(clippy::print_stdout, reason = "the figures are the result")]
pub(crate) fn subjects(gateway: Gateway, count: usize) -> anyhow::Result<()> {
    let start = Instant::now();
    for number in 0..count {
        register(&gateway, &name(number), &SCHEMA.replacen("An event", &format!("Event {number}"), 1))?;
    }
    println!("{count} subjects registered one after the other: {:.1} s", start.elapsed().as_secs_f64());
    let gateway = gateway.restart()?;
    let took = gateway.took.as_secs_f64();
    println!("started again: {took:.2} s until ready, {:.1} MiB resident", gateway.usage().resident_mib);
    let mut client = Client::connect(gateway.address, "POST", "/v1/events?dryRun=true", &gateway.token)?;
    for number in (0..count).take(USED) {
        let event = crate::event::envelope(number as u64, 0, 200).replacen("load.event.v1", &name(number), 1);
        let status = client.send(event.as_bytes())?;
        if status != 200 {
            bail!("{} was answered {status}", name(number));
        }
    }
    let used = count.min(USED);
    println!("after events of {used} of them: {:.1} MiB resident", gateway.usage().resident_mib);
    documents(&gateway)
}

/// The event types of this load; they go to one topic.
pub(crate) fn topic() -> String {
    let names: Vec<String> = (0..USED).map(name).collect();
    format!("{{name: load.many, event_types: [{}]}}", names.join(", "))
}

/// Publishes single events, by turns judged by files and by the registry.
pub(crate) fn beside_files(setup: &Setup, bytes: usize, time: Duration) -> anyhow::Result<()> {
    let files = Gateway::start(setup)?;
    let registry = Gateway::start(&Setup { settings: vec![EMBEDDED.to_owned()], ..setup.clone() })?;
    register(&registry, "load.event.v1", SCHEMA)?;
    for _ in 0..3 {
        for gateway in [&files, &registry] {
            publishing::single(gateway, 64, None, (bytes, Ids::None), time)?;
        }
    }
    Ok(())
}

/// How long the gateway takes to tell what there is.
#[expect(clippy::print_stdout, reason = "the figures are the result")]
fn documents(gateway: &Gateway) -> anyhow::Result<()> {
    let mut client = Client::connect(gateway.address, "GET", "/asyncapi.json", &gateway.token)?;
    for time in ["first", "second"] {
        let start = Instant::now();
        let status = client.send(b"")?;
        println!(
            "AsyncAPI of {USED} types, {time} time: {status} in {:.1} ms",
            start.elapsed().as_secs_f64() * 1e3
        );
    }
    println!("after that: {:.1} MiB resident", gateway.usage().resident_mib);
    Ok(())
}

fn register(gateway: &Gateway, event_type: &str, schema: &str) -> anyhow::Result<()> {
    let path = format!("/registry/subjects/{event_type}-value/versions");
    let mut client = Client::connect(gateway.address, "POST", &path, &gateway.token)?;
    let body = json!({"schemaType": "JSON", "schema": schema}).to_string();
    match client.send(body.as_bytes())? {
        200 => Ok(()),
        status => bail!("registering {event_type} was answered {status}"),
    }
}

fn name(number: usize) -> String {
    format!("load.kind-{number}.v1")
}
