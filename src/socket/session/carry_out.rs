//! What the machine says is done here, and what came of it goes back to the machine.
//!
//! Commands that wait are jobs beside the connection. Those to one group are carried out one after the other, since
//! their order matters; all others run side by side.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::delivery::{Member, Refused};
use crate::feed::Subscription;
use crate::problem::{Code, Problem};
use crate::socket::command::Reply;
use crate::socket::identity::Identity;
use crate::socket::job::{self, Done, Joining};
use crate::socket::machine::{Action, Input, Opened, Order};
use crate::socket::push::{self, Nothing};
use crate::socket::source::{Source, Task, Worker};
use crate::socket::wire::Turn;

use super::Session;
use super::phase::{Farewell, is_clean};

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Session<S> {
    /// Does what the machine says.
    pub(super) fn act(&mut self, action: Action) {
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
                    let feed = parts.feed.clone();
                    self.jobs.push(job::subscribe(feed, identity, self.rights, reply, *audience));
                }
            }
            Action::Join { reply, worker, credit } => {
                if let Some(identity) = self.identity.clone() {
                    let (group, is_adopting) = (worker.group.clone(), worker.adopt.is_some());
                    let joining = Joining { reply, group, credit, is_adopting };
                    let (delivery, connection) = (parts.delivery.clone(), self.connection.clone());
                    self.jobs.push(job::join(delivery, identity, connection, joining, *worker));
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
                self.phase = self.phase.finishing(farewell, Instant::now());
            }
        }
    }

    /// Tells the machine what came of a command.
    pub(super) fn on_job_done(&mut self, done: Done) {
        match done {
            Done::Identified { reply, outcome } => self.on_identified(Some(reply), outcome),
            Done::Subscribed { reply, rights, outcome } => {
                let outcome = outcome.and_then(|subscription| self.open_audience(subscription, rights));
                self.tell(Input::Opened { reply, group: None, outcome });
                self.fresh = None;
            }
            Done::Joined { joining, outcome } => {
                let outcome = outcome.and_then(|member| self.open_worker(member, &joining));
                let Joining { reply, group, .. } = joining;
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

    /// Puts a subscription before the machine; rights may have changed while it was being opened.
    fn open_audience(&mut self, mut subscription: Subscription, rights: u32) -> Result<Opened, Problem> {
        if rights != self.rights {
            subscription.recheck().map_err(|error| Problem::from(&error))?;
        }
        let ok = serde_json::json!({
            "sub": subscription.id(),
            "positions": subscription.positions(),
            "cursor": subscription.cursor().encode(),
            "resumed": subscription.is_resumed(),
        });
        let sub = subscription.id().number();
        self.fresh = Some(Source::audience(subscription));
        Ok(Opened { sub, ok })
    }

    /// Puts a membership before the machine; one that may not be any more, since rights or the group's topics changed
    /// while it joined, leaves at once.
    fn open_worker(&mut self, member: Member, joining: &Joining) -> Result<Opened, Problem> {
        let Joining { group, credit, is_adopting, .. } = joining;
        let policy = member.policy();
        let checked = match &self.identity {
            Some(identity) => identity.check_group(group, &policy.topics),
            None => Ok(()),
        };
        if let Err(error) = checked {
            self.jobs.push(job::leave(member, None));
            return Err(Problem::from(&error));
        }
        let mut ok = serde_json::json!({ "sub": member.id(), "policy": *policy, "credit": credit });
        if let (Some(members), true) = (ok.as_object_mut(), *is_adopting) {
            members.insert("adopted".to_owned(), member.adopted().into());
        }
        let sub = member.id().number();
        self.fresh = Some(Source::worker(member, group.clone()));
        Ok(Opened { sub, ok })
    }

    fn on_ordered(
        &mut self,
        reply: Reply,
        sub: u32,
        unknown: &[String],
        outcome: Result<Vec<Refused>, Problem>,
    ) {
        self.next_task(sub);
        match outcome {
            Ok(refused) if refused.is_empty() && unknown.is_empty() => self.done(reply),
            Ok(refused) => {
                self.wire.push(Turn::Urgent, push::settled(sub, &refused, unknown));
                if reply.id.is_some() {
                    let detail = match refused.len() + unknown.len() {
                        1 => "the settlement did not count; see settled".to_owned(),
                        count => format!("{count} settlements did not count; see settled"),
                    };
                    self.tell(Input::Done { reply, outcome: Err(Problem::new(Code::Conflict, detail)) });
                }
            }
            Err(problem) => self.tell(Input::Done { reply, outcome: Err(problem) }),
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
    pub(super) fn take(&mut self, sub: u32) -> Option<Source> {
        let at = self.sources.iter().position(|source| source.sub() == sub)?;
        let source = self.sources.swap_remove(at);
        match &source {
            Source::Audience(_) => self.shared.metrics.subscriptions_broadcast.dec(),
            Source::Worker(_) => self.shared.metrics.subscriptions_group.dec(),
        }
        Some(source)
    }

    /// Drops a subscription that ended by itself, or with the connection; what its client still waits for will not be
    /// done.
    pub(super) fn forget(&mut self, sub: u32) {
        let Some(Source::Worker(worker)) = self.take(sub) else { return };
        for task in worker.tasks {
            if let Task::Order(reply, _) | Task::Leave(Some(reply)) = task {
                self.tell(Input::Done { reply, outcome: Err(Problem::hidden(Code::Draining)) });
            }
        }
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
    pub(super) fn let_go(&mut self, sub: u32, reply: Option<Reply>) {
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

    /// Has every group leave with a close handshake.
    pub(super) fn leave_groups(&mut self) {
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
}
