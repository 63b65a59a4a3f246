//! The protocol of one connection as a pure state machine: input in, actions out, time as a parameter.
//!
//! It decides who may say what when, keeps every limit of the connection, and owns all its timers. It holds no
//! stream, no subscription and no principal; the session does what the actions say and brings back what came of it.
//!
//! ```text
//! Strange ── hello or handshake ──► Known ── close, fault, timer, drain ──► Leaving
//! ```

mod book;
mod introduction;
mod timers;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::event::GroupName;
use crate::problem::{CloseCode, Code, Problem};

use self::book::{Book, Kind};
use self::timers::{Due, Timers};
use super::Config;
use super::command::{Audience, Body, Command, Op, Publishing, Reply, Settling, Worker};
use super::push::{self, Nothing};
use super::wire::Turn;

/// What happens to a connection.
#[derive(Debug)]
pub(super) enum Input<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary,
    /// A ping or pong of the WebSocket protocol.
    Control,
    /// The client broke the WebSocket protocol, or its limits.
    Fault(CloseCode),
    /// A credential was checked.
    Identified { reply: Option<Reply>, outcome: Result<Identified, Refused> },
    /// A subscription is open, or could not be.
    Opened { reply: Reply, group: Option<GroupName>, outcome: Result<Opened, Problem> },
    /// A command was carried out.
    Done { reply: Reply, outcome: Result<serde_json::Value, Problem> },
    /// A subscription ended by itself.
    Ended { sub: u32, ending: Ending },
    /// The principal may no longer be connected.
    Outcast(CloseCode),
    /// More waits for the client than it may.
    Stuffed,
    /// The gateway drains: this connection leaves at `at` and may come back `delay` after that.
    Drain { at: Instant, delay: Duration },
    /// The gateway stops at once.
    Stop { delay: Duration },
    /// Time went by.
    Tick,
}

/// A credential that is good.
#[derive(Debug)]
pub(super) struct Identified {
    pub(super) principal: Arc<str>,
    pub(super) expires_in: Option<Duration>,
}

/// A credential that is not: what to answer, and the close code where there is nothing to fall back on.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) problem: Problem,
    pub(super) close: CloseCode,
}

/// An open subscription, and the members of its answer.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) sub: u32,
    pub(super) ok: serde_json::Value,
}

/// Why a subscription ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// The connection goes on without it.
    Alone(Problem),
    /// It takes the connection with it.
    Close(CloseCode),
}

/// What the session is to do.
#[derive(Debug)]
pub(super) enum Action {
    /// Send a message.
    Send(Turn, Bytes),
    /// Check a token: the connection's first, or its next.
    Identify { reply: Reply, token: String },
    /// Open a broadcast subscription.
    Subscribe { reply: Reply, audience: Box<Audience> },
    /// Join a group.
    Join { reply: Reply, worker: Box<Worker>, credit: u32 },
    /// Serve the subscription just opened.
    Keep,
    /// Let go of the subscription just opened.
    Discard,
    /// End a subscription.
    Drop { reply: Reply, sub: u32 },
    /// Have a subscription do something.
    Order { reply: Reply, sub: u32, order: Order },
    /// Publish an event.
    Publish { reply: Reply, publishing: Box<Publishing> },
    /// Say `bye` and close.
    Close { code: CloseCode, detail: Option<&'static str>, delay: Option<Duration> },
}

/// What a client wants of one of its subscriptions.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    Settle(Settling),
    Credit(u32),
    Pause,
    Resume,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nobody has said who the client is.
    Strange,
    Known,
    Leaving,
}

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Machine {
    config: Config,
    connection: Arc<str>,
    node: Arc<str>,
    stage: Stage,
    principal: Option<Arc<str>>,
    is_identifying: bool,
    timers: Timers,
    second: (Instant, u32),
    book: Book,
}

impl Machine {
    /// A connection that nobody has vouched for yet.
    pub(super) fn new(config: Config, connection: Arc<str>, node: Arc<str>, now: Instant) -> Self {
        Self {
            config,
            connection,
            node,
            stage: Stage::Strange,
            principal: None,
            is_identifying: false,
            timers: Timers::new(config.hello_timeout, config.ping, config.pong, now),
            second: (now, 0),
            book: Book::new(config.subscriptions_max, config.in_flight_max),
        }
    }

