//! How a connection ends: what is under way is finished, `bye` is said and heard, or the client's goodbye is answered.
//!
//! ```text
//! Open ── machine says close ──► Finishing ── jobs done ──► Closing ── client gone ──► Over
//!   ├──── client's close frame ──► Answering ── jobs done ──► Answered ── written ──► Over
//!   └──── stream ended or broke ──► Broken ── all that came was read, jobs done ──► Over
//! ```
//! Every step has [`PATIENCE`]; the machine's timers rest then.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::problem::CloseCode;
use crate::socket::machine::Input;
use crate::socket::push;
use crate::socket::source::Source;
use crate::socket::wire::{Turn, Wire};

use super::{Event, Session, as_gauge};

/// How long a closing connection may take for each of its steps.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How far a connection is from its end.
#[derive(Debug, Clone, Copy)]
pub(super) enum Phase {
    Open,
    /// The machine has said close; what is under way is finished first.
    Finishing {
        farewell: Farewell,
        until: Instant,
    },
    /// `bye` and the close frame are on their way.
    Closing {
        code: CloseCode,
        until: Instant,
        is_readable: bool,
    },
    /// The client's close frame has come; what it sent before is applied first.
    Answering {
        until: Instant,
    },
    /// The answer to it is on its way.
    Answered {
        until: Instant,
    },
    /// The stream is gone; what the client sent before is applied first, and nothing is written any more.
    Broken {
        until: Instant,
        is_readable: bool,
    },
    /// `None` ended without a close frame.
    Over(Option<CloseCode>),
}

/// What is said last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Farewell {
    pub(super) code: CloseCode,
    pub(super) detail: Option<&'static str>,
    pub(super) delay: Option<Duration>,
    pub(super) is_readable: bool,
}

impl Phase {
    /// The machine has said close: a connection that is on its way out already goes on as it does.
    pub(super) fn finishing(self, farewell: Farewell, now: Instant) -> Self {
        match self {
            Self::Open => Self::Finishing { farewell, until: now + PATIENCE },
            Self::Finishing { .. }
            | Self::Closing { .. }
            | Self::Answering { .. }
            | Self::Answered { .. }
            | Self::Broken { .. }
            | Self::Over(_) => self,
        }
    }

    /// The stream ended; what cannot be written may still be readable.
    pub(super) fn broken(self, is_readable: bool, now: Instant) -> Self {
        match self {
            Self::Open => Self::Broken { until: now + PATIENCE, is_readable },
            Self::Finishing { until, .. } | Self::Answering { until } => {
                Self::Broken { until, is_readable: false }
            }
            Self::Broken { until, is_readable: was_readable } => {
                Self::Broken { until, is_readable: is_readable && was_readable }
            }
            Self::Closing { .. } | Self::Answered { .. } | Self::Over(_) => Self::Over(self.close_code()),
        }
    }

    /// The client's close frame has come.
    pub(super) fn closed_by_client(self, now: Instant) -> Self {
        match self {
            Self::Open => Self::Answering { until: now + PATIENCE },
            Self::Broken { .. } => self.broken(false, now),
            Self::Finishing { .. }
            | Self::Closing { .. }
            | Self::Answering { .. }
            | Self::Answered { .. }
            | Self::Over(_) => self,
        }
    }

    /// Nothing more can be read.
    pub(super) const fn stop_reading(&mut self) {
        match self {
            Self::Finishing { farewell: Farewell { is_readable, .. }, .. }
            | Self::Closing { is_readable, .. }
            | Self::Broken { is_readable, .. } => *is_readable = false,
            Self::Open | Self::Answering { .. } | Self::Answered { .. } | Self::Over(_) => {}
        }
    }

    /// When the step must be over; `None` where the machine knows.
    pub(super) const fn until(self) -> Option<Instant> {
        match self {
            Self::Finishing { until, .. }
            | Self::Closing { until, .. }
            | Self::Answering { until }
            | Self::Answered { until }
            | Self::Broken { until, .. } => Some(until),
            Self::Open | Self::Over(_) => None,
        }
    }

