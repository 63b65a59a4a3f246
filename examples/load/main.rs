//! A load generator: starts a gateway of its own, loads it, and tells what both sides used.
//!
//! ```text
//! cargo build --release && cargo run --release --example load -- all
//! ```
//!
//! With `--kafka` the gateway runs on that broker, and a native producer is measured beside it:
//!
//! ```text
//! PORT=29092 tests/kafka/up &
//! cargo run --release --example load -- --kafka 127.0.0.1:29092 all
//! ```
//!
//! What the memory of event ids costs is the difference of two runs:
//!
//! ```text
//! for dedupe in on off; do cargo run --release --example load -- --dedupe $dedupe batch; done
//! ```
//!
//! Latencies of a fixed rate count from the time a request was meant to be sent, so that a stall is not hidden by the
//! requests it delayed. CPU is user and system time of each process, from /proc.

#![expect(clippy::print_stdout, reason = "the figures are the result")]

mod client;
mod event;
mod fanout;
mod gateway;
mod groups;
mod letters;
mod native;
mod publishing;
mod registry;
mod socket;
mod stats;

use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};

use event::Ids;
use gateway::{Gateway, Setup};

/// Load a gateway and measure it.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to measure.
    #[command(subcommand)]
    load: Load,
    /// Seconds of each measurement, after a warm-up.
    #[arg(long, default_value_t = 6, global = true)]
    seconds: u64,
    /// Size of an event.
    #[arg(long, default_value_t = 1024, global = true)]
    bytes: usize,
    /// A broker, such as 127.0.0.1:9092, to run on instead of the embedded log.
    #[arg(long, global = true)]
    kafka: Option<String>,
    /// Gives every event an id, with the memory of ids on or off: what that memory costs.
    #[arg(long, global = true)]
    dedupe: Option<Dedupe>,
}

/// Whether the gateway remembers ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Dedupe {
    On,
    Off,
}

#[derive(Debug, Clone, Subcommand)]
enum Load {
    /// Single POSTs, one after the other on each connection, or at a fixed rate.
    Single {
        /// Keep-alive connections.
        #[arg(long, default_value_t = 64)]
        connections: usize,
        /// Requests per second; without it as fast as the answers come.
        #[arg(long)]
        rate: Option<u64>,
    },
    /// Batches.
    Batch {
        /// Keep-alive connections.
        #[arg(long, default_value_t = 16)]
        connections: usize,
        /// Events of a batch.
        #[arg(long, default_value_t = 100)]
        size: usize,
    },
    /// From POST to a subscriber at a fixed rate.
    Deliver {
        /// Events per second.
        #[arg(long, default_value_t = 1000)]
        rate: u64,
    },
    /// Many subscribers of one topic.
    Fanout {
        /// Subscribers.
        #[arg(long, default_value_t = 1000)]
        subscribers: usize,
        /// Events per second.
        #[arg(long, default_value_t = 100)]
        rate: u64,
        /// Size of an event.
        #[arg(long, default_value_t = 200)]
        size: usize,
    },
    /// Memory of subscribers that only wait.
    Idle {
        /// Subscribers.
        #[arg(long, default_value_t = 4000)]
        subscribers: usize,
    },
    /// A producer that writes past the gateway; needs --kafka.
    Native {
        /// Records per second; without it as fast as the broker takes them.
        #[arg(long)]
        rate: Option<u64>,
    },
    /// A group that works off a backlog.
    Drain {
        /// Records of the backlog.
        #[arg(long, default_value_t = 1_000_000)]
        records: u64,
        /// Members of the group.
        #[arg(long, default_value_t = 8)]
        members: usize,
        /// Size of an event.
        #[arg(long, default_value_t = 200)]
        size: usize,
    },
    /// A poison key: its letters are parked, listed, and sent back.
    Letters {
        /// Events of the key.
        #[arg(long, default_value_t = 1_000_000)]
        records: u64,
        /// Size of an event.
        #[arg(long, default_value_t = 200)]
        size: usize,
        /// How many of the letters to send back.
        #[arg(long, default_value_t = 100_000)]
        redriven: u64,
    },
    /// Groups with a member each and nothing to do, each of a topic of its own.
    Groups {
        /// Groups.
        #[arg(long, default_value_t = 100)]
        groups: usize,
        /// Partitions of each topic.
        #[arg(long, default_value_t = 10)]
        partitions: usize,
    },
    /// A registry of many subjects: what registering, starting and documents take.
    Subjects {
        /// Subjects.
        #[arg(long, default_value_t = 10_000)]
        subjects: usize,
    },
    /// Single POSTs, by turns judged by the registry and by files.
    Stores,
    /// Everything the README reports.
    All,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let time = Duration::from_secs(arguments.seconds);
    let loads = match (arguments.load.clone(), &arguments.kafka) {
        (Load::All, None) => vec![
            Load::Single { connections: 64, rate: None },
            Load::Single { connections: 64, rate: Some(1_000) },
            Load::Batch { connections: 16, size: 100 },
            Load::Deliver { rate: 1_000 },
            Load::Fanout { subscribers: 1_000, rate: 100, size: 200 },
            Load::Idle { subscribers: 4_000 },
        ],
        (Load::All, Some(_)) => vec![
            Load::Single { connections: 64, rate: None },
            Load::Native { rate: Some(1_000) },
            Load::Single { connections: 64, rate: Some(1_000) },
            Load::Native { rate: None },
            Load::Batch { connections: 16, size: 100 },
            Load::Deliver { rate: 1_000 },
            Load::Drain { records: 1_000_000, members: 8, size: 200 },
            Load::Groups { groups: 100, partitions: 10 },
        ],
        (one, _) => vec![one],
    };
    for load in loads {
        run(&load, &arguments, time)?;
    }
    Ok(())
}

