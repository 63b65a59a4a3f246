//! A subscription: a place in each partition, and what comes next there.
//!
//! It is driven by its connection alone: [`Subscription::next`] takes what rings and blocks have at hand, asks the
//! backlog for more where a place lies behind, and otherwise waits for its bell. Between calls it holds no reader
//! and no record.

mod work;

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::event::{Cursor, Pattern, Positions, Topic};

use super::bell::Bell;
use super::channel::Channel;
use super::hub::Hub;
use super::ring::Budget;
use super::seat::{Place, Reading, Seat};
use super::start::{Begun, Start};
use super::stream::{SKIPPED_MAX, Stream};
use super::{Admission, Error, Gap, Push, SubscriptionId};
use work::Work;

/// A place in each partition of the topics asked for. Ends when dropped.
pub struct Subscription {
    hub: Arc<Hub>,
    channel: Arc<Channel>,
    admission: Arc<dyn Fn(&Topic) -> Admission + Send + Sync>,
    bell: Arc<Bell>,
    bell_place: usize,
    seats: Vec<Seat>,
    /// The hub's version up to which topics are known here.
    version: u64,
    /// Topics to be opened, and where they begin.
    joining: Vec<(Topic, Start)>,
    gaps: Vec<Gap>,
    work: Option<Work>,
    turn: usize,
    skipped: u64,
    is_resumed: bool,
}

/// A subscription's parts, as [`super::Feed::subscribe`] finds them.
pub(super) struct Parts {
    pub(super) hub: Arc<Hub>,
    pub(super) channel: Arc<Channel>,
    pub(super) admission: Arc<dyn Fn(&Topic) -> Admission + Send + Sync>,
    pub(super) version: u64,
    pub(super) opened: Vec<(Arc<Stream>, Begun)>,
    pub(super) is_resume: bool,
}

