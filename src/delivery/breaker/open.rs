//! What an open breaker keeps: when it tries next, what it tries, and what came of that.

use std::time::Duration;

use super::{BreakerReason, Ended, Place};

/// Until the first probe; each that fails doubles the wait for the next.
const PROBE_FIRST: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_secs(60);

/// While it is open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) reason: BreakerReason,
    pub(super) since: Duration,
    /// From the end of a probe to the next one.
    pub(super) wait: Duration,
    /// Not before; `None` when the next probe waits for something that can be sent.
    pub(super) due: Option<Duration>,
    pub(super) probe: Option<Ended>,
    /// Whether the connection that broke last had more than the probe.
    pub(super) is_crowded: bool,
    /// Whether a probe succeeded since the last one that says nothing of its record.
    pub(super) has_worked: bool,
    /// The record that counts as tried though no connection has worked since: one at most, or a consumer that always breaks
    /// would use up one after the other.
    pub(super) blamed: Option<Place>,
    /// The record that was lost last as a probe, and the turn when that began.
    pub(super) lost: Option<(Place, u64)>,
}

impl Open {
    pub(super) fn at(now: Duration, reason: BreakerReason) -> Self {
        let due = Some(now.saturating_add(PROBE_FIRST));
        let (is_crowded, has_worked, blamed, lost) = (false, false, None, None);
        Self { reason, since: now, wait: PROBE_FIRST, due, probe: None, is_crowded, has_worked, blamed, lost }
    }

    pub(super) fn is_probing(&self, ended: Ended) -> bool {
        self.probe.is_some_and(|probe| probe.sequence == ended.sequence)
    }

    pub(super) fn back_off(&mut self, now: Duration) {
        self.probe = None;
        self.wait = (self.wait * 2).min(PROBE_MAX);
        self.due = Some(now.saturating_add(self.wait));
    }

    /// The next may be tried at once; where that is lost, the one after it waits as the first did.
    pub(super) fn go_on(&mut self) {
        (self.probe, self.due, self.wait) = (None, None, PROBE_FIRST / 2);
        (self.has_worked, self.blamed, self.lost) = (true, None, None);
    }
}
