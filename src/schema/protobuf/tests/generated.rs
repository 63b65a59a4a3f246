//! Data at random: our bytes are prost-reflect's, theirs are read as they are meant, and broken ones break nothing.

use proptest::prelude::*;
use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_json::{Value, json};

use super::{ALL, compiled, encode};
use crate::schema::codec::Codec as _;
use crate::schema::protobuf::Protobuf;
use crate::schema::protobuf::source::Source;

fn part() -> impl Strategy<Value = Value> {
    ("[a-zä\"\\\\]{0,6}", any::<u32>()).prop_map(|(sku, quantity)| json!({"sku": sku, "quantity": quantity}))
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-1e6..1e6_f64).prop_map(Value::from),
        "[a-z]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            ("[a-c]", inner).prop_map(|(name, value)| json!({name: value})),
        ]
    })
}

/// One member of any kind. Maps have one entry, since theirs have no order.
fn member() -> impl Strategy<Value = (&'static str, Value)> {
    let numbers = prop_oneof![
        any::<i32>().prop_map(|number| ("anInt32", json!(number))),
        any::<i32>().prop_map(|number| ("aSint32", json!(number))),
        any::<i32>().prop_map(|number| ("aSfixed32", json!(number))),
        any::<i64>().prop_map(|number| ("anInt64", json!(number))),
        any::<i64>().prop_map(|number| ("aSint64", json!(number.to_string()))),
        any::<i64>().prop_map(|number| ("aSfixed64", json!(number))),
        any::<u32>().prop_map(|number| ("aUint32", json!(number))),
        any::<u32>().prop_map(|number| ("aFixed32", json!(number))),
        any::<u64>().prop_map(|number| ("aUint64", json!(number.to_string()))),
        any::<u64>().prop_map(|number| ("aFixed64", json!(number))),
        any::<i32>().prop_map(|number| ("maybe", json!(number))),
        (-1e9..1e9_f64).prop_map(|number| ("aDouble", json!(number))),
        (-1e9..1e9_f32).prop_map(|number| ("aFloat", json!(number))),
        proptest::collection::vec(any::<i32>(), 0..60).prop_map(|numbers| ("numbers", json!(numbers))),
        proptest::collection::vec(any::<i64>(), 0..3).prop_map(|numbers| ("unpacked", json!(numbers))),
    ];
    let others = prop_oneof![
        any::<bool>().prop_map(|truth| ("aBool", json!(truth))),
        "\\PC{0,200}".prop_map(|text| ("aString", json!(text))),
        proptest::sample::select(vec!["", "AA==", "+/8=", "Zm9vYmFy"])
            .prop_map(|text| ("someBytes", json!(text))),
        proptest::sample::select(vec!["COLOR_UNKNOWN", "RED", "BELOW"])
            .prop_map(|name| ("color", json!(name))),
        proptest::collection::vec("[a-z]{0,3}", 0..4).prop_map(|texts| ("texts", json!(texts))),
        Just(("colors", json!(["RED", 2, "COLOR_UNKNOWN"]))),
        proptest::collection::vec(part(), 0..3).prop_map(|parts| ("parts", json!(parts))),
        ("[a-z]{1,3}", 1..i32::MAX).prop_map(|(name, number)| ("byName", json!({name: number}))),
        part().prop_map(|part| ("byNumber", json!({"-7": part}))),
        "[a-z]{0,3}".prop_map(|text| ("text", json!(text))),
        "[a-z]{0,3}".prop_map(|text| ("renamed", json!(text))),
        (-62_135_596_800..253_402_300_800_i64, 0..1_000_000_000_i32).prop_map(|(seconds, nanos)| {
            ("at", json!(crate::schema::protobuf::times::timestamp(seconds, nanos)))
        }),
        (0..1_000_000_i64, 0..1_000_000_000_i32).prop_map(|(seconds, nanos)| {
            ("took", json!(crate::schema::protobuf::times::duration(-seconds, -nanos)))
        }),
        "[a-z]{0,3}".prop_map(|text| ("note", json!(text))),
        any::<i64>().prop_map(|number| ("count", json!(number))),
        any_json().prop_map(|value| ("anything", value)),
        proptest::collection::vec(any_json(), 0..3).prop_map(|values| ("values", json!(values))),
        any_json().prop_map(|value| ("extra", json!({"a": value}))),
        Just(("mask", json!("a,bC.d"))),
        Just(("empty", json!({}))),
    ];
    prop_oneof![numbers, others]
}

fn object() -> impl Strategy<Value = Value> {
    let members = || proptest::collection::vec(member(), 0..8);
    (members(), proptest::option::of(members())).prop_map(|(members, inner)| {
        let object = |members: Vec<(&'static str, Value)>| -> serde_json::Map<String, Value> {
            members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
        };
        let mut whole = object(members);
        whole.extend(inner.map(|inner| ("inner".to_owned(), Value::Object(object(inner)))));
        Value::Object(whole)
    })
}

/// What prost-reflect makes of JSON.
fn theirs(source: &Source, value: &Value) -> DynamicMessage {
    let descriptor = source.file.messages().next().unwrap();
    DynamicMessage::deserialize(descriptor, value).unwrap()
}

#[expect(clippy::cast_possible_truncation, reason = "it was a float before")]
fn as_float(value: Option<&Value>) -> Option<f32> {
    value.and_then(Value::as_f64).map(|number| number as f32)
}

fn told(codec: &Protobuf, encoded: &[u8]) -> Value {
    let mut out = Vec::new();
    codec.decode(&[0], encoded, 1 << 20, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn bytes_are_those_of_another_implementation(value in object()) {
        let (codec, source) = (compiled(ALL), Source::compile(ALL, []).unwrap());
        let ours = encode(&codec, &value.to_string()).unwrap();
        let message = theirs(&source, &value);
        prop_assert_eq!(&ours, &message.encode_to_vec());
        let options = SerializeOptions::new().skip_default_fields(false);
        let mut text = Vec::new();
        message.serialize_with_options(&mut serde_json::Serializer::new(&mut text), &options).unwrap();
        let expected: Value = serde_json::from_slice(&text).unwrap();
        let read = told(&codec, &ours);
        // They tell absent messages as null, too.
        for (name, value) in read.as_object().unwrap() {
            // Floats are told with as few digits as tell them apart.
            if name == "aFloat" {
                prop_assert_eq!(as_float(Some(value)), as_float(expected.get(name)));
            } else if name != "inner" {
                prop_assert_eq!(Some(value), expected.get(name), "{}", name);
            }
        }
        let again = encode(&codec, &read.to_string()).unwrap();
        prop_assert_eq!(again, ours);
    }

    #[test]
    fn broken_bytes_are_errors_or_other_data(value in object(), flips in proptest::collection::vec(any::<(prop::sample::Index, u8)>(), 1..4), cut in any::<prop::sample::Index>()) {
        let codec = compiled(ALL);
        let mut bytes = encode(&codec, &value.to_string()).unwrap();
        prop_assume!(!bytes.is_empty());
        let check = |bytes: &[u8]| {
            let mut out = Vec::new();
            match codec.decode(&[0], bytes, 10_000, &mut out) {
                Ok(()) => drop(serde_json::from_slice::<Value>(&out).unwrap()),
                Err(_) => assert!(out.is_empty()),
            }
        };
        check(&bytes[..cut.index(bytes.len())]);
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << (bit % 8);
        }
        check(&bytes);
    }
}
