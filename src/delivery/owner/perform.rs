//! Carrying out what the machine decided, and showing what it is like.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::event::{Offset, Partition, RecordView, Topic};
use crate::log::{self, Commit, Commits, Committed};

use super::super::BreakerReason;
use super::super::group::{Action, CommitEnd, Halted, Outcome, Outgoing, Settled, Slot, SourceCommit};
use super::super::mailbox::Parcel;
use super::Owner;
use super::assignments::seconds;
use super::redrives::{Committing, Round, Shown};

/// A commit not answered by then counts as failed.
pub(super) const COMMIT_MAX: Duration = Duration::from_secs(10);

/// Why the reading of a partition can be held.
const HOLD_REASONS: [&str; 4] = ["unsettled", "span", "metadata", "parked_keys"];

impl Owner {
    pub(super) async fn perform(&mut self, actions: Vec<Action>) {
        let mut given_back = Vec::new();
        let mut has_paused = false;
        for action in actions {
            match action {
                Action::Send(outgoing) => self.send(outgoing),
                Action::Withdraw { member, tags, reason } => {
                    if let Some(mailbox) = self.mailboxes.get(member) {
                        mailbox.withdraw(tags, reason);
                    }
                }
                Action::Commit(commits) => self.commit(commits),
                Action::Bury(burial) => self.bury(*burial),
                Action::Halted(halted) => self.tell_halted(halted),
                Action::Breaker { opened } => {
                    has_paused |= opened.is_some();
                    self.tell_breaker(opened);
                }
                Action::Hold(slot) => self.hold(slot, true),
                Action::Release(slot) => self.hold(slot, false),
                Action::GiveBack(slot) if slot.is_replayed() => self.leave_range(slot),
                Action::GiveBack(slot) => given_back.extend(self.place(slot)),
                Action::Close { member } => {
                    if let Some(mailbox) = self.mailboxes.remove(member) {
                        mailbox.close();
                    }
                }
                Action::Settled(settled) => {
                    self.judge(&settled);
                    self.count_replayed(&settled);
                    self.count(&settled);
                }
            }
        }
        if has_paused {
            // After all withdrawals, so that nobody hears of one that was not seen.
            self.recall(|_| true);
        }
        if let Some(events) = self.events.as_mut().filter(|_| !given_back.is_empty()) {
            events.give_back(&given_back).await;
        }
    }

    pub(super) fn show_gauges(&mut self) {
        let gauges = self.machine.gauges(self.now());
        let shown: Vec<_> = gauges.iter().filter_map(|one| self.place(one.slot)).collect();
        if shown != self.shown {
            self.hide_gauges();
        }
        let metrics = &self.shared.metrics;
        let group = self.group.as_str();
        let mut held: BTreeMap<&str, i64> = HOLD_REASONS.map(|reason| (reason, 0)).into();
        for one in &gauges {
            let Some((topic, partition)) = self.place(one.slot) else { continue };
            let labels = [group, topic.as_str(), &partition.to_string()];
            metrics.blocked_seconds.with_label_values(&labels).set(one.blocked.as_secs_f64());
            metrics.incomplete.with_label_values(&labels).set(whole(one.incomplete));
            metrics.span.with_label_values(&labels).set(whole(one.span));
            metrics.metadata_ratio.with_label_values(&labels).set(one.metadata_ratio);
            metrics.standing.halted.with_label_values(&labels).set(i64::from(one.is_halted));
            if let Some(count) = one.held.and_then(|reason| held.get_mut(reason)) {
                *count += 1;
            }
        }
        let in_flight: u32 = self.machine.seats().map(|(_, seat)| seat.in_flight).sum();
        metrics.in_flight.with_label_values(&[group]).set(i64::from(in_flight));
        let is_open = self.machine.open_for(self.now()).is_some();
        metrics.standing.breaker.with_label_values(&[group]).set(i64::from(is_open));
        metrics.standing.keys_closing.with_label_values(&[group]).set(whole(self.machine.keys_closing()));
        for (reason, count) in held {
            metrics.paused.with_label_values(&[group, reason]).set(count);
        }
        self.shown = shown;
    }

    /// Partitions that are no longer ours have no numbers here, and groups that nobody here works for.
    pub(super) fn hide_gauges(&mut self) {
        for (topic, partition) in std::mem::take(&mut self.shown) {
            let labels = [self.group.as_str(), topic.as_str(), &partition.to_string()];
            let metrics = &self.shared.metrics;
            drop(metrics.blocked_seconds.remove_label_values(&labels));
            drop(metrics.incomplete.remove_label_values(&labels));
            drop(metrics.span.remove_label_values(&labels));
            drop(metrics.metadata_ratio.remove_label_values(&labels));
            drop(metrics.standing.halted.remove_label_values(&labels));
        }
        let metrics = &self.shared.metrics;
        let group = self.group.as_str();
        drop(metrics.in_flight.remove_label_values(&[group]));
        drop(metrics.standing.breaker.remove_label_values(&[group]));
        drop(metrics.standing.keys_closing.remove_label_values(&[group]));
        for reason in HOLD_REASONS {
            drop(metrics.paused.remove_label_values(&[group, reason]));
        }
    }

