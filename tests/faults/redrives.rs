//! Dead letters that are sent back, and once more where they fail again, though the gateway that does so is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::gateway::{Target, ask};
use crate::gateways::assert_nothing_was_refused_and_little_repeated;
use crate::ground::Engine;
use crate::history::{Book, Deed, Entry, Kind};
use crate::publishers::publish_one;
use crate::run::{Plan, Run};
use crate::settling::{POISON, fails_again};
use crate::subscribers::{Seen, subscribe};
use crate::{is_long, rounds, until};

const PATIENCE: Duration = Duration::from_secs(60);
const CONTROL_STALL_MAX: Duration = Duration::from_secs(5);
/// Of each round.
const LETTERS: usize = 32;
/// In turn; both begin as poison does.
const KEYS: [&str; 2] = ["poison-a", "poison-b"];
/// Letters that are sent back in a second: slowly enough that a redrive runs when its gateway is killed.
const RATE: usize = 5;
/// With that rate so many go together, and may lie twice where a gateway died.
const TOGETHER: usize = 1;

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn letters_redriven_twice_come_to_their_group_alone_and_in_order_though_a_gateway_is_killed() {
    redriven_twice("redriven-twice", Engine::Kafka).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_on_a_gateways_own_log_redriven_twice_come_in_order_though_it_is_killed() {
    redriven_twice("redriven-twice-alone", Engine::Embedded).await;
}

async fn redriven_twice(name: &'static str, engine: Engine) {
    let mut run = Run::begin(name, Plan::retrying(engine)).await;
    let aside = Aside::join(&run).await;
    let (mut recorder, mut places) = (run.book.recorder(POISON), Vec::new());
    for round in 1..=rounds() as usize {
        let target = run.gateways[0].target.clone();
        for number in 0..LETTERS {
            places.push(publish_one(&mut recorder, &target, KEYS[number % KEYS.len()]).await);
        }
        let letters = Letters { target, group: run.names.group.clone() };
        letters.until(&[("open", LETTERS), ("resolved", (round - 1) * LETTERS)]).await;
        let its = &places[places.len() - LETTERS..];
        // Else what was rejected is given again after the kill, is rejected again, and its letter begins anew.
        for (part, off) in its {
            until("the letters' events are committed", PATIENCE, async || {
                run.committed(*part).await.filter(|committed| committed > off)
            })
            .await;
        }
        let heir = redrive_and_kill(&mut run, engine, &letters, its).await;
        let letters = Letters { target: heir, ..letters };
        run.until_all_returned(PATIENCE).await;
        let again = its.iter().filter(|(_, off)| fails_again(*off)).count();
        letters.until(&[("open", again), ("resolved", round * LETTERS - again)]).await;
        letters.redrive_one_twice().await;
        let done = letters.redrive_all().await;
        assert_eq!((&done["moved"], &done["failed"]), (&json!(again - 1), &json!(0)), "{done}");
        run.until_all_returned(PATIENCE).await;
        letters.until(&[("open", 0), ("resolved", round * LETTERS)]).await;
        let done = letters.redrive_all().await;
        assert_eq!(done["matched"], 0, "what is resolved does not go: {done}");
    }
    aside.leave(&places).await;
    let verdict = run.end(CONTROL_STALL_MAX).await;
    assert_nothing_was_refused_and_little_repeated(&verdict, rounds() as usize);

    let mut came: BTreeMap<(i32, i64), BTreeMap<&str, usize>> = BTreeMap::new();
    for entry in verdict.case.history.iter().filter(|entry| entry.is(Deed::Return, Kind::Ok)) {
        *came.entry(entry.position().unwrap()).or_default().entry(&entry.note).or_default() += 1;
    }
    for place in &places {
        let times: Vec<&str> = came.get(place).into_iter().flat_map(BTreeMap::keys).copied().collect();
        let expected: &[&str] = if fails_again(place.1) { &["1", "2"] } else { &["1"] };
        assert_eq!(times, expected, "{place:?}");
    }
    assert_eq!(came.len(), places.len(), "nothing else came back");
    let more: usize = came.values().flat_map(BTreeMap::values).map(|count| count - 1).sum();
    assert!(more <= rounds() as usize * LETTERS, "{more} came more than once at a time");

    // As often as they came back they lie in the group's own topic, and in no other; once more where a gateway died.
    let sent = places.len() + places.iter().filter(|(_, off)| fails_again(*off)).count();
    let lie = verdict.redriven.len();
    assert!((sent..=sent + rounds() as usize * TOGETHER).contains(&lie), "{lie} were sent, not {sent}");
    let is_letter = |id: &str| verdict.letters.iter().any(|letter| letter.id == id);
    assert!(verdict.redriven.iter().all(|one| is_letter(&one.id)), "only letters are sent back");
}

/// Begins two redrives at once, of which one is refused, and kills the gateway with the other; answers a gateway at which that
/// has ended.
async fn redrive_and_kill(run: &mut Run, engine: Engine, letters: &Letters, places: &[(i32, i64)]) -> Target {
    let order = json!({"filter": {}, "ratePerSecond": RATE});
    let last = run.gateways.len() - 1;
    let targets = [run.gateways[0].target.clone(), run.gateways[last].target.clone()];
    let path = letters.path("redrives");
    let begin = async |target: &Target| ask(target, Method::POST, &path, &order).await;
    let [one, other] = &targets;
    let answers: [(u16, Value); 2] = tokio::join!(begin(one), begin(other)).into();
    let begun = answers.iter().position(|(status, _)| *status == 202).expect("one begins");
    let (status, refusal) = &answers[1 - begun];
    assert_eq!((*status, refusal["code"].as_str()), (409, Some("conflict")), "{refusal}");
    let victim = if begun == 0 { 0 } else { last };
    let job = format!("/v1/redrives/{}", answers[begun].1["id"].as_str().unwrap());
    until("some letters have come back", PATIENCE, async || {
        let returned = run.subscribers.returned.lock().unwrap();
        places.iter().any(|place| returned.contains(place)).then_some(())
    })
    .await;
    let (_, told) = ask(&run.gateways[victim].target, Method::GET, &job, &Value::Null).await;
    // On a machine that does other things, looking may take longer than the rest of it; no promise is less kept for that.
    assert!(!is_long() || told["state"] == "running", "it is killed in the middle: {told}");
    run.gateways[victim].kill();
    if engine == Engine::Embedded {
        run.gateways[victim].start_again().await;
    }
    let heir = run.gateways[if engine == Engine::Embedded { victim } else { last - victim }].target.clone();
    let told = until_ended(&heir, &job).await;
    assert_eq!((&told["state"], &told["failed"]), (&json!("done"), &json!(0)), "{told}");
    if engine == Engine::Kafka {
        run.gateways[victim].start_again().await;
    }
    run.gateways[victim].until_ready().await;
    heir
}

async fn until_ended(target: &Target, job: &str) -> Value {
    until("the redrive has ended", PATIENCE, async || {
        let (status, told) = ask(target, Method::GET, job, &Value::Null).await;
        // A gateway that has just started has not read the table yet.
        (status == 200 && told["state"] != "running").then_some(told)
    })
    .await
}

/// The letters of a group, as a gateway tells of them.
#[derive(Debug, Clone)]
struct Letters {
    target: Target,
    group: String,
}

impl Letters {
    fn path(&self, rest: &str) -> String {
        format!("/v1/groups/{}/{rest}", self.group)
    }

    /// All in one state, where the gateway can tell.
    async fn in_state(&self, state: &str) -> Option<Vec<Value>> {
        let (mut letters, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = self.path(&format!("dead-letters?limit=1000&state={state}{cursor}"));
            let (status, page) = ask(&self.target, Method::GET, &path, &Value::Null).await;
            letters.extend(page["deadLetters"].as_array().filter(|_| status == 200)?.iter().cloned());
            let Some(next) = page["cursor"].as_str() else { return Some(letters) };
            cursor = format!("&cursor={next}");
        }
    }

    /// Waits until so many are in these states, and none in others.
    async fn until(&self, expected: &[(&str, usize)]) {
        let states = ["open", "redriving", "redriven", "resolved", "discarded", "held"];
        let expected: BTreeMap<&str, usize> = expected.iter().copied().collect();
        until(&format!("letters are {expected:?}"), PATIENCE, async || {
            for state in states {
                let count = self.in_state(state).await?.len();
                if count != expected.get(state).copied().unwrap_or(0) {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    /// Sends the first one that is open back alone: that goes once, and not again.
    async fn redrive_one_twice(&self) {
        let mut open = self.in_state("open").await.expect("the gateway tells");
        open.sort_by_key(|letter| (letter["partition"].as_u64(), letter["offset"].as_u64()));
        let path = self.path(&format!("dead-letters/{}:redrive", open[0]["id"].as_str().unwrap()));
        let (status, told) = ask(&self.target, Method::POST, &path, &Value::Null).await;
        assert_eq!((status, told["state"].as_str()), (200, Some("redriven")), "{told}");
        let (status, told) = ask(&self.target, Method::POST, &path, &Value::Null).await;
        assert_eq!((status, told["code"].as_str()), (409, Some("conflict")), "{told}");
    }

    /// Sends all that are open back, as fast as can be; answers what is told of it in the end.
    async fn redrive_all(&self) -> Value {
        let (status, begun) =
            ask(&self.target, Method::POST, &self.path("redrives"), &json!({"filter": {}})).await;
        assert_eq!(status, 202, "{begun}");
        let told =
            until_ended(&self.target, &format!("/v1/redrives/{}", begun["id"].as_str().unwrap())).await;
        assert_eq!(told["state"], "done", "{told}");
        told
    }
}

/// A member of another group of the same topic, which acknowledges all it is given.
struct Aside {
    seen: Seen,
    stop: CancellationToken,
    work: JoinHandle<()>,
}

impl Aside {
    async fn join(run: &Run) -> Self {
        let targets: Vec<Target> = run.gateways.iter().map(|gateway| gateway.target.clone()).collect();
        let group = format!("aside-{}", run.names.group);
        let policy = json!({"topics": [run.names.topic]});
        let (status, told) = ask(&targets[0], Method::PUT, &format!("/v1/groups/{group}"), &policy).await;
        assert!(status < 300, "{told}");
        let (seen, stop) = (Seen::default(), CancellationToken::new());
        let watched = Arc::clone(&seen);
        let work = tokio::spawn(work_aside(run.book.clone(), targets, group, watched, stop.clone()));
        Self { seen, stop, work }
    }

    /// Leaves once it has had what lies at these places.
    async fn leave(self, places: &[(i32, i64)]) {
        let places: BTreeSet<(i32, i64)> = places.iter().copied().collect();
        let has_all = async || places.is_subset(&self.seen.lock().unwrap()).then_some(());
        until("the other group has had every letter's event", PATIENCE, has_all).await;
        self.stop.cancel();
        timeout(PATIENCE, self.work).await.expect("it leaves").unwrap();
    }
}

async fn work_aside(book: Book, targets: Vec<Target>, group: String, seen: Seen, stop: CancellationToken) {
    let command = json!({"id": 1, "op": "subscribe", "group": group, "credit": 64, "ack": "auto"});
    let mut tries = tokio::time::interval(Duration::from_millis(200));
    for turn in 0.. {
        tries.tick().await;
        if stop.is_cancelled() {
            return;
        }
        let target = &targets[turn % targets.len()];
        let Some((mut socket, _)) = subscribe(target, &command).await else { continue };
        let mut recorder = book.recorder(&format!("aside.{turn}@{}", target.name));
        loop {
            let message = tokio::select! {
                message = socket.next() => message,
                () = stop.cancelled() => return socket.close().await,
            };
            let Ok(message) = message else { break };
            if message.json["event"].is_object() {
                let entry = Entry { f: Deed::Aside, ..message.delivery() };
                seen.lock().unwrap().extend(entry.position());
                recorder.write(entry);
            }
        }
    }
}
