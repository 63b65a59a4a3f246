//! A group's policy: its configuration keys in camelCase, durations in milliseconds.

use std::time::Duration;

use crate::event::Topic;

use super::Error;

/// What must stay in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ordering {
    /// A partition's records, pipelined to one member at a time.
    Partition,
    /// Records of one key; one at a time each.
    Key,
    /// Nothing.
    None,
}

/// Where a group without a committed offset begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// At the first record kept.
    Earliest,
    /// At the end.
    Latest,
}

/// What happens after the last retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exhausted {
    /// The record is dead-lettered and the lane goes on.
    Skip,
    /// Later records of the key are dead-lettered too, until all of them are settled.
    ParkKey,
    /// The partition stops.
    Halt,
}

/// The delays between attempts.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Backoff {
    /// Before the second attempt.
    #[serde(rename = "firstMs", with = "millis")]
    pub first: Duration,
    /// Each delay is the one before times this.
    pub factor: f64,
    /// No delay is longer.
    #[serde(rename = "maxMs", with = "millis")]
    pub max: Duration,
    /// Each delay is moved at random by up to this part of it, 0 to 1.
    pub jitter: f64,
}

/// How a group is served. Read from the log, it may have been written by another version, so members not known here
/// are passed over.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// What it reads; literal names, sorted, no dead-letter topic among them.
    pub topics: Vec<Topic>,
    /// What must stay in order.
    pub ordering: Ordering,
    /// Where it begins.
    pub start: Start,
    /// How many deliveries of a partition may be in flight in order (`ordering: partition`).
    pub lane_window: usize,
    /// Retries after the first attempt.
    pub max_retries: u32,
    /// The delays before them.
    pub backoff: Backoff,
    /// What follows the last.
    pub on_exhausted: Exhausted,
    /// A dead letter that was redriven so often and fails once more is held for a person. A policy stored without it has 3.
    #[serde(default = "redrives")]
    pub max_redrives: u32,
    /// How long a delivery may stay unsettled.
    #[serde(rename = "ackTimeoutMs", with = "millis")]
    pub ack_timeout: Duration,
    /// How far that can be extended in total.
    #[serde(rename = "extendMaxMs", with = "millis")]
    pub extend_max: Duration,
    /// The longest delay a nack may ask for.
    #[serde(rename = "nackDelayMaxMs", with = "millis")]
    pub nack_delay_max: Duration,
    /// How long settlements may wait for their commit.
    #[serde(rename = "commitIntervalMs", with = "millis")]
    pub commit_interval: Duration,
    /// How long deliveries in flight may settle when a partition must go.
    #[serde(rename = "rebalanceGraceMs", with = "millis")]
    pub rebalance_grace: Duration,
    /// How long the deliveries of a broken connection wait for its successor.
    #[serde(rename = "reconnectGraceMs", with = "millis")]
    pub reconnect_grace: Duration,
    /// Unsettled records of one partition.
    pub unsettled_per_partition_max: usize,
    /// Highest record taken less the committed offset, per partition.
    pub span_max: u64,
    /// Whether the group pauses when its consumer seems to be down. A policy stored without it has it.
    #[serde(default = "yes")]
    pub breaker: bool,
}

/// A change of [`Backoff`]: what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are those of Backoff")]
pub struct BackoffPatch {
    pub first_ms: Option<u64>,
    pub factor: Option<f64>,
    pub max_ms: Option<u64>,
    pub jitter: Option<f64>,
}

/// A change of a [`Policy`], as PUT and the configuration file give it: what is absent stays, or has the default
/// where the group is new.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are those of Policy")]
pub struct PolicyPatch {
    pub topics: Option<Vec<Topic>>,
    pub ordering: Option<Ordering>,
    pub start: Option<Start>,
    pub lane_window: Option<usize>,
    pub max_retries: Option<u32>,
    pub backoff: Option<BackoffPatch>,
    pub on_exhausted: Option<Exhausted>,
    pub max_redrives: Option<u32>,
    pub ack_timeout_ms: Option<u64>,
    pub extend_max_ms: Option<u64>,
    pub nack_delay_max_ms: Option<u64>,
    pub commit_interval_ms: Option<u64>,
    pub rebalance_grace_ms: Option<u64>,
    pub reconnect_grace_ms: Option<u64>,
    pub unsettled_per_partition_max: Option<usize>,
    pub span_max: Option<u64>,
    pub breaker: Option<bool>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), factor: 2.0, max: Duration::from_secs(30), jitter: 0.2 }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            topics: Vec::new(),
            ordering: Ordering::Partition,
            start: Start::Earliest,
            lane_window: 32,
            max_retries: 3,
            backoff: Backoff::default(),
            on_exhausted: Exhausted::Skip,
            max_redrives: redrives(),
            ack_timeout: Duration::from_secs(30),
            extend_max: Duration::from_secs(600),
            nack_delay_max: Duration::from_secs(900),
            commit_interval: Duration::from_secs(1),
            rebalance_grace: Duration::from_secs(2),
            reconnect_grace: Duration::from_secs(5),
            unsettled_per_partition_max: 256,
            span_max: 10_000,
            breaker: true,
        }
    }
}

