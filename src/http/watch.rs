//! What the transport and the requests of one connection tell each other.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::framing::Fault;

/// No head was faulty.
const NO_FAULT: u64 = u64::MAX;

/// What the transport and the service of one connection tell each other.
#[derive(Debug)]
pub(super) struct Watch {
    in_flight: AtomicU32,
    /// Number of the first faulty head and its fault, or [`NO_FAULT`].
    fault: AtomicU64,
}

impl Watch {
    /// Nothing has happened yet.
    pub(super) const fn new() -> Self {
        Self { in_flight: AtomicU32::new(0), fault: AtomicU64::new(NO_FAULT) }
    }

    /// A request is being served until [`Self::leave`].
    pub(super) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
    }

    /// A request's answer has been handed over whole, or given up.
    pub(super) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }

    /// What is wrong with the head of this number, or of an earlier one.
    pub(super) fn fault(&self, head: u32) -> Option<Fault> {
        let fault = self.fault.load(Ordering::Acquire);
        if fault == NO_FAULT || fault >> 8 > u64::from(head) {
            None
        } else if fault & 0xff == 0 {
            Some(Fault::Length)
        } else {
            Some(Fault::BareNewline)
        }
    }

    /// Notes the first faulty head.
    pub(super) fn set_fault(&self, head: u32, fault: Fault) {
        let kind = match fault {
            Fault::Length => 0,
            Fault::BareNewline => 1,
        };
        self.fault.store(u64::from(head) << 8 | kind, Ordering::Release);
    }

    /// Whether some request is being served.
    pub(super) fn is_serving(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) > 0
    }
}
