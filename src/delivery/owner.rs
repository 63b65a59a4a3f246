//! The task of an active group: it owns the machine and moves bytes around it.
//!
//! Members talk to it through a bounded channel, it talks to them through their mailboxes. It becomes the log's
//! member of the group when it starts, and leaves some time after its last local member did.
//!
//! ```text
//! commands, mailbox news ─┐             ┌─ mailboxes
//! membership events ──────┼── machine ──┼─ commit, give back, hold
//! commit and burial ends ─┘             └─ burials
//! ```

mod assignments;
mod command;
mod endings;
mod events;
mod gaps;
mod mailboxes;
mod orders;
mod parking;
mod perform;
mod redrives;
mod replays;
mod resets;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::event::{GroupName, Partition, Topic};
use crate::log::{self, Commits, MemberEvent, MemberEvents, Membership};

use super::dead_letters::Verdict;
use super::group::{Group, Moment, REDRIVES, Slot};
use super::resets::Order;
use super::retry::Random;
use super::shared::Shared;
use super::{Error, Policy};
use assignments::Measured;
use gaps::Gaps;
use mailboxes::Mailboxes;
use parking::Parking;
use redrives::{Committing, Reading};
use replays::Replays;
use resets::Resets;

pub(super) use command::{Command, Joined, Snapshot, SourceSnapshot};

/// How long the log's member stays at least after the last local one left: long enough that a reconnect does not rebalance,
/// short enough for members elsewhere, who get nothing of the partitions held here meanwhile.
const LINGER: Duration = Duration::from_secs(10);
/// And where records are under suspicion and all partitions are held here, so that nobody elsewhere waits for one: longer than
/// anybody lets a worker rest that dies again and again (Kubernetes: five minutes at most).
const LINGER_IN_SUSPICION: Duration = Duration::from_secs(600);
/// Commands taken at once.
const BATCH: usize = 64;
const TICK: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum Phase {
    Serving,
    /// Draining to begin again under a policy of other topics or ordering.
    Restarting(Arc<Policy>),
    /// Nobody is here: leaving the log's group.
    Ending,
    /// The gateway goes away.
    Draining,
}

#[derive(Debug)]
enum Input {
    Command(Option<Command>),
    Event(Result<MemberEvent, log::Error>),
    Joined(Membership, Reading),
    Measured(Measured),
    Committed(Committing),
    ResetTold(Result<Order, Error>),
    Parking(Option<parking::Done>),
    ReplayRead(Option<replays::Read>),
    ReplayTold(replays::Told),
    Policies,
    News,
    Woke,
}

type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub(super) struct Owner {
    shared: Arc<Shared>,
    group: GroupName,
    commands: mpsc::Receiver<Command>,
    /// For the members' controls.
    sender: mpsc::WeakSender<Command>,
    /// Tell that what groups are to follow has changed.
    policies: watch::Receiver<u64>,
    machine: Group,
    mailboxes: Mailboxes,
    news: Arc<Notify>,
    joining: Option<Pending<(Membership, Reading)>>,
    /// The topic through which dead letters come back, and whether it is read.
    redrives: Topic,
    reading: Reading,
    /// What the group made of letters that came back, until that is written: with the next commit, and before it.
    verdicts: Vec<Verdict>,
    /// Letters that died again, as is being written with the commit under way.
    judging: Vec<Box<str>>,
    /// What was assigned, while its ends are asked for; no event is read meanwhile.
    measuring: Option<Pending<Measured>>,
    events: Option<Box<dyn MemberEvents>>,
    commits: Option<Arc<dyn Commits>>,
    committing: Option<Pending<Committing>>,
    parking: Parking,
    replays: Replays,
    resets: Resets,
    ends: HashMap<Slot, u64>,
    started: Instant,
    phase: Phase,
    empty_since: Option<Instant>,
    read_again_at: Option<Instant>,
    next_tick: Instant,
    to_tell: HashMap<u32, Vec<Slot>>,
    tell_at: Option<Instant>,
    /// What the gauges show.
    shown: Vec<(Topic, Partition)>,
    /// Gaps nobody was here to be told of.
    gaps: Gaps,
}

