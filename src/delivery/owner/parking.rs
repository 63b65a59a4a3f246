//! Parked keys around the machine (`on_exhausted: park_key`): which are parked is read before a partition starts, letters
//! are written in order, which those of any policy are, that a key is parked becomes durable behind its letter, and keys
//! are released.
//!
//! ```text
//! assigned ── read ── machine.parked, or machine.barred of letters that come back
//! Bury ── grave ── letters, in order ──┬──────────────────── machine.buried
//!                                      └ parks its key ── table ──┘
//! tick ── letters changed? ── judge ── machine.begin_release ── table ── machine.end_release
//!      └─ a redrive at its end? ─┘ └── machine.begin_closing, machine.end_closing
//! ```
//! Only this task has letters of its partitions written, so a key of which none is being written, and none was since its
//! letters were read, has no other letters.

mod closing;
mod graves;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep};

use crate::event::{Offset, Partition};

use super::super::burial::{Buried, bury_in_order};
use super::super::dead_letters::{Closing, Finding, NewPark, Place, Readings, Unparked, judge};
use super::super::group::{Burial, Slot};
use super::super::key_hash::KeyHash;
use super::super::redrive::Ranked;
use super::super::{Error, Exhausted};
use super::{Owner, Pending};
use closing::Waits;
use graves::Graves;

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How often it is looked for letters that have gone with retention.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What the task does for parked keys.
#[derive(Default)]
pub(super) struct Parking {
    graves: Graves,
    /// Letters that are durable, of keys that are to be parked.
    to_park: Vec<Buried>,
    is_parking: bool,
    failures: u32,
    wards: BTreeMap<Slot, Ward>,
    /// Partitions whose parked keys are to be judged.
    due: BTreeSet<Slot>,
    is_judging: bool,
    /// How often the table had changed when that was looked at last.
    changes: u64,
    look_at: Option<Instant>,
    pub(super) work: FuturesUnordered<Pending<Done>>,
}

/// An assigned partition whose parked keys are known.
struct Ward {
    epoch: u64,
    mark: Arc<str>,
    readings: Readings,
    /// The last letter of each key written here.
    last: HashMap<KeyHash, Offset>,
    /// What a redrive does for its keys.
    closing: Option<Closing>,
    waits: Waits,
}

/// What has ended.
#[derive(Debug)]
pub(super) enum Done {
    Read(Slot, u64, Arc<str>, Vec<(KeyHash, u64)>),
    /// Letters that died again, by partition, for partitions under their epochs.
    Barred(Vec<(Slot, u64)>, BTreeMap<Partition, Vec<Ranked>>),
    Buried(Slot, Vec<Buried>),
    /// How many of them are.
    Parked(Vec<Buried>, Result<usize, Error>),
    Judged(Slot, u64, Result<Finding, Error>),
    Unparked(Slot, u64, KeyHash, Unparked),
}

impl Owner {
    /// Partitions came: the machine waits to hear which of their keys are parked.
    pub(super) fn read_parked(&mut self, slots: &[Slot]) {
        if self.machine.policy().on_exhausted != Exhausted::ParkKey {
            return;
        }
        let mut redriven = Vec::new();
        for slot in slots.iter().filter(|slot| !slot.is_replayed()) {
            let Some(epoch) = self.machine.epoch(*slot) else { continue };
            let Some((topic, partition)) = self.place(*slot) else { continue };
            if slot.is_redriven() {
                redriven.push((*slot, epoch));
                continue;
            }
            let (shared, group, slot) = (Arc::clone(&self.shared), self.group.clone(), *slot);
            let mark: Arc<str> = format!("{epoch}-{:016x}", super::seed()).into();
            self.parking.work.push(Box::pin(async move {
                let place = Place { group: &group, topic: &topic, partition };
                let mut failures = 0;
                loop {
                    match shared.states.take_parked(place, &mark).await {
                        Ok(keys) => return Done::Read(slot, epoch, mark, keys),
                        Err(error) => {
                            tracing::warn!(%group, %topic, %partition, %error, "parked keys cannot be read yet; the partition waits");
                        }
                    }
                    back_off(&mut failures).await;
                }
            }));
        }
        if !redriven.is_empty() {
            self.read_bars(redriven);
        }
    }

    /// Partitions of letters that come back wait to hear which of them died again.
    fn read_bars(&self, slots: Vec<(Slot, u64)>) {
        let (shared, group) = (Arc::clone(&self.shared), self.group.clone());
        self.parking.work.push(Box::pin(async move {
            let mut failures = 0;
            loop {
                match shared.states.bars(&group).await {
                    Ok(bars) => return Done::Barred(slots, bars),
                    Err(error) => {
                        tracing::warn!(%group, %error, "it cannot be read yet which letters died again; those that come back wait");
                    }
                }
                back_off(&mut failures).await;
            }
        }));
    }

