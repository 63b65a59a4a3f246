//! Who grants wishes: each once however many wish it, a few at a time, and one alone while the registry does not answer.
//!
//! What is known is asked for again when it is due, by nobody's wish.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::client::{Error, Patience, jittered};
use super::fetch;
use super::handle::Shared;
use super::wish::{Wish, Wished};
use crate::event::{EventType, LiveCatalogue};

/// So many requests are under way at once.
const FLIGHTS_MAX: usize = 8;
/// So many wishes wait at most; one more is dropped, and comes again where it is still needed.
const QUEUE_MAX: usize = 32_768;
/// How often it is looked for what is due.
const TICK: Duration = Duration::from_secs(1);
/// How long a registry that did not answer is left alone.
const AWAY: Duration = Duration::from_secs(2);
/// So many failures that concern one schema are remembered, so that each is told once.
const TOLD_MAX: usize = 1_000;

/// Grants wishes for as long as it runs.
#[derive(Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
    wished: mpsc::Receiver<Wished>,
}

type Flight = BoxFuture<'static, (Wish, Result<(), Error>)>;

/// What is under way.
struct Work {
    shared: Arc<Shared>,
    queue: VecDeque<Wish>,
    flights: FuturesUnordered<Flight>,
    /// All wishes in the queue or under way, and who waits for them.
    waiting: HashMap<Wish, Vec<oneshot::Sender<()>>>,
    /// The catalogue's types that the registry was not asked of yet.
    unasked: HashSet<EventType>,
    /// The registry is left alone until then.
    away_until: Option<Instant>,
    told: HashSet<Wish>,
}

impl Keeper {
    pub(super) const fn new(shared: Arc<Shared>, wished: mpsc::Receiver<Wished>) -> Self {
        Self { shared, wished }
    }

    /// Fetches what the catalogue's types are judged by, and keeps that up to date; grants what others wish. Ends when
    /// nobody can wish any more.
    pub async fn run(mut self, catalogue: LiveCatalogue) {
        let mut work = Work::new(Arc::clone(&self.shared), types_of(&catalogue));
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            work.start();
            // All three may be dropped and asked again: a channel, a set of futures, a clock.
            tokio::select! {
                wished = self.wished.recv() => match wished {
                    Some((wish, waiter)) => work.want(wish, waiter),
                    None => return,
                },
                Some((wish, outcome)) = work.flights.next() => work.end(&wish, outcome),
                _ = ticks.tick() => work.renew(types_of(&catalogue)),
            }
        }
    }
}

/// What is at the bottom of an error, where it has a cause.
fn root(error: &Error) -> Option<String> {
    let first = std::error::Error::source(error);
    std::iter::successors(first, |cause| cause.source()).last().map(ToString::to_string)
}

fn types_of(catalogue: &LiveCatalogue) -> HashSet<EventType> {
    catalogue.load().rules().flat_map(|rule| rule.event_types.iter().cloned()).collect()
}

impl Work {
    fn new(shared: Arc<Shared>, unasked: HashSet<EventType>) -> Self {
        shared.is_ready.store(unasked.is_empty(), Ordering::Relaxed);
        shared.metrics.is_up.set(1);
        Self {
            shared,
            queue: VecDeque::new(),
            flights: FuturesUnordered::new(),
            waiting: HashMap::new(),
            unasked,
            away_until: None,
            told: HashSet::new(),
        }
    }

    /// Takes in what somebody wishes, which comes before what is only due. What is wished already is granted once.
    fn want(&mut self, wish: Wish, waiter: Option<oneshot::Sender<()>>) {
        if let Some(waiters) = self.waiting.get_mut(&wish) {
            waiters.extend(waiter);
        } else if self.queue.len() < QUEUE_MAX {
            self.waiting.insert(wish.clone(), waiter.into_iter().collect());
            self.queue.push_front(wish);
        }
    }