impl Owner {
    /// The task of a group, and where to send it commands.
    pub(super) fn new(
        shared: Arc<Shared>,
        group: GroupName,
        policy: Arc<Policy>,
    ) -> (Self, mpsc::Sender<Command>) {
        const COMMANDS_MAX: usize = 1_024;
        let (sender, commands) = mpsc::channel(COMMANDS_MAX);
        let now = Instant::now();
        let policies = shared.policies.changes();
        let mut machine = Group::new(policy, 0, Random::new(seed()));
        machine.set_resumed(shared.policies.resumed(&group));
        let redrives = Topic::of_redrives(&group);
        let mut owner = Self {
            machine,
            shared,
            group,
            commands,
            sender: sender.downgrade(),
            policies,
            mailboxes: Mailboxes::default(),
            news: Arc::new(Notify::new()),
            joining: None,
            redrives,
            reading: Reading::Sources,
            verdicts: Vec::new(),
            judging: Vec::new(),
            measuring: None,
            events: None,
            commits: None,
            committing: None,
            parking: Parking::default(),
            replays: Replays::default(),
            resets: Resets::default(),
            ends: HashMap::new(),
            started: now,
            phase: Phase::Serving,
            empty_since: Some(now),
            read_again_at: None,
            next_tick: now + TICK,
            to_tell: HashMap::new(),
            tell_at: None,
            shown: Vec::new(),
            gaps: Gaps::default(),
        };
        owner.join_log();
        (owner, sender)
    }

    /// Serves until the drain, or until nobody was here for long enough.
    pub(super) async fn run(mut self) {
        tracing::info!(group = %self.group, "group started");
        loop {
            let input = self.input().await;
            self.handle(input).await;
            let mut more = BATCH;
            while more > 0
                && let Some(command) = self.waiting_command()
            {
                self.order(command);
                more -= 1;
            }
            self.advance().await;
            if self.machine.is_drained() && self.end_phase().await {
                break;
            }
        }
        self.commands.close();
        self.hide_gauges();
        tracing::info!(group = %self.group, "group stopped");
    }

    fn waiting_command(&mut self) -> Option<Command> {
        if matches!(self.phase, Phase::Ending) { None } else { self.commands.try_recv().ok() }
    }

    /// Waits for whatever happens next. Every branch is cancel safe: channels, notifications and timers by
    /// themselves, `MemberEvents::next` by contract, the other futures because they stay where they are.
    async fn input(&mut self) -> Input {
        let wake = self.wake();
        let may_read = self.read_again_at.is_none() && self.measuring.is_none();
        // While ending, joins wait in the channel: the group's next task answers them.
        let is_ending = matches!(self.phase, Phase::Ending);
        tokio::select! {
            command = self.commands.recv(), if !is_ending => Input::Command(command),
            end = pending(&mut self.committing) => Input::Committed(end),
            done = self.parking.work.next(), if !self.parking.work.is_empty() => Input::Parking(done),
            (membership, reading) = pending(&mut self.joining) => Input::Joined(membership, reading),
            read = self.replays.reads.next(), if !self.replays.reads.is_empty() => Input::ReplayRead(read),
            told = pending(&mut self.replays.telling) => Input::ReplayTold(told),
            told = pending(&mut self.resets.telling) => Input::ResetTold(told),
            measured = pending(&mut self.measuring) => Input::Measured(measured),
            event = next_event(&mut self.events), if may_read => Input::Event(event),
            Ok(()) = self.policies.changed() => Input::Policies,
            () = self.news.notified() => Input::News,
            () = sleep_until(wake) => Input::Woke,
        }
    }

