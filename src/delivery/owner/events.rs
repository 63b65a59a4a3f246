//! What happens to the log's member.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::event::{Offset, Partition, Topic};
use crate::log::{self, Assigned, MemberEvent};

use super::super::dead_letters::Place;
use super::super::group::{Beginning, CommitEnd, Slot};
use super::super::metadata::{self, Progress};
use super::super::view::LastGap;
use super::super::{GapReason, Push};
use super::Owner;
use super::assignments::measure;

/// After a failed read that may succeed later.
const READ_AGAIN: Duration = Duration::from_millis(200);

impl Owner {
    pub(super) fn on_event(&mut self, event: MemberEvent) {
        let now = self.now();
        match event {
            MemberEvent::Assigned(assigned) => {
                self.measuring = Some(Box::pin(measure(Arc::clone(&self.shared), assigned)));
            }
            MemberEvent::Revoked(partitions) => {
                let slots = self.slots(&partitions);
                self.recall(|tag| slots.contains(&Slot { topic: tag.topic, partition: tag.partition }));
                self.machine.revoke(&slots, now);
            }
            MemberEvent::Lost(partitions) => {
                let slots = self.slots(&partitions);
                self.recall(|tag| slots.contains(&Slot { topic: tag.topic, partition: tag.partition }));
                self.machine.lose(&slots, now);
                tracing::warn!(group = %self.group, partitions = slots.len(), "partitions were lost");
            }
            MemberEvent::Records { topic, partition, records, end } => {
                if let Some(slot) = self.slot(&topic, partition) {
                    self.ends.insert(slot, end.number());
                    self.take(slot, records);
                }
            }
            MemberEvent::Gap { topic, partition, from, to } => {
                if let Some(slot) = self.slot(&topic, partition) {
                    self.machine.gap(slot, to.number(), now);
                    self.tell_gap(&topic, partition, from, to);
                }
            }
        }
    }

    pub(super) async fn on_lost_membership(&mut self, error: &log::Error) {
        tracing::warn!(group = %self.group, %error, "the group's records cannot be read");
        if matches!(error, log::Error::NotMember | log::Error::Closed) {
            let slots: Vec<Slot> = self.machine.states(self.now()).iter().map(|state| state.slot).collect();
            self.recall(|_| true);
            self.judging.clear();
            if self.committing.take().is_some() {
                self.machine.committed(CommitEnd::Refused, self.now());
            }
            self.machine.lose(&slots, self.now());
            self.leave_log().await;
            self.join_log();
        } else {
            self.read_again_at = Some(Instant::now() + READ_AGAIN);
        }
    }

    pub(super) fn on_assigned(&mut self, assigned: Vec<Assigned>) {
        let mut beginnings = Vec::with_capacity(assigned.len());
        for Assigned { topic, partition, committed, position } in assigned {
            let Some(slot) = self.slot(&topic, partition) else { continue };
            let progress = committed.as_ref().map_or_else(Progress::default, |committed| {
                metadata::decode(committed.offset.number(), &committed.metadata)
            });
            let committed = committed.map(|committed| committed.offset);
            if let Some(from) = committed.filter(|offset| *offset < position) {
                self.tell_gap(&topic, partition, from, position);
            }
            let committed = committed.map(Offset::number);
            beginnings.push(Beginning { slot, position: position.number(), committed, progress });
        }
        tracing::info!(group = %self.group, partitions = beginnings.len(), "partitions assigned");
        let slots: Vec<Slot> = beginnings.iter().map(|one| one.slot).collect();
        self.machine.assign(beginnings, self.now());
        self.read_parked(&slots);
    }

    fn tell_gap(&mut self, topic: &Topic, partition: Partition, from: Offset, to: Offset) {
        self.shared.metrics.gaps.with_label_values(&[self.group.as_str(), topic.as_str()]).inc();
        tracing::warn!(group = %self.group, %topic, %partition, %from, %to, "records were gone before the group had read them");
        let gap = LastGap { from, to, at: self.shared.clock.now() };
        self.shared.gateways.note_gap(Place { group: &self.group, topic, partition }, gap);
        if *topic == self.redrives {
            return;
        }
        let gap = Push::Gap { topic: topic.clone(), partition, from, to, reason: GapReason::Retention };
        for (_, mailbox) in self.mailboxes.all() {
            mailbox.tell(gap.clone());
        }
        if self.mailboxes.is_empty() {
            self.gaps.keep(gap);
        }
    }

    fn slots(&self, partitions: &[(Topic, Partition)]) -> Vec<Slot> {
        partitions.iter().filter_map(|(topic, partition)| self.slot(topic, *partition)).collect()
    }
}
