//! The subscriptions of one connection, and how their pushes become messages.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::delivery::{self, Member};
use crate::event::GroupName;
use crate::feed::{self, Subscription};
use crate::problem::{CloseCode, Problem};

use super::command::Reply;
use super::machine::{Ending, Order};
use super::push;

/// An open subscription. What is large is boxed, since a connection has room for many and mostly has one.
#[derive(Debug)]
pub(super) enum Source {
    Audience(Box<Audience>),
    Worker(Box<Worker>),
}

/// A broadcast subscription.
#[derive(Debug)]
pub(super) struct Audience {
    pub(super) subscription: Subscription,
    pub(super) is_paused: bool,
}

/// A membership of a group, and the orders its client gave it: they are carried out one after the other.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) member: Member,
    pub(super) group: GroupName,
    pub(super) tasks: VecDeque<Task>,
    pub(super) is_busy: bool,
    /// Whether it is to leave: nothing is pulled any more.
    pub(super) is_leaving: bool,
}

/// What a membership has yet to do.
#[derive(Debug)]
pub(super) enum Task {
    Order(Reply, Order),
    /// Leave with a close handshake; `None` when the connection ends.
    Leave(Option<Reply>),
}

/// What a source gave.
#[derive(Debug)]
pub(super) enum Pushes {
    Feed(Vec<feed::Push>),
    Delivery(Vec<delivery::Push>),
}

impl Source {
    pub(super) fn audience(subscription: Subscription) -> Self {
        Self::Audience(Box::new(Audience { subscription, is_paused: false }))
    }

    pub(super) fn worker(member: Member, group: GroupName) -> Self {
        let (tasks, is_busy, is_leaving) = (VecDeque::new(), false, false);
        Self::Worker(Box::new(Worker { member, group, tasks, is_busy, is_leaving }))
    }

    pub(super) fn sub(&self) -> u32 {
        match self {
            Self::Audience(audience) => audience.subscription.id().number(),
            Self::Worker(worker) => worker.member.id().number(),
        }
    }

    fn is_pulled(&self) -> bool {
        match self {
            Self::Audience(audience) => !audience.is_paused,
            Self::Worker(worker) => !worker.is_leaving,
        }
    }

    fn poll_next(&mut self, bytes_max: usize, context: &mut Context<'_>) -> Poll<Result<Pushes, Ending>> {
        Poll::Ready(match self {
            Self::Audience(audience) => match ready!(audience.subscription.poll_next(bytes_max, context)) {
                Ok(pushes) => Ok(Pushes::Feed(pushes)),
                Err(feed::Error::Slow { .. }) => Err(Ending::Close(CloseCode::Slow)),
                Err(error) => Err(Ending::Alone(Problem::from(&error))),
            },
            Self::Worker(worker) => match ready!(worker.member.poll_next(bytes_max, context)) {
                Ok(pushes) => Ok(Pushes::Delivery(pushes)),
                Err(error) => Err(Ending::Alone(Problem::from(&error))),
            },
        })
    }
}

/// What comes next from any of them, and from which. `turn` says who is asked first, so that a busy one does not
/// silence the others.
pub(super) fn poll_next(
    sources: &mut [Source],
    turn: usize,
    bytes_max: usize,
    context: &mut Context<'_>,
) -> Poll<(usize, Result<Pushes, Ending>)> {
    let first = turn.checked_rem(sources.len()).unwrap_or_default();
    let (before, after) = sources.split_at_mut(first);
    for (index, source) in (first..).zip(after).chain((0..).zip(before)) {
        if source.is_pulled()
            && let Poll::Ready(pushes) = source.poll_next(bytes_max, context)
        {
            return Poll::Ready((index, pushes));
        }
    }
    Poll::Pending
}

/// The message of a broadcast push.
pub(super) fn feed_message(sub: u32, push: &feed::Push) -> Bytes {
    match push {
        feed::Push::Event(frame) => frame.socket_json.clone(),
        feed::Push::Gap(gap) => push::gap(sub, gap),
        feed::Push::Positions { positions, cursor } => push::positions(sub, positions, cursor),
    }
}

/// The message of a group's push.
pub(super) fn delivery_message(sub: u32, push: delivery::Push) -> Bytes {
    match push {
        delivery::Push::Delivery { tag: _, frame } => frame,
        delivery::Push::Withdrawn { tags, reason } => push::withdrawn(sub, &tags, reason),
        delivery::Push::Assignment { partitions, lag, breaker, breaker_reason } => {
            push::assignment(sub, &partitions, lag, (breaker, breaker_reason))
        }
        delivery::Push::Gap { topic, partition, from, to, reason } => {
            let reason = match reason {
                delivery::GapReason::Retention => "retention",
            };
            push::missing(sub, &topic, partition, [from.number(), to.number()], reason)
        }
        delivery::Push::Draining => push::draining(sub),
    }
}
