//! A client that follows the topic from its beginning, and goes on behind what it saw when its connection ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::gateway::Target;
use crate::history::{Book, Deed, Entry, Kind, Recorder};
use crate::socket::Socket;
use crate::subscribers::{Seen, gap_entry, subscribe};

/// Its name.
pub(crate) const AUDIENCE: &str = "a0";
/// Pauses between tries to connect.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// The one who follows.
#[derive(Debug)]
pub(crate) struct Audience {
    recorder: Recorder,
    targets: Vec<Target>,
    topic: String,
    followed: Seen,
    cursor: Option<Value>,
    /// What was seen since the cursor: the next offset of each partition.
    positions: HashMap<i32, i64>,
}

impl Audience {
    pub(crate) fn new(book: &Book, targets: &[Target], topic: &str, followed: &Seen) -> Self {
        Self {
            recorder: book.recorder(AUDIENCE),
            targets: targets.to_vec(),
            topic: topic.to_owned(),
            followed: Arc::clone(followed),
            cursor: None,
            positions: HashMap::new(),
        }
    }

    /// Follows until it is told to stop.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut tries = interval(TRY_AGAIN);
        for turn in 0.. {
            tokio::select! {
                _ = tries.tick() => {}
                () = stop.cancelled() => return,
            }
            let target = self.targets[turn % self.targets.len()].clone();
            let command = json!({"id": 1, "op": "subscribe", "topics": [self.topic], "from": self.from()});
            let Some((mut socket, ok)) = subscribe(&target, &command).await else { continue };
            if self.cursor.is_some() && ok["resumed"] != true {
                self.recorder.write(Entry::new(Deed::Close, Kind::Info).note(format!("not resumed: {ok}")));
            }
            self.take_cursor(&ok);
            let note = tokio::select! {
                note = self.follow(&mut socket) => note,
                () = stop.cancelled() => {
                    socket.close().await;
                    return;
                }
            };
            self.recorder.write(Entry::new(Deed::Close, Kind::Info).note(note));
        }
    }

    /// The beginning, or behind what was seen last.
    fn from(&self) -> Value {
        let Some(cursor) = &self.cursor else { return json!("earliest") };
        let positions: HashMap<String, i64> =
            self.positions.iter().map(|(part, next)| (part.to_string(), *next)).collect();
        json!({"cursor": cursor, "positions": {&self.topic: positions}})
    }

    fn take_cursor(&mut self, json: &Value) {
        if json["cursor"].is_string() {
            self.cursor = Some(json["cursor"].clone());
        }
    }

    /// Follows until the connection ends; answers how.
    async fn follow(&mut self, socket: &mut Socket) -> String {
        loop {
            let message = match socket.next().await {
                Ok(message) => message,
                Err(note) => return note,
            };
            self.take_cursor(&message.json);
            if let Some(gaps) = message.json["gap"][&self.topic].as_object() {
                for (part, gap) in gaps {
                    let entry = gap_entry(part, gap);
                    self.positions.extend(entry.position());
                    self.recorder.write(entry);
                }
            }
            if message.json["offset"].is_u64() {
                let entry = message.event(Deed::Follow);
                let (part, off) = entry.position().unwrap();
                self.recorder.write(entry);
                self.positions.insert(part, off + 1);
                self.followed.lock().unwrap().insert((part, off));
            }
        }
    }
}
