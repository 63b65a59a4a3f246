//! One who writes in transactions, one after the other, with a client under an id of its own; and the task of the one that
//! writes where writers decide by what they have read.
//!
//! The client is made on first need and let go when nobody needed it for a while, since it costs threads and
//! connections. One that failed in the middle of a transaction is replaced at once: what it left open would keep readers
//! waiting until its time is over.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use rdkafka::error::KafkaResult;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use crate::event::{Offset, Partition, Topic};
use crate::log::{Append, Appended, Error};

use super::batch::Share;
use super::failure::{code_of, unavailable};
use super::record::bytes_of;
use super::shared::Shared;
use super::transaction::{Failure, Transactor};

/// Transactions that wait for their turn; their bytes are bounded together with those of plain appends.
const JOBS_MAX: usize = 1_024;
/// A client that nobody needed for so long is let go.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(60);
/// How long the end of a transaction may take to show to readers.
const SHOWN_MAX: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Partitions of one transaction that are looked at together.
const LOOKS_MAX: usize = 8;
/// What is told of when Kafka lets the gateway begin none.
const TRANSACTIONS: &str = "transactions";

/// What is to be written in one transaction.
#[derive(Debug)]
pub(super) struct Job {
    appends: Arc<[Append]>,
    /// Where the first record must go, where that matters.
    at: Option<Offset>,
    deadline: Instant,
    answer: oneshot::Sender<Result<Vec<Appended>, Error>>,
    _share: Share,
}

impl Job {
    /// Answers that it was not begun.
    pub(super) fn refuse(self, error: Error) {
        drop(self.answer.send(Err(error)));
    }
}

/// Where transactions wait.
pub(super) fn queue() -> (mpsc::Sender<Job>, mpsc::Receiver<Job>) {
    mpsc::channel(JOBS_MAX)
}

/// Writes in one transaction, all or nothing, and answers when readers see it; where the cluster does not show it soon,
/// without that.
pub(super) async fn write(
    shared: &Shared,
    jobs: &mpsc::Sender<Job>,
    appends: Vec<Append>,
    at: Option<Offset>,
) -> Result<Vec<Appended>, Error> {
    for append in &appends {
        shared.producer.check(append)?;
    }
    let bytes = appends.iter().flat_map(|append| &append.records).map(bytes_of).sum();
    let share = shared.producer.budget().share(bytes).ok_or(Error::Overloaded)?;
    let deadline = Instant::now() + shared.settings.config().delivery_timeout;
    let (answer, answered) = oneshot::channel();
    let appends: Arc<[Append]> = appends.into();
    let job = Job { appends: Arc::clone(&appends), at, deadline, answer, _share: share };
    match jobs.try_send(job) {
        Ok(()) => {}
        Err(mpsc::error::TrySendError::Full(_)) => {
            shared.metrics.overloads.inc();
            return Err(Error::Overloaded);
        }
        Err(mpsc::error::TrySendError::Closed(_)) => return Err(Error::Closed),
    }
    let written = answered.await.unwrap_or(Err(Error::OutcomeUnknown))?;
    shown(shared, &appends, &written).await;
    Ok(written)
}

/// Waits until readers see what was committed: the cluster says so a moment after it took the commit. What is shown later is
/// stored all the same: an open transaction of somebody else may stand before it.
async fn shown(shared: &Shared, appends: &[Append], written: &[Appended]) {
    let deadline = Instant::now() + SHOWN_MAX;
    let lasts = appends.iter().zip(written).map(|(append, appended)| {
        let last = appended.offset(append.records.len().saturating_sub(1));
        is_shown(shared, &append.topic, append.partition, last, deadline)
    });
    stream::iter(lasts).for_each_concurrent(LOOKS_MAX, |shown| shown).await;
}

