//! Dead letters by the million: one poison key under `park_key`, its letters listed, and some sent back.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::client::Client;
use crate::gateway::{self, Gateway};
use crate::stats::{Latencies, report};
use crate::{groups, publishing, socket};

const TOPIC: &str = "load.events";
/// Pages read one after the other, each of [`PAGE`] letters.
const PAGES: usize = 100;
const PAGE: usize = 50;

/// Parks a key of so many events, lists its letters, and sends back so many of them.
pub(crate) fn run(gateway: &Gateway, records: u64, bytes: usize, redriven: u64) -> anyhow::Result<()> {
    let group = format!("letters-{}", std::process::id());
    let records = publishing::fill(gateway, records, bytes, publishing::Keys::One)?;
    let policy = format!(r#"{{"topics":["{TOPIC}"],"ordering":"key","onExhausted":"park_key"}}"#);
    groups::put_group(gateway, &group, &policy)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let member = runtime.block_on(groups::join(gateway, &group))?;
    park(gateway, &group, &runtime, member, records)?;
    list(gateway, &group, "limit=50")?;
    list(gateway, &group, "limit=50&key=c-0&reason=key_parked")?;
    redrive(gateway, &group, redriven)
}

/// Rejects the first event of the key; the member acknowledges whatever comes after.
#[expect(clippy::print_stdout, reason = "the figures are the result")]
#[expect(clippy::disallowed_methods, reason = "a measurement takes its time")]
fn park(
    gateway: &Gateway,
    group: &str,
    runtime: &tokio::runtime::Runtime,
    member: groups::Member,
    records: u64,
) -> anyhow::Result<()> {
    let (before, own_before, start) = (gateway.usage(), gateway::own_usage(), Instant::now());
    runtime.spawn(async move {
        let member = reject_one(member).await?;
        groups::work(member, std::sync::Arc::default(), u64::MAX).await
    });
    let mut most = before.resident_mib;
    loop {
        std::thread::sleep(Duration::from_millis(100));
        most = most.max(gateway.usage().resident_mib);
        let view = get(gateway, &format!("/v1/groups/{group}"))?;
        let partitions = view.get("partitions").and_then(Value::as_array).context("partitions")?;
        let lag = |partition: &Value| partition.get("lag").and_then(Value::as_u64).context("its lag");
        let lag = partitions.iter().map(lag).sum::<anyhow::Result<u64>>()?;
        if lag == 0 {
            break;
        }
        if start.elapsed() > Duration::from_secs(900) {
            bail!("{lag} events still wait");
        }
    }
    let (elapsed, used) = (start.elapsed(), gateway::since(before, gateway.usage()));
    let own = gateway::since(own_before, gateway::own_usage());
    report(&format!("{records} events of a poison key, parked"), "letter", records, elapsed, &used, &own);
    println!("  resident before {:.1} MiB, at most {most:.1} MiB", before.resident_mib);
    Ok(())
}

/// Rejects the first delivery.
async fn reject_one((mut stream, sub): groups::Member) -> anyhow::Result<groups::Member> {
    let (mut have, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let read = stream.read(&mut buffer).await?;
        have.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let mut at = 0;
        while let Some(frame) = have.get(at..).and_then(socket::frame) {
            at += frame.whole;
            if let Some(tag) = groups::tag(frame.payload) {
                let reject = format!(r#"{{"op":"reject","sub":{sub},"delivery":"{tag}","reason":"poison"}}"#);
                stream.write_all(&socket::masked(reject.as_bytes())).await?;
                return Ok((stream, sub));
            }
        }
        have.drain(..at);
        if read == 0 {
            bail!("the gateway closed the connection");
        }
    }
}

/// Pages from the newest on, each from the cursor of the one before.
#[expect(clippy::print_stdout, reason = "the figures are the result")]
fn list(gateway: &Gateway, group: &str, query: &str) -> anyhow::Result<()> {
    let (mut latencies, mut cursor, mut letters) = (Latencies::default(), String::new(), 0);
    for _ in 0..PAGES {
        let start = Instant::now();
        let page = get(gateway, &format!("/v1/groups/{group}/dead-letters?{query}{cursor}"))?;
        latencies.add(start.elapsed());
        letters += page.get("deadLetters").and_then(Value::as_array).context("dead letters")?.len();
        let Some(next) = page.get("cursor").and_then(Value::as_str) else { break };
        cursor = format!("&cursor={next}");
    }
    println!("{letters} letters in pages of {PAGE}, ?{query}: {}", latencies.summary());
    Ok(())
}

/// Sends letters back until so many have gone.
#[expect(clippy::disallowed_methods, reason = "to ask without pause would be measured, too")]
fn redrive(gateway: &Gateway, group: &str, letters: u64) -> anyhow::Result<()> {
    let (before, own_before, start) = (gateway.usage(), gateway::own_usage(), Instant::now());
    let mut begin =
        Client::connect(gateway.address, "POST", &format!("/v1/groups/{group}/redrives"), &gateway.token)?;
    if begin.send(br#"{"filter":{}}"#)? != 202 {
        bail!("the redrive was answered {}", begin.json()?);
    }
    let id = begin.json()?.get("id").and_then(Value::as_str).context("the redrive's id")?.to_owned();
    let moved = loop {
        let job = get(gateway, &format!("/v1/redrives/{id}"))?;
        let moved = job.get("moved").and_then(Value::as_u64).context("moved")?;
        match job.get("state").and_then(Value::as_str) {
            _ if moved >= letters => break moved,
            Some("running") => {}
            _ => bail!("the redrive ended: {job}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let (elapsed, used) = (start.elapsed(), gateway::since(before, gateway.usage()));
    let own = gateway::since(own_before, gateway::own_usage());
    Client::connect(gateway.address, "POST", &format!("/v1/redrives/{id}:cancel"), &gateway.token)?
        .send(b"")?;
    report("letters sent back, and delivered meanwhile", "letter", moved, elapsed, &used, &own);
    Ok(())
}

fn get(gateway: &Gateway, path: &str) -> anyhow::Result<Value> {
    let mut client = Client::connect(gateway.address, "GET", path, &gateway.token)?;
    match client.send(b"")? {
        200 => client.json(),
        status => bail!("{path} was answered {status}: {}", client.json()?),
    }
}
