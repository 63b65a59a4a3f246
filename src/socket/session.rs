//! One connection: moves bytes between the wire, the machine, the subscriptions and the jobs, and decides nothing.
//!
//! One task, one loop. Nothing in it waits for the client: flushing is one of the things the loop polls, so timers
//! run and commands are heard while the client does not read. What the client causes is bounded: commands under way
//! by [`JOBS_MAX`] (then nothing more is read), messages unsent by the configuration, pulled events by
//! [`PULL_BYTES_MAX`].

mod carry_out;
mod hearing;
mod phase;
mod rights;

use std::future::poll_fn;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::delivery::ConnectionId;

use self::hearing::{Hearing, Word};
use self::phase::{Phase, poll_written};
use super::Handshake;
use super::identity::{self, Identity};
use super::job::{Done, Job};
use super::machine::{Ending, Input, Machine};
use super::sessions::{Plan, Shared};
use super::source::{self, Pushes, Source};
use super::wire::{Incoming, Turn, Wire};

/// Commands under way above which the client is not read.
const JOBS_MAX: usize = 256;

/// Bytes asked of a subscription at once.
const PULL_BYTES_MAX: usize = 64 * 1024;

/// Unsent bytes below which subscriptions are asked for more.
const PULL_BELOW: usize = 16 * 1024;

/// Happenings after which the wire is written to and the gateway heard, however busy the rest is.
const UNFLUSHED_MAX: usize = 32;

/// One connection.
#[derive(Debug)]
pub(super) struct Session<S> {
    shared: Arc<Shared>,
    wire: Wire<S>,
    machine: Machine,
    connection: ConnectionId,
    identity: Option<Identity>,
    /// Grows with every change of grants or of the principal.
    rights: u32,
    sources: Vec<Source>,
    /// Opened, and waiting for the machine's word.
    fresh: Option<Source>,
    jobs: FuturesUnordered<Job>,
    policy: watch::Receiver<u64>,
    drain: watch::Receiver<Option<Plan>>,
    phase: Phase,
    /// An event waits for its topic to be made; later ones must not overtake it.
    is_held: bool,
    turn: usize,
    unflushed: usize,
    /// What this connection has added to the gauge of unsent bytes.
    counted_unsent: usize,
}