    /// The code of a close frame that was queued or is to be.
    pub(super) const fn close_code(self) -> Option<CloseCode> {
        match self {
            Self::Closing { code, .. } => Some(code),
            Self::Answered { .. } => Some(CloseCode::Normal),
            Self::Over(code) => code,
            Self::Open | Self::Finishing { .. } | Self::Answering { .. } | Self::Broken { .. } => None,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Session<S> {
    /// The time of the phase is up.
    pub(super) fn on_time(&mut self) {
        match self.phase {
            Phase::Open => self.tell(Input::Tick),
            Phase::Finishing { farewell, .. } => self.say_bye(farewell),
            Phase::Answering { .. } => self.answer_close(),
            Phase::Closing { .. } | Phase::Answered { .. } | Phase::Broken { .. } | Phase::Over(_) => {
                self.end_phase();
            }
        }
    }

    /// The last step is done: the connection is over.
    pub(super) fn end_phase(&mut self) {
        self.phase = Phase::Over(self.phase.close_code());
    }

    /// Goes on to the next phase when all that it waits for is done.
    pub(super) fn settle_phase(&mut self) {
        let is_idle = self.jobs.is_empty();
        match self.phase {
            Phase::Finishing { farewell, .. } if is_idle => self.say_bye(farewell),
            Phase::Answering { .. } if is_idle => self.answer_close(),
            Phase::Broken { is_readable: false, .. } if is_idle => self.end_phase(),
            Phase::Open
            | Phase::Finishing { .. }
            | Phase::Closing { .. }
            | Phase::Answering { .. }
            | Phase::Answered { .. }
            | Phase::Broken { .. }
            | Phase::Over(_) => {}
        }
    }

    fn say_bye(&mut self, farewell: Farewell) {
        let Farewell { code, detail, delay, is_readable } = farewell;
        for source in &self.sources {
            if let Source::Audience(audience) = source {
                let subscription = &audience.subscription;
                let positions =
                    push::positions(source.sub(), &subscription.positions(), &subscription.cursor());
                self.wire.push(Turn::Data, positions);
            }
        }
        self.forget_sources();
        self.jobs.clear();
        self.wire.push(Turn::Data, push::bye(code, detail, delay));
        self.wire.push_close(code);
        self.phase = Phase::Closing { code, until: Instant::now() + PATIENCE, is_readable };
    }

    fn answer_close(&mut self) {
        self.forget_sources();
        self.wire.answer_close();
        self.phase = Phase::Answered { until: Instant::now() + PATIENCE };
    }

    /// Drops all subscriptions; memberships that did not leave count as broken.
    fn forget_sources(&mut self) {
        let subs: Vec<u32> = self.sources.iter().map(Source::sub).collect();
        for sub in subs {
            self.forget(sub);
        }
    }

    /// Lets go of everything, and counts the end.
    pub(super) fn end(&mut self, code: Option<CloseCode>) {
        self.forget_sources();
        self.shared.metrics.count_close(code);
        self.shared.metrics.unsent_bytes.sub(as_gauge(self.counted_unsent));
        let code = code.map(CloseCode::number);
        tracing::debug!(connection.id = self.connection.as_str(), code, "Socket closed");
    }
}

/// Writes what there is to write; ready where the phase waits for that.
pub(super) fn poll_written<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    phase: Phase,
    context: &mut Context<'_>,
) -> Poll<Event> {
    if matches!(phase, Phase::Broken { .. }) {
        return Poll::Pending;
    }
    match wire.poll_flush(context) {
        Poll::Ready(Err(_)) => return Poll::Ready(Event::Lost),
        Poll::Pending => return Poll::Pending,
        Poll::Ready(Ok(())) => {}
    }
    let is_over = match phase {
        Phase::Answered { .. } => wire.poll_shutdown(context).is_ready(),
        // What cannot be read any more is swallowed, so that the client gets to read its bye.
        Phase::Closing { is_readable: false, .. } => {
            wire.poll_shutdown(context).is_ready() && wire.poll_discard(context).is_ready()
        }
        Phase::Open
        | Phase::Finishing { .. }
        | Phase::Closing { .. }
        | Phase::Answering { .. }
        | Phase::Broken { .. }
        | Phase::Over(_) => false,
    };
    if is_over { Poll::Ready(Event::Flushed) } else { Poll::Pending }
}

/// Whether a close with this code gives a group's deliveries back at once: the client is not at fault.
pub(super) const fn is_clean(code: CloseCode) -> bool {
    matches!(
        code,
        CloseCode::Normal
            | CloseCode::GoingAway
            | CloseCode::Forbidden
            | CloseCode::Revoked
            | CloseCode::TokenExpired
            | CloseCode::Drain
    )
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use crate::problem::CloseCode;

    use super::{Farewell, PATIENCE, Phase};

    #[test]
    fn a_close_that_falls_due_while_the_clients_is_answered_changes_nothing() {
        let now = Instant::now();
        let farewell = Farewell { code: CloseCode::Drain, detail: None, delay: None, is_readable: true };
        assert!(matches!(Phase::Open.finishing(farewell, now), Phase::Finishing { .. }));
        let until = now + PATIENCE;
        let answering = Phase::Answering { until }.finishing(farewell, now);
        assert!(matches!(answering, Phase::Answering { until: its } if its == until));
        let broken = Phase::Broken { until, is_readable: true }.finishing(farewell, now);
        assert!(matches!(broken, Phase::Broken { is_readable: true, .. }));
    }

    #[test]
    fn a_stream_that_ends_behind_the_last_word_is_over_and_one_before_it_is_heard_out() {
        let now = Instant::now();
        assert!(matches!(Phase::Open.broken(true, now), Phase::Broken { is_readable: true, .. }));
        assert!(matches!(
            Phase::Open.broken(true, now).broken(false, now),
            Phase::Broken { is_readable: false, .. }
        ));
        let answering = Phase::Answering { until: now }.broken(true, now);
        assert!(matches!(answering, Phase::Broken { is_readable: false, until } if until == now));
        let closing = Phase::Closing { code: CloseCode::Drain, until: now, is_readable: true };
        assert!(matches!(closing.broken(true, now), Phase::Over(Some(CloseCode::Drain))));
    }
}
