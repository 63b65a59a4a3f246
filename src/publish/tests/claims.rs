//! Idempotency keys across gateways and their lives.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::fake_log::Answer as LogAnswer;
use super::gateway::{Gateway, config};
use super::sharing::{Running, TABLE};
use crate::log;
use crate::publish::{Answer, Claim, Lease};

const ONE: [u8; 32] = [1; 32];
const TWO: [u8; 32] = [2; 32];
const LEASE: Duration = Duration::from_secs(60);

async fn claim(gateway: &Gateway, fingerprint: [u8; 32]) -> Claim {
    gateway.publisher.idempotency().claim("service:orders POST /v1/events", "k", fingerprint).await
}

fn run(claim: Claim) -> Lease {
    let Claim::Run(lease) = claim else { panic!("{claim:?}") };
    lease
}

fn answer(length: usize) -> Answer {
    Answer { status: 201, content_type: "application/json", body: Bytes::from(vec![b'x'; length]) }
}

fn replayed(claim: Claim) -> Arc<Answer> {
    let Claim::Replay(answer) = claim else { panic!("{claim:?}") };
    answer
}

/// How many records of the table have keys that begin so: with a value, and without.
fn told(gateway: &Gateway, prefix: &str) -> (usize, usize) {
    let records = gateway.log.records(TABLE);
    let ours = records.iter().filter(|record| record.key.as_ref().unwrap().starts_with(prefix.as_bytes()));
    let (values, removals): (Vec<_>, Vec<_>) = ours.partition(|record| record.value.is_some());
    (values.len(), removals.len())
}

/// Lets the gateways read and write until this is so.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LEASE / 4, waiting).await.expect(what);
}

async fn until_told(gateway: &Gateway, prefix: &str, count: (usize, usize)) {
    until(prefix, || told(gateway, prefix) == count).await;
}

async fn until_released(gateway: &Gateway) {
    let is_released = || {
        let (claims, releases) = told(gateway, "claim/");
        claims == releases
    };
    until("all claims are released", is_released).await;
}

/// Claims again and again while the gateway says that the first request still runs.
async fn settled(gateway: &Gateway) -> Claim {
    let claiming = async {
        loop {
            match claim(gateway, ONE).await {
                Claim::InProgress { .. } => tokio::time::sleep(Duration::from_millis(1)).await,
                claim => return claim,
            }
        }
    };
    tokio::time::timeout(LEASE / 4, claiming).await.expect("the key is settled")
}

/// Two gateways on one log.
async fn two() -> ([Gateway; 2], [Running; 2]) {
    let one = Gateway::start().await;
    let other = one.another(config()).await;
    let running = [Running::start(&one).await, Running::start(&other).await];
    ([one, other], running)
}

