//! The `from` of a subscription, in all its forms.

use serde_json::{Map, Value};

use crate::event::{Cursor, Offset, Partition, Positions, Timestamp, Topic};
use crate::feed::From;
use crate::problem::Problem;

use super::command::invalid;

/// Reads `from`: absent or `latest`, `earliest`, a time, a cursor (with later positions), or positions, bare or as
/// the member `positions`.
pub(super) fn parse(from: Option<Value>) -> Result<From, Problem> {
    match from {
        None => Ok(From::Latest),
        Some(Value::String(text)) => parse_text(&text),
        Some(Value::Object(members)) => parse_object(&members),
        Some(_) => Err(invalid("/from", "must be a word, a time, a cursor or positions")),
    }
}

fn parse_text(text: &str) -> Result<From, Problem> {
    match text {
        "latest" => Ok(From::Latest),
        "earliest" => Ok(From::Earliest),
        _ => Timestamp::parse(text).map(From::Time).map_err(|_| {
            invalid("/from", "must be latest, earliest, an RFC 3339 time, a cursor or positions")
        }),
    }
}

fn parse_object(members: &Map<String, Value>) -> Result<From, Problem> {
    let nested = members.get("positions").and_then(Value::as_object);
    if let Some(Value::String(cursor)) = members.get("cursor") {
        let cursor = Cursor::decode(cursor).map_err(|error| invalid("/from/cursor", error.to_string()))?;
        let positions = nested.map(|nested| parse_positions("/from/positions", nested)).transpose()?;
        return Ok(From::Cursor { cursor, positions: positions.unwrap_or_default() });
    }
    match nested {
        // A topic may be called `positions`; its value then holds offsets and no objects.
        Some(nested) if nested.values().all(Value::is_object) => {
            parse_positions("/from/positions", nested).and_then(|read| positions("/from/positions", read))
        }
        _ => parse_positions("/from", members).and_then(|read| positions("/from", read)),
    }
}

/// Positions alone must say something; beside a cursor they may be empty (nothing was seen since).
fn positions(pointer: &str, positions: Positions) -> Result<From, Problem> {
    if positions.is_empty() {
        Err(invalid(pointer, "holds no position"))
    } else {
        Ok(From::Positions(positions))
    }
}

fn parse_positions(pointer: &str, topics: &Map<String, Value>) -> Result<Positions, Problem> {
    let wrong = |topic: &str| {
        invalid(&format!("{pointer}/{topic}"), r#"must be next offsets by partition, such as {"0":124}"#)
    };
    let mut positions = Positions::new();
    for (name, partitions) in topics {
        let topic = Topic::parse(name).map_err(|error| invalid(pointer, error.to_string()))?;
        let partitions = partitions.as_object().ok_or_else(|| wrong(name))?;
        let offsets = positions.entry(topic).or_default();
        for (partition, offset) in partitions {
            let partition = partition.parse().map_err(|_| wrong(name))?;
            let offset = offset.as_u64().filter(|offset| i64::try_from(*offset).is_ok());
            offsets.insert(Partition::new(partition), Offset::new(offset.ok_or_else(|| wrong(name))?));
        }
    }
    Ok(positions)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::parse;
    use crate::feed::From;

    #[test]
    fn a_cursor_may_come_with_no_later_positions() {
        let cursor = crate::event::Cursor::default().encode();
        assert!(parse(Some(json!({"cursor": cursor, "positions": {}}))).is_ok());
        assert!(parse(Some(json!({"positions": {}}))).is_err());
    }

    #[test]
    fn positions_come_bare_or_named() {
        let bare = parse(Some(json!({"orders.v1": {"0": 124, "1": 88}}))).unwrap();
        let named = parse(Some(json!({"positions": {"orders.v1": {"0": 124, "1": 88}}}))).unwrap();
        assert_eq!(bare, named);
        let From::Positions(positions) = bare else { panic!() };
        assert_eq!(serde_json::to_value(positions).unwrap(), json!({"orders.v1": {"0": 124, "1": 88}}));
        let odd = parse(Some(json!({"positions": {"0": 5}}))).unwrap();
        assert!(matches!(odd, From::Positions(positions) if positions.contains_key("positions")));
    }

    #[test]
    fn words_and_times_are_read() {
        assert_eq!(parse(None).unwrap(), From::Latest);
        assert_eq!(parse(Some(json!("earliest"))).unwrap(), From::Earliest);
        assert!(matches!(parse(Some(json!("2026-11-21T10:15:30Z"))).unwrap(), From::Time(_)));
    }

    #[test]
    fn other_places_are_refused() {
        for bad in [
            json!("end"),
            json!(7),
            json!({}),
            json!({"a b": {"0": 1}}),
            json!({"orders": {"x": 1}}),
            json!({"orders": {"0": -1}}),
            json!({"orders": 4}),
            json!({"orders": {"0": 1.5}}),
            json!([1]),
        ] {
            assert!(parse(Some(bad.clone())).is_err(), "{bad}");
        }
    }
}
