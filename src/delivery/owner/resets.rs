//! Carrying out a reset: this gateway's partitions are answered for, moved, and told to be done.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::event::{Offset, Partition, Topic};
use crate::log;

use super::super::Error;
use super::super::group::Slot;
use super::super::resets::{Order, Stage, Step};
use super::{Owner, Pending};

/// After the log or the table refused.
const AGAIN: Duration = Duration::from_secs(1);
/// A seek not answered by then is tried again.
const SEEK_MAX: Duration = Duration::from_secs(5);

/// What a group's task is about with its reset.
#[derive(Default)]
pub(super) struct Resets {
    /// Telling the other gateways; answers whether they know.
    pub(super) telling: Option<Pending<Result<Order, Error>>>,
    /// Nothing is tried before.
    again_at: Option<Instant>,
}

impl Owner {
    /// Does what the group's reset wants of the partitions that are here.
    pub(super) async fn follow_reset(&mut self) {
        let now = Instant::now();
        if self.resets.telling.is_some() || self.resets.again_at.is_some_and(|at| now < at) {
            return;
        }
        let order = self.shared.policies.reset(&self.group);
        let Some(order) = order.filter(|order| order.is_open(self.shared.clock.now())) else { return };
        let sequence = order.sequence;
        match order.stage {
            Stage::Asking => {
                let places = self.named(&order, |owner| owner.machine.unmoved(sequence).collect());
                let is_new = |(topic, partition): &(Topic, Partition)| {
                    order.place(topic, *partition).is_some_and(|place| !place.is_owned)
                };
                let places: Vec<_> = places.into_iter().filter(is_new).collect();
                if !places.is_empty() {
                    self.tell_reset(Step::Own { sequence, places });
                }
            }
            Stage::Moving => {
                for (topic, partition) in
                    self.named(&order, |owner| owner.machine.unmoved(sequence).collect())
                {
                    if let Some(place) = order.place(&topic, partition) {
                        self.move_to(&topic, partition, place.to, sequence).await;
                    }
                }
                let places = self.named(&order, |owner| owner.machine.moved(sequence).collect());
                if !places.is_empty() {
                    self.tell_reset(Step::Done { sequence, places });
                }
            }
        }
    }

    /// What became of the last thing told.
    pub(super) fn reset_told(&mut self, told: Result<Order, Error>) {
        self.resets.telling = None;
        match told {
            Ok(_) | Err(Error::ResetOvertaken) => {}
            Err(error) => {
                tracing::warn!(group = %self.group, %error, "a reset cannot be confirmed yet");
                self.resets.again_at = Some(Instant::now() + AGAIN);
            }
        }
    }

    /// The partitions of a reset among those that `pick` finds here.
    fn named(&self, order: &Order, pick: impl Fn(&Self) -> Vec<Slot>) -> Vec<(Topic, Partition)> {
        let places = pick(self).into_iter().filter_map(|slot| self.place(slot));
        places.filter(|(topic, partition)| order.place(topic, *partition).is_some()).collect()
    }

    async fn move_to(&mut self, topic: &Topic, partition: Partition, to: u64, sequence: u64) {
        let Some(slot) = self.slot(topic, partition) else { return };
        let Some(events) = &mut self.events else { return };
        let sought = timeout(SEEK_MAX, events.seek(topic, partition, Offset::new(to))).await;
        match sought.unwrap_or(Err(log::Error::OutcomeUnknown)) {
            Ok(()) => {
                tracing::info!(group = %self.group, %topic, %partition, to, "a partition was moved by a reset");
                self.machine.reset(slot, to, sequence, self.now());
                self.read_parked(&[slot]);
            }
            Err(error) => {
                tracing::warn!(group = %self.group, %topic, %partition, to, %error, "a partition cannot be moved yet");
                self.resets.again_at = Some(Instant::now() + AGAIN);
            }
        }
    }

    fn tell_reset(&mut self, step: Step) {
        let (policies, group) = (self.shared.policies.clone(), self.group.clone());
        let now = self.shared.clock.now();
        self.resets.telling = Some(Box::pin(async move { policies.step_reset(group, step, now).await }));
    }
}