impl PolicyPatch {
    /// Reads the body of a PUT.
    ///
    /// # Errors
    /// [`Error::InvalidPolicy`] when it is not an object of known members with values of their kind.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(body).map_err(|problem| Error::invalid("", problem.to_string()))
    }

    /// This change made to a policy.
    ///
    /// # Errors
    /// [`Error::InvalidPolicy`] when the result cannot be.
    pub fn apply(&self, base: &Policy) -> Result<Policy, Error> {
        fn set<T: Clone>(field: &mut T, change: Option<&T>) {
            if let Some(value) = change {
                field.clone_from(value);
            }
        }
        fn set_ms(field: &mut Duration, change: Option<u64>) {
            if let Some(millis) = change {
                *field = Duration::from_millis(millis);
            }
        }
        let mut policy = base.clone();
        set(&mut policy.topics, self.topics.as_ref());
        policy.topics.sort();
        policy.topics.dedup();
        set(&mut policy.ordering, self.ordering.as_ref());
        set(&mut policy.start, self.start.as_ref());
        set(&mut policy.lane_window, self.lane_window.as_ref());
        set(&mut policy.max_retries, self.max_retries.as_ref());
        if let Some(backoff) = &self.backoff {
            set_ms(&mut policy.backoff.first, backoff.first_ms);
            set(&mut policy.backoff.factor, backoff.factor.as_ref());
            set_ms(&mut policy.backoff.max, backoff.max_ms);
            set(&mut policy.backoff.jitter, backoff.jitter.as_ref());
        }
        set(&mut policy.on_exhausted, self.on_exhausted.as_ref());
        set(&mut policy.max_redrives, self.max_redrives.as_ref());
        set_ms(&mut policy.ack_timeout, self.ack_timeout_ms);
        set_ms(&mut policy.extend_max, self.extend_max_ms);
        set_ms(&mut policy.nack_delay_max, self.nack_delay_max_ms);
        set_ms(&mut policy.commit_interval, self.commit_interval_ms);
        set_ms(&mut policy.rebalance_grace, self.rebalance_grace_ms);
        set_ms(&mut policy.reconnect_grace, self.reconnect_grace_ms);
        set(&mut policy.unsettled_per_partition_max, self.unsettled_per_partition_max.as_ref());
        set(&mut policy.span_max, self.span_max.as_ref());
        set(&mut policy.breaker, self.breaker.as_ref());
        policy.check()?;
        Ok(policy)
    }
}

