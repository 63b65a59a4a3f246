//! The threads that read old records, each with a connection of its own. Tails that fell behind go before readers
//! that catch up. Upkeep has a pool of its own, so that no reader waits for it.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::log::{Error, Purpose};
use crate::telemetry::Gauge;

use super::locked;
use super::storage::Source;

type Job = Box<dyn FnOnce(&mut dyn Source) + Send>;

/// Jobs that may wait in each line; readers each have at most one.
const JOBS_MAX: usize = 1_024;

/// The pool. Jobs wait in two bounded lines.
#[derive(Debug)]
pub(super) struct Pool {
    lines: Mutex<Lines>,
    arrived: Condvar,
    waiting: Gauge,
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
    /// A pool without threads, whose jobs that wait are counted by `waiting`.
    pub(super) fn new(waiting: Gauge) -> Arc<Self> {
        Arc::new(Self { lines: Mutex::default(), arrived: Condvar::new(), waiting })
    }

    /// Starts a thread per source.
    pub(super) fn start(
        self: &Arc<Self>,
        name: &str,
        sources: Vec<Box<dyn Source>>,
    ) -> std::io::Result<Vec<JoinHandle<()>>> {
        let mut threads = Vec::new();
        for (index, source) in sources.into_iter().enumerate() {
            let pool = Arc::clone(self);
            let name = format!("log-{name}-{index}");
            threads.push(std::thread::Builder::new().name(name).spawn(move || pool.work(source))?);
        }
        Ok(threads)
    }

    /// Runs a job on one of the threads; [`Error::Overloaded`] when too many wait.
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
        let spawned = self.spawn(
            purpose,
            Box::new(move |source| {
                // Whoever asked may have gone.
                if !answer.is_closed() {
                    drop(answer.send(job(source)));
                }
            }),
        );
        async {
            spawned?;
            answered.await.unwrap_or(Err(Error::Closed))
        }
    }

    /// Hands a job over whose answer nobody waits for; dropped when the pool is closed.
    pub(super) fn spawn(&self, purpose: Purpose, job: Job) -> Result<(), Error> {
        let mut lines = locked(&self.lines);
        if lines.is_closed {
            return Ok(());
        }
        let line = match purpose {
            Purpose::Tail => &mut lines.tails,
            Purpose::CatchUp => &mut lines.others,
        };
        if line.len() >= JOBS_MAX {
            return Err(Error::Overloaded);
        }
        line.push_back(job);
        drop(lines);
        self.waiting.inc();
        self.arrived.notify_one();
        Ok(())
    }

    /// Ends the threads; jobs that wait are dropped.
    pub(super) fn close(&self) {
        let mut lines = locked(&self.lines);
        lines.is_closed = true;
        let dropped = (std::mem::take(&mut lines.tails), std::mem::take(&mut lines.others));
        drop(lines);
        self.waiting.sub(i64::try_from(dropped.0.len() + dropped.1.len()).unwrap_or(0));
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
            self.waiting.dec();
            // One job's panic is its own; the thread and its connection go on.
            if catch_unwind(AssertUnwindSafe(|| job(&mut *source))).is_err() {
                tracing::error!("a read of the log panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt;

    use crate::log::{Error, Purpose};
    use crate::telemetry::Registry;

    use super::{JOBS_MAX, Pool};

    #[test]
    fn each_line_takes_so_many_jobs_and_no_more() {
        let waiting = Registry::new().gauge("waiting", "Jobs.");
        let pool: Arc<Pool> = Pool::new(waiting.clone());
        let jobs: Vec<_> = (0..JOBS_MAX).map(|_| pool.run(Purpose::CatchUp, |_| Ok(()))).collect();
        let refused = pool.run(Purpose::CatchUp, |_| Ok(())).now_or_never();
        assert!(matches!(refused, Some(Err(Error::Overloaded))), "{refused:?}");
        let mut tail = Box::pin(pool.run(Purpose::Tail, |_| Ok(())));
        assert!(tail.as_mut().now_or_never().is_none(), "tails have a line of their own");
        assert_eq!(waiting.get(), i64::try_from(JOBS_MAX).unwrap() + 1);
        pool.close();
        assert_eq!(waiting.get(), 0);
        for job in jobs {
            assert!(matches!(job.now_or_never(), Some(Err(Error::Closed))));
        }
        assert!(matches!(tail.now_or_never(), Some(Err(Error::Closed))));
    }
}