/// What the loop woke up for.
enum Event {
    Read(Incoming),
    Done(Done),
    Time,
    Heard(Word),
    Pushes(usize, Result<Pushes, Ending>),
    /// The client has read on, and there is room for more.
    Room,
    /// All is written, in a phase that waits for it.
    Flushed,
    /// The client's end is gone.
    Lost,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Session<S> {
    pub(super) fn new(shared: Arc<Shared>, stream: S, handshake: Handshake) -> Self {
        let now = Instant::now();
        let connection = ConnectionId::new(&format!("c-{:016x}", random()));
        let machine =
            Machine::new(shared.config, connection.as_str().into(), Arc::clone(&shared.parts.node), now);
        let mut session = Self {
            wire: Wire::new(stream, shared.config.inbound_bytes_max),
            machine,
            identity: None,
            rights: 0,
            sources: Vec::new(),
            fresh: None,
            jobs: FuturesUnordered::new(),
            policy: shared.parts.authenticator.policy_changes(),
            drain: shared.drain.subscribe(),
            phase: Phase::Open,
            is_held: false,
            turn: 0,
            unflushed: 0,
            counted_unsent: 0,
            connection,
            shared,
        };
        tracing::debug!(connection.id = session.connection.as_str(), peer = %handshake.peer, "Socket opened");
        if let Some(outcome) = handshake.principal {
            session.on_identified(None, outcome.map_err(|error| identity::refused(&error)));
        }
        session
    }

    /// Serves the connection to its end. By reference, since a future keeps twice what it is given by value.
    pub(super) async fn run(&mut self, shutdown: &CancellationToken) {
        let mut timer = pin!(sleep_until(Instant::now()));
        let mut hearing = Hearing::default();
        self.listen(&mut hearing, shutdown);
        if self.drain.borrow().is_some() {
            self.on_drain();
        }
        // A refused credential has said its close already.
        self.settle_phase();
        loop {
            if let Phase::Over(code) = self.phase {
                self.end(code);
                return;
            }
            let event = self.event(timer.as_mut(), &mut hearing).await;
            let has_heard = matches!(event, Event::Heard(_));
            self.on(event);
            if has_heard {
                self.listen(&mut hearing, shutdown);
            }
            count_unsent(&self.shared, &mut self.counted_unsent, self.wire.unsent_bytes());
        }
    }

    /// Waits for something to happen. What may not happen in this phase is not polled.
    async fn event(&mut self, mut timer: Pin<&mut Sleep>, hearing: &mut Hearing) -> Event {
        let phase = self.phase;
        let is_open = matches!(phase, Phase::Open);
        let is_reading = self.is_reading();
        self.machine.set_reading(is_reading);
        let due = if is_open { self.machine.deadline() } else { phase.until() };
        let is_writing_first = self.unflushed >= UNFLUSHED_MAX;
        let Self { shared, wire, jobs, sources, turn, unflushed, counted_unsent, .. } = self;
        let wants_more = is_open && !sources.is_empty();
        let is_pulling = wants_more && wire.unsent_bytes() < PULL_BELOW;
        *unflushed += 1;
        poll_fn(|context| {
            if is_writing_first {
                *unflushed = 0;
                if let Poll::Ready(Err(_)) = wire.poll_flush(context) {
                    return Poll::Ready(Event::Lost);
                }
                if let Poll::Ready(word) = hearing.poll(context) {
                    return Poll::Ready(Event::Heard(word));
                }
            }
            if is_reading && let Poll::Ready(incoming) = wire.poll_read(context) {
                return Poll::Ready(Event::Read(incoming));
            }
            if !jobs.is_empty()
                && let Poll::Ready(Some(done)) = jobs.poll_next_unpin(context)
            {
                return Poll::Ready(Event::Done(done));
            }
            if is_due(timer.as_mut(), due, context) {
                return Poll::Ready(Event::Time);
            }
            if is_pulling
                && let Poll::Ready((index, pushes)) =
                    source::poll_next(sources, *turn, PULL_BYTES_MAX, context)
            {
                return Poll::Ready(Event::Pushes(index, pushes));
            }
            if let Poll::Ready(word) = hearing.poll(context) {
                return Poll::Ready(Event::Heard(word));
            }
            *unflushed = 0;
            let written = poll_written(wire, phase, context);
            count_unsent(shared, counted_unsent, wire.unsent_bytes());
            if written.is_pending() && wants_more && !is_pulling && wire.unsent_bytes() < PULL_BELOW {
                return Poll::Ready(Event::Room);
            }
            written
        })
        .await
    }

    fn on(&mut self, event: Event) {
        match event {
            Event::Read(incoming) => self.on_incoming(incoming),
            Event::Done(done) => self.on_job_done(done),
            Event::Time => self.on_time(),
            Event::Heard(word) => self.on_word(word),
            Event::Pushes(index, pushes) => self.on_pushes(index, pushes),
            Event::Room => {}
            Event::Flushed => self.end_phase(),
            Event::Lost => self.phase = self.phase.broken(true, Instant::now()),
        }
        self.settle_phase();
    }

    fn on_incoming(&mut self, incoming: Incoming) {
        if matches!(incoming, Incoming::Text(_) | Incoming::Binary) {
            self.shared.metrics.messages_in.inc();
        }
        if matches!(self.phase, Phase::Closing { .. }) {
            match incoming {
                Incoming::Text(_) | Incoming::Binary | Incoming::Control => {}
                // Who has stopped sending may still read its bye.
                Incoming::Close | Incoming::Fault(_) | Incoming::End => self.phase.stop_reading(),
            }
            return;
        }
        match incoming {
            Incoming::Text(text) => self.tell(Input::Text(&text)),
            Incoming::Binary => self.tell(Input::Binary),
            Incoming::Control => self.tell(Input::Control),
            Incoming::Fault(code) => {
                self.tell(Input::Fault(code));
                self.phase.stop_reading();
            }
            Incoming::Close => {
                self.leave_groups();
                self.phase = self.phase.closed_by_client(Instant::now());
            }
            Incoming::End => self.phase = self.phase.broken(false, Instant::now()),
        }
    }

    fn on_pushes(&mut self, index: usize, pushes: Result<Pushes, Ending>) {
        self.turn = self.turn.wrapping_add(1);
        let Some(sub) = self.sources.get(index).map(Source::sub) else { return };
        match pushes {
            Ok(Pushes::Feed(pushes)) => {
                self.shared.metrics.messages_out.inc_by(pushes.len() as u64);
                for push in &pushes {
                    self.wire.push(Turn::Data, source::feed_message(sub, push));
                }
            }
            Ok(Pushes::Delivery(pushes)) => {
                self.shared.metrics.messages_out.inc_by(pushes.len() as u64);
                for push in pushes {
                    self.wire.push(Turn::Data, source::delivery_message(sub, push));
                }
            }
            Err(ending) => {
                if let Ending::Alone(_) = ending {
                    self.forget(sub);
                }
                self.tell(Input::Ended { sub, ending });
            }
        }
    }

    fn on_drain(&mut self) {
        let Some(Plan { until, window }) = *self.drain.borrow_and_update() else { return };
        let now = Instant::now();
        // The last bye leaves time for the close handshake.
        let spread = until.saturating_duration_since(now).mul_f64(0.9);
        let at = now + random_part(spread);
        self.tell(Input::Drain { at, delay: random_part(window) });
    }

    /// Gives the machine an input and does what it says.
    fn tell(&mut self, input: Input<'_>) {
        let mut actions = Vec::new();
        self.machine.on(input, Instant::now(), &mut actions);
        for action in actions {
            self.act(action);
        }
        if self.wire.urgent_bytes() > self.shared.config.unsent_bytes_max && matches!(self.phase, Phase::Open)
        {
            self.tell(Input::Stuffed);
        }
    }

    /// Commands of the client that have no answer yet.
    fn under_way(&self) -> usize {
        let waiting = |source: &Source| match source {
            Source::Audience(_) => 0,
            Source::Worker(worker) => worker.tasks.len(),
        };
        self.jobs.len() + self.sources.iter().map(waiting).sum::<usize>()
    }

    fn is_reading(&self) -> bool {
        match self.phase {
            Phase::Open | Phase::Broken { is_readable: true, .. } => {
                !self.is_held && self.under_way() < JOBS_MAX && !self.machine.is_being_introduced()
            }
            Phase::Closing { is_readable, .. } | Phase::Broken { is_readable, .. } => is_readable,
            Phase::Finishing { .. } | Phase::Answering { .. } | Phase::Answered { .. } | Phase::Over(_) => {
                false
            }
        }
    }
}

/// Whether the time has come. The timer is set anew only when it would come too late: most deadlines move away from
/// it with every message, and then it only looks again once it fires.
fn is_due(mut timer: Pin<&mut Sleep>, due: Option<Instant>, context: &mut Context<'_>) -> bool {
    let Some(due) = due else { return false };
    if timer.is_elapsed() || due < timer.deadline() {
        timer.as_mut().reset(due);
    }
    while timer.as_mut().poll(context).is_ready() {
        if Instant::now() >= due {
            return true;
        }
        timer.as_mut().reset(due);
    }
    false
}

/// Keeps the gauge of unsent bytes at what this connection holds.
fn count_unsent(shared: &Shared, counted: &mut usize, unsent: usize) {
    let before = mem::replace(counted, unsent);
    if before != unsent {
        shared.metrics.unsent_bytes.add(as_gauge(unsent) - as_gauge(before));
    }
}

fn as_gauge(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn random() -> u64 {
    // Without randomness moments and names fall together, which costs order and no more.
    getrandom::u64().unwrap_or_default()
}

fn random_part(whole: Duration) -> Duration {
    let parts = u32::try_from(random() >> 32).unwrap_or_default();
    whole.mul_f64(f64::from(parts) / f64::from(u32::MAX))
}
