//! What the engine's handles, readers and threads have in common.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::oneshot;

use crate::event::Clock;
use crate::log::Error;

use super::locked;
use super::members::{Members, OffsetChange};
use super::metrics::Metrics;
use super::pool::Pool;
use super::queue::{Answer, Control, Queue, Request, Work};
use super::storage::Failure;
use super::topics::Topics;

/// One per engine.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) queue: Queue,
    pub(super) topics: Topics,
    pub(super) pool: Arc<Pool>,
    /// Compacts, one partition after the other.
    pub(super) compactor: Arc<Pool>,
    pub(super) members: Members,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
    pub(super) record_bytes_max: usize,
    /// Why the engine takes no more writes until it is started again.
    halted: OnceLock<Arc<Failure>>,
    /// Why nothing can be written for now; the commit thread tries again by itself.
    stalled: Mutex<Option<Arc<Failure>>>,
    is_closed: AtomicBool,
}

impl Shared {
    pub(super) fn new(
        queue: Queue,
        topics: Topics,
        metrics: Metrics,
        clock: Clock,
        record_bytes_max: usize,
    ) -> Self {
        metrics.writable.set(1);
        Self {
            queue,
            topics,
            pool: Pool::new(metrics.reads_waiting.clone()),
            compactor: Pool::new(metrics.compactions_waiting.clone()),
            members: Members::default(),
            metrics,
            clock,
            record_bytes_max,
            halted: OnceLock::new(),
            stalled: Mutex::default(),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Takes no more writes: after a disk has failed once, what it says of later writes is worth nothing.
    pub(super) fn halt(&self, failure: Arc<Failure>) {
        tracing::error!(
            error = &*failure as &dyn std::error::Error,
            "the log takes no more writes; start again when the disk is well"
        );
        self.metrics.writable.set(0);
        self.halted.get_or_init(|| failure);
    }

    pub(super) fn halted(&self) -> Option<&Arc<Failure>> {
        self.halted.get()
    }

    /// Cannot write for now, and says so once; each write is still tried.
    pub(super) fn stall(&self, failure: Arc<Failure>) {
        let error = &*failure as &dyn std::error::Error;
        if self.stalled().is_none() {
            tracing::error!(error, "the log cannot write; it goes on by itself when it can");
        } else {
            tracing::debug!(error, "the log still cannot write");
        }
        self.metrics.writable.set(0);
        *locked(&self.stalled) = Some(failure);
    }

    /// Can write again.
    pub(super) fn recover(&self) {
        if locked(&self.stalled).take().is_some() {
            self.metrics.writable.set(1);
            tracing::info!("the log can write again");
        }
    }

    pub(super) fn stalled(&self) -> Option<Arc<Failure>> {
        locked(&self.stalled).clone()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Ends every wait with [`Error::Closed`].
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.topics.all().iter().for_each(|topic| topic.wake());
        self.members.wake();
    }

    /// Ends the threads that read.
    pub(super) fn close_pools(&self) {
        self.pool.close();
        self.compactor.close();
    }

    /// Refuses at once what the commit thread would refuse anyway.
    pub(super) fn check_writable(&self) -> Result<(), Error> {
        match self.halted() {
            Some(failure) => Err(Error::Unavailable(Arc::clone(failure) as _)),
            None if self.is_closed() => Err(Error::Closed),
            None => Ok(()),
        }
    }

    /// Hands work over; a refusal goes to its answer.
    pub(super) fn submit(&self, work: Work) {
        if let Err(error) = self.check_writable() {
            work.refuse(error);
        } else if let Err(refused) = self.queue.push(Request::Work(work)) {
            let (request, error) = *refused;
            if matches!(error, Error::Overloaded) {
                self.metrics.overloads.inc();
            }
            match request {
                Request::Work(work) => work.refuse(error),
                Request::Control(control) => control.refuse(error),
            }
        }
    }

    /// Hands over what `control` makes of an answer, and waits for that.
    pub(super) async fn control<T>(&self, control: impl FnOnce(Answer<T>) -> Control) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        self.submit_control(control(answer));
        answered.await.unwrap_or(Err(Error::OutcomeUnknown))
    }

    /// Hands over a control; a refusal goes to its answer.
    pub(super) fn submit_control(&self, control: Control) {
        if let Err(error) = self.check_writable() {
            control.refuse(error);
        } else if let Err(refused) = self.queue.push(Request::Control(control)) {
            let (request, error) = *refused;
            match request {
                Request::Work(work) => work.refuse(error),
                Request::Control(control) => control.refuse(error),
            }
        }
    }

    /// Changes a group's offsets, and waits until that is durable.
    pub(super) async fn change_offsets(&self, change: OffsetChange) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        self.submit(Work::Offsets(Box::new(change), answer));
        answered.await.unwrap_or(Err(Error::OutcomeUnknown))
    }

    /// Waits until everything handed over so far has been done or refused.
    pub(super) async fn barrier(&self) -> Result<(), Error> {
        // A halted commit thread does nothing any more, and so nothing late.
        if self.halted().is_some() {
            return Ok(());
        }
        self.control(Control::Barrier).await
    }
}
