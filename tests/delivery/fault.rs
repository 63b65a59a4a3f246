//! A log with faults that tests switch on: dead letters are refused, or changes of tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use weirgate::log::{Append, Error, EventLog};

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
}
