//! Clients that read over WebSocket: workers of a group, beside an audience. They come back when their connection ends, to
//! the next gateway.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::audience::Audience;
use crate::gateway::Target;
use crate::history::{Book, Deed, Entry, Kind, Recorder};
use crate::settling::{Answer, Settling};
use crate::socket::{Message, Socket};

/// Deliveries that workers keep unsettled while more come. Every other one is late, by longer than the time between two looks
/// at commits: who looks then sees a commit that is ahead of what is settled.
const KEPT: [usize; 2] = [4, 16];
/// How long it keeps them when none come.
const IDLE: Duration = Duration::from_millis(100);
/// Pauses between tries to connect.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// Positions that someone has dealt with.
pub(crate) type Seen = Arc<Mutex<BTreeSet<(i32, i64)>>>;

/// Subscribers at work.
#[derive(Debug)]
pub(crate) struct Subscribers {
    book: Book,
    targets: Vec<Target>,
    reading: Reading,
    tasks: JoinSet<()>,
    stop: CancellationToken,
    workers: Vec<Strings>,
    /// What was settled.
    pub(crate) settled: Seen,
    /// What was rejected.
    pub(crate) rejected: Seen,
    /// What came back of that.
    pub(crate) returned: Seen,
    /// What the audience was shown.
    pub(crate) followed: Seen,
}

/// What a worker is led by.
#[derive(Debug, Clone)]
struct Strings {
    /// Breaks its connection, without a goodbye.
    broken: Arc<Notify>,
    /// Whether its gateway has partitions.
    is_busy: Arc<AtomicBool>,
    /// Lets it settle what it has, say goodbye and go.
    stop: CancellationToken,
}

/// What a run's subscribers read.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) topic: String,
    pub(crate) group: String,
    pub(crate) workers: usize,
    pub(crate) settling: Settling,
}

impl Subscribers {
    pub(crate) fn start(book: &Book, targets: &[Target], reading: &Reading) -> Self {
        let mut this = Self {
            book: book.clone(),
            targets: targets.to_vec(),
            reading: reading.clone(),
            tasks: JoinSet::new(),
            stop: CancellationToken::new(),
            workers: Vec::new(),
            settled: Seen::default(),
            rejected: Seen::default(),
            returned: Seen::default(),
            followed: Seen::default(),
        };
        for _ in 0..reading.workers {
            this.hire();
        }
        let audience = Audience::new(book, targets, &reading.topic, &this.followed);
        this.tasks.spawn(audience.run(this.stop.clone()));
        this
    }

    /// One worker more; answers its number.
    pub(crate) fn hire(&mut self) -> usize {
        let number = self.workers.len();
        let strings = Strings {
            broken: Arc::new(Notify::new()),
            is_busy: Arc::new(AtomicBool::new(false)),
            stop: self.stop.child_token(),
        };
        let worker = Worker {
            book: self.book.clone(),
            number,
            targets: self.targets.clone(),
            group: self.reading.group.clone(),
            settling: self.reading.settling,
            settled: Arc::clone(&self.settled),
            rejected: Arc::clone(&self.rejected),
            returned: Arc::clone(&self.returned),
            strings: strings.clone(),
        };
        self.workers.push(strings);
        self.tasks.spawn(worker.run());
        number
    }

    /// How many workers there ever were.
    pub(crate) fn count(&self) -> usize {
        self.workers.len()
    }

    /// Lets a worker settle what it has and go.
    pub(crate) fn dismiss(&self, number: usize) {
        self.workers[number].stop.cancel();
    }

    /// Breaks a worker's connection as a crash does.
    pub(crate) fn break_worker(&self, number: usize) {
        self.workers[number].broken.notify_one();
    }

    /// Whether the gateway that a worker is connected to has partitions, as far as the worker was told.
    pub(crate) fn is_busy(&self, number: usize) -> bool {
        self.workers[number].is_busy.load(Ordering::Acquire)
    }