    async fn handle(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Command(Some(command)) => self.order(command),
            Input::Command(None) => self.drain(),
            Input::Event(Ok(event)) => self.on_event(event),
            Input::Event(Err(error)) => self.on_lost_membership(&error).await,
            Input::Joined(membership, reading) => {
                self.joining = None;
                self.reading = reading;
                self.events = Some(membership.events);
                self.commits = Some(membership.commits);
            }
            Input::Measured(measured) => {
                self.measuring = None;
                self.on_measured(measured);
            }
            Input::Committed(Committing { end, unwritten }) => {
                self.committing = None;
                self.judging.clear();
                drop(self.verdicts.splice(..0, unwritten));
                self.machine.committed(end, now);
            }
            Input::ResetTold(told) => self.reset_told(told),
            Input::Parking(Some(done)) => self.on_parking(done),
            Input::ReplayRead(Some(read)) => self.replay_read(read),
            Input::ReplayTold(told) => self.replay_told(told),
            Input::Parking(None) | Input::ReplayRead(None) | Input::Woke => {}
            Input::Policies => self.follow(),
            Input::News => self.read_news(),
        }
    }

    /// Everything that is due by time, then the machine's actions.
    async fn advance(&mut self) {
        let now = Instant::now();
        if self.read_again_at.is_some_and(|at| at <= now) {
            self.read_again_at = None;
        }
        if self.next_tick <= now {
            self.next_tick = now + TICK;
            self.show_gauges();
            self.notice_redrives();
            self.look_at_parked();
            self.look_after_replay();
        }
        if !self.mailboxes.is_empty() {
            self.empty_since = None;
        } else if now.duration_since(*self.empty_since.get_or_insert(now)) >= self.linger()
            && matches!(self.phase, Phase::Serving)
        {
            self.phase = Phase::Ending;
            self.machine.drain(self.now());
        }
        self.follow_reset().await;
        self.feed_replay();
        let actions = self.machine.pump(self.now());
        if let Some(assignments) = self.machine.take_assignments() {
            self.note_assignments(assignments);
        }
        self.tell_receivers(&actions);
        self.perform(actions).await;
        self.leave_graves();
        if self.tell_at.is_some_and(|at| at <= now) {
            self.tell_assignments();
        }
    }

    fn wake(&self) -> Instant {
        let machine = self.machine.wake().map(|elapsed| self.started + elapsed);
        let linger = self
            .empty_since
            .filter(|_| matches!(self.phase, Phase::Serving))
            .map(|since| since + self.linger());
        let all = [machine, linger, self.read_again_at, self.tell_at, self.replay_due()];
        all.into_iter().flatten().min().map_or(self.next_tick, |at| at.min(self.next_tick))
    }

    fn linger(&self) -> Duration {
        let least =
            if self.holds_all() && self.machine.suspects_records() { LINGER_IN_SUSPICION } else { LINGER };
        least.max(self.machine.policy().reconnect_grace)
    }

    /// Whether every partition of the group's topics is held here.
    fn holds_all(&self) -> bool {
        let partitions = |topic| Some(self.shared.log.topic(topic)?.spec.partitions as usize);
        let all: Option<usize> = self.machine.policy().topics.iter().map(partitions).sum();
        all == Some(self.machine.own_partitions())
    }

    fn now(&self) -> Moment {
        Moment { elapsed: self.started.elapsed(), wall: self.shared.clock.now() }
    }

    fn topic(&self, slot: Slot) -> Option<&Topic> {
        if slot.is_redriven() {
            return Some(&self.redrives);
        }
        self.machine.policy().topics.get(usize::try_from(slot.index()).ok()?)
    }

    fn slot(&self, topic: &Topic, partition: Partition) -> Option<Slot> {
        if *topic == self.redrives {
            return Some(Slot { topic: REDRIVES, partition: partition.number() });
        }
        let index = self.machine.policy().topics.binary_search(topic).ok()?;
        Some(Slot { topic: u32::try_from(index).ok()?, partition: partition.number() })
    }
}

/// However the task ends, a panic included, no member waits for what never comes.
impl Drop for Owner {
    fn drop(&mut self) {
        self.end_members();
    }
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Owner").field("group", &self.group).field("phase", &self.phase).finish()
    }
}

/// Resolves with the future where there is one; never without.
async fn pending<T>(future: &mut Option<Pending<T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn next_event(events: &mut Option<Box<dyn MemberEvents>>) -> Result<MemberEvent, log::Error> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

/// Randomness for retry jitter; it need not be secret.
fn seed() -> u64 {
    getrandom::u64().unwrap_or(1)
}
