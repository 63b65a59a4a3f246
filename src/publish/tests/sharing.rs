//! Event ids across gateways and their lives: what the table brings, and what it cannot.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::gateway::{Gateway, ID, ID2, accepted, config, duplicate, order_with_id, shop};
use crate::publish::{Config, Error, Memory};

pub(super) const TABLE: &str = "_weirgate.idempotency";

/// The sharing of a gateway, while it runs.
pub(super) struct Running {
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Begins to share, and waits until the gateway knows what was told.
    pub(super) async fn start(gateway: &Gateway) -> Self {
        let running = Self::begin(gateway);
        gateway.publisher.until_loaded().await;
        assert_eq!(gateway.publisher.memory(), Memory::Loaded);
        running
    }

    pub(super) fn begin(gateway: &Gateway) -> Self {
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(gateway.publisher.sharing().run(shutdown.clone()));
        Self { shutdown, task }
    }

    /// As a gateway ends that is told to.
    pub(super) async fn end(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }

    /// As a gateway ends that is not.
    pub(super) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// Lets time pass until a metric has this value.
async fn until(gateway: &Gateway, metric: &str, value: &str) {
    let reached = async {
        while gateway.metric(metric) != value {
            tokio::time::advance(Duration::from_millis(20)).await;
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(3_600), reached).await.expect(metric);
}

fn numbered(number: u32) -> String {
    order_with_id(&format!("550e8400-e29b-41d4-a716-{number:012}"), "c1")
}

#[tokio::test(start_paused = true)]
async fn after_a_planned_restart_every_repeat_is_recognised_and_other_bytes_are_a_conflict() {
    let first = Gateway::start().await;
    let running = Running::start(&first).await;
    let receipt = accepted(first.publish(&order_with_id(ID, "c1")).await);
    running.end().await;
    let second = first.another(config()).await;
    let running = Running::start(&second).await;
    assert_eq!(duplicate(second.publish(&order_with_id(ID, "c1")).await), receipt);
    assert!(matches!(second.publish(&order_with_id(ID, "c2")).await, Err(Error::Conflict { .. })));
    assert_eq!(second.log.records("orders.v1").len(), 1);
    assert_eq!(second.metric("weirgate_dedupe_learned_total"), "1");
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn another_gateway_recognises_what_was_told_while_both_run() {
    let one = Gateway::start().await;
    let other = one.another(config()).await;
    let running = [Running::start(&one).await, Running::start(&other).await];
    let receipt = accepted(one.publish(&order_with_id(ID, "c1")).await);
    until(&other, "weirgate_dedupe_learned_total", "1").await;
    assert_eq!(duplicate(other.publish(&order_with_id(ID, "c1")).await), receipt);
    assert_eq!(one.metric("weirgate_dedupe_told_total"), "1");
    assert_eq!(one.metric("weirgate_dedupe_learned_total"), "0", "what is its own it need not learn");
    for running in running {
        running.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn killed_between_append_and_table_write_a_gateway_leaves_a_repeat_unrecognised() {
    let first = Gateway::start().await;
    let running = Running::start(&first).await;
    let told = accepted(first.publish(&order_with_id(ID, "c1")).await);
    until(&first, "weirgate_dedupe_told_total", "1").await;
    accepted(first.publish(&order_with_id(ID2, "c1")).await);
    running.kill().await;
    let second = first.another(config()).await;
    let running = Running::start(&second).await;
    assert_eq!(duplicate(second.publish(&order_with_id(ID, "c1")).await), told);
    accepted(second.publish(&order_with_id(ID2, "c1")).await);
    assert_eq!(second.log.records("orders.v1").len(), 3, "the one that was not told is there twice");
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_of_topics_without_dedupe_and_of_events_without_an_id() {
    let mut rules = shop();
    rules[0].is_deduped = false;
    let gateway = Gateway::with(config(), rules).await;
    let running = Running::start(&gateway).await;
    accepted(gateway.publish(&order_with_id(ID, "c1")).await);
    accepted(gateway.publish(r#"{"eventType":"payments.taken.v1","data":1}"#).await);
    running.end().await;
    assert_eq!(gateway.log.records(TABLE), []);
}

#[tokio::test(start_paused = true)]
async fn an_id_is_learned_for_the_rest_of_its_window_only_and_its_key_is_removed() {
    let first = Gateway::start().await;
    let running = Running::start(&first).await;
    accepted(first.publish(&order_with_id(ID, "c1")).await);
    running.end().await;
    first.advance(Duration::from_secs(86_400 - 60)).await;
    let second = first.another(config()).await;
    let running = Running::start(&second).await;
    duplicate(second.publish(&order_with_id(ID, "c1")).await);
    second.advance(Duration::from_secs(60)).await;
    accepted(second.publish(&order_with_id(ID, "c1")).await);
    running.end().await;
    second.advance(Duration::from_secs(86_400 + 700)).await;
    let third = second.another(config()).await;
    let running = Running::start(&third).await;
    // The first sweep comes at once.
    let is_removed = async {
        let removals = || third.log.records(TABLE).iter().filter(|record| record.value.is_none()).count();
        while removals() < 2 {
            tokio::time::advance(Duration::from_millis(20)).await;
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(3_600), is_removed).await.expect("both keys are removed");
    assert_eq!(third.metric("weirgate_dedupe_entries"), "0");
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_start_reads_what_the_bound_allows_however_much_was_told_before() {
    const ENTRIES_MAX: u32 = 200;
    let config = || Config { dedupe_entries_max: ENTRIES_MAX as usize, ..config() };
    let first = Gateway::with(config(), shop()).await;
    let running = Running::start(&first).await;
    let mut told = 0;
    for _ in 0..100 {
        for _ in 0..100 {
            accepted(first.publish(&numbered(told)).await);
            told += 1;
        }
        until(&first, "weirgate_dedupe_told_total", &told.to_string()).await;
        first.advance(Duration::from_secs(20)).await;
    }
    until(&first, "weirgate_dedupe_told_total", &told.to_string()).await;
    running.end().await;
    let (before, there) = (first.log.followed(), first.log.records(TABLE).len());
    let second = first.another(config()).await;
    let running = Running::start(&second).await;
    let read = second.log.followed() - before;
    assert!(read * 5 < there, "{read} of {there} records");
    let entries: u32 = second.metric("weirgate_dedupe_entries").parse().unwrap();
    assert!((100..=ENTRIES_MAX).contains(&entries), "{entries}");
    duplicate(second.publish(&numbered(told - 1)).await);
    accepted(second.publish(&numbered(0)).await);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_window_is_shown_as_short_as_the_bound_makes_it() {
    let gateway = Gateway::with(Config { dedupe_entries_max: 2, ..config() }, shop()).await;
    assert_eq!(gateway.metric("weirgate_dedupe_window_seconds"), "86400");
    for number in 0..3 {
        accepted(gateway.publish(&numbered(number)).await);
        gateway.advance(Duration::from_secs(30)).await;
    }
    assert_eq!(gateway.metric("weirgate_dedupe_window_seconds"), "60");
    gateway.advance(Duration::from_secs(86_400)).await;
    accepted(gateway.publish(&numbered(9)).await);
    assert_eq!(gateway.metric("weirgate_dedupe_window_seconds"), "86400");
}

#[tokio::test(start_paused = true)]
async fn a_table_that_cannot_be_read_is_waited_for_a_minute_and_shared_once_it_can() {
    let gateway = Gateway::start().await;
    gateway.log.bar(true);
    let running = Running::begin(&gateway);
    assert_eq!(gateway.publisher.memory(), Memory::Loading);
    let begun = tokio::time::Instant::now();
    gateway.publisher.until_loaded().await;
    assert_eq!(begun.elapsed().as_secs(), 60);
    assert_eq!(gateway.publisher.memory(), Memory::Late);
    accepted(gateway.publish(&order_with_id(ID, "c1")).await);
    gateway.log.bar(false);
    until(&gateway, "weirgate_dedupe_told_total", "1").await;
    assert_eq!(gateway.publisher.memory(), Memory::Loaded);
    running.end().await;
}
