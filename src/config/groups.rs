//! `groups`, `group_defaults` and `dead_letters`: the way out to workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::delivery;
use crate::event::{GroupName, Topic};

use super::section::Section;

/// Reads the three sections.
pub(super) fn read(root: &Section<'_>) -> delivery::Config {
    let defaults = root.section("group_defaults").read(|section| {
        policy(section).apply(&delivery::Policy::default()).unwrap_or_else(|error| {
            section.mistake_below("", &error.to_string());
            delivery::Policy::default()
        })
    });
    let mut groups = BTreeMap::new();
    for (name, section) in root.named_sections("groups") {
        let patch = section.read(|section| group(section, &name, &defaults));
        groups.extend(patch);
    }
    let (dead_letter_retention, dead_letter_states_bytes_max, parked_keys_max) =
        root.section("dead_letters").read(|section| {
            (
                section.duration("retention"),
                section.bytes("states_bytes_max"),
                section.number("parked_keys_max"),
            )
        });
    delivery::Config {
        node: Arc::from(""),
        defaults,
        groups,
        dead_letter_retention,
        dead_letter_states_bytes_max,
        parked_keys_max,
        in_flight_max: root.section("socket").number("in_flight_max"),
    }
}

fn group(
    section: &Section<'_>,
    name: &str,
    defaults: &delivery::Policy,
) -> Option<(GroupName, delivery::PolicyPatch)> {
    let topics = section.list("topics", "a topic's name", |text| Topic::parse(text).ok());
    if topics.is_empty() {
        section.mistake("topics", "a group reads at least one topic");
    }
    let patch = delivery::PolicyPatch { topics: Some(topics), ..policy(section) };
    if let Err(error) = patch.apply(defaults) {
        section.mistake_below("", &error.to_string());
    }
    let name = GroupName::parse(name).map_err(|error| section.mistake("", error.to_string()));
    Some((name.ok()?, patch))
}

/// What is given of a policy, its topics apart.
fn policy(section: &Section<'_>) -> delivery::PolicyPatch {
    let orderings = [
        ("partition", delivery::Ordering::Partition),
        ("key", delivery::Ordering::Key),
        ("none", delivery::Ordering::None),
    ];
    let starts = [("earliest", delivery::Start::Earliest), ("latest", delivery::Start::Latest)];
    let ends = [
        ("skip", delivery::Exhausted::Skip),
        ("park_key", delivery::Exhausted::ParkKey),
        ("halt", delivery::Exhausted::Halt),
    ];
    delivery::PolicyPatch {
        topics: None,
        ordering: section.if_set("ordering", |section, key| section.choice(key, &orderings)).flatten(),
        start: section.if_set("start", |section, key| section.choice(key, &starts)).flatten(),
        lane_window: section.if_set("lane_window", Section::number),
        max_retries: section.if_set("max_retries", Section::number),
        backoff: section.optional_section("backoff").map(|backoff| {
            backoff.read(|backoff| delivery::BackoffPatch {
                first_ms: backoff.if_set("first", millis),
                factor: backoff.if_set("factor", Section::decimal),
                max_ms: backoff.if_set("max", millis),
                jitter: backoff.if_set("jitter", Section::decimal),
            })
        }),
        on_exhausted: section.if_set("on_exhausted", |section, key| section.choice(key, &ends)).flatten(),
        max_redrives: section.if_set("max_redrives", Section::number),
        ack_timeout_ms: section.if_set("ack_timeout", millis),
        extend_max_ms: section.if_set("extend_max", millis),
        nack_delay_max_ms: section.if_set("nack_delay_max", millis),
        commit_interval_ms: section.if_set("commit_interval", millis),
        rebalance_grace_ms: section.if_set("rebalance_grace", millis),
        reconnect_grace_ms: section.if_set("reconnect_grace", millis),
        unsettled_per_partition_max: section.if_set("unsettled_per_partition_max", Section::number),
        span_max: section.if_set("span_max", Section::number),
        breaker: section.if_set("breaker", Section::flag),
    }
}

fn millis(section: &Section<'_>, key: &'static str) -> u64 {
    section.duration(key).as_millis().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Sources};
    use crate::delivery::{Exhausted, Policy};

    fn read(file: &str) -> Result<Config, Vec<String>> {
        let sources = Sources { file: Some(file.to_owned()), ..Sources::default() };
        Config::read(&sources).map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_file_may_say_of_the_last_retry_whatever_the_api_may() {
        for ends in [Exhausted::Skip, Exhausted::ParkKey, Exhausted::Halt] {
            let word = serde_json::to_value(ends).unwrap();
            let config = read(&format!("group_defaults: {{on_exhausted: {word}}}")).unwrap();
            assert_eq!(config.delivery.defaults, Policy { on_exhausted: ends, ..Policy::default() });
        }
        let refused = read("group_defaults: {ordering: none, on_exhausted: park_key}").unwrap_err();
        assert!(refused[0].contains("park_key keeps the order of keys"), "{refused:?}");
    }
}
