//! Clients that are cut off in the middle of a request, and batches while a leader moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::gateway::Target;
use crate::history::{Deed, Entry, Kind, Recorder};
use crate::publishers::{client, envelope};
use crate::run::{PATIENT, Plan, Run};
use crate::{rounds, until};

const PATIENCE: Duration = Duration::from_secs(60);
const BATCH: u64 = 10;

/// Every so many bytes of a request a client is cut off; a prime, so that rounds cut at other places.
const STEP: u32 = 7;

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn of_a_request_that_is_cut_off_nothing_is_stored() {
    let plan = Plan { delivery_timeout: PATIENT, ..Plan::default() };
    let run = Run::begin("clients-cut-off", plan).await;
    let mut cutter = Cutter { recorder: run.book.recorder("cut"), seq: 0, partial: Vec::new(), whole: 0 };
    for round in 0..rounds() {
        for target in run.gateways.iter().map(|gateway| &gateway.target) {
            let mut at = 1 + round % STEP;
            while cutter.cut(target, at as usize).await {
                at += STEP;
            }
        }
    }
    run.publishers.go_on(5, PATIENCE).await;
    let Cutter { partial, whole, .. } = cutter;
    let verdict = run.end(Duration::from_secs(5)).await;
    let stored = |id: &&String| verdict.case.truth.iter().any(|stored| stored.id == **id);
    assert_eq!(partial.iter().filter(stored).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(partial.len() > 100 && whole > 1, "{} partial, {whole} whole", partial.len());
    assert_eq!(verdict.refusals(), Vec::<&Entry>::new(), "whose fault it is not");
    verdict.assert_nothing_repeated(0);
}

struct Cutter {
    recorder: Recorder,
    seq: u64,
    /// Events whose request was not sent to its end.
    partial: Vec<String>,
    /// How many were, and had their answer cut off.
    whole: u64,
}

impl Cutter {
    /// Sends so many bytes of a request and breaks the connection; `false` once that is all of it.
    async fn cut(&mut self, target: &Target, at: usize) -> bool {
        self.seq += 1;
        let (id, key) = (format!("cut-{}", self.seq), "cut");
        let body = envelope(&id, key);
        self.recorder.write(Entry::new(Deed::Publish, Kind::Invoke).event(&id, key).sha(body.as_bytes()));
        let request = format!(
            "POST /v1/events HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            target.address,
            target.token,
            body.len()
        );
        let mut stream = TcpStream::connect(&target.address).await.unwrap();
        if self.seq.is_multiple_of(2) {
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        let is_partial = at < request.len();
        stream.write_all(&request.as_bytes()[..at.min(request.len())]).await.unwrap();
        if is_partial {
            self.partial.push(id);
        } else {
            self.whole += 1;
        }
        is_partial
    }
}

/// Half of each batch is refused; the other half must be where its result says.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn batches_while_a_leader_moves_are_answered_item_by_item_as_they_lie_in_the_log() {
    let mut run = Run::begin("batches", Plan::default()).await;
    let (stop, stored) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let target = run.gateways[0].target.clone();
    let recorder = run.book.recorder("b0");
    let publishing = tokio::spawn(publish_batches(recorder, target, Arc::clone(&stored), stop.clone()));
    for _ in 0..rounds() {
        let leader = run.leader().await;
        run.brokers_mut().terminate(leader);
        run.publishers.go_on(5, PATIENCE).await;
        run.brokers_mut().heal().await;
    }
    until("batches are stored", PATIENCE, async || {
        (stored.load(Ordering::Relaxed) > 4 * usize::try_from(BATCH).unwrap()).then_some(())
    })
    .await;
    stop.cancel();
    timeout(PATIENCE, publishing).await.expect("the last batch is answered").unwrap();
    run.end(Duration::from_secs(30)).await;
}

struct Item {
    id: String,
    key: String,
    body: String,
}

/// Publishes one batch after the other, and counts the items that were stored.
async fn publish_batches(
    mut recorder: Recorder,
    target: Target,
    stored: Arc<AtomicUsize>,
    stop: CancellationToken,
) {
    let client = client();
    for batch in 0_u64.. {
        if stop.is_cancelled() {
            break;
        }
        let items: Vec<Item> = (0..BATCH)
            .map(|item| {
                let (id, key) = (format!("b0-{}", batch * BATCH + item), format!("b{}", item / 2));
                let body = envelope(&id, &key);
                // Every other item has no version that is one.
                let body = if item % 2 == 1 { body.replace("1.0.0", "one") } else { body };
                Item { id, key, body }
            })
            .collect();
        for Item { id, key, body } in &items {
            recorder.write(Entry::new(Deed::Publish, Kind::Invoke).event(id, key).sha(body.as_bytes()));
        }
        let body = format!("[{}]", Vec::from_iter(items.iter().map(|item| item.body.as_str())).join(","));
        let url = format!("http://{}/v1/events?validation=each", target.address);
        let request = client.post(url).bearer_auth(&target.token).header("content-type", "application/json");
        let answer = request.body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(status, 207, "{answer}");
        assert_eq!(answer["items"].as_array().unwrap().len(), items.len());
        for (Item { id, key, .. }, result) in items.iter().zip(answer["items"].as_array().unwrap()) {
            let ended = result_of(result).event(id, key);
            stored.fetch_add(usize::from(ended.kind == Kind::Ok), Ordering::Relaxed);
            recorder.write(ended);
        }
    }
}

fn result_of(item: &Value) -> Entry {
    let note = format!("{} {}", item["status"], item["problem"]["code"]);
    let status = item["status"].as_str().unwrap();
    let index = item["index"].as_u64().unwrap();
    match status {
        "accepted" => {
            assert_eq!(index % 2, 0, "an invalid one was stored: {item}");
            let part = i32::try_from(item["partition"].as_i64().unwrap()).unwrap();
            Entry::new(Deed::Publish, Kind::Ok).at(part, item["offset"].as_i64().unwrap())
        }
        "failed" | "aborted" => Entry::new(Deed::Publish, Kind::Fail),
        "unknown" => Entry::new(Deed::Publish, Kind::Info),
        other => panic!("{other}: {item}"),
    }
    .note(note)
}