fn run(load: &Load, arguments: &Arguments, time: Duration) -> anyhow::Result<()> {
    let broker = || arguments.kafka.as_deref().context("needs --kafka");
    // Of this run alone: records of an earlier one may still lie in the broker.
    let own = |name: &str| format!("load.{name}-{}", std::process::id());
    let declared = |topic: &str, partitions| format!("{{name: {topic}, partitions: {partitions}}}");
    let topics = match load {
        Load::Drain { .. } => vec![(own("backlog"), 12)],
        Load::Groups { groups, partitions } => {
            (0..*groups).map(|group| (own(&format!("idle-{group}")), *partitions)).collect()
        }
        _ => Vec::new(),
    };
    let setup = Setup {
        kafka: arguments.kafka.clone(),
        topics: topics
            .iter()
            .map(|(topic, partitions)| declared(topic, *partitions))
            .chain(matches!(load, Load::Subjects { .. }).then(registry::topic))
            .collect(),
        settings: matches!(load, Load::Subjects { .. })
            .then(|| registry::EMBEDDED.to_owned())
            .into_iter()
            .chain(arguments.dedupe.map(|dedupe| format!("topic_defaults.dedupe={}", dedupe == Dedupe::On)))
            .collect(),
    };
    if matches!(load, Load::Stores) {
        return registry::beside_files(&setup, arguments.bytes, time);
    }
    let names: Vec<String> = topics.into_iter().map(|(topic, _)| topic).collect();
    let gateway = Gateway::start(&setup)?;
    let ids = if arguments.dedupe.is_some() { Ids::New } else { Ids::None };
    match *load {
        Load::Single { connections, rate } => {
            publishing::single(&gateway, connections, rate, (arguments.bytes, ids), time)
        }
        Load::Batch { connections, size } => {
            publishing::batch(&gateway, connections, size, (arguments.bytes, ids), time)
        }
        Load::Deliver { rate } => fanout::run(&gateway, 1, rate, arguments.bytes, time),
        Load::Fanout { subscribers, rate, size } => fanout::run(&gateway, subscribers, rate, size, time),
        Load::Idle { subscribers } => fanout::idle(&gateway, subscribers),
        // The gateway has made the topic; it is idle while the other produces.
        Load::Native { rate } => native::produce(broker()?, "load.events", rate, arguments.bytes, time),
        Load::Drain { records, members, size } => {
            let Some(broker) = &arguments.kafka else {
                let records = publishing::fill(&gateway, records, size, publishing::Keys::Many)?;
                return groups::drain(&gateway, "load.events", records, members);
            };
            let topic = own("backlog");
            native::fill(broker, &topic, records, size)?;
            groups::drain(&gateway, &topic, records, members)
        }
        Load::Letters { records, size, redriven } => letters::run(&gateway, records, size, redriven),
        Load::Groups { partitions, .. } => groups::idle(&gateway, &names, partitions, time),
        Load::Subjects { subjects } => registry::subjects(gateway, subjects),
        Load::Stores | Load::All => Ok(()),
    }
}
