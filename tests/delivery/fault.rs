//! A log with faults that tests switch on: dead letters are refused, or changes of tables; reads of letters stall,
//! and of some partitions fail.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::watch;
use weirgate::event::{Offset, Partition, Topic};
use weirgate::log::{Append, Error, EventLog, Fetched, Reader};

use super::layered::Layer;

/// Whether dead letters are refused, and how many were.
#[derive(Debug, Default)]
pub(crate) struct Fault {
    pub(crate) is_on: AtomicBool,
    pub(crate) refused: AtomicU32,
    /// Whether tables take no change.
    pub(crate) has_fixed_tables: AtomicBool,
    /// Whether redrive topics take nothing.
    pub(crate) has_no_way_back: AtomicBool,
    /// Letters with a value of more bytes than this are too large; 0 is no limit.
    pub(crate) value_bytes_max: AtomicU32,
    /// Where reads of the first partition of dead-letter topics stall, and whatever comes behind; `None` is nowhere.
    pub(crate) letters_stall_at: watch::Sender<Option<Offset>>,
    /// Partitions of other topics below this number cannot be read, but by members of groups.
    pub(crate) unreadable_below: AtomicU32,
    /// How often somebody began to read the first partition of a dead-letter topic.
    pub(crate) letters_read: Mutex<BTreeMap<Topic, u32>>,
}

/// The log behind the faults.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) fault: Arc<Fault>,
}

impl Layer for Faulty {
    fn below(&self) -> &dyn EventLog {
        &*self.log
    }

    fn refusal(&self, append: &Append) -> Option<Error> {
        if append.topic.is_redrives() {
            return self.fault.has_no_way_back.load(Ordering::SeqCst).then_some(Error::Overloaded);
        }
        if append.topic.as_str().starts_with("_weirgate.") {
            return self.fault.has_fixed_tables.load(Ordering::SeqCst).then_some(Error::Overloaded);
        }
        if !append.topic.is_dead_letters() {
            return None;
        }
        if self.fault.is_on.load(Ordering::SeqCst) {
            self.fault.refused.fetch_add(1, Ordering::SeqCst);
            return Some(Error::Overloaded);
        }
        let bytes =
            append.records.iter().filter_map(|record| record.value.as_ref()).map(|value| value.len()).sum();
        let bytes_max = self.fault.value_bytes_max.load(Ordering::SeqCst) as usize;
        (bytes_max > 0 && bytes > bytes_max).then_some(Error::RecordTooLarge { bytes, bytes_max })
    }

    fn reader(&self, topic: &Topic, partition: Partition, below: Box<dyn Reader>) -> Box<dyn Reader> {
        if !topic.is_dead_letters() && !topic.as_str().starts_with("_weirgate.") {
            return Box::new(Refusing { below, partition, fault: Arc::clone(&self.fault) });
        }
        if !topic.is_dead_letters() || partition.number() != 0 {
            return below;
        }
        *self.fault.letters_read.lock().unwrap().entry(topic.clone()).or_default() += 1;
        Box::new(Stalling { below, stalls_at: self.fault.letters_stall_at.subscribe() })
    }
}

/// A reader whose reads wait while they stall, and come one by one before that.
#[derive(Debug)]
struct Stalling {
    below: Box<dyn Reader>,
    stalls_at: watch::Receiver<Option<Offset>>,
}

#[async_trait]
impl Reader for Stalling {
    async fn next(&mut self, bytes_max: usize) -> Result<Fetched, Error> {
        // The fault may have gone with the test.
        let position = self.below.position();
        drop(self.stalls_at.wait_for(|stalls_at| stalls_at.is_none_or(|at| position < at)).await);
        let is_near = self.stalls_at.borrow().is_some();
        self.below.next(if is_near { 1 } else { bytes_max }).await
    }

    fn seek(&mut self, offset: Offset) {
        self.below.seek(offset);
    }

    fn position(&self) -> Offset {
        self.below.position()
    }
}

/// A reader whose reads fail while its partition cannot be read.
#[derive(Debug)]
struct Refusing {
    below: Box<dyn Reader>,
    partition: Partition,
    fault: Arc<Fault>,
}

#[async_trait]
impl Reader for Refusing {
    async fn next(&mut self, bytes_max: usize) -> Result<Fetched, Error> {
        if self.partition.number() < self.fault.unreadable_below.load(Ordering::SeqCst) {
            return Err(Error::Overloaded);
        }
        self.below.next(bytes_max).await
    }

    fn seek(&mut self, offset: Offset) {
        self.below.seek(offset);
    }

    fn position(&self) -> Offset {
        self.below.position()
    }
}
