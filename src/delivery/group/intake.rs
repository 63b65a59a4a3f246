//! Partitions come and go; their records are taken within the bounds.

use std::collections::hash_map::Entry;

use crate::event::Record;

use super::super::Ordering;
use super::super::lane::Lane;
use super::super::tracker::Taken;
use super::parking::Place;
use super::returning::Way;
use super::source::{Phase, Source};
use super::{Action, Beginning, Group, Kept, LaneId, LaneKey, LaneSeat, Moment, Slot, Withdrawal};

impl Group {
    /// Partitions came.
    pub(in crate::delivery) fn assign(&mut self, beginnings: Vec<Beginning>, now: Moment) {
        for beginning in beginnings {
            let slot = beginning.slot;
            self.lose(&[slot], now);
            self.begin(beginning, now);
            if self.is_draining {
                self.revoke(&[slot], now);
            }
        }
        self.is_assignment_changed = true;
        self.house_lanes();
    }

    /// Partitions must go: what is in flight may settle for the rebalance grace, then it is withdrawn.
    pub(in crate::delivery) fn revoke(&mut self, slots: &[Slot], now: Moment) {
        let until = now.elapsed.saturating_add(self.policy.rebalance_grace);
        for slot in slots {
            if let Some(source) = self.sources.get_mut(slot)
                && source.phase == Phase::Active
            {
                source.phase = Phase::Revoking { until };
                source.intake.clear();
            }
        }
        self.is_assignment_changed = true;
    }

    /// Partitions are gone.
    pub(in crate::delivery) fn lose(&mut self, slots: &[Slot], now: Moment) {
        for slot in slots {
            self.withdraw_source(*slot, Withdrawal::Rebalance, now);
            self.remove_source(*slot);
        }
    }

    /// Records of a partition, in order.
    pub(in crate::delivery) fn records(&mut self, slot: Slot, records: Vec<Record>, now: Moment) {
        if let Some(source) = self.sources.get_mut(&slot)
            && source.phase == Phase::Active
        {
            source.intake.extend(records);
            self.admit(slot, now);
        }
    }

    /// Records that were not read up to `to` will never come. Of a partition that goes nothing is taken any more, so that
    /// what was read of it may lie before the gap.
    pub(in crate::delivery) fn gap(&mut self, slot: Slot, to: u64, now: Moment) {
        self.admit(slot, now);
        if let Some(source) = self.sources.get_mut(&slot)
            && source.phase == Phase::Active
            && source.intake.is_empty()
        {
            source.tracker.skip_to(to);
            source.revision += 1;
        }
    }

    /// Takes what waits at a partition as far as the bounds allow, and holds or releases its reading.
    pub(super) fn admit(&mut self, slot: Slot, now: Moment) {
        let (unsettled_max, span_max) = (self.policy.unsettled_per_partition_max, self.policy.span_max);
        loop {
            let Some(source) = self.sources.get_mut(&slot) else { return };
            let Some(offset) = source.intake.front().map(|record| record.offset.number()) else { break };
            if source.phase != Phase::Active {
                break;
            }
            if source.refuses(offset, unsettled_max, span_max).is_some() {
                source.pass_hole(offset);
                break;
            }
            if let Some(record) = source.intake.pop_front() {
                self.take(slot, record, now);
            }
        }
        let Some(source) = self.sources.get_mut(&slot) else { return };
        let has_space = source.intake.is_empty()
            && source.refuses(source.tracker.next(), unsettled_max, span_max).is_none();
        let is_relaxed = source.tracker.unsettled() <= unsettled_max - unsettled_max / 4;
        if !has_space && !source.is_held {
            source.is_held = true;
            self.actions.push(Action::Hold(slot));
        } else if has_space && is_relaxed && source.is_held {
            source.is_held = false;
            self.actions.push(Action::Release(slot));
        }
    }

    pub(super) fn admit_all(&mut self, now: Moment) {
        let slots: Vec<Slot> = self.sources.keys().copied().collect();
        for slot in slots {
            self.admit(slot, now);
        }
    }

