//! Measures durable appends to the embedded log: closed-loop producers, each waiting for its answer.
//!
//! ```text
//! cargo run --release --example append -- [--seconds 5] [--producers 64] [--partitions 12] [--bytes 1024]
//!                                         [--fsync group|interval|never] [--tails 0] [--path DIR]
//! ```

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a tool for the terminal"
)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use weirgate::event::{Clock, Offset, Partition, Topic};
use weirgate::log::{Append, Bounds, Cleanup, EventLog, NewRecord, Purpose, TopicSpec};
use weirgate::log_embedded::{Config, Engine, Fsync};
use weirgate::telemetry::Registry;

/// What the command line asks for.
struct Options {
    seconds: u64,
    producers: usize,
    partitions: u32,
    bytes: usize,
    fsync: Fsync,
    tails: u32,
    path: Option<String>,
}

fn options() -> Options {
    let mut options = Options {
        seconds: 5,
        producers: 64,
        partitions: 12,
        bytes: 1024,
        fsync: Fsync::Group,
        tails: 0,
        path: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let (Some(name), Some(value)) = (arguments.next(), arguments.next()) {
        match name.as_str() {
            "--seconds" => options.seconds = value.parse().unwrap(),
            "--producers" => options.producers = value.parse().unwrap(),
            "--partitions" => options.partitions = value.parse().unwrap(),
            "--bytes" => options.bytes = value.parse().unwrap(),
            "--tails" => options.tails = value.parse().unwrap(),
            "--path" => options.path = Some(value),
            "--fsync" => {
                options.fsync = match value.as_str() {
                    "interval" => Fsync::Interval(Duration::from_millis(50)),
                    "never" => Fsync::Never,
                    _ => Fsync::Group,
                };
            }
            _ => println!("unknown: {name}"),
        }
    }
    options
}

/// One producer's latencies until `until`.
async fn produce(
    engine: Arc<Engine>,
    topic: Topic,
    number: usize,
    value: Bytes,
    partitions: u32,
    until: Instant,
) -> Vec<u64> {
    let mut latencies = Vec::new();
    let mut turn = u32::try_from(number).unwrap();
    while Instant::now() < until {
        let partition = Partition::new(turn % partitions);
        turn += 1;
        let record = NewRecord {
            key: Some(Bytes::copy_from_slice(&(number as u64).to_be_bytes())),
            value: Some(value.clone()),
            ..NewRecord::default()
        };
        let begun = Instant::now();
        engine.append(Append { topic: topic.clone(), partition, records: vec![record] }).await.unwrap();
        latencies.push(u64::try_from(begun.elapsed().as_micros()).unwrap());
    }
    latencies
}

/// Follows a partition, and counts.
async fn follow(engine: Arc<Engine>, topic: Topic, partition: Partition) -> u64 {
    let mut reader = engine.reader(&topic, partition, Offset::ZERO, Purpose::Tail).await.unwrap();
    let mut count = 0;
    while let Ok(fetched) = reader.next(1 << 20).await {
        count += fetched.records.len() as u64;
    }
    count
}

/// Bytes this process has caused to be written, where the system tells.
fn written() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn percentile(sorted: &[u64], percent: usize) -> f64 {
    let micros = sorted[(sorted.len() - 1) * percent / 100];
    Duration::from_micros(micros).as_secs_f64() * 1_000.0
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let options = options();
    let directory = match &options.path {
        Some(path) => tempfile::tempdir_in(path),
        None => tempfile::tempdir_in("."),
    };
    let directory = directory.unwrap();
    let config = Config { fsync: options.fsync, ..Config::at(directory.path()) };
    let engine = Engine::open(&config, Clock::system(), &Registry::new()).unwrap();
    let topic = Topic::parse("measured").unwrap();
    let spec = TopicSpec {
        name: topic.clone(),
        partitions: options.partitions,
        cleanup: Cleanup::Delete,
        retention: None,
        retention_bytes: None,
    };
    engine.ensure_topic(&spec).await.unwrap();
    let mut value = vec![0; options.bytes];
    getrandom::fill(&mut value).unwrap();
    let value = Bytes::from(value);

    let tails: Vec<_> = (0..options.tails)
        .map(|tail| {
            tokio::spawn(follow(
                Arc::clone(&engine),
                topic.clone(),
                Partition::new(tail % options.partitions),
            ))
        })
        .collect();
    let (begun, written_before) = (Instant::now(), written());
    let until = begun + Duration::from_secs(options.seconds);
    let producers: Vec<_> = (0..options.producers)
        .map(|number| {
            tokio::spawn(produce(
                Arc::clone(&engine),
                topic.clone(),
                number,
                value.clone(),
                options.partitions,
                until,
            ))
        })
        .collect();
    let mut latencies = Vec::new();
    for producer in producers {
        latencies.extend(producer.await.unwrap());
    }
    let elapsed = begun.elapsed().as_secs_f64();
    latencies.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let (rate, amplification) = (
        latencies.len() as f64 / elapsed,
        (written() - written_before) as f64 / (latencies.len() * options.bytes) as f64,
    );
    println!(
        "{rate:.0} appends/s ({:?}, {} producers, {} partitions, {} B, {} tails); ms: P50 {:.2}, P95 {:.2}, P99 {:.2}, max {:.1}; {amplification:.1} B written per B",
        options.fsync,
        options.producers,
        options.partitions,
        options.bytes,
        options.tails,
        percentile(&latencies, 50),
        percentile(&latencies, 95),
        percentile(&latencies, 99),
        percentile(&latencies, 100),
    );
    let mut end = 0;
    for number in (0..options.partitions).map(Partition::new) {
        let Bounds { end: of_partition, .. } = engine.bounds(&topic, number).await.unwrap();
        end += of_partition.number();
    }
    assert_eq!(end, latencies.len() as u64);
    engine.close().await;
    let mut followed = 0;
    for tail in tails {
        followed += tail.await.unwrap();
    }
    if options.tails > 0 {
        println!("tails read {followed} records");
    }
}