    /// Takes one input; what is to be done is added to `actions`, in order.
    pub(super) fn on(&mut self, input: Input<'_>, now: Instant, actions: &mut Vec<Action>) {
        match input {
            Input::Text(text) => {
                if self.hear(now, actions) {
                    self.on_text(text, now, actions);
                }
            }
            Input::Binary => {
                if self.hear(now, actions) {
                    self.close(CloseCode::Unsupported, actions);
                }
            }
            Input::Control => {
                self.hear(now, actions);
            }
            Input::Fault(code) | Input::Outcast(code) => self.close(code, actions),
            Input::Identified { reply, outcome } => self.on_identified(reply, outcome, now, actions),
            Input::Opened { reply, group, outcome } => {
                self.on_opened(&reply, group.as_ref(), outcome, actions)
            }
            Input::Done { reply, outcome } => self.on_done(&reply, outcome, actions),
            Input::Ended { sub, ending } => self.on_ended(sub, ending, actions),
            Input::Stuffed => self.close(CloseCode::Slow, actions),
            Input::Drain { at, delay } => self.timers.drain(at, delay),
            Input::Stop { delay } => self.close_with(CloseCode::Drain, None, Some(delay), actions),
            Input::Tick => {}
        }
        self.on_time(now, actions);
    }

    /// Says whether the session reads; while it does not, silence is not the client's fault.
    pub(super) const fn set_reading(&mut self, is_reading: bool) {
        self.timers.set_reading(is_reading);
    }

