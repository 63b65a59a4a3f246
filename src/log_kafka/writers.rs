//! Who writes batches in transactions: a few writers, each with a client of its own, and those that wait for one.
//!
//! A transaction takes its client's time from begin to commit, so they go side by side. The writer that was free last takes
//! the next one: as many clients are made as are needed at once, and those that are not are let go after a while. Each has an id
//! of its own under this process's, so that no client fences another.
//!
//! ```text
//! jobs (bounded) ── a free writer ── serves ── free again, last in and first out
//! ```

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::log::Error;

use super::shared::Shared;
use super::writer::{Job, Writer};

/// Transactions at a time.
const WRITERS_MAX: usize = 4;
/// Batches that wait for a writer.
const JOBS_MAX: usize = 256;

/// Where batches wait.
pub(super) fn queue() -> (mpsc::Sender<Job>, mpsc::Receiver<Job>) {
    mpsc::channel(JOBS_MAX)
}

/// The task.
pub(super) struct Writers {
    shared: Arc<Shared>,
    jobs: mpsc::Receiver<Job>,
    /// What its writers' ids begin with.
    id: String,
    free: Vec<Writer>,
    busy: JoinSet<Writer>,
    /// How many were made, so that none has an id that another had.
    made: usize,
}

/// What comes next.
enum Turn {
    Job(Job),
    Free(Writer),
    /// One ended without a word. What it left open ends when its time is over.
    Lost,
    Idle,
    End,
}

impl Writers {
    pub(super) fn new(shared: Arc<Shared>, jobs: mpsc::Receiver<Job>, id: String) -> Self {
        let mut writers = Self { shared, jobs, id, free: Vec::new(), busy: JoinSet::new(), made: 0 };
        (0..WRITERS_MAX).for_each(|_| writers.make());
        writers
    }

    /// Writes until the engine closes.
    pub(super) async fn run(mut self) {
        let closed = self.shared.closed.clone();
        loop {
            let turn = tokio::select! {
                turn = self.turn() => turn,
                () = closed.cancelled() => Turn::End,
            };
            match turn {
                Turn::Job(job) => self.serve(job),
                Turn::Free(writer) => self.free.push(writer),
                Turn::Lost => self.make(),
                Turn::Idle => self.let_idle_go(),
                Turn::End => break,
            }
        }
        self.end().await;
    }

    /// Cancel safe: what it waits for is, and nothing is taken before it answers.
    async fn turn(&mut self) -> Turn {
        let idle_at = self.free.iter().filter_map(Writer::idle_at).min();
        tokio::select! {
            job = self.jobs.recv(), if !self.free.is_empty() => job.map_or(Turn::End, Turn::Job),
            Some(served) = self.busy.join_next() => served.map_or(Turn::Lost, Turn::Free),
            () = sleep_until(idle_at.unwrap_or_else(Instant::now)), if idle_at.is_some() => Turn::Idle,
        }
    }

    fn make(&mut self) {
        self.made += 1;
        let id = format!("{}-batch-{}", self.id, self.made);
        self.free.insert(0, Writer::new(Arc::clone(&self.shared), id));
    }

    fn serve(&mut self, job: Job) {
        let Some(mut writer) = self.free.pop() else { return job.refuse(Error::Overloaded) };
        self.busy.spawn(async move {
            writer.serve(job).await;
            writer
        });
    }

    fn let_idle_go(&mut self) {
        let now = Instant::now();
        let is_idle = |writer: &mut Writer| writer.idle_at().is_some_and(|at| at <= now);
        for mut writer in self.free.extract_if(.., is_idle) {
            self.busy.spawn(async move {
                writer.let_go().await;
                writer
            });
        }
    }

    /// Nobody gets an answer any more but those who were not begun.
    async fn end(mut self) {
        self.jobs.close();
        while let Ok(job) = self.jobs.try_recv() {
            job.refuse(Error::Closed);
        }
        self.busy.abort_all();
        for mut writer in self.free {
            writer.let_go().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;
    use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Code};

    use super::{Error, JOBS_MAX, queue};
    use crate::event::{Clock, Partition, Topic};
    use crate::log::{Append, NewRecord};
    use crate::log_kafka::writer::write;
    use crate::log_kafka::{Config, Engine};
    use crate::telemetry::Registry;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// An engine that has found its cluster.
    async fn engine() -> (MockCluster<'static, DefaultProducerContext>, Arc<Engine>) {
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic("t", 2, 1).unwrap();
        let engine =
            Engine::open(Config::of(vec![mock.bootstrap_servers()]), Clock::system(), &Registry::new());
        let engine = engine.unwrap();
        let mut interval = tokio::time::interval(Duration::from_millis(20));
        let is_up = async {
            while !engine.shared().connection.is_up() {
                interval.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, is_up).await.expect("the cluster answers");
        (mock, engine)
    }

    fn appends() -> Vec<Append> {
        let append = |partition| {
            let record = NewRecord { value: Some("value".into()), ..NewRecord::default() };
            let (topic, partition) = (Topic::parse("t").unwrap(), Partition::new(partition));
            Append { topic, partition, records: vec![record] }
        };
        vec![append(0), append(1)]
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_batch_beyond_those_that_may_wait_is_refused() {
        let (_mock, engine) = engine().await;
        let shared = engine.shared();
        let (jobs, _nobody_serves) = queue();
        let mut waiting: Vec<_> =
            (0..JOBS_MAX).map(|_| Box::pin(write(shared, &jobs, appends(), None))).collect();
        for written in &mut waiting {
            assert!(futures_util::poll!(written).is_pending());
        }
        let refused = write(shared, &jobs, appends(), None).await;
        assert!(matches!(refused, Err(Error::Overloaded)), "{refused:?}");
        assert_eq!(shared.metrics.overloads.get(), 1);
        engine.close().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn after_a_commit_whose_end_is_not_known_batches_go_on() {
        let (mock, engine) = engine().await;
        let shared = engine.shared();
        mock.request_errors(Api::EndTxn, &[Code::RD_KAFKA_RESP_ERR_PRODUCER_FENCED]);
        let unknown = write(shared, &shared.batches, appends(), None).await;
        assert!(matches!(unknown, Err(Error::OutcomeUnknown)), "{unknown:?}");
        for _ in 0..3 {
            let written = write(shared, &shared.batches, appends(), None);
            let written = tokio::time::timeout(PATIENCE, written).await.expect("an answer").unwrap();
            assert_eq!(written.len(), 2);
        }
        assert_eq!(shared.metrics.transactions.with_label_values(&["committed"]).get(), 3);
        engine.close().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn after_the_end_batches_are_refused() {
        let (_mock, engine) = engine().await;
        let shared = Arc::clone(engine.shared());
        engine.close().await;
        let refused = write(&shared, &shared.batches, appends(), None).await;
        assert!(matches!(refused, Err(Error::Closed)), "{refused:?}");
    }
}
