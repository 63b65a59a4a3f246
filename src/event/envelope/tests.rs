//! What an envelope takes, refuses, and becomes.

use proptest::prelude::{any, proptest};

use super::{DataMembers, Draft, Error, Fill};
use crate::event::json::{Document, Limits, Pointer, Value};
use crate::event::{Catalogue, EventId, EventType, HeaderName, Storage, Timestamp, Topic, TopicRule};

const ID: &str = "550e8400-e29b-41d4-a716-446655440000";

fn rule(topic: &str, types: &[&str], event_id: Option<&str>) -> TopicRule {
    let types = types.iter().map(|text| EventType::parse(text).unwrap()).collect();
    let event_id = event_id.map(|pointer| Pointer::parse(pointer).unwrap());
    TopicRule { event_id, ..TopicRule::plain(Topic::parse(topic).unwrap(), types) }
}

fn catalogue() -> Catalogue {
    let rules = vec![
        rule("user.created", &["user.created.v1"], None),
        rule("legacy", &["ORDER_CREATED", "com.example.made"], None),
        rule("own.ids", &["own.made.v1"], Some("/eventId")),
    ];
    Catalogue::new(rules, rule("defaults", &[], None))
}

fn fill() -> Fill {
    Fill {
        event_id: EventId::parse(ID).unwrap(),
        timestamp: Timestamp::parse("2026-11-21T10:15:30.123Z").unwrap(),
        source: "order-service".into(),
        correlation_id: None,
    }
}

fn with_native<T>(text: &str, then: impl FnOnce(Result<Draft<'_>, Error>) -> T) -> T {
    let document = Document::parse(text.as_bytes(), Limits::default()).unwrap();
    then(Draft::from_native(document.node(), &catalogue()))
}

fn refusal(text: &str) -> String {
    with_native(text, |draft| match draft.unwrap_err() {
        Error::Invalid { pointer, .. } => pointer,
        other => panic!("{text}: {other:?}"),
    })
}

fn sealed(text: &str, storage: Storage) -> (String, Vec<(HeaderName, String)>) {
    with_native(text, |draft| {
        let (value, headers) = draft.unwrap().seal(&fill(), storage, None);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(&value), headers.into_iter().map(|(name, value)| (name, text(&value.unwrap()))).collect())
    })
}

fn cloud_event(text: &str) -> Result<serde_json::Value, Error> {
    let document = Document::parse(text.as_bytes(), Limits::default()).unwrap();
    let catalogue = catalogue();
    let draft = Draft::from_cloud_event(document.node(), &catalogue)?;
    let (value, headers) = draft.seal(&fill(), Storage::Native, None);
    let mut event: serde_json::Value = serde_json::from_slice(&value).unwrap();
    for (name, value) in headers {
        event[&*name] = String::from_utf8(value.unwrap().to_vec()).unwrap().into();
    }
    event["key"] = draft.key.map(|key| String::from_utf8(key.to_vec()).unwrap()).into();
    Ok(event)
}

#[test]
fn a_complete_envelope_is_stored_byte_for_byte() {
    let text = format!(
        "\n{{ \"eventType\": \"user.created.v1\",\"data\" : {{\"n\":1.50}},\"eventId\":\"{ID}\",\"eventVersion\":\"1\",\
         \"timestamp\":\"2026-11-21T11:15:30+01:00\",\"source\":\"iam\\u002dservice\" }} \n"
    );
    assert_eq!(sealed(&text, Storage::Native), (text.clone(), vec![]));
}

