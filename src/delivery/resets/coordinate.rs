//! The gateway that is asked for a reset brings it about, and any gateway ends one that nobody is left to carry out.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use crate::event::{GroupName, Offset, Partition, Topic};
use crate::log::{self, Commit, Committed};

use super::super::service::Delivery;
use super::super::{Error, Policy};
use super::plan::{self, Move, Reset, ResetState, ResetView};
use super::{Order, Place, Stage, Step};

/// With no answer by then, perhaps the group has no member at all.
const ANSWER_SOON: Duration = Duration::from_millis(500);
/// How long gateways may take to say which partitions they have; a rebalance may be under way.
const ANSWER_MAX: Duration = Duration::from_secs(8);
/// How long they may take to move them before the answer says that they still do.
const MOVE_MAX: Duration = Duration::from_secs(10);
/// How often it is looked whether a reset is left undone.
const FINISH_EVERY: Duration = Duration::from_secs(5);

impl Delivery {
    /// Moves a group's offsets, on every gateway: what is in flight there is withdrawn, what was settled above the new
    /// offset or tried is forgotten. Answers when all is moved, or [`ResetState::Moving`] where that takes long: then it
    /// goes on by itself.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`], [`Error::InvalidReset`], [`Error::NotOurs`], [`Error::ResetUnderWay`],
    /// [`Error::ResetOvertaken`], or what the log says.
    pub async fn reset(&self, group: &GroupName, reset: &Reset) -> Result<ResetView, Error> {
        let policy: Arc<Policy> = self.known(group)?;
        let moves = plan::plan(&self.shared, group, &policy, reset).await?;
        let state = if reset.dry_run { ResetState::Planned } else { self.bring_about(group, &moves).await? };
        Ok(ResetView { group: group.clone(), state, partitions: moves })
    }

    async fn bring_about(&self, group: &GroupName, moves: &[Move]) -> Result<ResetState, Error> {
        let mut changes = self.shared.policies.changes();
        let places = moves.iter().map(Move::place).collect();
        let order = self.step(group, Step::Ask(places)).await?;
        let sequence = order.sequence;
        tracing::info!(%group, sequence, partitions = moves.len(), "a reset was asked for");
        if self.is_set_by_hand(group, order, &mut changes).await? {
            return Ok(ResetState::Done);
        }
        self.step(group, Step::Move { sequence }).await?;
        let deadline = Instant::now() + MOVE_MAX;
        loop {
            changes.borrow_and_update();
            // A later reset begins only when this one has ended.
            if self.asked(group, sequence).is_none_or(|order| order.left.is_empty()) {
                return Ok(ResetState::Done);
            }
            if timeout_at(deadline, changes.changed()).await.is_err() {
                return Ok(ResetState::Moving);
            }
        }
    }

    /// Waits until each partition is somebody's; where the group has no member, sets its offsets.
    async fn is_set_by_hand(
        &self,
        group: &GroupName,
        order: Order,
        changes: &mut watch::Receiver<u64>,
    ) -> Result<bool, Error> {
        let sequence = order.sequence;
        let soon = Instant::now() + ANSWER_SOON;
        let deadline = Instant::now() + ANSWER_MAX;
        let mut is_by_hand_refused = false;
        loop {
            changes.borrow_and_update();
            let order = self.asked(group, sequence).ok_or(Error::ResetOvertaken)?;
            let missing = order.left.iter().filter(|place| !place.is_owned).count();
            if missing == 0 {
                return Ok(false);
            }
            let now = Instant::now();
            if now >= deadline {
                self.step(group, Step::Drop { sequence }).await?;
                return Err(not_ours(group, &order));
            }
            let is_nobody = missing == order.left.len() && !is_by_hand_refused;
            if is_nobody && now >= soon {
                match self.set_by_hand(group, &order).await {
                    Ok(()) => return Ok(true),
                    Err(Error::Log(log::Error::NotSupported(_))) => is_by_hand_refused = true,
                    Err(error) => {
                        drop(self.step(group, Step::Drop { sequence }).await);
                        return Err(error);
                    }
                }
                continue;
            }
            drop(timeout_at(if is_nobody { soon } else { deadline }, changes.changed()).await);
        }
    }

    /// Sets the offsets of a group without a member; refused while it has one.
    async fn set_by_hand(&self, group: &GroupName, order: &Order) -> Result<(), Error> {
        self.shared.groups.set_committed(group, order.left.iter().map(commit).collect()).await?;
        let places = order.left.iter().map(|place| (place.topic.clone(), Partition::new(place.partition)));
        let done = Step::Done { sequence: order.sequence, places: places.collect() };
        self.step(group, done).await?;
        tracing::info!(%group, sequence = order.sequence, "the offsets of a group without members were set");
        Ok(())
    }

    fn asked(&self, group: &GroupName, sequence: u64) -> Option<Arc<Order>> {
        self.shared.policies.reset(group).filter(|order| order.sequence == sequence)
    }

    async fn step(&self, group: &GroupName, step: Step) -> Result<Order, Error> {
        self.shared.policies.step_reset(group.clone(), step, self.shared.clock.now()).await
    }

    /// Ends a reset whose gateways have gone before they moved all, or whose time is over.
    async fn finish(&self, group: &GroupName, order: &Order) -> Result<(), Error> {
        let sequence = order.sequence;
        if order.has_lapsed(self.shared.clock.now()) {
            let partitions: Vec<String> =
                order.left.iter().map(|place| format!("{}/{}", place.topic, place.partition)).collect();
            tracing::error!(%group, sequence, ?partitions, "a reset was given up: nobody could move these partitions");
            return self.step(group, Step::Drop { sequence }).await.map(drop);
        }
        if self.owner(group).await.is_some() {
            return Ok(());
        }
        // Read to the end: what was moved meanwhile must not be moved again.
        let order = self.step(group, Step::Own { sequence, places: Vec::new() }).await?;
        if order.left.is_empty() {
            return Ok(());
        }
        self.set_by_hand(group, &order).await
    }
}

/// Ends resets that nobody is left to carry out, now and then.
pub(in crate::delivery) async fn finish_all(handle: &Delivery) {
    loop {
        sleep(FINISH_EVERY).await;
        for (group, order) in handle.shared.policies.resets().iter() {
            if order.stage != Stage::Moving || order.left.is_empty() {
                continue;
            }
            match handle.finish(group, order).await {
                // Somebody serves it, or was faster.
                Ok(()) | Err(Error::Log(log::Error::NotSupported(_)) | Error::ResetOvertaken) => {}
                Err(error) => tracing::warn!(%group, %error, "a reset cannot be ended yet"),
            }
        }
    }
}

fn commit(place: &Place) -> Commit {
    let committed = Committed { offset: Offset::new(place.to), metadata: String::new() };
    Commit { topic: place.topic.clone(), partition: Partition::new(place.partition), committed }
}

fn not_ours(group: &GroupName, order: &Order) -> Error {
    let first = order.left.iter().find(|place| !place.is_owned);
    let first: Option<(Topic, Partition)> =
        first.map(|place| (place.topic.clone(), Partition::new(place.partition)));
    match first {
        Some((topic, partition)) => Error::NotOurs { group: group.clone(), topic, partition },
        None => Error::ResetOvertaken,
    }
}