    pub(super) fn on_parking(&mut self, done: Done) {
        let now = self.now();
        match done {
            Done::Read(slot, epoch, mark, keys) => {
                if self.machine.epoch(slot) == Some(epoch) {
                    let before = self.parking.wards.remove(&slot).filter(|ward| ward.epoch == epoch);
                    let ward = before.map_or_else(
                        || Ward::new(epoch, Arc::clone(&mark)),
                        |ward| Ward { mark: Arc::clone(&mark), ..ward },
                    );
                    self.parking.wards.insert(slot, ward);
                    self.parking.due.insert(slot);
                    self.machine.parked(slot, epoch, keys, now);
                    self.judge_next();
                }
            }
            Done::Barred(slots, mut bars) => {
                for (slot, epoch) in slots {
                    let its = bars.remove(&Partition::new(slot.partition)).unwrap_or_default();
                    self.machine.barred(slot, epoch, its, now);
                }
            }
            Done::Buried(slot, buried) => {
                self.parking.graves.end(slot);
                for one in buried {
                    self.on_letter(one);
                }
                self.dig(slot);
                self.park_next();
            }
            Done::Parked(mut buried, Ok(count)) => {
                (self.parking.is_parking, self.parking.failures) = (false, 0);
                self.parking.to_park.splice(0..0, buried.split_off(count.min(buried.len())));
                tracing::warn!(group = %self.group, keys = buried.len(), "keys are parked behind dead letters until those are settled");
                for Buried { slot, epoch, offset, .. } in buried {
                    self.parking.due.insert(slot);
                    self.machine.buried(slot, epoch, offset, now);
                }
                self.park_next();
            }
            Done::Parked(buried, Err(error)) => {
                self.parking.is_parking = false;
                self.shared.metrics.dead_letter_failures.inc();
                tracing::error!(group = %self.group, keys = buried.len(), %error, "keys cannot be parked; their lanes wait");
                self.parking.to_park.splice(0..0, buried);
                self.park_next();
            }
            Done::Judged(slot, epoch, finding) => {
                self.parking.is_judging = false;
                self.on_finding(slot, epoch, finding);
                self.judge_next();
            }
            Done::Unparked(slot, epoch, key, end) => self.on_unparked(slot, epoch, key, end),
        }
    }

    /// Once in a while: whether letters were settled, or have gone.
    pub(super) fn look_at_parked(&mut self) {
        if self.machine.policy().on_exhausted != Exhausted::ParkKey {
            return self.end_waits();
        }
        let machine = &self.machine;
        self.parking.wards.retain(|slot, ward| machine.epoch(*slot) == Some(ward.epoch));
        let (changes, is_changed) =
            self.shared.states.have_letters_changed(&self.group, self.parking.changes);
        self.parking.changes = changes;
        let now = Instant::now();
        let is_late = self.parking.look_at.is_none_or(|at| at <= now);
        if is_changed || is_late {
            self.parking.due.extend(self.parking.wards.keys());
        }
        if is_late {
            self.parking.look_at = Some(now + LOOK_EVERY);
        }
        self.look_at_closing();
        self.judge_next();
    }

    /// A letter is durable; where it parks its key, that must be so, too.
    fn on_letter(&mut self, mut buried: Buried) {
        let Buried { slot, epoch, offset, letter, key, parks, .. } = buried;
        self.verdicts.extend(buried.verdict.take());
        if let Some(ward) = self.parking.wards.get_mut(&slot).filter(|ward| ward.epoch == epoch) {
            ward.last.extend(key.map(|key| (key, letter)));
        }
        if parks {
            self.parking.to_park.push(buried);
        } else {
            self.count_buried(slot, epoch);
            self.machine.buried(slot, epoch, offset, self.now());
        }
    }

    /// Parks together what waits for it. What belongs to a partition that went is left to its next owner.
    fn park_next(&mut self) {
        let machine = &self.machine;
        self.parking.to_park.retain(|one| machine.epoch(one.slot) == Some(one.epoch));
        if self.parking.is_parking || self.parking.to_park.is_empty() {
            return;
        }
        let buried = std::mem::take(&mut self.parking.to_park);
        let parks = buried.iter().filter_map(|one| {
            let (topic, partition) = self.place(one.slot)?;
            Some(NewPark { topic, partition, key: one.key?, letter: one.letter, from: one.offset })
        });
        let parks: Vec<NewPark> = parks.collect();
        let (shared, group) = (Arc::clone(&self.shared), self.group.clone());
        let mut failures = self.parking.failures;
        self.parking.failures += 1;
        self.parking.is_parking = true;
        self.parking.work.push(Box::pin(async move {
            if failures > 0 {
                failures -= 1;
                back_off(&mut failures).await;
            }
            let end = shared.states.park(&group, &parks, shared.clock.now()).await;
            Done::Parked(buried, end)
        }));
    }

    fn judge_next(&mut self) {
        while !self.parking.is_judging
            && let Some(slot) = self.parking.due.pop_first()
        {
            let Some(ward) = self.parking.wards.get(&slot) else { continue };
            let Some((topic, partition)) = self.place(slot) else { continue };
            if !self.machine.has_parked(slot) {
                continue;
            }
            let (epoch, readings, closing) = (ward.epoch, ward.readings.clone(), ward.closing.clone());
            let (shared, group) = (Arc::clone(&self.shared), self.group.clone());
            self.parking.is_judging = true;
            self.parking.work.push(Box::pin(async move {
                let place = Place { group: &group, topic: &topic, partition };
                Done::Judged(slot, epoch, judge(&shared, place, readings, closing.as_ref()).await)
            }));
        }
    }