    /// Lets all say goodbye.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

struct Worker {
    book: Book,
    number: usize,
    targets: Vec<Target>,
    group: String,
    settling: Settling,
    settled: Seen,
    rejected: Seen,
    returned: Seen,
    strings: Strings,
}

/// One connection of a worker.
struct Shift<'a> {
    recorder: Recorder,
    socket: Socket,
    sub: Value,
    /// Deliveries not settled, with their tags, and how many may be.
    kept: VecDeque<(String, Entry)>,
    kept_max: usize,
    settling: Settling,
    /// Settlements not answered, with their tags, by command; and those that were refused, which may come before word that
    /// the delivery was withdrawn.
    asked: HashMap<u64, (String, Entry)>,
    refused: HashMap<String, Entry>,
    commands: u64,
    assignment: Value,
    is_busy: &'a AtomicBool,
    settled: &'a Seen,
    rejected: &'a Seen,
    returned: &'a Seen,
}

impl Worker {
    async fn run(self) {
        let mut tries = interval(TRY_AGAIN);
        for connection in 1.. {
            let turn = connection - 1 + self.number;
            tries.tick().await;
            if self.strings.stop.is_cancelled() {
                return;
            }
            let target = &self.targets[turn % self.targets.len()];
            let Some((socket, ok)) = self.join(target).await else { continue };
            let name = format!("w{}.{connection}@{}", self.number, target.name);
            let mut shift = Shift {
                recorder: self.book.recorder(&name),
                socket,
                sub: ok["sub"].clone(),
                kept: VecDeque::new(),
                kept_max: KEPT[self.number % KEPT.len()],
                settling: self.settling,
                asked: HashMap::new(),
                refused: HashMap::new(),
                commands: 1,
                assignment: Value::Null,
                is_busy: &self.strings.is_busy,
                settled: &self.settled,
                rejected: &self.rejected,
                returned: &self.returned,
            };
            let note = tokio::select! {
                ended = shift.work(&self.strings.stop) => ended.err().unwrap_or_else(|| "stopped".to_owned()),
                () = self.strings.broken.notified() => "broken".to_owned(),
            };
            shift.recorder.write(Entry::new(Deed::Close, Kind::Info).note(note));
        }
    }

    async fn join(&self, target: &Target) -> Option<(Socket, Value)> {
        let command = json!({"id": 1, "op": "subscribe", "group": self.group, "credit": 32});
        subscribe(target, &command).await
    }
}

/// Subscribes on a connection of its own, as one who tries elsewhere when no answer comes soon.
pub(crate) async fn subscribe(target: &Target, command: &Value) -> Option<(Socket, Value)> {
    subscribe_within(Duration::from_secs(5), target, command).await
}

/// Subscribes on a connection of its own at a gateway that lets it.
pub(crate) async fn must_subscribe(target: &Target, command: &Value) -> (Socket, Value) {
    let subscribed = subscribe_within(Duration::from_secs(60), target, command).await;
    subscribed.expect("it may subscribe")
}

async fn subscribe_within(patience: Duration, target: &Target, command: &Value) -> Option<(Socket, Value)> {
    let subscribing = async {
        let mut socket = Socket::connect(target).await.ok()?;
        socket.send(command).await.ok()?;
        loop {
            let message = socket.next().await.ok()?;
            if message.json["id"] == 1 {
                return message.json.get("ok").cloned().map(|ok| (socket, ok));
            }
        }
    };
    timeout(patience, subscribing).await.ok().flatten()
}

