//! CloudEvents 1.0: events taken and refused, in structured and binary mode.

use std::collections::BTreeMap;

use base64::Engine as _;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use weirgate::event::envelope::Error;
use weirgate::event::json::{Document, Limits};
use weirgate::event::{Catalogue, Draft, EventId, EventType, Fill, Storage, Timestamp, Topic, TopicRule};

use crate::json_lines;

/// Events that the suite takes and we answer with 415: data must be JSON.
const UNSUPPORTED: &[&str] = &["text-plain", "text-xml", "text-unicode", "base64-json"];

/// Events that the suite refuses and we take, with the reason.
const TAKEN: &[(&str, &str)] =
    &[("ext-surrogate", "the file holds a question mark where the surrogate was lost")];

fn types(cases: &[Value]) -> Vec<String> {
    let types = cases.iter().filter_map(|case| case["event"]["type"].as_str());
    types.filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

fn catalogue(types: &[String]) -> Catalogue {
    let types = types.iter().map(|text| EventType::parse(text).unwrap()).collect();
    let plain = TopicRule::plain(Topic::parse("events").unwrap(), types);
    let rule = TopicRule { storage: Storage::Headers, is_schema_required: false, ..plain };
    Catalogue::new(vec![rule.clone()], rule)
}

/// What a draft says of itself, in the words of CloudEvents: attributes and data.
fn told(draft: &Draft<'_>) -> (BTreeMap<String, String>, Option<Value>) {
    let fill = Fill {
        event_id: EventId::parse("unused").unwrap(),
        timestamp: Timestamp::from_millis(0),
        source: "unused".into(),
        correlation_id: None,
    };
    let (value, headers) = draft.seal(&fill, Storage::Headers, None);
    let mut attributes = BTreeMap::new();
    for (name, value) in headers {
        let text = String::from_utf8(value.unwrap().to_vec()).unwrap();
        let name = match &*name {
            "weirgate-event-type" => "ce_type".to_owned(),
            "weirgate-source" => "ce_source".to_owned(),
            "weirgate-timestamp" if text != "1970-01-01T00:00:00.000Z" => "ce_time".to_owned(),
            "ce_datacontenttype" => "content-type".to_owned(),
            other if other.starts_with("weirgate-") => continue,
            other => other.to_owned(),
        };
        attributes.insert(name, text);
    }
    if let Some(key) = &draft.key {
        attributes.insert("ce_partitionkey".to_owned(), String::from_utf8(key.to_vec()).unwrap());
    }
    attributes.insert("ce_specversion".to_owned(), "1.0".to_owned());
    (attributes, Some(serde_json::from_slice(&value).unwrap()))
}

fn expected(case: &Value, is_with_content_type: bool) -> (BTreeMap<String, String>, Option<Value>) {
    let kafka = &case["kafka_binary"];
    let mut attributes: BTreeMap<String, String> = serde_json::from_value(kafka["headers"].clone()).unwrap();
    if !is_with_content_type {
        attributes.remove("content-type");
    }
    let data = kafka["value_base64"].as_str().map_or(Value::Null, |text| {
        serde_json::from_slice(&base64::engine::general_purpose::STANDARD.decode(text).unwrap()).unwrap()
    });
    (attributes, Some(data))
}

#[test]
#[cfg_attr(not(has_suites), ignore = "needs ../shared/suites")]
fn events_are_taken_and_mapped_or_refused() {
    let cases = json_lines("cloudevents/events.jsonl");
    let catalogue = catalogue(&types(&cases));
    let (mut taken, mut refused) = (0, 0);
    for case in cases {
        let (id, event) = (case["id"].as_str().unwrap(), case["event"].to_string());
        let document = Document::parse(event.as_bytes(), Limits::default()).unwrap();
        match (Draft::from_cloud_event(document.node(), &catalogue), case["valid"] == true) {
            (Ok(draft), true) => {
                taken += 1;
                let is_named = case["event"].get("datacontenttype").is_some();
                assert_eq!(told(&draft), expected(&case, is_named), "{id}");
            }
            (Err(Error::UnsupportedData { .. }), true) => assert!(UNSUPPORTED.contains(&id), "{id}"),
            (Err(Error::CloudEvent { .. }), false) => refused += 1,
            (Ok(_), false) => assert!(TAKEN.iter().any(|(known, _)| *known == id), "{id} was taken"),
            (other, _) => panic!("{id}: {other:?}"),
        }
    }
    assert!(taken >= 30 && refused >= 30, "{taken} taken, {refused} refused");
}

#[test]
#[cfg_attr(not(has_suites), ignore = "needs ../shared/suites")]
fn binary_mode_tells_the_same_events() {
    let cases = json_lines("cloudevents/events.jsonl");
    let catalogue = catalogue(&types(&cases));
    let is_json =
        |case: &&Value| case["valid"] == true && !UNSUPPORTED.contains(&case["id"].as_str().unwrap());
    for case in cases.iter().filter(is_json) {
        let http = &case["http_binary"];
        let attributes: Vec<(String, String)> = http["headers"]
            .as_object()
            .unwrap()
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix("ce-")?.to_owned(), value.as_str()?)))
            .map(|(name, value)| (name, percent_decode_str(value).decode_utf8().unwrap().into_owned()))
            .collect();
        let body = http["body_base64"]
            .as_str()
            .map(|text| base64::engine::general_purpose::STANDARD.decode(text).unwrap());
        let document = body.as_deref().map(|body| Document::parse(body, Limits::default()).unwrap());
        let node = document.as_ref().map(Document::node);
        let draft = Draft::from_cloud_event_binary(&attributes, None, node, &catalogue).unwrap();
        assert_eq!(told(&draft), expected(case, false), "{}", case["id"]);
    }
}

#[test]
#[cfg_attr(not(has_suites), ignore = "needs ../shared/suites")]
fn topics_of_cloud_events_hold_what_the_kafka_binding_says() {
    let cases = json_lines("cloudevents/events.jsonl");
    let catalogue = catalogue(&types(&cases));
    let (mut binary, mut without_data) = (0, 0);
    for case in &cases {
        let (id, event) = (case["id"].as_str().unwrap(), case["event"].to_string());
        let document = Document::parse(event.as_bytes(), Limits::default()).unwrap();
        let Ok(draft) = Draft::from_cloud_event(document.node(), &catalogue) else { continue };
        let fill = Fill {
            event_id: EventId::parse("unused").unwrap(),
            timestamp: Timestamp::from_millis(0),
            source: "unused".into(),
            correlation_id: None,
        };
        let (value, _) = draft.seal(&fill, Storage::CloudEventsStructured, None);
        assert_eq!(&value[..], event.as_bytes(), "{id}");
        if case["valid"] != true {
            continue;
        }
        if draft.check_storage(Storage::CloudEventsBinary).is_err() {
            assert!(case["event"].get("data").is_none(), "{id}");
            without_data += 1;
            continue;
        }
        let (value, headers) = draft.seal(&fill, Storage::CloudEventsBinary, None);
        let attributes: BTreeMap<String, String> = headers
            .into_iter()
            .filter(|(name, _)| !name.starts_with("weirgate-"))
            .map(|(name, value)| (name.to_string(), String::from_utf8(value.unwrap().to_vec()).unwrap()))
            .collect();
        let told = (attributes, Some(serde_json::from_slice(&value).unwrap()));
        assert_eq!(told, expected(case, true), "{id}");
        binary += 1;
    }
    assert!(binary >= 10 && without_data >= 10, "{binary} with data, {without_data} without");
}