    /// When to come back with [`Input::Tick`] at the latest; `None` when nothing is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (self.stage != Stage::Leaving).then(|| self.timers.deadline())
    }

    /// Counts a message; false when it is not to be looked at.
    fn hear(&mut self, now: Instant, actions: &mut Vec<Action>) -> bool {
        if self.stage == Stage::Leaving {
            return false;
        }
        self.timers.hear(now);
        let (since, count) = self.second;
        self.second = if now - since >= Duration::from_secs(1) { (now, 1) } else { (since, count + 1) };
        if self.second.1 > self.config.messages_per_second_max {
            self.close(CloseCode::MessageRate, actions);
            return false;
        }
        true
    }

    fn on_text(&mut self, text: &str, now: Instant, actions: &mut Vec<Action>) {
        match Command::parse(text) {
            Ok(Command { reply, body: Ok(body) }) => self.on_command(reply, body, now, actions),
            Ok(Command { reply, body: Err(problem) }) => self.refuse(&reply, &problem, actions),
            Err(malformed) => self.close_with(CloseCode::BadMessage, Some(malformed.0), None, actions),
        }
    }

    fn on_command(&mut self, reply: Reply, body: Body, now: Instant, actions: &mut Vec<Action>) {
        let body = match body {
            Body::Hello { token } => return self.on_hello(reply, token, now, actions),
            Body::Ping if reply.id.is_none() => {
                return actions.push(Action::Send(Turn::Urgent, push::pong()));
            }
            Body::Pong if reply.id.is_none() => return,
            Body::Ping | Body::Pong => return accept(&reply, Nothing {}, actions),
            body => body,
        };
        if self.stage != Stage::Known {
            let problem = Problem::new(Code::Unauthenticated, "say hello with a token first");
            return self.refuse(&reply, &problem, actions);
        }
        match body {
            Body::Subscribe(audience) => self.on_subscribe(reply, audience, actions),
            Body::Join(worker) => self.on_join(reply, worker, actions),
            Body::Unsubscribe { sub } => self.on_unsubscribe(reply, sub, actions),
            Body::Settle { sub, settling } => self.on_order(reply, sub, Order::Settle(settling), actions),
            Body::Credit { sub, credit } => self.on_order(reply, sub, Order::Credit(credit), actions),
            Body::Pause { sub } => self.on_order(reply, sub, Order::Pause, actions),
            Body::Resume { sub } => self.on_order(reply, sub, Order::Resume, actions),
            Body::Publish(publishing) => actions.push(Action::Publish { reply, publishing }),
            Body::Refresh { token } => self.identify(reply, token, actions),
            Body::Hello { .. } | Body::Ping | Body::Pong => {}
        }
    }

    fn on_subscribe(&mut self, reply: Reply, audience: Box<Audience>, actions: &mut Vec<Action>) {
        match self.check_staying().and_then(|()| self.book.reserve(None, 0)) {
            Ok(()) => actions.push(Action::Subscribe { reply, audience }),
            Err(problem) => self.refuse(&reply, &problem, actions),
        }
    }

    fn on_join(&mut self, reply: Reply, worker: Box<Worker>, actions: &mut Vec<Action>) {
        let credit = worker.credit(self.config.in_flight_max);
        match self.check_staying().and_then(|()| self.book.reserve(Some(&worker.group), credit)) {
            Ok(()) => actions.push(Action::Join { reply, worker, credit }),
            Err(problem) => self.refuse(&reply, &problem, actions),
        }
    }

    fn on_opened(
        &mut self,
        reply: &Reply,
        group: Option<&GroupName>,
        outcome: Result<Opened, Problem>,
        actions: &mut Vec<Action>,
    ) {
        match outcome {
            Err(problem) => {
                self.book.release(group);
                self.refuse(reply, &problem, actions);
            }
            Ok(Opened { sub, ok }) => match self.check_staying().and_then(|()| self.book.open(group, sub)) {
                Ok(()) => {
                    accept(reply, ok, actions);
                    actions.push(Action::Keep);
                }
                Err(problem) => {
                    self.book.release(group);
                    actions.push(Action::Discard);
                    self.refuse(reply, &problem, actions);
                }
            },
        }
    }

    fn on_unsubscribe(&mut self, reply: Reply, sub: u32, actions: &mut Vec<Action>) {
        if self.book.close(sub) {
            actions.push(Action::Drop { reply, sub });
        } else {
            self.refuse(&reply, &no_such_sub(sub), actions);
        }
    }

    /// Passes an order on to a subscription that exists and is of the kind it needs.
    fn on_order(&mut self, reply: Reply, sub: u32, order: Order, actions: &mut Vec<Action>) {
        let allowed = match (&order, self.book.kind(sub)) {
            (_, None) => Err(no_such_sub(sub)),
            (Order::Settle(_) | Order::Credit(_), Some(Kind::Audience)) => {
                let detail = format!("sub {sub} is no group's: it has neither deliveries nor credit");
                Err(Problem::new(Code::BadRequest, detail))
            }
            (Order::Credit(credit), Some(Kind::Worker)) => self.book.set_credit(sub, *credit),
            (Order::Settle(_), Some(Kind::Worker)) | (Order::Pause | Order::Resume, Some(_)) => Ok(()),
        };
        match allowed {
            Ok(()) => actions.push(Action::Order { reply, sub, order }),
            Err(problem) => self.refuse(&reply, &problem, actions),
        }
    }

    fn on_done(
        &mut self,
        reply: &Reply,
        outcome: Result<serde_json::Value, Problem>,
        actions: &mut Vec<Action>,
    ) {
        match outcome {
            Ok(ok) => {
                // Settlements and the like are answered only when they ask for it; what has a result always is.
                if reply.id.is_some() || matches!(reply.op, Some(Op::Publish | Op::Unsubscribe)) {
                    let turn = if reply.op == Some(Op::Unsubscribe) { Turn::Data } else { Turn::Urgent };
                    actions.push(Action::Send(turn, push::ok(reply, ok)));
                }
            }
            Err(problem) => self.refuse(reply, &problem, actions),
        }
    }

    fn on_ended(&mut self, sub: u32, ending: Ending, actions: &mut Vec<Action>) {
        let was_open = self.book.close(sub);
        match ending {
            Ending::Alone(problem) if was_open => {
                actions.push(Action::Send(Turn::Data, push::unsubscribed(sub, &problem, &self.connection)));
            }
            Ending::Alone(_) => {}
            Ending::Close(code) => self.close(code, actions),
        }
    }

    fn on_time(&mut self, now: Instant, actions: &mut Vec<Action>) {
        while self.stage != Stage::Leaving {
            match self.timers.due(now) {
                Some(Due::Close(code)) => self.close(code, actions),
                Some(Due::Leave(delay)) => self.close_with(CloseCode::Drain, None, Some(delay), actions),
                Some(Due::TellExpiry(left)) => actions.push(Action::Send(Turn::Urgent, push::expiring(left))),
                Some(Due::Ping) => actions.push(Action::Send(Turn::Urgent, push::ping())),
                None => return,
            }
        }
    }

    /// Whether the connection takes new subscriptions: not once it is to leave.
    fn check_staying(&self) -> Result<(), Problem> {
        if self.timers.is_draining() || self.stage == Stage::Leaving {
            return Err(Problem::hidden(Code::Draining));
        }
        Ok(())
    }

    fn refuse(&self, reply: &Reply, problem: &Problem, actions: &mut Vec<Action>) {
        actions.push(Action::Send(Turn::Urgent, push::error(reply, problem, &self.connection)));
    }

    fn close(&mut self, code: CloseCode, actions: &mut Vec<Action>) {
        self.close_with(code, None, None, actions);
    }

    fn close_with(
        &mut self,
        code: CloseCode,
        detail: Option<&'static str>,
        delay: Option<Duration>,
        actions: &mut Vec<Action>,
    ) {
        if self.stage != Stage::Leaving {
            self.stage = Stage::Leaving;
            actions.push(Action::Close { code, detail, delay });
        }
    }
}

fn accept(reply: &Reply, ok: impl serde::Serialize, actions: &mut Vec<Action>) {
    actions.push(Action::Send(Turn::Urgent, push::ok(reply, ok)));
}

fn no_such_sub(sub: u32) -> Problem {
    Problem::new(Code::NotFound, format!("this connection has no sub {sub}"))
}

#[cfg(test)]
mod tests;
