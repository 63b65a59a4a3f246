//! Publishing: single POSTs and batches, closed loop or at a fixed rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{anyhow, bail};
use tokio::time::Instant;

use crate::client::Client;
use crate::event::{self, Ids};
use crate::gateway::{self, Gateway};
use crate::stats::{Latencies, report};

/// What comes before a measurement and does not count.
pub(crate) const WARM_UP: Duration = Duration::from_secs(2);

/// When work is due: at once, or spread evenly.
#[derive(Debug)]
pub(crate) struct Schedule {
    pub(crate) start: Instant,
    interval: Option<Duration>,
    next: AtomicU64,
}

impl Schedule {
    pub(crate) fn new(rate: Option<u64>) -> Self {
        let interval = rate.map(|rate| Duration::from_secs(1) / u32::try_from(rate).unwrap_or(u32::MAX));
        Self { start: Instant::now(), interval, next: AtomicU64::new(0) }
    }

    /// Waits for the next piece of work; its number and the time it was due.
    #[expect(clippy::disallowed_methods, reason = "a load generator keeps a rate by sleeping")]
    pub(crate) fn take(&self) -> (u64, Instant) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let Some(interval) = self.interval else { return (number, now) };
        let due = self.start + interval * u32::try_from(number).unwrap_or(u32::MAX);
        std::thread::sleep(due.saturating_duration_since(now));
        (number, due)
    }
}

/// Single POSTs.
pub(crate) fn single(
    gateway: &Gateway,
    connections: usize,
    rate: Option<u64>,
    (bytes, ids): (usize, Ids),
    time: Duration,
) -> anyhow::Result<()> {
    let what = match rate {
        Some(rate) => format!("single POSTs of {bytes} B at {rate}/s, {connections} connections"),
        None => format!("single POSTs of {bytes} B, {connections} connections, closed loop"),
    };
    let body = move |number| event::with_id(event::envelope(number, 0, bytes), ids).into_bytes();
    run(gateway, &what, connections, rate, time, (1, 201), "/v1/events", body)
}

/// Batches.
pub(crate) fn batch(
    gateway: &Gateway,
    connections: usize,
    size: usize,
    (bytes, ids): (usize, Ids),
    time: Duration,
) -> anyhow::Result<()> {
    let what = format!("batches of {size} events of {bytes} B, {connections} connections, closed loop");
    let body = move |number: u64| {
        let events: Vec<String> =
            (0..size as u64).map(|index| event::envelope(number * 1_000 + index, 0, bytes)).collect();
        let events: Vec<String> = events.into_iter().map(|event| event::with_id(event, ids)).collect();
        format!("[{}]", events.join(",")).into_bytes()
    };
    run(gateway, &what, connections, None, time, (size as u64, 207), "/v1/events", body)
}

/// How many keys stored events have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// One.
    One,
    /// A thousand, by turns.
    Many,
}

impl Keys {
    const fn stride(self) -> u64 {
        match self {
            Self::One => event::KEYS,
            Self::Many => 1,
        }
    }
}

/// Stores about `count` small events, which a group can work off afterwards; how many there are.
pub(crate) fn fill(gateway: &Gateway, count: u64, bytes: usize, keys: Keys) -> anyhow::Result<u64> {
    const CONNECTIONS: u64 = 8;
    const BATCH: u64 = 500;
    let batches = count.div_ceil(BATCH * CONNECTIONS);
    let workers: Vec<_> = (0..CONNECTIONS)
        .map(|worker| {
            let mut client = Client::connect(gateway.address, "POST", "/v1/events", &gateway.token)?;
            Ok(std::thread::spawn(move || -> anyhow::Result<()> {
                for batch in 0..batches {
                    let first = (worker * batches + batch) * BATCH;
                    let events: Vec<String> = (first..first + BATCH)
                        .map(|number| event::envelope(number * keys.stride(), 0, bytes))
                        .collect();
                    let status = client.send(format!("[{}]", events.join(",")).as_bytes())?;
                    if status != 207 {
                        bail!("answered {status} instead of 207");
                    }
                }
                Ok(())
            }))
        })
        .collect::<anyhow::Result<_>>()?;
    for worker in workers {
        worker.join().map_err(|_| anyhow!("a worker panicked"))??;
    }
    Ok(batches * BATCH * CONNECTIONS)
}

#[expect(
    clippy::too_many_arguments,
    reason = "one call from two places, each argument a number of the report"
)]
fn run(
    gateway: &Gateway,
    what: &str,
    connections: usize,
    rate: Option<u64>,
    time: Duration,
    (events, expected): (u64, u16),
    path: &'static str,
    body: impl Fn(u64) -> Vec<u8> + Clone + Send + 'static,
) -> anyhow::Result<()> {
    let phase = |time: Duration| -> anyhow::Result<(Latencies, u64)> {
        let schedule = Arc::new(Schedule::new(rate));
        let workers: Vec<_> = (0..connections)
            .map(|_| {
                let mut client = Client::connect(gateway.address, "POST", path, &gateway.token)?;
                let (schedule, body) = (Arc::clone(&schedule), body.clone());
                Ok(std::thread::spawn(move || -> anyhow::Result<(Latencies, u64)> {
                    let (mut latencies, mut count) = (Latencies::default(), 0);
                    // The body is made once: the generator shares the machine with the gateway.
                    let mut bytes = body(schedule.next.load(Ordering::Relaxed));
                    let ids = event::id_places(&bytes);
                    while schedule.start.elapsed() < time {
                        let (_, due) = schedule.take();
                        event::renew_ids(&mut bytes, &ids);
                        let status = client.send(&bytes)?;
                        if status != expected {
                            bail!("answered {status} instead of {expected}");
                        }
                        latencies.add(due.elapsed());
                        count += events;
                    }
                    Ok((latencies, count))
                }))
            })
            .collect::<anyhow::Result<_>>()?;
        let mut all = (Latencies::default(), 0);
        for worker in workers {
            let (latencies, count) = worker.join().map_err(|_| anyhow!("a worker panicked"))??;
            all.0.merge(latencies);
            all.1 += count;
        }
        Ok(all)
    };
    phase(WARM_UP)?;
    let (before, own_before, start) = (gateway.usage(), gateway::own_usage(), Instant::now());
    let (mut latencies, count) = phase(time)?;
    let elapsed = start.elapsed();
    let used = gateway::since(before, gateway.usage());
    report(what, "event", count, elapsed, &used, &gateway::since(own_before, gateway::own_usage()));
    print_latencies(&mut latencies);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the figures are the result")]
fn print_latencies(latencies: &mut Latencies) {
    println!("  {}", latencies.summary());
}