impl Shift<'_> {
    /// Works until it is told to stop and has settled what it has, or the connection ends.
    async fn work(&mut self, stop: &CancellationToken) -> Result<(), String> {
        loop {
            let is_ending = stop.is_cancelled();
            if is_ending && self.kept.is_empty() && self.asked.is_empty() {
                self.socket.close().await;
                return Ok(());
            }
            let patience = if is_ending { Duration::ZERO } else { IDLE };
            match timeout(patience.max(Duration::from_millis(1)), self.socket.next()).await {
                Ok(message) => self.hear(&message?),
                Err(_) => self.settle(0).await?,
            }
            self.settle(self.kept_max).await?;
        }
    }

    fn hear(&mut self, message: &Message) {
        let json = &message.json;
        if let Some(tag) = json["delivery"].as_str() {
            let entry = message.delivery();
            if entry.is_of_letter() {
                self.returned.lock().unwrap().extend(entry.position());
            }
            self.recorder.write(entry.clone());
            self.kept.push_back((tag.to_owned(), entry));
        } else if let Some(id) = json["id"].as_u64() {
            let Some((tag, mut entry)) = self.asked.remove(&id) else { return };
            let error = json["error"]["code"].as_str();
            entry.kind = if error.is_none() { Kind::Ok } else { Kind::Fail };
            if let Some(error) = error {
                error.clone_into(&mut entry.note);
            }
            if entry.is(Deed::Ack, Kind::Ok) {
                self.settled.lock().unwrap().extend(entry.position());
            }
            self.recorder.write(entry.clone());
            if entry.kind == Kind::Fail {
                self.refused.insert(tag, entry);
            }
        } else if let Some(topics) = json["gap"].as_object() {
            for (part, gap) in topics.values().filter_map(Value::as_object).flatten() {
                self.recorder.write(gap_entry(part, gap));
            }
        } else if let Some(tags) = json["withdrawn"].as_array() {
            let reason = json["reason"].as_str().unwrap_or_default();
            for tag in tags {
                let Some(mut entry) = self.withdrawn(tag).filter(|entry| !entry.is_of_letter()) else {
                    continue;
                };
                (entry.f, entry.note) = (Deed::Withdraw, reason.to_owned());
                self.recorder.write(entry);
            }
        } else if !json["assignment"].is_null() && self.assignment != json["assignment"] {
            self.assignment = json["assignment"].clone();
            let is_busy = self.assignment.as_object().is_some_and(|topics| !topics.is_empty());
            self.is_busy.store(is_busy, Ordering::Release);
            self.recorder.write(Entry::new(Deed::Assign, Kind::Ok).note(self.assignment.to_string()));
        }
    }

    /// The delivery of a tag, which it keeps no longer. The settlement of one may be under way.
    fn withdrawn(&mut self, tag: &Value) -> Option<Entry> {
        if let Some(at) = self.kept.iter().position(|(kept, _)| *tag == kept.as_str()) {
            return self.kept.remove(at).map(|(_, entry)| entry);
        }
        let asked = self.asked.values().find(|(asked, _)| *tag == asked.as_str());
        let refused = || tag.as_str().and_then(|tag| self.refused.get(tag));
        asked.map(|(_, entry)| entry).or_else(refused).map(|entry| Entry { kind: Kind::Ok, ..entry.clone() })
    }

    /// Settles the oldest until only so many are left.
    async fn settle(&mut self, kept: usize) -> Result<(), String> {
        while self.kept.len() > kept {
            let Some((tag, entry)) = self.kept.pop_front() else { break };
            self.commands += 1;
            let answer = self.settling.answer(&entry);
            if answer == Answer::Reject {
                self.rejected.lock().unwrap().extend(entry.position());
            }
            let entry = answer.entry(entry);
            self.recorder.write(entry.clone());
            let command = answer.command(self.commands, &self.sub, &tag);
            self.asked.insert(self.commands, (tag, entry));
            self.socket.send(&command).await?;
        }
        Ok(())
    }
}

/// What a reader was told to miss of a partition.
pub(crate) fn gap_entry(part: &str, gap: &Value) -> Entry {
    let (from, to) = (gap[0].as_i64().unwrap(), gap[1].as_i64().unwrap());
    Entry::new(Deed::Gap, Kind::Ok).at(part.parse().unwrap(), to).note(from.to_string())
}
