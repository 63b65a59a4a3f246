//! One connection: moves bytes between the wire, the machine, the subscriptions and the jobs, and decides nothing.
//!
//! One task, one loop. Nothing in it waits for the client: flushing is one of the things the loop polls, so timers
//! run and commands are heard while the client does not read. What the client causes is bounded: commands under way
//! by [`JOBS_MAX`] (then nothing more is read), messages unsent by the configuration, pulled events by
//! [`PULL_BYTES_MAX`].

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

use crate::auth::Principal;
use crate::delivery::ConnectionId;
use crate::problem::{CloseCode, Code, Problem};

use super::Handshake;
use super::command::Reply;
use super::identity::{self, Identity};
use super::job::{self, Done, Job};
use super::machine::{Action, Ending, Identified, Input, Machine, Opened, Order};
use super::push::{self, Nothing};
use super::sessions::{Plan, Shared};
use super::source::{self, Pushes, Source, Task, Worker};
use super::wire::{Incoming, Turn, Wire};

/// Commands under way above which the client is not read.
const JOBS_MAX: usize = 256;

/// Bytes asked of a subscription at once.
const PULL_BYTES_MAX: usize = 64 * 1024;

/// Unsent bytes below which subscriptions are asked for more.
const PULL_BELOW: usize = 16 * 1024;

/// Happenings after which the wire is written to, however busy the rest is.
const UNFLUSHED_MAX: usize = 32;

/// How long a closing connection may take for each of its steps.
const PATIENCE: Duration = Duration::from_secs(5);

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

#[derive(Debug, Clone, Copy)]
enum Phase {
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
    /// `None` ended without a close frame.
    Over(Option<CloseCode>),
}

#[derive(Debug, Clone, Copy)]
struct Farewell {
    code: CloseCode,
    detail: Option<&'static str>,
    delay: Option<Duration>,
    is_readable: bool,
}

/// What the loop woke up for.
enum Event {
    Read(Incoming),
    Done(Done),
    Time,
    Policy,
    Drain,
    Stop,
    Force,
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

