//! What the gateway's pushes mean, in a sentence for a person.

use serde_json::{Value, json};

use super::output::counted;

/// One line for a subscription that was accepted.
pub(super) fn subscribed(ok: &Value) -> String {
    if let Some(policy) = ok.get("policy") {
        let topics: Vec<&str> = policy
            .get("topics")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let adopted =
            if ok.get("adopted") == Some(&json!(true)) { ", with the deliveries in hand" } else { "" };
        return format!("in the group, which reads {}{adopted}", topics.join(", "));
    }
    let partitions = ok.get("positions").and_then(Value::as_object).into_iter().flatten();
    let topics: Vec<&str> = partitions.map(|(topic, _)| topic.as_str()).collect();
    let resumed = if ok.get("resumed") == Some(&json!(true)) { ", where it left off" } else { "" };
    let topics = if topics.is_empty() { "topics to come".to_owned() } else { topics.join(", ") };
    format!("following {topics}{resumed}")
}

/// One line for a push that is no event; `None` for those only machines need.
pub(super) fn notice(value: &Value) -> Option<String> {
    let reason = value.get("reason").and_then(Value::as_str).unwrap_or_default();
    if let Some(gap) = value.get("gap") {
        return Some(missed(gap, reason));
    }
    if let Some(tags) = value.get("withdrawn").and_then(Value::as_array) {
        let why = match reason {
            "rewind" => "an earlier one of its order failed, so it comes again after that one",
            "rebalance" => "its partition goes to another worker",
            "expired" => "it was not settled in time, and comes again",
            "reset" => "the group was moved to another place",
            "paused" => "the group is paused",
            other => other,
        };
        return Some(format!("taken back: {}; {why}", counted_deliveries(tags.len())));
    }
    if let Some(assignment) = value.get("assignment") {
        return Some(assigned(assignment, value.pointer("/lag/events").and_then(Value::as_u64)));
    }
    if let Some(settled) = value.get("settled").and_then(Value::as_array) {
        let state = settled.first().and_then(|first| first.get("state")).and_then(Value::as_str);
        let why = match state.unwrap_or_default() {
            "stale" => "it had been taken back or settled before",
            "foreign" => "it is another worker's",
            "unknown" => "there is no such delivery",
            other => other,
        };
        return Some(format!("not counted: the answer to {}; {why}", counted_deliveries(settled.len())));
    }
    value
        .get("draining")
        .map(|_| "the gateway is going away; what is in hand can still be settled".to_owned())
}

fn counted_deliveries(count: usize) -> String {
    if count == 1 { "1 delivery".to_owned() } else { format!("{count} deliveries") }
}

/// The partitions by topic, and how many events wait in them.
fn assigned(assignment: &Value, behind: Option<u64>) -> String {
    let mut topics = Vec::new();
    for (topic, partitions) in assignment.as_object().into_iter().flatten() {
        let numbers: Vec<String> =
            partitions.as_array().into_iter().flatten().map(Value::to_string).collect();
        topics.push(format!("{topic} [{}]", numbers.join(", ")));
    }
    if topics.is_empty() {
        return "no partition for this worker now: others have them all".to_owned();
    }
    let waiting = match behind {
        None => String::new(),
        Some(0) => "; nothing waits".to_owned(),
        Some(count) => format!("; {} behind", counted(count, "event")),
    };
    format!("working on {}{waiting}", topics.join(", "))
}

/// The records that will never come, as `[first missed, next delivered)`.
fn missed(gap: &Value, reason: &str) -> String {
    let why = match reason {
        "retention" => "they were too old and were removed",
        "overrun" => "this reader was too slow for them",
        "recreated" => "the topic was deleted and made again",
        "truncated" => "the log lost them",
        other => other,
    };
    let mut places = Vec::new();
    for (topic, partitions) in gap.as_object().into_iter().flatten() {
        for (partition, span) in partitions.as_object().into_iter().flatten() {
            let end = |at: usize| span.get(at).and_then(Value::as_u64).unwrap_or_default();
            places.push(format!("{topic}/{partition}@{} up to {}", end(0), end(1).saturating_sub(1)));
        }
    }
    format!("missed {}: {why}", places.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{notice, subscribed};

    #[test]
    fn pushes_are_told_in_words() {
        for (push, told) in [
            (
                json!({"sub": 1, "gap": {"a": {"0": [1, 5]}}, "reason": "retention"}),
                "missed a/0@1 up to 4: they were too old and were removed",
            ),
            (
                json!({"sub": 1, "withdrawn": ["t"], "reason": "rewind"}),
                "taken back: 1 delivery; an earlier one of its order failed, so it comes again after that one",
            ),
            (
                json!({"sub": 1, "settled": [{"delivery": "t", "state": "stale"}, {"delivery": "u", "state": "stale"}]}),
                "not counted: the answer to 2 deliveries; it had been taken back or settled before",
            ),
            (
                json!({"sub": 1, "assignment": {"a": [0, 2], "b": [1]}, "lag": {"events": 1}}),
                "working on a [0, 2], b [1]; 1 event behind",
            ),
            (
                json!({"sub": 1, "assignment": {"a": [0]}, "lag": {"events": 0}}),
                "working on a [0]; nothing waits",
            ),
            (json!({"sub": 1, "assignment": {"a": [0]}}), "working on a [0]"),
            (json!({"sub": 1, "assignment": {}}), "no partition for this worker now: others have them all"),
        ] {
            assert_eq!(notice(&push).unwrap(), told);
        }
        assert_eq!(notice(&json!({"sub": 1, "positions": {}})), None);
    }

    #[test]
    fn a_subscription_is_told_in_words() {
        let ok = json!({"sub": 1, "positions": {"a": {}, "b": {}}, "resumed": true});
        assert_eq!(subscribed(&ok), "following a, b, where it left off");
        let ok = json!({"sub": 1, "policy": {"topics": ["a"]}, "adopted": true});
        assert_eq!(subscribed(&ok), "in the group, which reads a, with the deliveries in hand");
    }
}