    fn on_finding(&mut self, slot: Slot, epoch: u64, finding: Result<Finding, Error>) {
        let Some((topic, partition)) = self.place(slot) else { return };
        let Some(ward) = self.parking.wards.get_mut(&slot).filter(|ward| ward.epoch == epoch) else { return };
        let Finding { readings, settled, closing, end, is_cut } = match finding {
            Ok(finding) => finding,
            Err(error) => {
                tracing::warn!(group = %self.group, %topic, %partition, %error, "the letters of parked keys cannot be read yet");
                self.parking.look_at = None;
                return;
            }
        };
        ward.readings = readings;
        if ward.readings.keys().any(|key| !self.machine.knows_parked(slot, *key)) {
            // Another gateway wrote it, late.
            self.read_parked(&[slot]);
        }
        if is_cut {
            self.parking.due.insert(slot);
        } else {
            self.follow_closing(slot, epoch, &closing, end);
        }
        let Some(ward) = self.parking.wards.get(&slot) else { return };
        let is_read = |(key, _): &(KeyHash, Bytes)| ward.last.get(key).is_none_or(|last| *last < end);
        let (settled, grown): (Vec<_>, Vec<_>) = settled.into_iter().partition(is_read);
        if !grown.is_empty() {
            // Looked at again with the next tick.
            self.parking.look_at = None;
        }
        for (key, value) in settled {
            if self.machine.begin_release(slot, epoch, key) {
                self.parking.work.extend(self.unpark(slot, epoch, key, value));
            } else {
                self.parking.look_at = None;
            }
        }
    }

    fn on_unparked(&mut self, slot: Slot, epoch: u64, key: KeyHash, end: Unparked) {
        let is_released = end == Unparked::Released;
        self.machine.end_release(slot, epoch, key, is_released, self.now());
        let Some(ward) = self.parking.wards.get_mut(&slot).filter(|ward| ward.epoch == epoch) else { return };
        ward.waits.forget(key);
        match end {
            Unparked::Released => {
                ward.readings.remove(&key);
                ward.last.remove(&key);
                tracing::debug!(group = %self.group, partition = slot.partition, "a parked key is released");
            }
            Unparked::Changed => drop(self.parking.due.insert(slot)),
            Unparked::NotOurs => self.read_parked(&[slot]),
        }
        self.judge_next();
    }

    /// Has a dead letter written behind those of its partition.
    pub(super) fn bury(&mut self, burial: Burial) {
        let slot = burial.slot;
        self.parking.graves.add(burial);
        self.dig(slot);
    }

    fn dig(&mut self, slot: Slot) {
        let Some((burials, given_up)) = self.parking.graves.begin(slot, self.machine.epoch(slot)) else {
            return;
        };
        let deaths = burials.into_iter().filter_map(|burial| self.death(burial)).collect();
        let (shared, group) = (Arc::clone(&self.shared), self.group.clone());
        self.parking.work.push(Box::pin(async move {
            let buried = given_up.run_until_cancelled(bury_in_order(shared, group, deaths)).await;
            Done::Buried(slot, buried.unwrap_or_default())
        }));
    }

    /// Gives up letters of partitions that went.
    pub(super) fn leave_graves(&self) {
        self.parking.graves.give_up(|slot| self.machine.epoch(slot));
    }

    /// Releases a key, however long the log takes to answer.
    fn unpark(&self, slot: Slot, epoch: u64, key: KeyHash, value: Bytes) -> Option<Pending<Done>> {
        let (topic, partition) = self.place(slot)?;
        let mark = Arc::clone(&self.parking.wards.get(&slot)?.mark);
        let (shared, group) = (Arc::clone(&self.shared), self.group.clone());
        Some(Box::pin(async move {
            let place = Place { group: &group, topic: &topic, partition };
            let mut failures = 0;
            loop {
                match shared.states.unpark(place, key, &value, &mark).await {
                    Ok(end) => return Done::Unparked(slot, epoch, key, end),
                    Err(error) => {
                        tracing::warn!(%group, %topic, %partition, %error, "a parked key cannot be released yet");
                    }
                }
                back_off(&mut failures).await;
            }
        }))
    }
}

impl Ward {
    fn new(epoch: u64, mark: Arc<str>) -> Self {
        Self {
            epoch,
            mark,
            readings: Readings::new(),
            last: HashMap::new(),
            closing: None,
            waits: Waits::default(),
        }
    }
}

/// Waits, each time longer.
async fn back_off(failures: &mut u32) {
    const DOUBLINGS_MAX: u32 = 6;
    sleep((RETRY_FIRST * 2_u32.pow((*failures).min(DOUBLINGS_MAX))).min(RETRY_MAX)).await;
    *failures = failures.saturating_add(1);
}