    fn send(&mut self, outgoing: Outgoing) {
        let Outgoing { member, tag, attempt, deadline, record } = outgoing;
        let slot = Slot { topic: tag.topic, partition: tag.partition };
        let appended = record.timestamp;
        let Some(Shown { topic, record, redrives }) = self.shown(slot, record) else { return };
        let metrics = &self.shared.metrics;
        if attempt > 1 {
            metrics.redeliveries.with_label_values(&[self.group.as_str(), topic.as_str()]).inc();
        } else if !slot.is_replayed() {
            let waited = self.shared.clock.now().millis().saturating_sub(appended.millis());
            metrics.delivery_latency.observe(seconds(waited));
        }
        if let Some(mailbox) = self.mailboxes.get(member) {
            let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
            let is_replayed = slot.is_replayed();
            mailbox.deliver(Parcel { tag, attempt, deadline_ms, topic, record, redrives, is_replayed });
        }
    }

    fn commit(&mut self, commits: Vec<SourceCommit>) {
        let cut = commits.iter().filter(|one| one.is_cut).count();
        self.shared.metrics.metadata_cut.inc_by(u64::try_from(cut).unwrap_or(0));
        let (ranges, commits): (Vec<_>, Vec<_>) = commits.into_iter().partition(|one| one.slot.is_replayed());
        self.note_replayed(ranges);
        if commits.is_empty() && self.verdicts.is_empty() {
            let end = Committing { end: CommitEnd::Done, unwritten: Vec::new() };
            self.committing = Some(Box::pin(ready(end)));
            return;
        }
        let commits = commits.into_iter().filter_map(|one| {
            let (topic, partition) = self.place(one.slot)?;
            let committed = Committed { offset: Offset::new(one.offset), metadata: one.metadata };
            Some(Commit { topic, partition, committed })
        });
        let commits: Vec<Commit> = commits.collect();
        let died_again = self.verdicts.iter().filter(|one| one.died_again());
        self.judging = died_again.map(|one| one.letter.clone()).collect();
        let round = Round {
            shared: Arc::clone(&self.shared),
            port: self.commits.clone(),
            group: self.group.clone(),
            commits,
            verdicts: std::mem::take(&mut self.verdicts),
        };
        self.committing = Some(Box::pin(round.run()));
    }

    fn hold(&mut self, slot: Slot, is_held: bool) {
        if slot.is_replayed() {
            return self.hold_replayed(slot, is_held);
        }
        let Some((topic, partition)) = self.place(slot) else { return };
        if let Some(events) = &mut self.events {
            if is_held {
                events.hold(&topic, partition);
            } else {
                events.release(&topic, partition);
            }
        }
    }

    fn tell_halted(&self, halted: Halted) {
        let Halted { slot, offset, attempts } = halted;
        let Some((topic, partition)) = self.place(slot) else { return };
        tracing::warn!(
            group = %self.group, %topic, %partition, offset, attempts,
            "a partition is halted: a record failed its last attempt; resume the group when the cause is gone"
        );
    }

    fn tell_breaker(&self, opened: Option<BreakerReason>) {
        let Some(reason) = opened else {
            tracing::info!(group = %self.group, "the breaker closed");
            return;
        };
        let opened = &self.shared.metrics.standing.breaker_opened;
        opened.with_label_values(&[self.group.as_str(), reason.as_str()]).inc();
        match reason {
            BreakerReason::Failures => {
                tracing::warn!(group = %self.group, reason = reason.as_str(), "the breaker opened: the consumer fails nearly everything; one delivery now and then tries it");
            }
            BreakerReason::ConnectionsLost => {
                tracing::warn!(group = %self.group, reason = reason.as_str(), "the breaker opened: connections of members break with deliveries they have not settled; one at a time is tried");
            }
        }
    }

    fn count(&self, settled: &Settled) {
        let Some(Shown { topic, record, .. }) = self.shown(settled.slot, settled.record.clone()) else {
            return;
        };
        let (metrics, group) = (&self.shared.metrics, self.group.as_str());
        let outcome = settled.outcome.as_str();
        metrics.deliveries.with_label_values(&[group, topic.as_str(), outcome]).inc();
        if settled.outcome != Outcome::Ack {
            return;
        }
        let took = settled.took.as_secs_f64();
        let catalogue = self.shared.catalogue.load();
        let view = RecordView::parse(&record, catalogue.rule(&topic).storage);
        let event_type = view.event_type();
        let label = event_type.filter(|name| catalogue.rule_of_type(name).is_some()).unwrap_or("other");
        metrics.events_consumed.with_label_values(&[label, topic.as_str(), group]).inc();
        metrics.processing.with_label_values(&[label]).observe(took);
        metrics.ack_latency.observe(took);
        metrics.attempts.observe(f64::from(settled.attempt));
        tracing::debug!(
            eventId = view.event_id(),
            eventType = event_type,
            topic = %topic,
            correlationId = view.correlation_id(),
            consumerGroup = group,
            processingTime = took,
            "Event consumed"
        );
    }

    pub(super) fn place(&self, slot: Slot) -> Option<(Topic, Partition)> {
        Some((self.topic(slot)?.clone(), Partition::new(slot.partition)))
    }
}

pub(super) async fn commit_through(
    port: &dyn Commits,
    commits: Vec<Commit>,
    group: &crate::event::GroupName,
) -> CommitEnd {
    match timeout(COMMIT_MAX, port.commit(commits)).await {
        Ok(Ok(())) => CommitEnd::Done,
        Ok(Err(error @ log::Error::NotMember)) => {
            tracing::warn!(%group, %error, "a commit was refused");
            CommitEnd::Refused
        }
        Ok(Err(error)) => {
            tracing::warn!(%group, %error, "a commit failed; it is tried again");
            CommitEnd::Failed
        }
        Err(_) => {
            tracing::warn!(%group, "a commit was not answered; it is tried again");
            CommitEnd::Failed
        }
    }
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Nack => "nack",
            Self::Reject => "reject",
            Self::Timeout => "timeout",
            Self::Lost => "lost",
        }
    }
}

fn whole(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