    /// Serves the connection to its end.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        let shared = Arc::clone(&self.shared);
        let mut timer = pin!(sleep_until(Instant::now()));
        let mut stop = pin!(shutdown.cancelled());
        let mut force = pin!(shared.force.cancelled());
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
            let event = self.event(timer.as_mut(), stop.as_mut(), force.as_mut()).await;
            self.on(event);
            count_unsent(&self.shared, &mut self.counted_unsent, self.wire.unsent_bytes());
        }
    }

    /// Waits for something to happen. What may not happen in this phase is not polled.
    async fn event(
        &mut self,
        mut timer: Pin<&mut Sleep>,
        mut stop: Pin<&mut impl Future<Output = ()>>,
        mut force: Pin<&mut impl Future<Output = ()>>,
    ) -> Event {
        let phase = self.phase;
        let is_open = matches!(phase, Phase::Open);
        let is_reading = self.is_reading();
        self.machine.set_reading(is_reading);
        let due = self.due();
        let is_writing_first = self.unflushed >= UNFLUSHED_MAX;
        let Self { shared, wire, jobs, sources, policy, drain, turn, unflushed, counted_unsent, .. } = self;
        let wants_more = is_open && !sources.is_empty();
        let is_pulling = wants_more && wire.unsent_bytes() < PULL_BELOW;
        let mut pull = pin!(source::next(sources, *turn, PULL_BYTES_MAX));
        let mut changed = pin!(async {
            tokio::select! {
                Ok(()) = policy.changed() => Event::Policy,
                Ok(()) = drain.changed() => Event::Drain,
                else => std::future::pending().await,
            }
        });
        *unflushed += 1;
        poll_fn(|context| {
            if is_writing_first {
                *unflushed = 0;
                if let Poll::Ready(Err(_)) = wire.poll_flush(context) {
                    return Poll::Ready(Event::Lost);
                }
            }
            if force.as_mut().poll(context).is_ready() {
                return Poll::Ready(Event::Force);
            }
            if is_open && stop.as_mut().poll(context).is_ready() {
                return Poll::Ready(Event::Stop);
            }
            if is_reading && let Poll::Ready(incoming) = wire.poll_read(context) {
                return Poll::Ready(Event::Read(incoming));
            }
            if let Poll::Ready(Some(done)) = jobs.poll_next_unpin(context) {
                return Poll::Ready(Event::Done(done));
            }
            if is_due(timer.as_mut(), due, context) {
                return Poll::Ready(Event::Time);
            }
            if is_open && let Poll::Ready(event) = changed.as_mut().poll(context) {
                return Poll::Ready(event);
            }
            if is_pulling && let Poll::Ready((index, pushes)) = pull.as_mut().poll(context) {
                return Poll::Ready(Event::Pushes(index, pushes));
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
            Event::Policy => self.recheck(),
            Event::Drain => self.on_drain(),
            Event::Stop => {
                let delay = random_part(self.shared.config.drain_window);
                self.tell(Input::Stop { delay });
            }
            Event::Force => self.phase = Phase::Over(Some(CloseCode::Drain)),
            Event::Pushes(index, pushes) => self.on_pushes(index, pushes),
            Event::Room => {}
            Event::Flushed => self.on_flushed(),
            Event::Lost => {
                let code = if let Phase::Closing { code, .. } = self.phase { Some(code) } else { None };
                self.phase = Phase::Over(code);
            }
        }
        self.settle_phase();
    }

    fn on_incoming(&mut self, incoming: Incoming) {
        if matches!(incoming, Incoming::Text(_) | Incoming::Binary) {
            self.shared.metrics.messages_in.inc();
        }
        if let Phase::Closing { code, until, is_readable: true } = self.phase {
            match incoming {
                Incoming::Text(_) | Incoming::Binary | Incoming::Control => {}
                Incoming::Close => self.phase = Phase::Over(Some(code)),
                // Who has stopped sending may still read its bye.
                Incoming::Fault(_) | Incoming::End => {
                    self.phase = Phase::Closing { code, until, is_readable: false };
                }
            }
            return;
        }
        match incoming {
            Incoming::Text(text) => self.tell(Input::Text(&text)),
            Incoming::Binary => self.tell(Input::Binary),
            Incoming::Control => self.tell(Input::Control),
            Incoming::Fault(code) => {
                self.tell(Input::Fault(code));
                if let Phase::Finishing { farewell, .. } = &mut self.phase {
                    farewell.is_readable = false;
                }
            }
            Incoming::Close => {
                self.leave_groups();
                self.phase = Phase::Answering { until: Instant::now() + PATIENCE };
            }
            Incoming::End => self.phase = Phase::Over(None),
        }
    }

    fn on_job_done(&mut self, done: Done) {
        match done {
            Done::Identified { reply, outcome } => self.on_identified(Some(reply), outcome),
            Done::Subscribed { reply, rights, outcome } => {
                let outcome = outcome.map(|mut subscription| {
                    // Rights may have changed while it was being opened.
                    let is_lost = rights != self.rights && subscription.recheck().is_err();
                    let opened = Opened {
                        sub: subscription.id().number(),
                        ok: serde_json::json!({
                            "sub": subscription.id(), "positions": subscription.positions(),
                            "cursor": subscription.cursor().encode(), "resumed": subscription.is_resumed(),
                        }),
                    };
                    self.fresh = Some(Source::audience(subscription));
                    if is_lost { Err(Problem::hidden(Code::Forbidden)) } else { Ok(opened) }
                });
                self.tell(Input::Opened { reply, group: None, outcome: outcome.and_then(|opened| opened) });
                self.fresh = None;
            }
            Done::Joined { reply, group, credit, is_adopting, outcome } => {
                let outcome = outcome.map(|member| {
                    let mut ok = serde_json::json!({
                        "sub": member.id(), "policy": *member.policy(), "credit": credit,
                    });
                    if let (Some(members), true) = (ok.as_object_mut(), is_adopting) {
                        members.insert("adopted".to_owned(), member.adopted().into());
                    }
                    let opened = Opened { sub: member.id().number(), ok };
                    self.fresh = Some(Source::worker(member, group.clone()));
                    opened
                });
                self.tell(Input::Opened { reply, group: Some(group), outcome });
                self.fresh = None;
            }
            Done::Ordered { reply, sub, unknown, outcome } => self.on_ordered(reply, sub, &unknown, outcome),
            Done::Published { reply, is_deferred, outcome } => {
                self.is_held &= !is_deferred;
                self.tell(Input::Done { reply, outcome });
            }
            Done::Left { reply: Some(reply) } => self.done(reply),
            Done::Left { reply: None } => {}
        }
    }

    fn on_identified(
        &mut self,
        reply: Option<Reply>,
        outcome: Result<Arc<Principal>, super::machine::Refused>,
    ) {
        let is_renewed = outcome.is_ok() && self.identity.is_some();
        let outcome = outcome.map(|principal| {
            let now = self.shared.parts.clock.now();
            let expires_in = principal.expires_at().map(|at| {
                Duration::from_millis(u64::try_from(at.millis().saturating_sub(now.millis())).unwrap_or(0))
            });
            let identified = Identified { principal: principal.id().into(), expires_in };
            match &self.identity {
                Some(identity) => identity.renew(principal),
                None => {
                    self.identity = Some(Identity::new(principal, self.shared.parts.authenticator.clone()))
                }
            }
            identified
        });
        self.tell(Input::Identified { reply, outcome });
        if is_renewed {
            self.recheck();
        }
    }

    fn on_ordered(
        &mut self,
        reply: Reply,
        sub: u32,
        unknown: &[String],
        outcome: Result<Vec<crate::delivery::Refused>, Problem>,
    ) {
        self.next_task(sub);
        match outcome {
            Ok(refused) if refused.is_empty() && unknown.is_empty() => self.done(reply),
            Ok(refused) => {
                self.wire.push(Turn::Urgent, push::settled(sub, &refused, unknown));
                if reply.id.is_some() {
                    let detail =
                        format!("{} deliveries did not count; see settled", refused.len() + unknown.len());
                    self.tell(Input::Done { reply, outcome: Err(Problem::new(Code::Conflict, detail)) });
                }
            }
            Err(problem) => self.tell(Input::Done { reply, outcome: Err(problem) }),
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
                    drop(self.take(sub));
                }
                self.tell(Input::Ended { sub, ending });
            }
        }
    }

    fn on_time(&mut self) {
        match self.phase {
            Phase::Open => self.tell(Input::Tick),
            Phase::Finishing { farewell, .. } => self.say_bye(farewell),
            Phase::Closing { code, .. } => self.phase = Phase::Over(Some(code)),
            Phase::Answering { .. } => self.answer_close(),
            Phase::Answered { .. } => self.phase = Phase::Over(Some(CloseCode::Normal)),
            Phase::Over(_) => {}
        }
    }

    fn on_flushed(&mut self) {
        if let Phase::Answered { .. } = self.phase {
            self.phase = Phase::Over(Some(CloseCode::Normal));
        } else if let Phase::Closing { code, .. } = self.phase {
            self.phase = Phase::Over(Some(code));
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

    /// Asks again whether the principal may be here and may have what it has.
    fn recheck(&mut self) {
        self.policy.mark_unchanged();
        self.rights = self.rights.wrapping_add(1);
        let Some(identity) = self.identity.clone() else { return };
        if let Err(code) = identity.check_standing() {
            return self.tell(Input::Outcast(code));
        }
        let mut lost = Vec::new();
        for source in &mut self.sources {
            let checked = match source {
                Source::Audience(audience) => {
                    audience.subscription.recheck().map_err(|error| Problem::from(&error))
                }
                Source::Worker(worker) => {
                    let topics = &worker.member.policy().topics;
                    identity.check_group(&worker.group, topics).map_err(|error| Problem::from(&error))
                }
            };
            if let Err(problem) = checked {
                lost.push((source.sub(), problem));
            }
        }
        for (sub, problem) in lost {
            self.let_go(sub, None);
            self.tell(Input::Ended { sub, ending: Ending::Alone(problem) });
        }
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

    fn act(&mut self, action: Action) {
        let parts = &self.shared.parts;
        match action {
            Action::Send(turn, message) => {
                self.shared.metrics.messages_out.inc();
                self.wire.push(turn, message);
            }
            Action::Identify { reply, token } => {
                let current = self.identity.as_ref().map(Identity::principal);
                self.jobs.push(job::identify(parts.authenticator.clone(), current, reply, token));
            }
            Action::Subscribe { reply, audience } => {
                if let Some(identity) = &self.identity {
                    self.jobs.push(job::subscribe(
                        parts.feed.clone(),
                        identity,
                        self.rights,
                        reply,
                        *audience,
                    ));
                }
            }
            Action::Join { reply, worker, credit } => {
                if let Some(identity) = self.identity.clone() {
                    let connection = self.connection.clone();
                    self.jobs.push(job::join(
                        parts.delivery.clone(),
                        identity,
                        connection,
                        reply,
                        credit,
                        *worker,
                    ));
                }
            }
            Action::Keep => self.keep(),
            Action::Discard => {
                if let Some(Source::Worker(worker)) = self.fresh.take() {
                    self.jobs.push(job::leave(worker.member, None));
                }
            }
            Action::Drop { reply, sub } => self.let_go(sub, Some(reply)),
            Action::Order { reply, sub, order } => self.order(reply, sub, order),
            Action::Publish { reply, publishing } => {
                if let Some(identity) = &self.identity {
                    let (job, is_deferred) =
                        job::publish(&parts.publisher, &identity.principal(), reply, *publishing);
                    self.is_held |= is_deferred;
                    self.jobs.push(job);
                }
            }
            Action::Close { code, detail, delay } => {
                if is_clean(code) {
                    self.leave_groups();
                }
                let farewell = Farewell { code, detail, delay, is_readable: true };
                self.phase = Phase::Finishing { farewell, until: Instant::now() + PATIENCE };
            }
        }
    }

    fn keep(&mut self) {
        if let Some(source) = self.fresh.take() {
            match &source {
                Source::Audience(_) => self.shared.metrics.subscriptions_broadcast.inc(),
                Source::Worker(_) => self.shared.metrics.subscriptions_group.inc(),
            }
            self.sources.push(source);
        }
    }

    /// Takes a subscription out of the connection.
    fn take(&mut self, sub: u32) -> Option<Source> {
        let at = self.sources.iter().position(|source| source.sub() == sub)?;
        let source = self.sources.swap_remove(at);
        match &source {
            Source::Audience(_) => self.shared.metrics.subscriptions_broadcast.dec(),
            Source::Worker(_) => self.shared.metrics.subscriptions_group.dec(),
        }
        Some(source)
    }

    fn order(&mut self, reply: Reply, sub: u32, order: Order) {
        match self.sources.iter_mut().find(|source| source.sub() == sub) {
            Some(Source::Worker(worker)) => {
                worker.tasks.push_back(Task::Order(reply, order));
                if !worker.is_busy {
                    self.next_task(sub);
                }
            }
            Some(Source::Audience(audience)) => {
                match order {
                    Order::Pause => audience.is_paused = true,
                    Order::Resume => audience.is_paused = false,
                    // The machine passes these on for groups only.
                    Order::Settle(_) | Order::Credit(_) => {}
                }
                self.done(reply);
            }
            None => {}
        }
    }

    /// Ends a subscription in good order: a group's only after what its client ordered before.
    fn let_go(&mut self, sub: u32, reply: Option<Reply>) {
        match self.sources.iter_mut().find(|source| source.sub() == sub) {
            Some(Source::Worker(worker)) => {
                worker.is_leaving = true;
                worker.tasks.push_back(Task::Leave(reply));
                if !worker.is_busy {
                    self.next_task(sub);
                }
            }
            Some(Source::Audience(_)) => {
                drop(self.take(sub));
                if let Some(reply) = reply {
                    self.done(reply);
                }
            }
            None => {}
        }
    }

    fn leave_groups(&mut self) {
        let subs: Vec<u32> = self
            .sources
            .iter()
            .filter(|source| matches!(source, Source::Worker(worker) if !worker.is_leaving))
            .map(Source::sub)
            .collect();
        for sub in subs {
            self.let_go(sub, None);
        }
    }

    /// Begins the next task of a membership, the one before being done.
    fn next_task(&mut self, sub: u32) {
        let Some(Source::Worker(worker)) = self.sources.iter_mut().find(|source| source.sub() == sub) else {
            return;
        };
        let Worker { member, tasks, is_busy, .. } = &mut **worker;
        let task = tasks.pop_front();
        *is_busy = task.is_some();
        match task {
            Some(Task::Order(reply, order)) => {
                self.jobs.push(job::order(member.control(), reply, sub, order))
            }
            Some(Task::Leave(reply)) => {
                if let Some(Source::Worker(worker)) = self.take(sub) {
                    self.jobs.push(job::leave(worker.member, reply));
                }
            }
            None => {}
        }
    }

    fn done(&mut self, reply: Reply) {
        self.tell(Input::Done { reply, outcome: Ok(serde_json::json!(Nothing {})) });
    }

    /// Goes on to the next phase when all that it waits for is done.
    fn settle_phase(&mut self) {
        let is_idle = self.jobs.is_empty();
        match self.phase {
            Phase::Finishing { farewell, .. } if is_idle => self.say_bye(farewell),
            Phase::Answering { .. } if is_idle => self.answer_close(),
            Phase::Open
            | Phase::Finishing { .. }
            | Phase::Closing { .. }
            | Phase::Answering { .. }
            | Phase::Answered { .. }
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
            drop(self.take(sub));
        }
    }

    fn end(&mut self, code: Option<CloseCode>) {
        self.forget_sources();
        self.shared.metrics.count_close(code);
        self.shared.metrics.unsent_bytes.sub(as_gauge(self.counted_unsent));
        let code = code.map(CloseCode::number);
        tracing::debug!(connection.id = self.connection.as_str(), code, "Socket closed");
    }

    fn is_reading(&self) -> bool {
        match self.phase {
            Phase::Open => !self.is_held && self.jobs.len() < JOBS_MAX,
            Phase::Closing { is_readable, .. } => is_readable,
            Phase::Finishing { .. } | Phase::Answering { .. } | Phase::Answered { .. } | Phase::Over(_) => {
                false
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        match self.phase {
            Phase::Open => self.machine.deadline(),
            Phase::Finishing { until, .. }
            | Phase::Closing { until, .. }
            | Phase::Answering { until }
            | Phase::Answered { until } => Some(until),
            Phase::Over(_) => None,
        }
    }
}

/// Writes what there is to write; ready where the phase waits for that.
fn poll_written<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    phase: Phase,
    context: &mut Context<'_>,
) -> Poll<Event> {
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
        | Phase::Over(_) => false,
    };
    if is_over { Poll::Ready(Event::Flushed) } else { Poll::Pending }
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

/// Whether a close with this code gives a group's deliveries back at once: the client is not at fault.
const fn is_clean(code: CloseCode) -> bool {
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
