//! Pairs of schemas at random: what was said to be compatible is so for whatever the old one takes.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::differ::Wish;
use super::super::place::Node;
use super::super::{Level, Policy, compare, content_model, sample, validator};
use super::{assert_shown, version};

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({"type": "string"})),
        (0..3_u8, 2..6_u8)
            .prop_map(|(low, high)| json!({"type": "string", "minLength": low, "maxLength": high})),
        Just(json!({"type": "string", "pattern": "^[a-c]{1,4}$"})),
        Just(json!({"type": "string", "format": "date"})),
        (-2..3_i8, 3..7_i8)
            .prop_map(|(low, high)| json!({"type": "integer", "minimum": low, "maximum": high})),
        (-2..3_i8).prop_map(|low| json!({"type": "number", "exclusiveMinimum": low})),
        Just(json!({"type": "integer", "multipleOf": 2})),
        proptest::sample::subsequence(vec!["a", "b", "c", "1"], 1..4)
            .prop_map(|values| json!({"enum": values})),
        Just(json!({"type": ["string", "null"]})),
        Just(json!({"type": "boolean"})),
        Just(json!({"const": "a"})),
        Just(json!(true)),
    ]
}

fn object(inner: impl Strategy<Value = Value> + Clone) -> impl Strategy<Value = Value> {
    let members = proptest::collection::btree_map("[a-d]", inner.clone(), 0..4);
    let required = proptest::sample::subsequence(vec!["a", "b", "c", "d"], 0..3);
    let rest = prop_oneof![3 => Just(None), 2 => Just(Some(json!(false))), 1 => inner.prop_map(Some)];
    let more = prop_oneof![
        6 => Just(json!({})),
        1 => Just(json!({"minProperties": 1})),
        1 => Just(json!({"dependentRequired": {"a": ["b"]}})),
        1 => Just(json!({"patternProperties": {"^[ab]$": {"type": ["string", "integer", "object"]}}})),
        1 => Just(json!({"if": {"required": ["a"]}, "then": {"required": ["b"]}})),
        1 => Just(json!({"not": {"required": ["a", "d"]}})),
    ];
    (members, required, rest, more).prop_map(|(members, required, rest, more)| {
        let mut schema = more.as_object().cloned().unwrap();
        schema.insert("type".to_owned(), json!("object"));
        schema.insert("properties".to_owned(), members.into_iter().collect::<Map<_, _>>().into());
        schema.insert("required".to_owned(), json!(required));
        schema.extend(rest.map(|rest| ("additionalProperties".to_owned(), rest)));
        Value::Object(schema)
    })
}

fn schema() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            4 => object(inner.clone()),
            1 => (inner.clone(), 0..2_u8).prop_map(|(items, low)| json!({"type": "array", "items": items, "minItems": low})),
            1 => proptest::collection::vec(inner.clone(), 2..4).prop_map(|branches| json!({"anyOf": branches})),
            1 => proptest::collection::vec(inner.clone(), 2..4).prop_map(|branches| json!({"oneOf": branches})),
            1 => proptest::collection::vec(inner, 2..3).prop_map(|parts| json!({"allOf": parts})),
        ]
    })
}

/// A schema and one that differs in few places, so that some pairs are compatible.
fn pair() -> impl Strategy<Value = (Value, Value)> {
    (schema(), schema(), any::<u64>()).prop_map(|(old, other, seed)| {
        let mut new = old.clone();
        change(&mut new, &other, seed);
        (old, new)
    })
}

fn change(schema: &mut Value, other: &Value, seed: u64) {
    let Some(members) = schema.as_object_mut() else {
        *schema = other.clone();
        return;
    };
    let keywords: Vec<String> = members.keys().cloned().collect();
    let Some(keyword) = keywords.get(usize::try_from(seed % 64).unwrap() % keywords.len().max(1)) else {
        return;
    };
    let next = seed / 64;
    match (members.get_mut(keyword).unwrap(), next % 3) {
        (Value::Object(inner), 0) if keyword == "properties" => {
            inner.insert("d".to_owned(), other.clone());
        }
        (Value::Object(inner), 1) if keyword == "properties" => {
            inner.remove("a");
        }
        (Value::Object(inner), _) if keyword == "properties" => {
            if let Some((_, schema)) = inner.iter_mut().next() {
                change(schema, other, next);
            }
        }
        (Value::Array(list), 0) if list.len() > 1 => drop(list.pop()),
        (Value::Array(list), 1) if keyword.ends_with("Of") => list.push(other.clone()),
        (Value::Array(list), _) if keyword.ends_with("Of") => change(&mut list[0], other, next),
        (Value::Number(number), _) => {
            let number = number.as_i64().unwrap_or(0) + i64::try_from(next % 5).unwrap() - 2;
            members.insert(keyword.clone(), json!(number.max(1)));
        }
        _ => drop(members.remove(keyword)),
    }
}

/// Some values, whatever they are.
fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-4..9_i8).prop_map(Value::from),
        Just(json!(0.5)),
        "[a-c1]{0,5}".prop_map(Value::from),
        Just(json!("2026-01-02")),
    ];
    scalar.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            3 => proptest::collection::btree_map("[a-e]", inner.clone(), 0..4).prop_map(|members| members.into_iter().collect()),
            1 => proptest::collection::vec(inner, 0..3).prop_map(Value::from),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn what_is_compatible_takes_whatever_was_written(
        (old, new) in pair(),
        values in proptest::collection::vec(value(), 24),
    ) {
        let (before, after) = (version(&old), version(&new));
        for policy in [Policy::Strict, Policy::Lenient] {
            let report = compare(std::slice::from_ref(&before), &after, policy, Level::Backward);
            assert_shown(&before, &after, policy, &report);
            if !report.compatible {
                continue;
            }
            let (written, read) = match policy {
                Policy::Strict => (before.bundle.schema.clone(), content_model::fill(&after.bundle.schema)),
                // One schema reads what was written by it, also where opening it would not: of `oneOf`, two parts may take
                // what one took before.
                Policy::Lenient if before.says_same(&after) => (before.closed().unwrap(), after.bundle.schema.clone()),
                Policy::Lenient => (before.closed().unwrap(), content_model::open(&after.bundle.schema)),
            };
            let (writer, reader) = (validator(Node::root(&written)).unwrap(), validator(Node::root(&read)).unwrap());
            let made = (0..24).filter_map(|variant| sample::sample(Node::root(&written), &[], &Wish::Anything, variant));
            for data in made.chain(values.iter().cloned()).filter(|data| writer.is_valid(data)) {
                prop_assert!(reader.is_valid(&data), "{policy}: {data} is written by {old} and not read by {new}");
            }
        }
    }

    #[test]
    fn a_closed_schema_takes_nothing_that_the_schema_refuses(
        schema in schema(),
        values in proptest::collection::vec(value(), 24),
    ) {
        let version = version(&schema);
        let written = validator(Node::root(&version.bundle.schema)).unwrap();
        let closed = version.closed().unwrap();
        let judge = validator(Node::root(&closed)).unwrap();
        let made = (0..24).filter_map(|variant| sample::sample(Node::root(&closed), &[], &Wish::Anything, variant));
        for data in made.chain(values).filter(|data| judge.is_valid(data)) {
            prop_assert!(written.is_valid(&data), "{data} passes {closed}, not {schema}");
        }
    }
}
