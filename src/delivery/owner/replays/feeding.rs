//! Reading the ranges of a replay and handing them to the machine, at its rate and as far as the machine takes them.
//!
//! Some partitions at a time, each in its order; the others wait until one of them is done, so that a replay of many costs
//! no more than one of a few.

mod feed;
mod reading;
mod run;

use std::sync::Arc;

use tokio::time::Instant;

use crate::event::{Record, RecordView};
use crate::log::{Fetched, Reader};

use super::super::super::group::Slot;
use super::super::{Owner, Phase};
use feed::Stop;
use reading::read;
use run::turned;

pub(super) use run::Run;
pub(in crate::delivery::owner) use run::Telling;

/// Records that are handed over together.
const BATCH_MAX: usize = 500;

/// What was read of a range, and who reads on.
#[derive(Debug)]
pub(in crate::delivery::owner) struct Read {
    slot: Slot,
    reader: Option<Box<dyn Reader>>,
    fetched: Result<Fetched, Stop>,
}

impl Owner {
    /// Begins ranges, hands over what was read, and reads on.
    pub(in crate::delivery::owner) fn feed_replay(&mut self) {
        self.replays.is_stirred = false;
        if !matches!(self.phase, Phase::Serving) {
            return;
        }
        self.begin_ranges();
        self.hand_over();
        self.read_on();
    }

    fn begin_ranges(&mut self) {
        let now = self.now();
        let Some(run) = &mut self.replays.run else { return };
        let aside = run.set_aside(Instant::now());
        self.machine.lose(&aside, now);
        let beginnings = run.begin();
        if !beginnings.is_empty() {
            self.machine.assign(beginnings, now);
        }
    }

    /// Hands over what was read, as far as rate and bounds allow.
    fn hand_over(&mut self) {
        let (moment, now) = (self.now(), Instant::now());
        let Some(run) = &mut self.replays.run else { return };
        let mut matched = 0;
        for slot in turned(run.slots(), &mut run.turn) {
            let Some(feed) = run.feeds.get_mut(&slot) else { continue };
            while !feed.is_held && !feed.records.is_empty() && run.rate.ready_at(now) <= now {
                let count = feed.records.len().min(run.rate.batch_max(BATCH_MAX));
                let records: Vec<Record> = feed.records.drain(..count).collect();
                run.rate.take(count);
                let is_new = |record: &&Record| {
                    !feed.settled.iter().any(|settled| settled.contains(&record.offset.number()))
                };
                matched += records.iter().filter(is_new).count();
                self.machine.records(slot, records, moment);
                feed.is_held = self.machine.is_held(slot);
            }
            // What was read and not meant is passed over.
            let is_behind = self.machine.next_of(slot).is_some_and(|next| next < feed.read);
            if feed.records.is_empty() && is_behind {
                self.machine.gap(slot, feed.read, moment);
            }
        }
        if matched > 0 {
            run.matched(u64::try_from(matched).unwrap_or(0));
        }
    }

    fn read_on(&mut self) {
        let now = Instant::now();
        let Some(run) = &mut self.replays.run else { return };
        run.feeds.values_mut().for_each(|feed| feed.close_idle(now));
        for slot in run.next_reads(self.replays.reads.len(), now) {
            let Some(feed) = run.feeds.get_mut(&slot) else { continue };
            feed.is_reading = true;
            let (shared, range) = (Arc::clone(&self.shared), feed.read..feed.end);
            let (topic, incarnation, reader) = (feed.topic.clone(), feed.incarnation, feed.reader.take());
            self.replays.reads.push(Box::pin(async move {
                let (reader, fetched) = read(&shared, &topic, incarnation, slot, range, reader).await;
                Read { slot, reader, fetched }
            }));
        }
    }

    /// Takes in what was read.
    pub(in crate::delivery::owner) fn replay_read(&mut self, read: Read) {
        let Some(run) = &mut self.replays.run else { return };
        let Some(feed) = run.feeds.get_mut(&read.slot) else { return };
        feed.end_read(read.reader, Instant::now());
        match read.fetched {
            Ok(fetched) => {
                let storage = self.shared.catalogue.load().rule(&feed.topic).storage;
                let filter = &run.filter;
                feed.take(fetched, |record| {
                    filter.as_ref().is_none_or(|one| one.matches(&RecordView::parse(record, storage)))
                });
            }
            Err(stop) => {
                tracing::debug!(group = %self.group, topic = %feed.topic, ?stop, "a replay cannot read on yet");
                run.never = feed.stop(stop, Instant::now()).or_else(|| run.never.take());
            }
        }
    }
}