async fn is_shown(shared: &Shared, topic: &Topic, partition: Partition, last: Offset, deadline: Instant) {
    while let Ok(bounds) = shared.bounds(topic, partition).await {
        if bounds.end > last || Instant::now() >= deadline {
            break;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// One who writes.
pub(super) struct Writer {
    shared: Arc<Shared>,
    id: String,
    client: Option<Transactor>,
    used: Instant,
}

impl Writer {
    /// One under this id, which nobody else may have.
    pub(super) fn new(shared: Arc<Shared>, id: String) -> Self {
        Self { shared, id, client: None, used: Instant::now() }
    }

    /// Writes one after the other until the engine closes.
    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let closed = self.shared.closed.clone();
        let writing = async {
            loop {
                match timeout(IDLE_MAX, jobs.recv()).await {
                    Ok(Some(job)) => self.serve(job).await,
                    Ok(None) => return,
                    Err(_idle) => self.let_go().await,
                }
            }
        };
        tokio::select! {
            () = writing => {}
            () = closed.cancelled() => {}
        }
        self.let_go().await;
    }

    /// When its client is to be let go, where it has one.
    pub(super) fn idle_at(&self) -> Option<Instant> {
        self.client.as_ref().map(|_| self.used + IDLE_MAX)
    }

    /// Writes one transaction.
    pub(super) async fn serve(&mut self, job: Job) {
        let Job { appends, at, deadline, answer, _share } = job;
        let attempt =
            Attempt { shared: Arc::clone(&self.shared), id: self.id.clone(), appends, at, deadline };
        let client = self.client.take();
        match self.shared.blocking.call(move || attempt.run(client)).await {
            Ok(Outcome { client, is_open, written }) => {
                self.client = client;
                drop(answer.send(written));
                if is_open {
                    self.end_open().await;
                }
            }
            // It ended in the middle, so what it did is not known.
            Err(_) => {
                drop(answer.send(Err(Error::OutcomeUnknown)));
                self.end_open().await;
            }
        }
        self.used = Instant::now();
    }

    /// A new client of the same id ends what the one before left open. Where it cannot be made, time ends it.
    async fn end_open(&mut self) {
        let (shared, id) = (Arc::clone(&self.shared), self.id.clone());
        let deadline = Instant::now() + shared.settings.config().delivery_timeout;
        let open = move || {
            let limits = shared.producer.limits();
            Transactor::open(&shared.settings, &id, &shared.connection, limits, deadline).ok()
        };
        self.client = self.shared.blocking.call(open).await.ok().flatten();
    }

    /// Lets its client go. Dropping one blocks.
    pub(super) async fn let_go(&mut self) {
        if let Some(client) = self.client.take() {
            drop(self.shared.blocking.call(move || drop(client)).await);
        }
    }
}

/// One transaction; blocks.
struct Attempt {
    shared: Arc<Shared>,
    id: String,
    appends: Arc<[Append]>,
    at: Option<Offset>,
    deadline: Instant,
}

struct Outcome {
    /// The client, where it is still of use.
    client: Option<Transactor>,
    /// Whether the client left a transaction open.
    is_open: bool,
    written: Result<Vec<Appended>, Error>,
}

impl Attempt {
    fn run(self, client: Option<Transactor>) -> Outcome {
        let refused = |client, error| Outcome { client, is_open: false, written: Err(error) };
        if Instant::now() >= self.deadline {
            return refused(client, Error::Overloaded);
        }
        let troubles = &self.shared.connection.troubles;
        let client = match client.map_or_else(|| self.open(), Ok) {
            Ok(client) => client,
            Err(error) => {
                if let Some(code) = code_of(&error) {
                    troubles.befell(TRANSACTIONS, code, &error.to_string());
                }
                return refused(None, unavailable(error));
            }
        };
        troubles.passed(TRANSACTIONS);
        match self.is_overtaken(&client) {
            Ok(false) => self.transact(client),
            Ok(true) => {
                self.count("overtaken");
                refused(Some(client), Error::Overtaken)
            }
            Err(error) => refused(Some(client), unavailable(error)),
        }
    }

    fn open(&self) -> KafkaResult<Transactor> {
        let Shared { settings, connection, producer, .. } = &*self.shared;
        Transactor::open(settings, &self.id, connection, producer.limits(), self.deadline)
    }

    /// Whether the place is taken already: so a late one stands in nobody's way.
    fn is_overtaken(&self, client: &Transactor) -> KafkaResult<bool> {
        match (self.at, self.appends.first()) {
            (Some(at), Some(append)) => {
                client.end(&append.topic, append.partition, self.deadline).map(|end| end != at)
            }
            _ => Ok(false),
        }
    }

    fn transact(&self, client: Transactor) -> Outcome {
        let now = self.shared.producer.now();
        match client.append(&self.appends, self.at, now, self.deadline) {
            Ok(appended) => {
                self.count("committed");
                self.count_records();
                Outcome { client: Some(client), is_open: false, written: Ok(appended) }
            }
            Err(Failure::Overtaken) => {
                self.count("overtaken");
                Outcome { client: Some(client), is_open: false, written: Err(Error::Overtaken) }
            }
            Err(Failure::Broken(error)) => {
                self.count("aborted");
                Outcome { client: None, is_open: true, written: Err(error) }
            }
            Err(Failure::Unknown) => {
                self.count("unknown");
                Outcome { client: None, is_open: true, written: Err(Error::OutcomeUnknown) }
            }
        }
    }

    fn count(&self, outcome: &str) {
        self.shared.metrics.transactions.with_label_values(&[outcome]).inc();
    }

    fn count_records(&self) {
        let records = self.appends.iter().flat_map(|append| &append.records);
        let (count, bytes) =
            records.fold((0, 0), |(count, bytes), record| (count + 1, bytes + bytes_of(record)));
        self.shared.metrics.records.inc_by(count);
        self.shared.metrics.bytes.inc_by(bytes as u64);
    }
}
