//! A load generator: starts a gateway of its own, loads it, and tells what both sides used.
//!
//! ```text
//! cargo build --release && cargo run --release --example load -- all
//! ```
//!
//! Latencies of a fixed rate count from the time a request was meant to be sent, so that a stall is not hidden by the
//! requests it delayed. CPU is user and system time of each process, from /proc.

#![expect(clippy::print_stdout, reason = "the figures are the result")]

mod client;
mod event;
mod fanout;
mod gateway;
mod publishing;
mod stats;

use std::time::Duration;

use clap::{Parser, Subcommand};

use gateway::Gateway;

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
    /// Everything the README reports.
    All,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let time = Duration::from_secs(arguments.seconds);
    let loads = match arguments.load {
        Load::All => vec![
            Load::Single { connections: 64, rate: None },
            Load::Single { connections: 64, rate: Some(1_000) },
            Load::Batch { connections: 16, size: 100 },
            Load::Deliver { rate: 1_000 },
            Load::Fanout { subscribers: 1_000, rate: 100, size: 200 },
            Load::Idle { subscribers: 4_000 },
        ],
        one => vec![one],
    };
    for load in loads {
        let gateway = Gateway::start()?;
        match load {
            Load::Single { connections, rate } => {
                publishing::single(&gateway, connections, rate, arguments.bytes, time)?;
            }
            Load::Batch { connections, size } => {
                publishing::batch(&gateway, connections, size, arguments.bytes, time)?
            }
            Load::Deliver { rate } => fanout::run(&gateway, 1, rate, arguments.bytes, time)?,
            Load::Fanout { subscribers, rate, size } => fanout::run(&gateway, subscribers, rate, size, time)?,
            Load::Idle { subscribers } => fanout::idle(&gateway, subscribers)?,
            Load::All => {}
        }
    }
    Ok(())
}
