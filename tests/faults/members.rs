//! Members that come, go, break, and do not do their part, on both engines.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::gateway::Target;
use crate::gateways::FAILED_MIN;
use crate::ground::Engine;
use crate::history::{Book, Deed, Entry, Recorder};
use crate::publishers::publish_one;
use crate::run::{Plan, Run};
use crate::settling::{POISON, Settling};
use crate::socket::{Message, Socket};
use crate::subscribers::must_subscribe;
use crate::{promised, until};

const PATIENCE: Duration = Duration::from_secs(60);
const CONTROL_STALL_MAX: Duration = Duration::from_secs(5);
/// Joins and leaves of a round.
const TURNS: usize = 2;
/// What a worker keeps unsettled at most, and so may be given again after its connection broke.
const HELD_MAX: usize = 32;

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn workers_that_come_and_go_lose_nothing_and_keep_the_order() {
    come_and_go("workers-come-and-go", Engine::Kafka).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_a_gateway_on_its_own_log_that_come_and_go_lose_nothing_and_keep_the_order() {
    come_and_go("workers-come-and-go-alone", Engine::Embedded).await;
}

async fn come_and_go(name: &'static str, engine: Engine) {
    let mut breaks = 0;
    let plan = Plan { settling: Settling::SomeTwice, ..Plan::retrying(engine) };
    let verdict = Run::rounds(name, plan, CONTROL_STALL_MAX, async |run| {
        for _ in 0..TURNS {
            let (one, other) = (run.subscribers.hire(), run.subscribers.hire());
            run.group_goes_on(PATIENCE).await;
            // The others go, so that the newcomers have the work when one of them breaks.
            run.subscribers.dismiss(one - 2);
            run.subscribers.dismiss(one - 1);
            for number in [one, other] {
                let works = async || run.subscribers.is_busy(number).then_some(());
                until("the newcomer has work", PATIENCE, works).await;
            }
            run.group_goes_on(PATIENCE).await;
            run.subscribers.break_worker(other);
            breaks += 1;
            run.group_goes_on(PATIENCE).await;
        }
        run.until_failed(FAILED_MIN, PATIENCE).await;
    })
    .await;
    let counts = verdict.counts;
    assert_eq!((counts.refused, counts.unknown), (0, 0), "{counts:?}");
    verdict.assert_nothing_repeated(breaks * HELD_MAX);
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn what_is_not_settled_in_time_comes_again_and_late_or_foreign_settlements_do_not_count() {
    unsettled("never-settled", Engine::Kafka).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_on_a_gateways_own_log() {
    unsettled("never-settled-alone", Engine::Embedded).await;
}

/// How long a delivery may take here.
const ACK_TIMEOUT: Duration = Duration::from_secs(3);

async fn unsettled(name: &'static str, engine: Engine) {
    let policy = ", ack_timeout: 3s, max_retries: 100, breaker: false";
    // One gateway: the members see one another's tags on it.
    let plan = Plan { gateways: 1, policy, ..Plan::retrying(engine) };
    let verdict = Run::rounds(name, plan, CONTROL_STALL_MAX, async |run| {
        // All work comes to those who are left.
        let before = run.subscribers.count();
        for number in 0..before {
            run.subscribers.dismiss(number);
        }
        let target = run.gateways[0].target.clone();
        let mut idle = Idle::join(&run.book, &target, &run.names.group, before).await;
        idle.lets_one_expire().await;
        let stranger = Idle::join(&run.book, &target, &run.names.group, before + 1).await;
        idle.settlements_do_not_count(stranger).await;
        run.subscribers.hire();
        run.subscribers.hire();
        drop(idle);
        run.group_goes_on(PATIENCE).await;
    })
    .await;
    assert_eq!(verdict.counts.refused, 0, "{:?}", verdict.counts);
    verdict.assert_nothing_repeated(0);
    assert_eq!(verdict.letters, [], "nobody gave up");
}

/// A member that settles nothing in time.
struct Idle {
    recorder: Recorder,
    socket: Socket,
    sub: Value,
    commands: u64,
    joined: Instant,
    /// What it was given and not yet told to forget.
    held: Vec<(String, Entry, Instant)>,
    /// Tags that it was told to forget, and where those events lie.
    expired: Vec<(String, Option<(i32, i64)>)>,
}

impl Idle {
    async fn join(book: &Book, target: &Target, group: &str, number: usize) -> Self {
        let recorder = book.recorder(&format!("idle{number}.1@{}", target.name));
        let command = json!({"id": 1, "op": "subscribe", "group": group, "credit": 32});
        let joined = Instant::now();
        let (socket, ok) = must_subscribe(target, &command).await;
        let sub = ok["sub"].clone();
        Self { recorder, socket, sub, commands: 1, joined, held: Vec::new(), expired: Vec::new() }
    }

    async fn next(&mut self) -> Message {
        let message = timeout(PATIENCE, self.socket.next()).await.expect("it is told something");
        let message = message.expect("it is still connected");
        if let Some(tag) = message.json["delivery"].as_str() {
            let entry = message.event(Deed::Deliver);
            self.recorder.write(entry.clone());
            self.held.push((tag.to_owned(), entry, Instant::now()));
        }
        for tag in message.json["withdrawn"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            self.forget(tag, message.json["reason"].as_str().expect("it is told why"));
        }
        message
    }

    fn forget(&mut self, tag: &str, reason: &str) {
        let at = self.held.iter().position(|(held, ..)| held == tag).expect("it was given that");
        let (tag, mut entry, since) = self.held.remove(at);
        if reason == "expired" {
            let held = since.elapsed();
            assert!(held < promised(ACK_TIMEOUT + Duration::from_secs(2)), "taken back after {held:?}");
            self.expired.push((tag, entry.position()));
            // Each time anew, and none can have begun before it joined; when it saw one of them says nothing of that.
            let times = self.expired.iter().filter(|(_, place)| *place == entry.position()).count();
            let whole = ACK_TIMEOUT * u32::try_from(times).unwrap();
            assert!(self.joined.elapsed() >= whole, "{times} times after {:?}", self.joined.elapsed());
        }
        (entry.f, entry.note) = (Deed::Withdraw, reason.to_owned());
        self.recorder.write(entry);
    }

    /// Holds what it is given until the first of it is taken back as not settled in time.
    async fn lets_one_expire(&mut self) {
        while self.expired.is_empty() {
            self.next().await;
        }
    }

    /// What it settles too late does not count, nor what another one settles for it, nor what nobody was ever given.
    async fn settlements_do_not_count(&mut self, mut stranger: Self) {
        let late = self.expired[0].0.clone();
        for _ in 0..2 {
            assert_eq!(self.refusal(&late).await, "stale");
        }
        // What is taken back meanwhile is nobody's; what expired comes again, to itself, since it is alive and has credit.
        let asking = async {
            loop {
                while self.held.is_empty() {
                    self.next().await;
                }
                let its = self.held.last().expect("it holds something").0.clone();
                let state = stranger.refusal(&its).await;
                if state != "stale" {
                    return state;
                }
                while self.held.iter().any(|(tag, ..)| *tag == its) {
                    self.next().await;
                }
            }
        };
        assert_eq!(timeout(PATIENCE, asking).await.expect("it holds something for a while"), "foreign");
        assert_eq!(self.refusal("forged").await, "unknown");
    }

    /// Why the acknowledgement of a tag does not count.
    async fn refusal(&mut self, tag: &str) -> String {
        self.commands += 1;
        let ack = json!({"id": self.commands, "op": "ack", "sub": self.sub, "deliveries": [tag]});
        self.socket.send(&ack).await.expect("it is still connected");
        let mut state = None;
        loop {
            let json = self.next().await.json;
            if let Some(settled) = json["settled"].as_array() {
                assert_eq!((settled.len(), settled[0]["delivery"].as_str()), (1, Some(tag)));
                state = settled[0]["state"].as_str().map(str::to_owned);
            } else if json["id"] == self.commands {
                assert!(json["ok"].is_null(), "it counted: {json}");
                return state.expect("why is told first");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn what_retention_took_before_the_group_had_it_is_told_as_missing() {
    passed_by_retention("retention", Engine::Kafka).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_took_from_a_gateways_own_log_is_told_as_missing() {
    passed_by_retention("retention-alone", Engine::Embedded).await;
}

/// That nothing else is missing, and that what is missing was told, the checkers see.
async fn passed_by_retention(name: &'static str, engine: Engine) {
    const REMOVED: i64 = 10;
    let verdict = Run::rounds(name, Plan::retrying(engine), PATIENCE, async |run| {
        for number in 0..run.subscribers.count() {
            run.subscribers.dismiss(number);
        }
        let committed = run.until_committed(PATIENCE).await;
        // Each key alone could fill its partition with that.
        run.publishers.go_on(REMOVED.unsigned_abs() + 5, PATIENCE).await;
        let before: Vec<(i32, i64)> = committed.iter().map(|(part, off)| (*part, off + REMOVED)).collect();
        run.remove(&before, PATIENCE).await;
        run.subscribers.hire();
        run.subscribers.hire();
        run.group_goes_on(PATIENCE).await;
    })
    .await;
    let case = &verdict.case;
    let told = case.history.iter().filter(|entry| entry.f == Deed::Gap && entry.proc.starts_with('w'));
    assert!(told.count() >= crate::rounds() as usize, "members are told");
    assert!(!case.removed.is_empty());
    verdict.assert_nothing_repeated(0);
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn poison_becomes_letters_and_nothing_else_does_though_gateways_are_killed() {
    poisoned("poison", Engine::Kafka).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_of_a_gateway_on_its_own_log_becomes_letters_and_nothing_else_does_though_it_is_killed() {
    poisoned("poison-alone", Engine::Embedded).await;
}

async fn poisoned(name: &'static str, engine: Engine) {
    const POISONS: usize = 5;
    let mut run = Run::begin(name, Plan::retrying(engine)).await;
    let (mut recorder, mut poisons) = (run.book.recorder(POISON), Vec::new());
    for _ in 0..crate::rounds() {
        for victim in 0..run.gateways.len() {
            for _ in 0..POISONS {
                poisons.push(publish_one(&mut recorder, &run.gateways[victim].target, POISON).await);
            }
            run.gateways[victim].kill();
            run.gateways[victim].start_again().await;
            run.gateways[victim].until_ready().await;
            run.publishers.go_on(5, PATIENCE).await;
        }
    }
    let verdict = run.end(CONTROL_STALL_MAX).await;
    let stored = |place: &(i32, i64)| {
        let mut truth = verdict.case.truth.iter();
        truth.find(|stored| (stored.part, stored.off) == *place).expect("it is stored").id.as_str()
    };
    let mut meant: Vec<&str> = poisons.iter().map(stored).collect();
    let mut letters: Vec<&str> = verdict.letters.iter().map(|letter| letter.id.as_str()).collect();
    // A gateway that dies between a letter and its commit writes the letter again, with the same id.
    assert!(letters.len() <= 2 * meant.len(), "{} letters of {} events", letters.len(), meant.len());
    for ids in [&mut meant, &mut letters] {
        ids.sort_unstable();
        ids.dedup();
    }
    assert_eq!(letters, meant);
}