    /// A partition begins, under an epoch of its own.
    pub(super) fn begin(&mut self, beginning: Beginning, now: Moment) {
        let slot = beginning.slot;
        let millis = u64::try_from(now.wall.millis()).unwrap_or(0);
        self.last_epoch = millis.max(self.last_epoch + 1);
        self.sources.insert(slot, Source::new(beginning, self.last_epoch, &self.policy));
        if self.policy.ordering == Ordering::Partition {
            self.lane_of(slot, LaneKey::Partition);
        }
        self.is_assignment_changed = true;
    }

    /// Takes everything in flight of a partition back from its members.
    pub(super) fn withdraw_source(&mut self, slot: Slot, reason: Withdrawal, now: Moment) {
        let Some(source) = self.sources.get(&slot) else { return };
        let ids: Vec<LaneId> = source.lanes.values().copied().collect();
        for id in ids {
            let Some(seat) = self.lanes.get_mut(&id) else { continue };
            let returned = seat.lane.take_all_back();
            self.withdraw(slot, &returned, reason);
            let Some(source) = self.sources.get_mut(&slot) else { continue };
            for head in returned.iter().filter(|one| one.is_head) {
                if let Some(one) = source.tracker.get_mut(head.offset)
                    && one.come_back()
                {
                    one.fail(now.wall);
                    source.revision += 1;
                }
            }
        }
    }

    pub(super) fn remove_source(&mut self, slot: Slot) {
        let Some(source) = self.sources.remove(&slot) else { return };
        for id in source.lanes.into_values() {
            self.remove_lane(id);
        }
        self.is_assignment_changed = true;
    }

    fn take(&mut self, slot: Slot, record: Record, now: Moment) {
        let offset = record.offset.number();
        let key = match (self.policy.ordering, &record.key) {
            (Ordering::Partition, _) => LaneKey::Partition,
            (Ordering::Key, Some(key)) => LaneKey::Key(key.clone()),
            (Ordering::Key, None) | (Ordering::None, _) => LaneKey::Record(offset),
        };
        let attempts_max = self.policy.attempts_max();
        let hash = self.key_hash(slot, record.key.as_ref());
        let letter = self.ranked(slot, &record);
        let Some(source) = self.sources.get_mut(&slot) else { return };
        source.revision += u64::from(offset > source.tracker.next());
        let kept = Kept { record, lane: None, key: hash, letter, error: None };
        if source.tracker.take(offset, kept) == Taken::Known {
            source.revision += 1;
            return;
        }
        let place = source.parking.place(hash, offset);
        let is_barred = self.way(slot, offset) == Way::Barred;
        let place = if is_barred { Place::Grave } else { place };
        if place == Place::Grave {
            self.bury_untried(slot, offset, now);
            return;
        }
        let id = self.lane_of(slot, key);
        let one = self.sources.get_mut(&slot).and_then(|source| source.tracker.get_mut(offset));
        let is_dead = one.is_some_and(|one| {
            one.kept.lane = Some(id);
            one.attempts() >= attempts_max
        });
        if let Some(seat) = self.lanes.get_mut(&id) {
            seat.lane.push(offset);
            if place == Place::Waiting {
                seat.lane.halt(offset);
            }
        }
        if is_dead && place == Place::Lane {
            self.came_exhausted(slot, offset, now);
        }
        self.touch(id, now);
    }

    fn lane_of(&mut self, slot: Slot, key: LaneKey) -> LaneId {
        let window = self.window();
        let Some(source) = self.sources.get_mut(&slot) else { return self.last_lane };
        match source.lanes.entry(key) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                self.last_lane += 1;
                let seat = LaneSeat {
                    lane: Lane::new(window),
                    slot,
                    key: new.key().clone(),
                    owner: None,
                    is_queued: false,
                    is_moving: false,
                    wake: None,
                };
                new.insert(self.last_lane);
                self.lanes.insert(self.last_lane, seat);
                self.last_lane
            }
        }
    }
}