async fn end(running: [Running; 2]) {
    for running in running {
        running.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_gateways_one_runs_a_request_and_the_other_gets_its_answer() {
    let ([one, other], running) = two().await;
    let claims = <[Claim; 2]>::from(tokio::join!(claim(&one, ONE), claim(&other, ONE)));
    let mut leases = Vec::new();
    for claim in claims {
        match claim {
            Claim::Run(lease) => leases.push(lease),
            Claim::InProgress { retry_after } => assert!(!retry_after.is_zero()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(leases.len(), 1);
    leases.remove(0).complete(answer(3));
    until_told(&one, "answer/", (1, 0)).await;
    for gateway in [&one, &other] {
        assert_eq!(*replayed(settled(gateway).await), answer(3));
        assert!(matches!(claim(gateway, TWO).await, Claim::Reused));
    }
    until_released(&one).await;
    end(running).await;
}

#[tokio::test(start_paused = true)]
async fn while_one_runs_another_gateway_tells_others_to_wait_and_other_content_from_the_same() {
    let ([one, other], running) = two().await;
    let lease = run(claim(&one, ONE).await);
    assert!(matches!(claim(&other, ONE).await, Claim::InProgress { .. }));
    assert!(matches!(claim(&other, TWO).await, Claim::Reused));
    drop(lease);
    drop(run(settled(&other).await));
    until_released(&one).await;
    assert_eq!(told(&one, "answer/"), (0, 0));
    end(running).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_outlives_its_gateway() {
    let first = Gateway::start().await;
    let running = Running::start(&first).await;
    run(claim(&first, ONE).await).complete(answer(700));
    until_told(&first, "answer/", (1, 0)).await;
    running.kill().await;
    let second = first.another(config()).await;
    let running = Running::start(&second).await;
    assert_eq!(*replayed(claim(&second, ONE).await), answer(700));
    assert!(matches!(claim(&second, TWO).await, Claim::Reused));
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_claim_of_a_killed_gateway_holds_its_key_until_its_lease_is_over() {
    let first = Gateway::start().await;
    let running = Running::start(&first).await;
    let lease = run(claim(&first, ONE).await);
    running.kill().await;
    let second = first.another(config()).await;
    first.advance(LEASE / 2).await;
    let running = Running::start(&second).await;
    assert!(matches!(claim(&second, ONE).await, Claim::InProgress { .. }));
    second.advance(LEASE / 2 + Duration::from_secs(5)).await;
    let taken = run(claim(&second, ONE).await);
    taken.complete(answer(2));
    // What went on all the same comes too late.
    lease.complete(answer(1));
    assert_eq!(*replayed(claim(&second, ONE).await), answer(2));
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_holder_whose_key_was_taken_over_keeps_and_tells_nothing() {
    let ([one, other], running) = two().await;
    let late = run(claim(&one, ONE).await);
    // From now on the other one counts its lease, too.
    assert!(matches!(claim(&other, ONE).await, Claim::InProgress { .. }));
    one.advance(LEASE).await;
    let taken = run(claim(&other, ONE).await);
    // One has to read of it before it knows.
    assert!(matches!(claim(&one, ONE).await, Claim::InProgress { .. }));
    late.complete(answer(1));
    taken.complete(answer(2));
    until_told(&one, "answer/", (1, 0)).await;
    assert_eq!(*replayed(settled(&one).await), answer(2));
    end(running).await;
}

#[tokio::test(start_paused = true)]
async fn without_the_log_nothing_runs_under_a_key_and_it_is_free_later() {
    let gateway = Gateway::start().await;
    let running = Running::start(&gateway).await;
    let away = || log::Error::Unavailable(Arc::new(std::io::Error::other("away")));
    gateway.log.script([LogAnswer::Refuse(away())]);
    assert!(matches!(claim(&gateway, ONE).await, Claim::Unavailable(log::Error::Unavailable(_))));
    gateway.log.script([LogAnswer::StoreSilently]);
    assert!(matches!(claim(&gateway, ONE).await, Claim::Unavailable(log::Error::OutcomeUnknown)));
    run(claim(&gateway, ONE).await).complete(answer(1));
    assert_eq!(*replayed(claim(&gateway, ONE).await), answer(1));
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_waits_for_the_table_ten_seconds_at_most() {
    let gateway = Gateway::start().await;
    gateway.log.bar(true);
    let running = Running::begin(&gateway);
    let begun = tokio::time::Instant::now();
    assert!(matches!(claim(&gateway, ONE).await, Claim::Unavailable(_)));
    assert_eq!(begun.elapsed().as_secs(), 10);
    gateway.log.bar(false);
    drop(run(claim(&gateway, ONE).await));
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_too_long_for_the_log_is_its_gateways_own() {
    let ([one, other], running) = two().await;
    run(claim(&one, ONE).await).complete(answer(600 << 10));
    assert_eq!(replayed(claim(&one, ONE).await).body.len(), 600 << 10);
    assert_eq!(one.metric("weirgate_idempotency_untold_total"), "1");
    drop(run(settled(&other).await));
    end(running).await;
}

#[tokio::test(start_paused = true)]
async fn old_answers_leave_the_table() {
    let first = Gateway::start().await;
    let running = Running::start(&first).await;
    run(claim(&first, ONE).await).complete(answer(1));
    until_told(&first, "answer/", (1, 0)).await;
    running.end().await;
    first.advance(Duration::from_secs(86_400 + 700)).await;
    let second = first.another(config()).await;
    let running = Running::start(&second).await;
    until_told(&second, "answer/", (1, 1)).await;
    drop(run(claim(&second, TWO).await));
    running.end().await;
}
