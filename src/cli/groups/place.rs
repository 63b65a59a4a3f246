//! A place in a group's topics, as people name it: where it goes on, or where a range begins or ends.

use anyhow::bail;
use serde_json::{Map, Value, json};

use crate::event::{Timestamp, Topic};

/// One of them; offsets are given for each partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Earliest,
    Latest,
    Time(Timestamp),
    Offset { topic: Topic, partition: u32, offset: u64 },
}

impl Place {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "earliest" => return Ok(Self::Earliest),
            "latest" => return Ok(Self::Latest),
            _ => {}
        }
        if let Some((place, offset)) = text.split_once('=')
            && let Some((topic, partition)) = place.rsplit_once(':')
            && let (Ok(topic), Ok(partition), Ok(offset)) =
                (Topic::parse(topic), partition.parse(), offset.parse())
        {
            return Ok(Self::Offset { topic, partition, offset });
        }
        let time = Timestamp::parse(text).map(Self::Time);
        time.map_err(|_| "neither earliest, latest, a time of RFC 3339 nor TOPIC:PARTITION=OFFSET".to_owned())
    }
}

/// The places of an option as a request has them.
pub(super) fn body(option: &str, places: &[Place]) -> anyhow::Result<Value> {
    Ok(match places {
        [Place::Earliest] => json!("earliest"),
        [Place::Latest] => json!("latest"),
        [Place::Time(time)] => json!({ "timestamp": time }),
        several => json!({ "offsets": offsets(option, several)? }),
    })
}

fn offsets(option: &str, places: &[Place]) -> anyhow::Result<Map<String, Value>> {
    let mut offsets = Map::new();
    for place in places {
        let Place::Offset { topic, partition, offset } = place else {
            bail!("{option} is one place for the whole group, or an offset for each partition");
        };
        let of_topic = offsets.entry(topic.to_string()).or_insert_with(|| json!({}));
        let before =
            of_topic.as_object_mut().and_then(|all| all.insert(partition.to_string(), json!(offset)));
        if before.is_some() {
            bail!("{option} names partition {partition} of {topic} twice");
        }
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_word_a_time_or_an_offset() {
        assert_eq!(Place::parse("earliest"), Ok(Place::Earliest));
        assert_eq!(Place::parse("latest"), Ok(Place::Latest));
        assert!(matches!(Place::parse("2026-11-21T10:00:00Z"), Ok(Place::Time(_))));
        let topic = Topic::parse("orders.v1").unwrap();
        assert_eq!(Place::parse("orders.v1:2=17"), Ok(Place::Offset { topic, partition: 2, offset: 17 }));
        for bad in ["", "first", "orders.v1=17", "orders.v1:x=17", "orders.v1:0=-1", "2026-11-21"] {
            assert!(Place::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn offsets_are_gathered_by_topic() {
        let all = |texts: &[&str]| {
            let places: Vec<Place> = texts.iter().map(|text| Place::parse(text).unwrap()).collect();
            body("--to", &places).map_err(|error| error.to_string())
        };
        assert_eq!(
            all(&["a.v1:0=1", "a.v1:1=2", "b.v1:0=3"]),
            Ok(json!({"offsets": {"a.v1": {"0": 1, "1": 2}, "b.v1": {"0": 3}}}))
        );
        assert_eq!(all(&["latest"]), Ok(json!("latest")));
        assert!(all(&["a.v1:0=1", "a.v1:0=2"]).unwrap_err().contains("--to names partition 0"));
        assert!(all(&["a.v1:0=1", "latest"]).unwrap_err().contains("one place"));
    }
}