    /// Wishes for what is due: the catalogue's types, and others that have something.
    fn renew(&mut self, catalogue: HashSet<EventType>) {
        let named = catalogue.into_iter().filter(|one| !self.shared.types.is_fresh(one));
        let mut due: Vec<Wish> = named.map(Wish::Type).filter(|wish| !self.told.contains(wish)).collect();
        due.extend(self.shared.types.due().into_iter().map(Wish::Type));
        // While it does not answer, one question is enough to see whether it does again.
        due.truncate(if self.is_reachable() { usize::MAX } else { 1 });
        for wish in due {
            if !self.waiting.contains_key(&wish) && self.queue.len() < QUEUE_MAX {
                self.waiting.insert(wish.clone(), Vec::new());
                self.queue.push_back(wish);
            }
        }
        self.shared.metrics.event_types.set(i64::try_from(self.shared.types.len()).unwrap_or(i64::MAX));
    }

    /// Begins as much as may be under way.
    fn start(&mut self) {
        if self.away_until.is_some_and(|until| Instant::now() < until) {
            // Nobody shall wait for what is known to fail.
            while let Some(wish) = self.queue.pop_front() {
                self.tell(&wish);
            }
            return;
        }
        let (flights_max, patience) =
            if self.is_reachable() { (FLIGHTS_MAX, Patience::Some) } else { (1, Patience::None) };
        while self.flights.len() < flights_max
            && let Some(wish) = self.queue.pop_front()
        {
            let shared = Arc::clone(&self.shared);
            let flight = async move {
                let outcome = fetch::fetch(&shared, &wish, patience).await;
                (wish, outcome)
            };
            self.flights.push(flight.boxed());
        }
    }

    /// Takes the outcome of a wish in.
    fn end(&mut self, wish: &Wish, outcome: Result<(), Error>) {
        match outcome {
            Ok(()) => {
                self.told.remove(wish);
                self.found(wish);
            }
            Err(error) if error.is_of_one() => {
                self.tell_of_one(wish, &error);
                if let Wish::Type(event_type) = wish {
                    self.shared.types.put_off(event_type);
                }
                self.found(wish);
            }
            Err(error) => self.lost(&error),
        }
        self.tell(wish);
    }

    /// The registry answered.
    fn found(&mut self, wish: &Wish) {
        if let Wish::Type(event_type) = wish
            && self.unasked.remove(event_type)
            && self.unasked.is_empty()
        {
            self.shared.is_ready.store(true, Ordering::Relaxed);
        }
        self.away_until = None;
        if !self.shared.is_reachable.swap(true, Ordering::Relaxed) {
            self.shared.metrics.is_up.set(1);
            tracing::info!("the schema registry answers again");
        }
    }

    /// The registry did not answer.
    fn lost(&mut self, error: &Error) {
        self.away_until = Some(Instant::now() + jittered(AWAY));
        let cause = root(error);
        if self.shared.is_reachable.swap(false, Ordering::Relaxed) {
            self.shared.metrics.is_up.set(0);
            tracing::warn!(
                %error,
                cause,
                "cannot ask the schema registry; known schemas go on, event types of others are answered 503"
            );
        } else {
            tracing::debug!(%error, cause, "still cannot ask the schema registry");
        }
    }

    fn tell_of_one(&mut self, wish: &Wish, error: &Error) {
        let cause = root(error);
        if self.told.len() >= TOLD_MAX {
            self.told.clear();
        }
        if self.told.insert(wish.clone()) {
            tracing::warn!(%error, cause, "the schema registry has {wish} in a form that cannot be used");
        }
    }

    /// Tells those who wait for a wish that nothing more is done about it.
    fn tell(&mut self, wish: &Wish) {
        for waiter in self.waiting.remove(wish).unwrap_or_default() {
            // Whoever waits no longer needs no answer.
            waiter.send(()).unwrap_or_default();
        }
    }

    fn is_reachable(&self) -> bool {
        self.shared.is_reachable.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
