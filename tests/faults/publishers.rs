//! Clients that publish, one event after the other, each with a key of its own, and write down what they were told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::gateway::Target;
use crate::history::{Book, Deed, Entry, Kind, Recorder};
use crate::until;

/// No answer by then is one of unknown outcome; longer than any gateway takes to give up.
const ANSWER_MAX: Duration = Duration::from_secs(150);
/// The type of every event; its catalogue entry names the run's topic.
pub(crate) const EVENT_TYPE: &str = "faults.seen.v1";

/// What the publishers do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) publishers: usize,
    /// From one event of a publisher to its next, at least.
    pub(crate) every: Duration,
    pub(crate) retry: Retry,
}

/// In the note of an answer 503 that does not say when to try again.
pub(crate) const NOT_TOLD_WHEN: &str = "without Retry-After";

/// What follows an answer other than stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// The next event.
    Never,
    /// The same event under the same id, to the next gateway, until it is stored.
    UntilStored,
}

/// Publishers at work.
#[derive(Debug)]
pub(crate) struct Publishers {
    tasks: JoinSet<()>,
    stop: CancellationToken,
    answers: Arc<Mutex<Answers>>,
}

/// How many events of each publisher were answered as stored, and how many otherwise.
#[derive(Debug, Default)]
struct Answers {
    stored: BTreeMap<usize, u64>,
    not_stored: BTreeMap<usize, u64>,
}

/// An event as a publisher sends it and as it must lie in the log: with nothing for the gateway to fill in.
pub(crate) fn envelope(id: &str, key: &str) -> String {
    let (event_id, pad) = (uuid::Uuid::new_v4(), "x".repeat(200));
    format!(
        r#"{{"eventId":"{event_id}","eventType":"{EVENT_TYPE}","eventVersion":"1.0.0","timestamp":"2026-11-21T10:15:30.000Z","source":"faults","correlationId":"{id}","data":{{"key":"{key}","pad":"{pad}"}}}}"#
    )
}

/// Publishes one event to a gateway that takes it; answers where it lies.
pub(crate) async fn publish_one(recorder: &mut Recorder, target: &Target, key: &str) -> (i32, i64) {
    let id = format!("{key}-{}", uuid::Uuid::new_v4().simple());
    let body = envelope(&id, key);
    let entry = |kind| Entry::new(Deed::Publish, kind).event(&id, key).attempt(1);
    recorder.write(entry(Kind::Invoke).sha(body.as_bytes()));
    let Answer(kind, place, note) = send(&client(), target, body).await;
    let (part, off) = place.unwrap_or_else(|| panic!("{kind:?}: {note}"));
    recorder.write(entry(kind).at(part, off));
    (part, off)
}

/// A client that waits for an answer for as long as one may come.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().timeout(ANSWER_MAX).build().unwrap()
}

impl Publishers {
    pub(crate) fn start(book: &Book, targets: &[Target], pace: Pace) -> Self {
        let (stop, answers) = (CancellationToken::new(), Arc::<Mutex<Answers>>::default());
        let mut tasks = JoinSet::new();
        for number in 0..pace.publishers {
            let publisher = Publisher {
                number,
                recorder: book.recorder(&format!("p{number}")),
                targets: targets.to_vec(),
                target: number % targets.len(),
                client: client(),
                answers: Arc::clone(&answers),
            };
            tasks.spawn(publisher.run(pace, stop.clone()));
        }
        Self { tasks, stop, answers }
    }

    /// Waits until every publisher has stored so many events more.
    pub(crate) async fn go_on(&self, events: u64, patience: Duration) {
        self.more(events, patience, "every publisher goes on", |answers| &answers.stored).await;
    }

    /// Waits until every publisher was told so many times more that its event is not, or perhaps not, stored.
    pub(crate) async fn until_not_stored(&self, times: u64, patience: Duration) {
        self.more(times, patience, "no publisher goes on", |answers| &answers.not_stored).await;
    }

    /// Waits until some publisher was told so many times more that its event is not, or perhaps not, stored.
    pub(crate) async fn until_someone_fails(&self, times: u64, patience: Duration) {
        let before = self.answers.lock().unwrap().not_stored.clone();
        until("a publisher does not go on", patience, async || {
            let answers = self.answers.lock().unwrap();
            let mut counts = answers.not_stored.iter();
            let has_more =
                |(number, count): (&usize, &u64)| *count >= before.get(number).copied().unwrap_or(0) + times;
            counts.any(has_more).then_some(())
        })
        .await;
    }

