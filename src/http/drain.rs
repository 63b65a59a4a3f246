//! The steps of going away, seen by every connection and stream.
//!
//! ```text
//! Serving ── shutdown ── Leaving (not ready, answers close) ── drain_delay ── Refusing (503) ── all served ── Ending
//! ```

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How far the gateway has come in going away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Not at all.
    Serving,
    /// It serves, says that it is not ready, and asks clients to leave.
    Leaving,
    /// New requests are refused, running ones finish.
    Refusing,
    /// Nothing runs any more; connections close.
    Ending,
}

/// The phase and the count of requests running.
#[derive(Debug, Default)]
pub(super) struct Drain {
    phase: AtomicU8,
    running: AtomicUsize,
    idle: Notify,
    refusing: CancellationToken,
    ending: CancellationToken,
}

impl Drain {
    /// The phase now.
    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Serving,
            1 => Phase::Leaving,
            2 => Phase::Refusing,
            _ => Phase::Ending,
        }
    }

    /// Goes on to a later phase.
    pub(super) fn advance(&self, phase: Phase) {
        let number = match phase {
            Phase::Serving => 0,
            Phase::Leaving => 1,
            Phase::Refusing => 2,
            Phase::Ending => 3,
        };
        self.phase.fetch_max(number, Ordering::AcqRel);
        if phase >= Phase::Refusing {
            self.refusing.cancel();
        }
        if phase >= Phase::Ending {
            self.ending.cancel();
        }
    }

    /// A request begins.
    pub(super) fn enter(&self) {
        self.running.fetch_add(1, Ordering::AcqRel);
    }

    /// A request's answer has left.
    pub(super) fn leave(&self) {
        if self.running.fetch_sub(1, Ordering::AcqRel) == 1 && self.phase() >= Phase::Refusing {
            self.idle.notify_waiters();
        }
    }

    /// Waits until no request runs.
    pub(super) async fn until_idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.running.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Cancelled when streams must end.
    pub(super) const fn refusing(&self) -> &CancellationToken {
        &self.refusing
    }

    /// Cancelled when connections must close.
    pub(super) const fn ending(&self) -> &CancellationToken {
        &self.ending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Drain, Phase};

    #[tokio::test]
    async fn idle_is_reached_when_the_last_request_leaves() {
        let drain = Arc::new(Drain::default());
        drain.enter();
        drain.enter();
        drain.advance(Phase::Refusing);
        let waiting = tokio::spawn({
            let drain = Arc::clone(&drain);
            async move { drain.until_idle().await }
        });
        drain.leave();
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drain.leave();
        waiting.await.unwrap();
    }

    #[test]
    fn phases_never_go_back() {
        let drain = Drain::default();
        drain.advance(Phase::Refusing);
        drain.advance(Phase::Leaving);
        assert_eq!(drain.phase(), Phase::Refusing);
        assert!(drain.refusing().is_cancelled() && !drain.ending().is_cancelled());
    }
}