impl Policy {
    /// Whether the policy can be; an empty list of topics is accepted here, since defaults have none.
    ///
    /// # Errors
    /// [`Error::InvalidPolicy`] with the first mistake.
    pub fn check(&self) -> Result<(), Error> {
        const DAY: Duration = Duration::from_secs(86_400);
        for (index, topic) in self.topics.iter().enumerate() {
            let pointer = format!("/topics/{index}");
            if topic.is_dead_letters() || topic.is_internal() {
                return Err(Error::invalid(&pointer, format!("'{topic}' can never be a group's source")));
            }
            if topic.as_str().len() > TOPIC_LENGTH_MAX {
                return Err(Error::invalid(&pointer, "a group's topic has at most 180 characters"));
            }
        }
        if self.on_exhausted == Exhausted::ParkKey && self.ordering == Ordering::None {
            let problem = "park_key keeps the order of keys, and with ordering none there is none; use skip, or ordering key or partition";
            return Err(Error::invalid("/onExhausted", problem));
        }
        let backoff = &self.backoff;
        let rules = [
            (!(1..=1_000).contains(&self.lane_window), "/laneWindow", "must be 1 to 1000"),
            (self.max_retries > 1_000, "/maxRetries", "must be at most 1000"),
            (self.max_redrives > 1_000, "/maxRedrives", "must be at most 1000"),
            (!(1.0..=100.0).contains(&backoff.factor), "/backoff/factor", "must be 1 to 100"),
            (!(0.0..=1.0).contains(&backoff.jitter), "/backoff/jitter", "must be 0 to 1"),
            (backoff.max > DAY, "/backoff/maxMs", "must be at most a day"),
            (backoff.first > backoff.max, "/backoff/firstMs", "must be at most backoff.maxMs"),
            (self.ack_timeout.is_zero(), "/ackTimeoutMs", "must be at least 1"),
            (self.extend_max < self.ack_timeout, "/extendMaxMs", "must be at least ackTimeoutMs"),
            (self.extend_max > DAY, "/extendMaxMs", "must be at most a day"),
            (self.nack_delay_max > DAY, "/nackDelayMaxMs", "must be at most a day"),
            (
                self.commit_interval.is_zero() || self.commit_interval > Duration::from_secs(60),
                "/commitIntervalMs",
                "must be 1 to 60000",
            ),
            (self.rebalance_grace > Duration::from_secs(20), "/rebalanceGraceMs", "must be at most 20000"),
            (self.reconnect_grace > Duration::from_secs(60), "/reconnectGraceMs", "must be at most 60000"),
            (
                !(1..=2_000).contains(&self.unsettled_per_partition_max),
                "/unsettledPerPartitionMax",
                "must be 1 to 2000",
            ),
            (!(1..=1_000_000).contains(&self.span_max), "/spanMax", "must be 1 to 1000000"),
        ];
        match rules.iter().find(|(is_broken, ..)| *is_broken) {
            Some((_, pointer, problem)) => Err(Error::invalid(pointer, *problem)),
            None => Ok(()),
        }
    }

    /// The longest a delivery's own record is tried: retries and the first attempt.
    pub(super) const fn attempts_max(&self) -> u32 {
        self.max_retries.saturating_add(1)
    }
}

/// So that `dlq.{topic}.{group}` stays a topic name.
const TOPIC_LENGTH_MAX: usize = 180;

const fn yes() -> bool {
    true
}

const fn redrives() -> u32 {
    3
}

mod millis {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, Policy, PolicyPatch};

    #[test]
    fn a_policy_is_written_in_camel_case_with_milliseconds() {
        let patch = PolicyPatch::parse(br#"{"topics":["orders.v1"],"backoff":{"firstMs":2000,"factor":1}}"#);
        let policy = patch.unwrap().apply(&Policy::default()).unwrap();
        let mut json = serde_json::to_value(&policy).unwrap();
        assert_eq!(json["ackTimeoutMs"], 30_000);
        assert_eq!(json["backoff"]["firstMs"], 2_000);
        assert_eq!(json["backoff"]["maxMs"], 30_000);
        assert_eq!(json["onExhausted"], "skip");
        assert_eq!(json["unsettledPerPartitionMax"], 256);
        assert_eq!(json["breaker"], true);
        assert_eq!(serde_json::from_value::<Policy>(json.clone()).unwrap(), policy);
        json["parkedMax"] = 3.into();
        json.as_object_mut().unwrap().remove("breaker");
        json.as_object_mut().unwrap().remove("maxRedrives");
        assert_eq!(serde_json::from_value::<Policy>(json).unwrap(), policy, "stored by another version");
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place() {
        for (body, place) in [
            (r#"{"onExhausted":"park_key","ordering":"none"}"#, "/onExhausted"),
            (r#"{"laneWindow":0}"#, "/laneWindow"),
            (r#"{"topics":["dlq.a.b"]}"#, "/topics/0"),
            (r#"{"topics":["_weirgate.groups"]}"#, "/topics/0"),
            (r#"{"backoff":{"jitter":2}}"#, "/backoff/jitter"),
            (r#"{"ackTimeoutMs":0}"#, "/ackTimeoutMs"),
            (r#"{"maxRedrives":1001}"#, "/maxRedrives"),
        ] {
            match PolicyPatch::parse(body.as_bytes()).unwrap().apply(&Policy::default()) {
                Err(Error::InvalidPolicy { pointer, .. }) => assert_eq!(pointer, place, "{body}"),
                other => panic!("{body}: {other:?}"),
            }
        }
        for unknown in [r#"{"colour":"red"}"#, r#"{"breaker":"off"}"#, r#"{"maxRedrives":-1}"#] {
            assert!(PolicyPatch::parse(unknown.as_bytes()).is_err(), "{unknown}");
        }
    }
}
