//! Subscribers: many sockets on one thread, counting frames and reading the send time out of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::bail;
use futures_util::future::join_all;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::client::Client;
use crate::event;
use crate::gateway::{self, Gateway};
use crate::publishing::Schedule;
use crate::socket;
use crate::stats::{Latencies, report};

/// POSTs at a rate while `subscribers` follow the topic.
#[expect(clippy::print_stdout, reason = "the figures are the result")]
pub(crate) fn run(
    gateway: &Gateway,
    subscribers: usize,
    rate: u64,
    bytes: usize,
    time: Duration,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let epoch = Instant::now();
    let is_counting = Arc::new(AtomicBool::new(false));
    let sockets = runtime.block_on(connect_all(gateway, subscribers))?;
    let delivered = Arc::new(AtomicU64::new(0));
    let readers: Vec<_> = sockets
        .into_iter()
        .map(|socket| runtime.spawn(follow(socket, epoch, Arc::clone(&is_counting), Arc::clone(&delivered))))
        .collect();
    let reading = std::thread::spawn(move || {
        runtime.block_on(async {
            let mut all = Latencies::default();
            for latencies in join_all(readers).await.into_iter().flatten() {
                all.merge(latencies);
            }
            all
        })
    });
    publish(gateway, rate, bytes, Duration::from_secs(2), epoch)?;
    is_counting.store(true, Ordering::Relaxed);
    let (before, own_before, start) = (gateway.usage(), gateway::own_usage(), Instant::now());
    let sent = publish(gateway, rate, bytes, time, epoch)?;
    let elapsed = start.elapsed();
    let used = gateway::since(before, gateway.usage());
    let own = gateway::since(own_before, gateway::own_usage());
    publish(gateway, 20, bytes, Duration::from_millis(300), epoch)?;
    let count = delivered.load(Ordering::Relaxed);
    // Ends the readers: their connections close with the gateway's process, which the caller ends; so does this.
    is_counting.store(false, Ordering::Relaxed);
    let what = format!("{subscribers} subscribers, {rate} events/s of {bytes} B ({sent} sent)");
    report(&what, "delivery", count, elapsed, &used, &own);
    publish(gateway, 20, bytes, Duration::from_millis(300), epoch)?;
    let mut latencies = reading.join().map_err(|_| anyhow::anyhow!("the readers panicked"))?;
    println!("  POST to subscriber: {}", latencies.summary());
    Ok(())
}

/// Resident memory of the gateway per subscriber that only waits.
#[expect(clippy::print_stdout, reason = "the figures are the result")]
pub(crate) fn idle(gateway: &Gateway, subscribers: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let rest = gateway.usage().resident_mib;
    let (warm, per) = runtime.block_on(async {
        let first = connect_all(gateway, 100).await?;
        let warm = gateway.usage().resident_mib;
        let others = connect_all(gateway, subscribers).await?;
        let full = gateway.usage().resident_mib;
        drop((first, others));
        #[expect(clippy::cast_precision_loss, reason = "a figure for a person")]
        anyhow::Ok((warm, (full - warm) * 1_024.0 / subscribers as f64))
    })?;
    println!("gateway at rest: {rest:.1} MiB resident ({warm:.1} MiB with 100 subscribers)");
    println!("{subscribers} idle subscribers: {per:.2} KiB resident each");
    Ok(())
}

fn publish(
    gateway: &Gateway,
    rate: u64,
    bytes: usize,
    time: Duration,
    epoch: Instant,
) -> anyhow::Result<u64> {
    const CONNECTIONS: usize = 8;
    let schedule = Arc::new(Schedule::new(Some(rate)));
    let end = Instant::now() + time;
    let workers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let mut client = Client::connect(gateway.address, "POST", "/v1/events", &gateway.token)?;
            let schedule = Arc::clone(&schedule);
            Ok(std::thread::spawn(move || -> anyhow::Result<u64> {
                let mut count = 0;
                while Instant::now() < end {
                    let (number, due) = schedule.take();
                    let sent_at =
                        due.saturating_duration_since(epoch).as_nanos().try_into().unwrap_or(u64::MAX);
                    let status = client.send(event::envelope(number, sent_at, bytes).as_bytes())?;
                    if status != 201 {
                        bail!("answered {status}");
                    }
                    count += 1;
                }
                Ok(count)
            }))
        })
        .collect::<anyhow::Result<_>>()?;
    let mut all = 0;
    for worker in workers {
        all += worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))??;
    }
    Ok(all)
}

async fn connect_all(gateway: &Gateway, subscribers: usize) -> anyhow::Result<Vec<TcpStream>> {
    let mut sockets = Vec::with_capacity(subscribers);
    for _ in 0..subscribers {
        let command = r#"{"id":1,"op":"subscribe","topics":["load.events"],"from":"latest"}"#;
        sockets.push(socket::open(gateway, command).await?.0);
    }
    Ok(sockets)
}

/// Reads frames until counting has begun and ended; answers the latencies of those that counted.
async fn follow(
    mut stream: TcpStream,
    epoch: Instant,
    is_counting: Arc<AtomicBool>,
    delivered: Arc<AtomicU64>,
) -> Latencies {
    let (mut latencies, mut have, mut has_begun) = (Latencies::default(), Vec::new(), false);
    let mut buffer = vec![0; 8_192];
    loop {
        let Ok(read @ 1..) = stream.read(&mut buffer).await else { return latencies };
        have.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let now = epoch.elapsed();
        let counts = is_counting.load(Ordering::Relaxed);
        if has_begun && !counts {
            return latencies;
        }
        has_begun |= counts;
        let mut at = 0;
        while let Some(frame) = have.get(at..).and_then(socket::frame) {
            at += frame.whole;
            let Some(sent_at) = event::sent_at(frame.payload) else { continue };
            if counts {
                latencies.add(now.saturating_sub(Duration::from_nanos(sent_at)));
                delivered.fetch_add(1, Ordering::Relaxed);
            }
        }
        have.drain(..at);
    }
}
