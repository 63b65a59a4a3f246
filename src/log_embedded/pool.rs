//! The threads that read old records, each with a connection of its own. Tails that fell behind go before readers
//! that catch up.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::log::{Error, Purpose};

use super::locked;
use super::storage::Source;

type Job = Box<dyn FnOnce(&mut dyn Source) + Send>;

/// The pool. Jobs wait in two lines whose lengths are bounded by the number of readers, since each waits for its
/// own job's answer.
#[derive(Debug, Default)]
pub(super) struct Pool {
    lines: Mutex<Lines>,
    arrived: Condvar,
}

#[derive(Default)]
struct Lines {
    tails: VecDeque<Job>,
    others: VecDeque<Job>,
    is_closed: bool,
}

impl fmt::Debug for Lines {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} tails, {} others", self.tails.len(), self.others.len())
    }
}

impl Pool {
    /// Starts a thread per source.
    pub(super) fn start(
        self: &Arc<Self>,
        sources: Vec<Box<dyn Source>>,
    ) -> std::io::Result<Vec<JoinHandle<()>>> {
        let mut threads = Vec::new();
        for (index, source) in sources.into_iter().enumerate() {
            let pool = Arc::clone(self);
            let name = format!("log-read-{index}");
            threads.push(std::thread::Builder::new().name(name).spawn(move || pool.work(source))?);
        }
        Ok(threads)
    }

    /// Runs a job on one of the threads.
    pub(super) fn run<T, J>(
        &self,
        purpose: Purpose,
        job: J,
    ) -> impl Future<Output = Result<T, Error>> + Send + use<T, J>
    where
        T: Send + 'static,
        J: FnOnce(&mut dyn Source) -> Result<T, Error> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.spawn(
            purpose,
            Box::new(move |source| {
                // Whoever asked may have gone.
                if !answer.is_closed() {
                    drop(answer.send(job(source)));
                }
            }),
        );
        async { answered.await.unwrap_or(Err(Error::Closed)) }
    }

    /// Hands a job over whose answer nobody waits for.
    pub(super) fn spawn(&self, purpose: Purpose, job: Job) {
        let mut lines = locked(&self.lines);
        if lines.is_closed {
            return;
        }
        match purpose {
            Purpose::Tail => lines.tails.push_back(job),
            Purpose::CatchUp => lines.others.push_back(job),
        }
        drop(lines);
        self.arrived.notify_one();
    }

    /// Ends the threads; jobs that wait are dropped.
    pub(super) fn close(&self) {
        let mut lines = locked(&self.lines);
        lines.is_closed = true;
        let dropped = (std::mem::take(&mut lines.tails), std::mem::take(&mut lines.others));
        drop(lines);
        drop(dropped);
        self.arrived.notify_all();
    }

    fn work(&self, mut source: Box<dyn Source>) {
        loop {
            let mut lines = locked(&self.lines);
            let job = loop {
                if lines.is_closed {
                    return;
                }
                let next = lines.tails.pop_front().or_else(|| lines.others.pop_front());
                if let Some(job) = next {
                    break job;
                }
                lines = self.arrived.wait(lines).unwrap_or_else(PoisonError::into_inner);
            };
            drop(lines);
            // One job's panic is its own; the thread and its connection go on.
            if catch_unwind(AssertUnwindSafe(|| job(&mut *source))).is_err() {
                tracing::error!("a read of the log panicked");
            }
        }
    }
}
