//! Many sockets of one gateway, which are told to come back elsewhere when it ends.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::gateway::Target;
use crate::history::{Book, Deed, Entry, Kind};
use crate::is_long;
use crate::run::DRAIN_WINDOW;
use crate::socket::Socket;
use crate::subscribers::must_subscribe;

/// So many that, each going at a time of its own, they cannot all go within a part of the window.
const COUNT: usize = 24;
const PATIENCE: Duration = Duration::from_secs(60);

/// Sockets that stay until they are sent away.
#[derive(Debug)]
pub(crate) struct Watchers {
    name: String,
    joined: Instant,
    leaving: JoinSet<(Instant, Value)>,
}

impl Watchers {
    /// Watch a topic from now on.
    pub(crate) async fn join(name: &str, target: &Target, topic: &str) -> Self {
        let command = json!({"id": 1, "op": "subscribe", "topics": [topic], "from": "latest"});
        let mut leaving = JoinSet::new();
        for _ in 0..COUNT {
            let (socket, _) = must_subscribe(target, &command).await;
            leaving.spawn(watch(socket));
        }
        Self { name: format!("{name}@{}", target.name), joined: Instant::now(), leaving }
    }

    /// Fails unless all were told to come back, and neither went nor are to come back all at once. `took` is the end of their
    /// gateway, which waits for the last of them.
    pub(crate) async fn assert_spread(self, took: Duration, book: &Book) {
        let byes = timeout(PATIENCE, self.leaving.join_all()).await.expect("all are sent away");
        let mut recorder = book.recorder(&self.name);
        let (mut moments, mut delays) = (Vec::new(), Vec::new());
        for (moment, bye) in byes {
            recorder.write(Entry::new(Deed::Close, Kind::Info).note(bye.to_string()));
            assert_eq!((&bye["code"], &bye["reconnect"]), (&json!(4300), &json!(true)), "{bye}");
            moments.push(moment.duration_since(self.joined));
            delays.push(Duration::from_millis(bye["delayMs"].as_u64().expect("it is told when")));
        }
        // On a machine that does other things, all may be read at once.
        if is_long() {
            assert_is_spread("they went", moments);
        }
        assert!(took > DRAIN_WINDOW / 3, "all went within {took:?}");
        assert_is_spread("they are to come back", delays);
    }
}

/// Each chooses evenly within the window, or within nine tenths of it: that all choose the same third of it happens less
/// than once in a hundred million times.
fn assert_is_spread(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let spread = times[times.len() - 1] - times[0];
    assert!(spread > DRAIN_WINDOW / 3, "{what} within {spread:?}: {times:?}");
}

/// When it was told to go, and how.
async fn watch(mut socket: Socket) -> (Instant, Value) {
    let mut bye = (Instant::now(), Value::Null);
    while let Ok(message) = socket.next().await {
        if message.json["op"] == "bye" {
            bye = (Instant::now(), message.json);
        }
    }
    bye
}
