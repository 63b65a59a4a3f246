//! A replay as a state machine: what is left of it, who works on it, how it ends. Input in, the next state out.
//!
//! The copy in the table is what holds. A gateway that works on it has a copy of its own, and what it brings counts only
//! while the table says that it is the one who does.

use crate::event::{Offset, Partition, Timestamp};

use super::super::Error;
use super::super::jobs::{self, Custody, JobId, Lost};
use super::{Replay, ReplayState};

/// Bytes of what is known above the places of all partitions. What does not fit is delivered once more where a gateway
/// dies.
const METADATA_BYTES_MAX: usize = 64 << 10;

/// A replay that has not ended, with all that a gateway has to know to go on with it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::delivery) struct Job {
    pub(in crate::delivery) told: Replay,
    /// The topics of `told.topics`, as they were made.
    pub(in crate::delivery) incarnations: Vec<u64>,
    /// What is left.
    pub(in crate::delivery) parts: Vec<Part>,
    #[serde(flatten)]
    custody: Custody,
}

/// What is left of a partition.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(in crate::delivery) struct Part {
    /// The place of its topic among the job's topics.
    #[serde(rename = "t")]
    pub(in crate::delivery) topic: usize,
    #[serde(rename = "p")]
    pub(in crate::delivery) partition: Partition,
    /// All before it is settled.
    #[serde(rename = "o")]
    pub(in crate::delivery) next: Offset,
    #[serde(rename = "e")]
    pub(in crate::delivery) end: Offset,
    /// What is known above `next`, as beside a committed offset.
    #[serde(rename = "m", default, skip_serializing_if = "String::is_empty")]
    pub(in crate::delivery) metadata: String,
}

impl jobs::Job for Job {
    type Told = Replay;

    const RUNNING: &'static str = "replaying/";
    const ENDED: &'static str = "replay/";

    fn told(&self) -> &Replay {
        &self.told
    }

    fn id_of(told: &Replay) -> &JobId {
        &told.id
    }

    fn is_open(&self) -> bool {
        self.told.state.is_open()
    }

    fn running(id: JobId) -> Error {
        Error::ReplayRunning(id)
    }

    fn abandon(&mut self, reason: &str, now: Timestamp) {
        self.told.reason = Some(reason.to_owned());
        self.end(ReplayState::Failed, now);
    }
}

impl Job {
    /// A job that nobody has yet, or that has ended where there is nothing to do.
    pub(super) fn new(mut told: Replay, incarnations: Vec<u64>, parts: Vec<Part>) -> Self {
        if parts.is_empty() {
            (told.state, told.ended_at) = (ReplayState::Done, Some(told.created_at));
        }
        Self { told, incarnations, parts, custody: Custody::nobody() }
    }

    /// A gateway goes on with it; what was read and not settled is read again.
    pub(in crate::delivery) fn take(&mut self, life: &str) {
        self.custody.take(life);
        self.told.state = ReplayState::Running;
        let counts = &mut self.told.counts;
        counts.matched = counts.delivered + counts.failed;
    }

    /// Its owner tells how far its own copy has come, the same once more too; with nothing left the job is done.
    pub(in crate::delivery) fn record(
        &mut self,
        life: &str,
        copy: &Self,
        now: Timestamp,
    ) -> Result<(), Lost> {
        self.require(life)?;
        self.custody.sign(life)?;
        self.told.counts = copy.told.counts;
        self.parts.clone_from(&copy.parts);
        if self.parts.is_empty() {
            self.end(ReplayState::Done, now);
        }
        Ok(())
    }

    /// Its owner leaves it to whoever wants it.
    pub(in crate::delivery) fn release(
        &mut self,
        life: &str,
        copy: &Self,
        now: Timestamp,
    ) -> Result<(), Lost> {
        self.record(life, copy, now)?;
        if self.told.state == ReplayState::Running {
            self.custody.release(life)?;
            self.told.state = ReplayState::Waiting;
        }
        Ok(())
    }

    /// Its owner cannot go on.
    pub(in crate::delivery) fn fail(
        &mut self,
        life: &str,
        copy: &Self,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), Lost> {
        self.record(life, copy, now)?;
        if self.told.state == ReplayState::Running {
            self.told.reason = Some(reason.to_owned());
            self.end(ReplayState::Failed, now);
        }
        Ok(())
    }

    /// Somebody ends it; what is in flight is withdrawn.
    pub(super) fn cancel(&mut self, by: &str, now: Timestamp) {
        self.told.cancelled_by = Some(by.to_owned());
        self.end(ReplayState::Cancelled, now);
    }

    /// So many more events were read.
    pub(in crate::delivery) fn matched(&mut self, count: u64) {
        self.told.counts.matched += count;
    }

    /// An event was acknowledged.
    pub(in crate::delivery) fn delivered(&mut self) {
        self.told.counts.delivered += 1;
        self.skip();
    }

    /// An event is a dead letter.
    pub(in crate::delivery) fn failed(&mut self) {
        self.told.counts.failed += 1;
        self.skip();
    }

    /// All of a partition before an offset is settled, and this is known above it. Whether nothing of it is left.
    pub(in crate::delivery) fn mark(
        &mut self,
        (topic, partition): (usize, Partition),
        next: Offset,
        metadata: String,
    ) -> bool {
        let is_it = |part: &Part| (part.topic, part.partition) == (topic, partition);
        let others: usize =
            self.parts.iter().filter(|part| !is_it(part)).map(|part| part.metadata.len()).sum();
        let Some(part) = self.parts.iter_mut().find(|part| is_it(part)) else { return true };
        let next = next.clamp(part.next, part.end);
        self.told.counts.examined += next.since(part.next);
        part.next = next;
        part.metadata = if others + metadata.len() > METADATA_BYTES_MAX { String::new() } else { metadata };
        let is_done = part.next >= part.end;
        if is_done {
            self.parts.retain(|part| !is_it(part));
        }
        self.skip();
        is_done
    }

