//! Looks after the tails of a redrive: reads on where letters of parked keys came since, and ends when all of those keys
//! are released or none can be without a person.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::event::{Offset, Partition};

use super::super::super::key_hash::KeyHash;
use super::super::super::{Error, Exhausted};
use super::super::judging::{Finding, Readings, judge};
use super::super::parked::Place;
use super::job::{Job, Part};
use super::run::Run;
use super::tail::{Late, Tail};

/// How often tails are looked at: what comes between goes together.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Keys of which no letter is settled for so long stay parked: nobody works for the group, or the consumer hangs.
const STALL_MAX: Duration = Duration::from_secs(60);
/// And at the latest after so long: letters may come faster for ever than they are settled.
const CLOSE_MAX: Duration = Duration::from_secs(3_600);
/// What people are told meanwhile.
const WAITING: &str = "parked keys wait until the last of their letters are acknowledged";

type Which = (usize, Partition);

/// What is known of tails.
#[derive(Debug)]
pub(super) struct Closer {
    readings: BTreeMap<Which, Readings>,
    /// Keys that can be released, and the first letter of each that is not settled.
    going: BTreeMap<Which, HashMap<KeyHash, Offset>>,
    began: Option<Instant>,
    moved: Option<Instant>,
    looked: Option<Instant>,
}

impl Closer {
    pub(super) const fn new() -> Self {
        Self { readings: BTreeMap::new(), going: BTreeMap::new(), began: None, moved: None, looked: None }
    }

    /// What keys of a tail wait for; whether there are some.
    fn follow(&mut self, which: Which, finding: Finding) -> bool {
        let Finding { readings, closing, .. } = finding;
        self.readings.insert(which, readings);
        let now: HashMap<KeyHash, Offset> = closing.into_iter().collect();
        let is_any = !now.is_empty();
        if self.going.insert(which, now.clone()) != Some(now) {
            self.moved = Some(Instant::now());
        }
        is_any
    }

    fn is_late(&mut self) -> bool {
        let now = Instant::now();
        let began = *self.began.get_or_insert(now);
        let moved = *self.moved.get_or_insert(now);
        now - moved >= STALL_MAX || now - began >= CLOSE_MAX
    }
}

impl Run<'_> {
    /// Has what came behind the ends looked at; whether anything is left to do.
    pub(super) async fn close(&self, closer: &mut Closer) -> bool {
        let next = closer.looked.map(|looked| looked + LOOK_EVERY);
        if let Some(next) = next
            && timeout_at(next, self.halted()).await.is_ok()
        {
            return false;
        }
        closer.looked = Some(Instant::now());
        let mut open = Vec::new();
        for tail in self.copy().tails() {
            if self.is_halted() {
                return false;
            }
            match self.look_behind(tail, closer).await {
                Ok(Some(end)) => open.push((*tail, end)),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(redrive = %self.id(), %error, "a redrive cannot read on yet");
                    open.push((*tail, tail.next));
                }
            }
        }
        if closer.is_late() {
            tracing::info!(redrive = %self.id(), "parked keys stay parked: their letters are not settled");
            open.clear();
        }
        self.change(|copy| {
            copy.read_on(&open, WAITING);
            !copy.is_over()
        })
    }

    /// Where the letters behind a tail end; `None` where it has no key that can be released.
    async fn look_behind(&self, tail: &Tail, closer: &mut Closer) -> Result<Option<Offset>, Error> {
        let (shared, told) = (self.shared(), self.told());
        let policy = shared.policies.get(&told.group);
        let parks = policy.is_some_and(|policy| policy.on_exhausted == Exhausted::ParkKey);
        let Some(topic) = told.topics.get(tail.topic).filter(|_| parks) else { return Ok(None) };
        let place = Place { group: &told.group, topic, partition: tail.partition };
        let closing = tail.closing(told);
        let parked = shared.states.parked(place)?;
        if !parked.iter().any(|one| closing.takes(one.key, one.entry.letter)) {
            return Ok(None);
        }
        // Letters of a topic that was made anew are others.
        if self.topic(&tail.up_to(tail.next)).is_err() {
            return Ok(None);
        }
        let which = (tail.topic, tail.partition);
        let known = closer.readings.remove(&which).unwrap_or_default();
        let finding = judge(shared, place, known, Some(&closing)).await?;
        let end = finding.end;
        Ok(closer.follow(which, finding).then_some(end))
    }

    /// What goes back of a part, where it is a late one.
    pub(super) fn late(&self, part: &Part, closer: &Closer) -> Result<Option<Late<'_>>, Error> {
        let told = self.told();
        let Some(topic) = told.topics.get(part.topic).filter(|_| part.is_late) else { return Ok(None) };
        let Some(tail) = self.change(|copy: &mut Job| copy.tail_of(part).copied()) else { return Ok(None) };
        let place = Place { group: &told.group, topic, partition: part.partition };
        let going = closer.going.get(&(part.topic, part.partition));
        let keys = going.map(|going| going.keys().copied().collect::<HashSet<_>>());
        Late::of(self.shared(), place, &tail.closing(told), keys).map(Some)
    }
}