impl Subscription {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { hub, channel, admission, version, opened, is_resume } = parts;
        let (bell, bell_place) = hub.bell();
        hub.metrics.subscriptions.inc();
        let mut subscription = Self {
            hub,
            channel,
            admission,
            bell,
            bell_place,
            seats: Vec::with_capacity(opened.len()),
            version,
            joining: Vec::new(),
            gaps: Vec::new(),
            work: None,
            turn: 0,
            skipped: 0,
            is_resumed: false,
        };
        for (stream, begun) in opened {
            subscription.sit(stream, begun);
        }
        subscription.is_resumed = is_resume && subscription.gaps.is_empty();
        subscription
    }

    /// What comes next: waits for at least one, then gives what is there, up to about `bytes_max` of frames. Cancel
    /// safe.
    ///
    /// # Errors
    /// [`Error::Slow`] when it fell behind and asked for that, [`Error::Closed`] when the feed ends, or what the log
    /// says.
    pub async fn next(&mut self, bytes_max: usize) -> Result<Vec<Push>, Error> {
        poll_fn(|context| self.poll_next(bytes_max, context)).await
    }

    /// As [`Subscription::next`], for who waits for many things at once.
    ///
    /// # Errors
    /// As [`Subscription::next`].
    pub fn poll_next(
        &mut self,
        bytes_max: usize,
        context: &mut Context<'_>,
    ) -> Poll<Result<Vec<Push>, Error>> {
        let pushes = ready!(self.poll_step(Budget::new(bytes_max, usize::MAX), context)?);
        if pushes.is_empty() {
            // Others get their turn before it looks again.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(pushes))
    }

    /// Asks admission again for every topic: call when grants changed. A topic now admitted joins at its end.
    ///
    /// # Errors
    /// [`Error::Forbidden`] when a topic named literally may no longer be read: the subscription must end.
    pub fn recheck(&mut self) -> Result<(), Error> {
        let mut seats = mem::take(&mut self.seats);
        let mut forbidden = None;
        seats.retain_mut(|seat| {
            let admitted = self.admitted(&seat.stream.topic);
            let is_kept = admitted != Admission::Denied;
            if is_kept {
                seat.select(admitted.rows(), &self.bell);
            } else if self.names(&seat.stream.topic, Pattern::is_literal) {
                forbidden = Some(seat.stream.topic.clone());
            }
            is_kept
        });
        self.seats = seats;
        if let Some(topic) = forbidden {
            return Err(Error::Forbidden(topic));
        }
        for topic in self.hub.log.topics().into_iter().map(|info| info.spec.name) {
            self.consider(topic, Start::Latest);
        }
        Ok(())
    }

    /// Its `sub`.
    #[must_use]
    pub fn id(&self) -> SubscriptionId {
        self.channel.id
    }

    /// Whether it began at a cursor or positions and nothing was missing.
    #[must_use]
    pub const fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// The next offset of every partition, after all that was handed out.
    #[must_use]
    pub fn positions(&self) -> Positions {
        let mut positions = Positions::new();
        self.seats.iter().for_each(|seat| seat.positions(|_| true, &mut positions));
        positions
    }

    /// The same place as a cursor.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        let entry = |seat: &Seat| {
            let places = seat.places.iter().map(|place| (place.partition.number, place.at));
            (seat.stream.topic.clone(), seat.stream.incarnation.0, places.collect())
        };
        Cursor { entries: self.seats.iter().map(entry).collect() }
    }

    /// One step: takes what is at hand; where nothing is, waits for something to happen and answers nothing.
    pub(super) fn poll_step(
        &mut self,
        budget: Budget,
        context: &mut Context<'_>,
    ) -> Poll<Result<Vec<Push>, Error>> {
        if self.bell.take_rung() {
            self.seats.iter_mut().for_each(Seat::wake);
        }
        self.look_around()?;
        // Asked before the rings, so that steady live traffic cannot keep a place from catching up.
        self.poll_work(context)?;
        let (pushes, has_moved_behind) = self.take(budget)?;
        if has_moved_behind || !pushes.is_empty() {
            return Poll::Ready(Ok(pushes));
        }
        if self.work.is_none() {
            self.work = self.start_work();
            if self.poll_work(context)? {
                return Poll::Ready(Ok(pushes));
            }
        }
        ready!(self.bell.poll_rung(context));
        self.seats.iter_mut().for_each(Seat::wake);
        Poll::Ready(Ok(pushes))
    }

    /// Goes on with the work; answers whether it got done.
    fn poll_work(&mut self, context: &mut Context<'_>) -> Result<bool, Error> {
        let Some(work) = &mut self.work else { return Ok(false) };
        let Poll::Ready(done) = work.as_mut().poll(context) else { return Ok(false) };
        self.work = None;
        self.apply(done)?;
        Ok(true)
    }

    /// Whether every place has come to these positions.
    pub(super) fn has_reached(&self, ends: &Positions) -> bool {
        self.seats.iter().all(|seat| {
            let Some(ends) = ends.get(&seat.stream.topic) else { return true };
            seat.places
                .iter()
                .all(|place| ends.get(&place.partition.number).is_none_or(|end| place.at >= *end))
        })
    }

    /// The streams it reads.
    pub(super) fn streams(&self) -> impl Iterator<Item = &Arc<Stream>> {
        self.seats.iter().map(|seat| &seat.stream)
    }

    fn take(&mut self, budget: Budget) -> Result<(Vec<Push>, bool), Error> {
        let mut reading = Reading {
            sub: self.channel.id,
            on_slow: self.channel.wish.on_slow,
            backlog: &self.hub.backlog,
            metrics: &self.hub.metrics,
            budget,
            pushes: self.gaps.drain(..).map(Push::Gap).collect(),
            skipped: self.skipped,
            has_moved_behind: false,
        };
        let first = self.turn.checked_rem(self.seats.len()).unwrap_or_default();
        let (before, after) = self.seats.split_at_mut(first);
        for seat in after.iter_mut().chain(before) {
            seat.read(self.turn, &mut reading)?;
        }
        let Reading { mut pushes, skipped, has_moved_behind, budget, .. } = reading;
        self.skipped = skipped;
        if budget.is_spent() || has_moved_behind {
            self.turn = self.turn.wrapping_add(1);
        }
        if self.skipped >= SKIPPED_MAX || self.bell.take_report_due() {
            pushes.extend(self.report());
        }
        Ok((pushes, has_moved_behind))
    }

    fn report(&mut self) -> Option<Push> {
        self.skipped = 0;
        let mut positions = Positions::new();
        for seat in &mut self.seats {
            seat.positions(Place::has_moved, &mut positions);
            seat.mark_reported();
        }
        (!positions.is_empty()).then(|| Push::Positions { positions, cursor: self.cursor() })
    }

    /// Sees to what changed around it: the feed's end, topics new, grown or gone.
    fn look_around(&mut self) -> Result<(), Error> {
        if self.hub.is_closed() {
            return Err(Error::Closed);
        }
        let version = self.hub.version();
        if version != self.version {
            for topic in self.hub.topics_since(self.version) {
                self.consider(topic, Start::Given(BTreeMap::new()));
            }
            self.seats.iter_mut().for_each(Seat::grow);
            self.version = version;
        }
        for seat in self.seats.iter_mut().filter(|seat| seat.stream.is_gone() && !seat.is_moving) {
            let topic = &seat.stream.topic;
            let Some(info) = self.hub.log.topic(topic) else { continue };
            if info.incarnation != seat.stream.incarnation {
                let stood = seat.places.iter().map(|place| (place.partition.number, place.at));
                self.joining.push((topic.clone(), Start::Recreated(stood.collect())));
                seat.is_moving = true;
            }
        }
        Ok(())
    }

    /// Opens the topic if it is wanted, admitted and not open yet.
    fn consider(&mut self, topic: Topic, start: Start) {
        let is_open = self.seats.iter().any(|seat| seat.stream.topic == topic)
            || self.joining.iter().any(|(joining, _)| *joining == topic);
        if !is_open && self.names(&topic, |_| true) && self.admitted(&topic) != Admission::Denied {
            self.joining.push((topic, start));
        }
    }

    fn names(&self, topic: &Topic, is_meant: impl Fn(&Pattern) -> bool) -> bool {
        let names = |pattern: &&Pattern| is_meant(pattern) && covers(pattern, topic);
        self.channel.wish.topics.iter().any(|pattern| names(&pattern))
    }

    /// What of this topic may be seen and is wanted.
    fn admitted(&self, topic: &Topic) -> Admission {
        (self.admission)(topic).narrowed(self.channel.wish.filter.as_ref())
    }
}

/// Whether the pattern means this topic.
pub(super) fn covers(pattern: &Pattern, topic: &Topic) -> bool {
    pattern.matches(topic.as_str())
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.remove_bell(self.bell_place);
        self.hub.metrics.subscriptions.dec();
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Subscription")
            .field("channel", &self.channel)
            .field("seats", &self.seats)
            .finish_non_exhaustive()
    }
}