#[test]
fn absent_members_are_put_in_before_what_was_given() {
    let (value, headers) = sealed(r#" { "eventType":"user.created.v1","data":[1.0] }"#, Storage::Native);
    assert_eq!(
        value,
        format!(
            r#" {{"eventId":"{ID}","eventVersion":"1.0.0","timestamp":"2026-11-21T10:15:30.123Z","source":"order-service", "eventType":"user.created.v1","data":[1.0] }}"#
        )
    );
    assert_eq!(headers, []);
}

#[test]
fn stored_in_headers_the_value_is_the_data_alone() {
    let (value, headers) = sealed(
        r#"{"eventType":"user.created.v1","correlationId":"c\"1","data": {"a" : 1} }"#,
        Storage::Headers,
    );
    assert_eq!(value, r#"{"a" : 1}"#);
    let named: Vec<(&str, &str)> = headers.iter().map(|(name, text)| (&**name, text.as_str())).collect();
    assert_eq!(
        named,
        [
            ("weirgate-event-id", ID),
            ("weirgate-event-type", "user.created.v1"),
            ("weirgate-event-version", "1.0.0"),
            ("weirgate-timestamp", "2026-11-21T10:15:30.123Z"),
            ("weirgate-source", "order-service"),
            ("weirgate-correlation-id", "c\"1"),
        ]
    );
}

#[test]
fn a_wrong_member_is_named() {
    let with = |member: &str| refusal(&format!(r#"{{"eventType":"user.created.v1","data":1,{member}}}"#));
    assert_eq!(with(r#""a/b":1"#), "/a~1b");
    assert_eq!(with(r#""eventId":"1""#), "/eventId");
    assert_eq!(with(r#""eventId":null"#), "/eventId");
    assert_eq!(with(r#""eventId":"550e8400e29b41d4a716446655440000""#), "/eventId");
    assert_eq!(with(r#""eventVersion":1"#), "/eventVersion");
    assert_eq!(with(r#""eventVersion":"1.0.0.0""#), "/eventVersion");
    assert_eq!(with(r#""eventVersion":"01""#), "/eventVersion");
    assert_eq!(with(r#""eventVersion":"1.0-rc""#), "/eventVersion");
    assert_eq!(with(r#""timestamp":"2026-11-21T10:15:30""#), "/timestamp");
    assert_eq!(with(r#""source":"""#), "/source");
    assert_eq!(with(&format!(r#""source":"{}""#, "ä".repeat(201))), "/source");
    assert_eq!(with(r#""source":"a\u0000b""#), "/source");
    assert_eq!(with(&format!(r#""correlationId":"{}""#, "x".repeat(129))), "/correlationId");
    assert_eq!(with(r#""causationId":{}"#), "/causationId");
    assert_eq!(refusal(r#"{"eventType":"user.created.v1"}"#), "/data");
    assert_eq!(refusal(r#"{"data":1}"#), "/eventType");
    assert_eq!(refusal(r#"{"eventType":"UserCreated","data":1}"#), "/eventType");
    assert_eq!(refusal("7"), "");
}

#[test]
fn names_at_their_bounds_are_taken() {
    let source = "ä".repeat(200);
    let text = format!(r#"{{"eventType":"user.created.v1","data":"\u0000","source":"{source}"}}"#);
    with_native(&text, |draft| assert_eq!(draft.unwrap().source.unwrap(), source));
    with_native(r#"{"eventType":"ORDER_CREATED","data":1}"#, |draft| {
        assert_eq!(draft.unwrap().version(), "1.0.0");
    });
    with_native(r#"{"eventType":"own.made.v1","eventId":"any text","data":1}"#, |draft| {
        assert!(draft.is_ok())
    });
}

#[test]
fn the_versions_major_agrees_with_the_type() {
    let with = |event_type: &str, version: &str| {
        with_native(
            &format!(r#"{{"eventType":"{event_type}","eventVersion":"{version}","data":1}}"#),
            |draft| {
                let draft = draft.unwrap();
                draft.check_version().map(|()| draft.version().into_owned())
            },
        )
    };
    assert_eq!(with("user.created.v1", "1.2").unwrap(), "1.2");
    assert!(matches!(with("user.created.v1", "2.0.0"), Err(Error::VersionMismatch { .. })));
    assert!(matches!(with("user.created.v12", "1"), Err(Error::VersionMismatch { .. })));
    assert_eq!(with("ORDER_CREATED", "7").unwrap(), "7");
}

#[test]
fn pointers_see_the_envelope_and_the_data() {
    with_native(r#"{"eventType":"user.created.v1","data":{"id":42,"list":["x"]}}"#, |draft| {
        let (draft, fill) = (draft.unwrap(), fill());
        let at = |pointer: &str| {
            draft.view_at(&Pointer::parse(pointer).unwrap()).map(|value| value.to_owned_value())
        };
        assert_eq!(at("/eventType"), Some("user.created.v1".into()));
        assert_eq!(at("/data/list/0"), Some("x".into()));
        assert_eq!(at("/source"), None);
        assert_eq!(at("/eventType/x"), None);
        let filled = draft.view_filled_at(&fill, &Pointer::parse("/source").unwrap());
        assert_eq!(filled.as_deref(), Some(&Value::String("order-service".into())));
    });
}

#[test]
fn data_alone_takes_the_topics_only_type_or_its_name() {
    let body = b" {\"a\":1}\n";
    let document = Document::parse(body, Limits::default()).unwrap();
    let (members, catalogue) = (DataMembers::default(), catalogue());
    let draft = |topic: &str| {
        Draft::from_data(&Topic::parse(topic).unwrap(), &members, document.node(), &catalogue).unwrap()
    };
    assert_eq!(draft("user.created").event_type.as_str(), "user.created.v1");
    assert_eq!(draft("clicks").event_type.as_str(), "clicks");
    let (value, _) = draft("clicks").seal(&fill(), Storage::Native, None);
    assert!(value.ends_with(b"\"data\": {\"a\":1}\n}"));
    assert_eq!(&draft("clicks").seal(&fill(), Storage::Headers, None).0[..], body);
}

#[test]
fn a_cloud_event_becomes_an_envelope() {
    let event = cloud_event(
        r#"{"specversion":"1.0","id":"A-1","source":"/my/ctx","type":"com.example.made","subject":"a b","time":
        "2018-04-05T17:31:00.123456789Z","partitionkey":"pk","correlationid":"c","count":7,"flag":true,"ext":null,
        "data":{"n":1.10}}"#,
    )
    .unwrap();
    let id = uuid::Uuid::new_v5(&uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, b"/my/ctx"), b"A-1");
    let expected = serde_json::json!({
        "eventId": id.to_string(), "eventType": "com.example.made", "eventVersion": "1.0.0", "source": "/my/ctx",
        "timestamp": "2018-04-05T17:31:00.123456789Z", "correlationId": "c", "data": {"n": 1.10},
        "ce_id": "A-1", "ce_subject": "a b", "ce_count": "7", "ce_flag": "true", "key": "pk",
    });
    assert_eq!(event, expected);
}

#[test]
fn a_cloud_event_with_other_data_than_json_is_unsupported() {
    let with = |member: &str| {
        cloud_event(&format!(
            r#"{{"specversion":"1.0","id":"{ID}","source":"/s","type":"user.created.v1",{member}}}"#
        ))
    };
    assert_eq!(with(r#""data":1"#).unwrap()["eventId"], ID);
    assert_eq!(with(r#""subject":"x""#).unwrap()["data"], serde_json::Value::Null);
    for member in [r#""data_base64":"AA==""#, r#""datacontenttype":"text/plain","data":"x""#] {
        assert!(matches!(with(member), Err(Error::UnsupportedData { .. })), "{member}");
    }
    for member in [r#""data_base64":"*""#, r#""data_base64":"AA==","data":1"#, r#""datacontenttype":"json""#]
    {
        assert!(matches!(with(member), Err(Error::CloudEvent { .. })), "{member}");
    }
    assert!(with(r#""datacontenttype":"application/vnd.x+json; charset=utf-8","data":1"#).is_ok());
}

#[test]
fn binary_mode_takes_attributes_once() {
    let document = Document::parse(b"[1]", Limits::default()).unwrap();
    let catalogue = catalogue();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut attributes = vec![
        pair("specversion", "1.0"),
        pair("id", "1"),
        pair("source", "s"),
        pair("type", "user.created.v1"),
    ];
    let draft = Draft::from_cloud_event_binary(&attributes, None, Some(document.node()), &catalogue).unwrap();
    assert_eq!(draft.data_bytes, b"[1]");
    let empty = Draft::from_cloud_event_binary(&attributes, None, None, &catalogue).unwrap();
    assert_eq!(empty.data_bytes, b"null");
    attributes.push(pair("id", "2"));
    let error = Draft::from_cloud_event_binary(&attributes, None, None, &catalogue).unwrap_err();
    assert!(matches!(error, Error::CloudEvent { attribute, .. } if attribute == "id"));
}

proptest! {
    #[test]
    fn sealed_bytes_parse_to_the_draft_and_what_was_filled_in(
        id: bool, version: bool, time: bool, source: Option<u8>, correlation in any::<bool>(), number: i64
    ) {
        let mut given = serde_json::json!({"eventType": "user.created.v1", "data": {"n": number, "s": "\n\"ä"}});
        let mut put = |is_given: bool, name: &str, text: &str| if is_given { given[name] = text.into() };
        put(id, "eventId", "00000000-0000-4000-8000-000000000001");
        put(version, "eventVersion", "1.7");
        put(time, "timestamp", "2020-01-01T00:00:00+02:00");
        put(source.is_some(), "source", &format!("s{source:?}"));
        put(correlation, "correlationId", "mine");
        let filled = serde_json::json!({"eventId": ID, "eventVersion": "1.0.0", "timestamp": "2026-11-21T10:15:30.123Z", "source": "order-service"});
        let mut expected = given.clone();
        for (name, value) in filled.as_object().unwrap() {
            expected.as_object_mut().unwrap().entry(name).or_insert_with(|| value.clone());
        }
        let (value, _) = sealed(&serde_json::to_string_pretty(&given).unwrap(), Storage::Native);
        let document = Document::parse(value.as_bytes(), Limits::default()).unwrap();
        assert_eq!(document.root().to_owned_value(), expected);
    }
}