    async fn more(
        &self,
        times: u64,
        patience: Duration,
        what: &str,
        counts: fn(&Answers) -> &BTreeMap<usize, u64>,
    ) {
        let before = counts(&self.answers.lock().unwrap()).clone();
        let publishers = self.tasks.len();
        until(what, patience, async || {
            let answers = self.answers.lock().unwrap();
            let now = counts(&answers);
            let has_more =
                |(number, count): (&usize, &u64)| *count >= before.get(number).copied().unwrap_or(0) + times;
            (now.len() == publishers && now.iter().all(has_more)).then_some(())
        })
        .await;
    }

    /// Lets each finish the event it is at.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

struct Publisher {
    number: usize,
    recorder: Recorder,
    targets: Vec<Target>,
    target: usize,
    client: reqwest::Client,
    answers: Arc<Mutex<Answers>>,
}

/// What an attempt came to, where the event lies, and why.
#[derive(Debug)]
pub(crate) struct Answer(pub(crate) Kind, pub(crate) Option<(i32, i64)>, pub(crate) String);

impl Publisher {
    async fn run(mut self, pace: Pace, stop: CancellationToken) {
        let mut ticks = interval(pace.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for seq in 1_u64.. {
            ticks.tick().await;
            if stop.is_cancelled() {
                return;
            }
            let (id, key) = (format!("p{}-{seq}", self.number), format!("k{}", self.number));
            let body = envelope(&id, &key);
            for attempt in 1.. {
                if self.attempt(&id, &key, attempt, &body).await || pace.retry == Retry::Never {
                    break;
                }
                ticks.tick().await;
            }
        }
    }

    /// Whether the event was stored.
    async fn attempt(&mut self, id: &str, key: &str, attempt: u64, body: &str) -> bool {
        let entry = |kind| Entry::new(Deed::Publish, kind).event(id, key).attempt(attempt);
        self.recorder.write(entry(Kind::Invoke).sha(body.as_bytes()));
        let Answer(kind, place, note) = send(&self.client, &self.targets[self.target], body.to_owned()).await;
        let mut ended = entry(kind).note(note);
        if let Some((part, off)) = place {
            ended = ended.at(part, off);
        }
        self.recorder.write(ended);
        let is_stored = kind == Kind::Ok;
        let mut answers = self.answers.lock().unwrap();
        let counts = if is_stored { &mut answers.stored } else { &mut answers.not_stored };
        *counts.entry(self.number).or_default() += 1;
        if !is_stored {
            self.target = (self.target + 1) % self.targets.len();
        }
        is_stored
    }
}

/// Publishes an event, once.
pub(crate) async fn send(client: &reqwest::Client, target: &Target, body: String) -> Answer {
    let request = client.post(format!("http://{}/v1/events", target.address)).bearer_auth(&target.token);
    let sent = request.header("content-type", "application/json").body(body).send().await;
    let answer = match sent {
        Ok(answer) => answer,
        // Not even connected: nothing was sent.
        Err(error) if error.is_connect() => return Answer(Kind::Fail, None, "not connected".to_owned()),
        Err(error) => return Answer(Kind::Info, None, format!("{error:?}")),
    };
    let status = answer.status().as_u16();
    let is_told_when = answer.headers().contains_key("retry-after");
    let Ok(text) = answer.text().await else { return Answer(Kind::Info, None, format!("{status}, cut")) };
    let Answer(kind, place, note) = judge(status, &text);
    let note = if status == 503 && !is_told_when { format!("{note}, {NOT_TOLD_WHEN}") } else { note };
    Answer(kind, place, note)
}

/// What an answer means, by the documented statuses.
fn judge(status: u16, text: &str) -> Answer {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    let note =
        format!("{status} {}", body["code"].as_str().or_else(|| body["status"].as_str()).unwrap_or(text));
    match status {
        200 | 201 => {
            let part = body["partition"].as_i64().and_then(|part| i32::try_from(part).ok());
            Answer(Kind::Ok, part.zip(body["offset"].as_i64()), note)
        }
        400..500 | 503 => Answer(Kind::Fail, None, note),
        _ => Answer(Kind::Info, None, note),
    }
}
