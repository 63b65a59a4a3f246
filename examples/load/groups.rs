//! Groups: a backlog worked off by several members, and many groups that wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::client::Client;
use crate::gateway::{self, Gateway};
use crate::socket;
use crate::stats::report;

/// Deliveries that a member may have unsettled; the gateway's own bound of a connection.
const CREDIT: usize = 256;

/// Settlements of one message at most.
const BATCH: usize = 64;

/// A member's connection, and the number of its subscription.
pub(crate) type Member = (TcpStream, u64);

/// Works off `count` records of a topic with so many members, each settling what it read in batches of at most 64.
pub(crate) fn drain(gateway: &Gateway, topic: &str, count: u64, members: usize) -> anyhow::Result<()> {
    let group = format!("drain-{}", std::process::id());
    put_group(gateway, &group, &format!(r#"{{"topics":["{topic}"],"ordering":"key","laneWindow":256}}"#))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (before, own_before, start) = (gateway.usage(), gateway::own_usage(), Instant::now());
    let delivered = Arc::new(AtomicU64::new(0));
    runtime.block_on(async {
        let sockets = join_all((0..members).map(|_| join(gateway, &group))).await;
        let mut working = tokio::task::JoinSet::new();
        for socket in sockets {
            working.spawn(work(socket?, Arc::clone(&delivered), count));
        }
        tokio::time::timeout(Duration::from_secs(300), working.join_next())
            .await
            .context("not worked off within five minutes")?
            .context("no members")??
    })?;
    let elapsed = start.elapsed();
    let used = gateway::since(before, gateway.usage());
    let own = gateway::since(own_before, gateway::own_usage());
    let what = format!("a backlog of {count} worked off by {members} members");
    report(&what, "delivery", delivered.load(Ordering::Relaxed), elapsed, &used, &own);
    Ok(())
}

/// What a gateway uses that has a member in each of these groups and nothing to do.
#[expect(clippy::print_stdout, reason = "the figures are the result")]
#[expect(clippy::disallowed_methods, reason = "a measurement takes its time")]
pub(crate) fn idle(
    gateway: &Gateway,
    topics: &[String],
    partitions: usize,
    time: Duration,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let names: Vec<String> = topics.iter().map(|topic| topic.replace('.', "-")).collect();
    for (group, topic) in names.iter().zip(topics) {
        put_group(gateway, group, &format!(r#"{{"topics":["{topic}"]}}"#))?;
    }
    let sockets = runtime.block_on(async {
        let mut sockets = Vec::new();
        for group in &names {
            sockets.push(join(gateway, group).await?);
        }
        anyhow::Ok(sockets)
    })?;
    // Until every member has its assignment, and what joining cost is over.
    std::thread::sleep(Duration::from_secs(20));
    let (before, start) = (gateway.usage(), Instant::now());
    std::thread::sleep(time);
    let used = gateway::since(before, gateway.usage());
    println!(
        "{} groups of {partitions} partitions each, idle: {:.1} MiB resident, {:.1} % of a core",
        topics.len(),
        used.resident_mib,
        100.0 * used.cpu.as_secs_f64() / start.elapsed().as_secs_f64()
    );
    drop(sockets);
    Ok(())
}

pub(crate) fn put_group(gateway: &Gateway, group: &str, policy: &str) -> anyhow::Result<()> {
    let mut client = Client::connect(gateway.address, "PUT", &format!("/v1/groups/{group}"), &gateway.token)?;
    match client.send(policy.as_bytes())? {
        200 | 201 => Ok(()),
        status => bail!("the group was answered {status}"),
    }
}

pub(crate) async fn join(gateway: &Gateway, group: &str) -> anyhow::Result<Member> {
    let command = format!(r#"{{"id":1,"op":"subscribe","group":"{group}","credit":{CREDIT}}}"#);
    let (stream, answer) = socket::open(gateway, &command).await?;
    let answer: serde_json::Value = serde_json::from_str(&answer)?;
    let sub = answer.pointer("/ok/sub").and_then(serde_json::Value::as_u64);
    Ok((stream, sub.context("the number of the subscription")?))
}

/// Settles what comes until all members together have `count` deliveries.
pub(crate) async fn work(
    (mut stream, sub): Member,
    delivered: Arc<AtomicU64>,
    count: u64,
) -> anyhow::Result<()> {
    let (mut have, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            bail!("the gateway closed the connection");
        }
        have.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let (mut at, mut tags) = (0, Vec::new());
        while let Some(frame) = have.get(at..).and_then(socket::frame) {
            at += frame.whole;
            tags.extend(tag(frame.payload).map(ToOwned::to_owned));
        }
        have.drain(..at);
        for tags in tags.chunks(BATCH) {
            let list = tags.join("\",\"");
            let ack = format!(r#"{{"op":"ack","sub":{sub},"deliveries":["{list}"]}}"#);
            stream.write_all(&socket::masked(ack.as_bytes())).await?;
        }
        if delivered.fetch_add(tags.len() as u64, Ordering::Relaxed) + tags.len() as u64 >= count {
            return Ok(());
        }
    }
}

/// The tag of a delivery, which stands near the beginning of its frame.
pub(crate) fn tag(frame: &[u8]) -> Option<&str> {
    const NAME: &str = "\"delivery\":\"";
    let head = std::str::from_utf8(frame.get(..frame.len().min(160))?).unwrap_or_default();
    let (_, rest) = head.split_once(NAME)?;
    rest.split_once('"').map(|(tag, _)| tag)
}
