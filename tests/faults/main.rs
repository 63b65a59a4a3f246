//! Gateways under faults, on Kafka and on their own log, judged by a recorded history against what lies in the log; see
//! "On Kafka" in the README. Each run on Kafka carries a plain producer and consumer as control, and one whose control
//! fails is void: it fails, too.
//!
//! - `alone`: a gateway's own log, and what it says of a group.
//! - `audience`: who follows the topic.
//! - `broker`: starts Kafka; shared with `tests/kafka`.
//! - `brokers`: three of them behind proxies, for one run at a time.
//! - `checkers`: what is wrong with a history, if anything.
//! - `clients`: clients that are cut off, and batches.
//! - `control`: the plain producer and consumer.
//! - `gateway`: the real binary as processes to be killed.
//! - `gateways`: gateways that die, and that are restarted one after the other.
//! - `ground`: where events lie: in Kafka or in a gateway's own log.
//! - `history`: what every client did, as lines of JSON.
//! - `isolation`: a broker that the others do not reach.
//! - `leaders`: brokers that die, stand still, and come back.
//! - `letters`: a dead letter that cannot be written.
//! - `links`: the paths among brokers.
//! - `log`: what lies in Kafka, and what groups have committed.
//! - `members`: members that come, go, break, and do not do their part.
//! - `network`: a bad network between gateways and brokers.
//! - `proxy`: what stands between them.
//! - `publishers`, `subscribers`, `socket`: the gateway's clients.
//! - `redrives`: dead letters that are sent back, twice.
//! - `settling`: what workers say of what they are given.
//! - `topics`: topics that refuse a record, or are taken away.
//! - `watchers`: many sockets of a gateway that ends.
//! - `run`, `verdict`: one run from its beginning to passed, failed, or void.
//!
//! `WEIRGATE_FAULT_ROUNDS` repeats every fault so often within its run; with more than one, outages are longer, too.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod alone;
mod audience;
#[path = "../kafka/broker.rs"]
#[expect(dead_code, reason = "the tests of Kafka use more of it")]
mod broker;
mod brokers;
mod checkers;
mod clients;
mod control;
mod gateway;
mod gateways;
mod ground;
mod history;
mod isolation;
mod leaders;
mod letters;
mod links;
mod log;
mod members;
mod network;
mod proxy;
mod publishers;
mod redrives;
mod run;
mod settling;
mod socket;
mod subscribers;
mod topics;
mod verdict;
mod watchers;

use std::time::Duration;

/// Asks until `check` gives something; fails after `patience`, saying what was waited for.
async fn until<T>(what: &str, patience: Duration, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        loop {
            ticks.tick().await;
            if let Some(value) = check().await {
                return value;
            }
        }
    };
    tokio::time::timeout(patience, asking).await.unwrap_or_else(|_| panic!("never came true: {what}"))
}

/// Fails unless a runtime on which this was done ends by itself: one that waits for what nobody ends hangs every test that
/// fails, instead of telling why.
fn assert_ends(done: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(done);
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        drop(runtime);
        ended.send(())
    });
    end.recv_timeout(Duration::from_secs(60)).expect("the runtime ends");
}

/// Whether faults last as long as they do where evidence is wanted.
fn is_long() -> bool {
    rounds() > 1
}

/// How long something may take that is promised within this time: as long, where evidence is wanted; else, among other
/// tests and on whatever machine, four times that, and never less than a minute.
fn promised(time: Duration) -> Duration {
    const ANYWHERE: Duration = Duration::from_secs(60);
    if is_long() { time } else { ANYWHERE.max(time * 4) }
}

/// How often each fault is repeated within its run.
fn rounds() -> u32 {
    #[expect(clippy::disallowed_methods, reason = "how long tests run is no configuration of the gateway")]
    let given = std::env::var("WEIRGATE_FAULT_ROUNDS");
    given.map_or(1, |text| text.parse().expect("WEIRGATE_FAULT_ROUNDS is a number"))
}