    /// What is left of a partition.
    pub(in crate::delivery) fn part(&self, (topic, partition): (usize, Partition)) -> Option<&Part> {
        self.parts.iter().find(|part| (part.topic, part.partition) == (topic, partition))
    }

    pub(in crate::delivery) const fn beat(&self) -> u64 {
        self.custody.beat()
    }

    pub(in crate::delivery) const fn is_owned(&self) -> bool {
        self.custody.is_owned()
    }

    /// Whether the gateway of this life works on it.
    pub(in crate::delivery) fn is_run_by(&self, life: &str) -> bool {
        self.told.state == ReplayState::Running && self.custody.is_of(life)
    }

    /// What is examined and was no event that is meant.
    fn skip(&mut self) {
        let counts = &mut self.told.counts;
        counts.skipped = counts.examined.saturating_sub(counts.delivered + counts.failed);
    }

    fn require(&self, life: &str) -> Result<(), Lost> {
        if self.is_run_by(life) { Ok(()) } else { Err(Lost) }
    }

    fn end(&mut self, state: ReplayState, now: Timestamp) {
        self.told.state = state;
        self.told.ended_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use crate::event::{GroupName, Topic};

    use super::super::super::ResetTo;
    use super::super::ReplayCounts;
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn part(partition: u32, next: u64, end: u64) -> Part {
        Part {
            topic: 0,
            partition: Partition::new(partition),
            next: Offset::new(next),
            end: Offset::new(end),
            metadata: String::new(),
        }
    }

    fn job(parts: Vec<Part>) -> Job {
        let group = GroupName::parse("inventory-sync").unwrap();
        let told = Replay {
            id: JobId::new(group.clone(), 7),
            group,
            state: ReplayState::Waiting,
            reason: None,
            events: 10,
            counts: ReplayCounts::default(),
            topics: vec![Topic::parse("orders.v1").unwrap()],
            from: ResetTo::Earliest,
            to: None,
            filter: None,
            rate_per_second: None,
            by: "service:shop".to_owned(),
            created_at: NOW,
            ended_at: None,
            cancelled_by: None,
        };
        Job::new(told, vec![1], parts)
    }

    fn place(partition: u32) -> (usize, Partition) {
        (0, Partition::new(partition))
    }

    fn stored(job: &Job) -> Job {
        serde_json::from_slice(&serde_json::to_vec(job).unwrap()).unwrap()
    }

    #[test]
    fn a_job_is_taken_noted_and_done_when_nothing_is_left() {
        let mut table = job(vec![part(0, 2, 6), part(1, 0, 3)]);
        table.take("g1");
        let mut copy = stored(&table);
        copy.matched(2);
        copy.delivered();
        assert!(!copy.mark(place(0), Offset::new(4), "above".to_owned()));
        table.record("g1", &copy, NOW).unwrap();
        assert_eq!((table.told.state, table.parts.len()), (ReplayState::Running, 2));
        assert_eq!((table.parts[0].next, table.parts[0].metadata.as_str()), (Offset::new(4), "above"));
        assert!(copy.mark(place(1), Offset::new(3), String::new()));
        copy.failed();
        assert!(copy.mark(place(0), Offset::new(9), String::new()), "not past its end");
        table.record("g1", &copy, NOW).unwrap();
        let expected = ReplayCounts { examined: 7, matched: 2, delivered: 1, failed: 1, skipped: 5 };
        assert_eq!((table.told.state, table.told.counts), (ReplayState::Done, expected));
        assert_eq!(table.record("g1", &copy, NOW), Err(Lost), "ended is ended");
    }

    #[test]
    fn who_lost_the_job_comes_too_late() {
        let mut table = job(vec![part(0, 2, 6)]);
        table.take("g1");
        let mut copy = stored(&table);
        copy.matched(4);
        copy.delivered();
        table.record("g1", &copy, NOW).unwrap();
        table.take("g2");
        assert_eq!(table.told.counts.matched, 1, "what is not settled is read again");
        let before = table.clone();
        assert_eq!(table.record("g1", &copy, NOW), Err(Lost));
        assert_eq!(table.release("g1", &copy, NOW), Err(Lost));
        assert_eq!(table.fail("g1", &copy, "gone", NOW), Err(Lost));
        assert_eq!(table, before);
        copy = stored(&table);
        table.release("g2", &copy, NOW).unwrap();
        assert_eq!((table.told.state, table.is_owned()), (ReplayState::Waiting, false));
        table.cancel("anna", NOW);
        assert_eq!((table.told.state, table.told.ended_at), (ReplayState::Cancelled, Some(NOW)));
    }

    #[test]
    fn what_is_known_above_all_places_is_bounded() {
        let mut job = job((0..40).map(|number| part(number, 0, 9)).collect());
        for number in 0..40 {
            job.mark(place(number), Offset::new(1), "m".repeat(4_000));
        }
        let bytes: usize = job.parts.iter().map(|part| part.metadata.len()).sum();
        assert_eq!(bytes, 64_000);
    }

    #[test]
    fn a_range_without_an_offset_is_done_at_once() {
        let job = job(Vec::new());
        assert_eq!((job.told.state, job.told.ended_at), (ReplayState::Done, Some(NOW)));
    }
}
