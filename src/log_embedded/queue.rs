//! What waits for the commit thread: a queue bounded by bytes, emptied as a whole.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::event::{Offset, Topic};
use crate::log::{Appended, Bounds, Error, NewRecord, TopicInfo, TopicSpec};

use super::batch::Batch;
use super::locked;
use super::members::OffsetChange;
use super::partition::Partition;

/// Where an answer goes.
pub(super) type Answer<T> = oneshot::Sender<Result<T, Error>>;

/// Records for one partition, and the most bytes they can take in a batch.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) partition: Arc<Partition>,
    pub(super) records: Vec<NewRecord>,
    pub(super) bytes: usize,
}

/// What may share a transaction with others of its kind.
#[derive(Debug)]
pub(super) enum Work {
    /// Appends records.
    Append(Records, Answer<Appended>),
    /// Appends records to several partitions.
    Atomic(Vec<Records>, Answer<Vec<Appended>>),
    /// Appends records if the partition ends there.
    At(Records, Offset, Answer<Appended>),
    /// Puts or removes offsets of a group.
    Offsets(Box<OffsetChange>, Answer<()>),
}

/// What has a transaction of its own.
#[derive(Debug)]
pub(super) enum Control {
    EnsureTopic(TopicSpec, Answer<TopicInfo>),
    DeleteTopic(Topic, Answer<()>),
    DeleteRecords(Arc<Partition>, Offset, Answer<Bounds>),
    /// Puts compacted batches in the place of those that ended at these offsets.
    Rewrite(Arc<Partition>, Vec<(Offset, Option<Batch>)>, Answer<()>),
    /// Looks for old records now; answers when no more are found.
    Maintain(Answer<()>),
    /// Does nothing, and answers when everything before it has been done or refused.
    Barrier(Answer<()>),
}

/// Something for the commit thread to do.
#[derive(Debug)]
pub(super) enum Request {
    Work(Work),
    Control(Control),
}

/// How a wait for requests ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// There are some.
    Requests,
    /// There were none for the time given.
    Nothing,
    /// There are none and will be none.
    Closed,
}

/// The queue. Many hand over, the commit thread takes.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    /// Bytes handed over and not yet answered.
    bytes: AtomicUsize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    requests: VecDeque<Request>,
    is_closed: bool,
    /// Whether the commit thread sleeps and must be woken.
    is_idle: bool,
}

/// Bytes a request weighs beside its records.
const REQUEST_BYTES: usize = 256;

impl Request {
    fn bytes(&self) -> usize {
        REQUEST_BYTES
            + match self {
                Self::Work(work) => work.bytes(),
                Self::Control(_) => 0,
            }
    }
}

impl Work {
    /// Bytes of its records and entries.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Append(records, _) | Self::At(records, ..) => records.bytes,
            Self::Atomic(appends, _) => appends.iter().map(|records| records.bytes).sum(),
            Self::Offsets(change, _) => change.bytes(),
        }
    }

    /// How many records it appends, and entries it changes.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Append(records, _) | Self::At(records, ..) => records.records.len(),
            Self::Atomic(appends, _) => appends.iter().map(|records| records.records.len()).sum(),
            Self::Offsets(change, _) => change.entries.len(),
        }
    }

    /// Answers that it failed.
    pub(super) fn refuse(self, error: Error) {
        match self {
            Self::Append(_, answer) | Self::At(_, _, answer) => drop(answer.send(Err(error))),
            Self::Atomic(_, answer) => drop(answer.send(Err(error))),
            Self::Offsets(_, answer) => drop(answer.send(Err(error))),
        }
    }
}

impl Control {
    /// Answers that it failed.
    pub(super) fn refuse(self, error: Error) {
        match self {
            Self::EnsureTopic(_, answer) => drop(answer.send(Err(error))),
            Self::DeleteTopic(_, answer) => drop(answer.send(Err(error))),
            Self::DeleteRecords(_, _, answer) => drop(answer.send(Err(error))),
            Self::Rewrite(_, _, answer) => drop(answer.send(Err(error))),
            Self::Maintain(answer) | Self::Barrier(answer) => drop(answer.send(Err(error))),
        }
    }
}

impl Queue {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { waiting: Mutex::default(), arrived: Condvar::new(), bytes: AtomicUsize::new(0), bytes_max }
    }

    /// Hands a request over, or gives it back with the reason. One request alone always fits.
    pub(super) fn push(&self, request: Request) -> Result<(), Box<(Request, Error)>> {
        let bytes = request.bytes();
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before > 0 && before + bytes > self.bytes_max {
            self.release(bytes);
            return Err(Box::new((request, Error::Overloaded)));
        }
        let mut waiting = locked(&self.waiting);
        if waiting.is_closed {
            drop(waiting);
            self.release(bytes);
            return Err(Box::new((request, Error::Closed)));
        }
        waiting.requests.push_back(request);
        let is_idle = std::mem::take(&mut waiting.is_idle);
        drop(waiting);
        if is_idle {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Moves everything that waits to `taken`, which is empty, waiting at most `timeout` for the first.
    pub(super) fn take(&self, taken: &mut VecDeque<Request>, timeout: Duration) -> Taken {
        let mut waiting = locked(&self.waiting);
        if waiting.requests.is_empty() && !waiting.is_closed && !timeout.is_zero() {
            waiting.is_idle = true;
            waiting = self
                .arrived
                .wait_timeout_while(waiting, timeout, |waiting| {
                    waiting.requests.is_empty() && !waiting.is_closed
                })
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            waiting.is_idle = false;
        }
        if waiting.requests.is_empty() {
            return if waiting.is_closed { Taken::Closed } else { Taken::Nothing };
        }
        std::mem::swap(&mut waiting.requests, taken);
        Taken::Requests
    }

    /// Says that a request of so many bytes was answered.
    pub(super) fn answered(&self, work: &Work) {
        self.release(REQUEST_BYTES + work.bytes());
    }

    /// Says that a request without records was answered.
    pub(super) fn answered_control(&self) {
        self.release(REQUEST_BYTES);
    }

    /// Takes no more; what waits is still done.
    pub(super) fn close(&self) {
        locked(&self.waiting).is_closed = true;
        self.arrived.notify_one();
    }

    /// Whether the commit thread sleeps.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        locked(&self.waiting).is_idle
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        locked(&self.waiting).requests.is_empty()
    }

    /// Bytes handed over and not yet answered.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}
