//! What other registries do, case by case, from `../shared/suites`. Most cases speak of Avro where any language would
//! do: they are run with JSON Schemas in the places of their Avro schemas.

use serde_json::{Map, Value, json};

use crate::client::Answer;
use crate::gateway::{Gateway, SHOP};
use crate::registry::ask;

/// Cases that are about what this registry does not take yet.
const OTHER_LANGUAGES: &[&str] = &[
    // Avro itself.
    "register-default-type-avro",
    "register-bad-default",
    "register-bad-default-int",
    "register-bad-namespace",
    "register-enum-bad-symbol",
    "change-schema-type",
    "change-schema-type-none",
    "compat-backward-type-widened-to-a-union",
    "compat-forward-type-widened-to-a-union",
    "compat-full-field-with-default-added",
    "compat-full-type-widened-to-a-union",
    "transitive-backward-110",
    "transitive-backward_transitive-111",
    "transitive-backward_transitive-112",
    "transitive-full-116",
    "transitive-full_transitive-117",
    "transitive-full_transitive-118",
    "check-forward",
    "schema-types",
    // Protobuf.
    "register-protobuf",
    "proto-field-removed",
    "proto-rename-field",
    "proto-message-removed",
    "ref-protobuf-import",
];

/// A JSON Schema in the place of an Avro schema; `None` where the text is one already, or none in either language.
fn stand_in(text: &str) -> Option<String> {
    let avro: Value = serde_json::from_str(text).ok()?;
    if avro["type"] != "record" {
        return None;
    }
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in avro["fields"].as_array()? {
        let schema = match field["type"].as_str()? {
            "string" => json!({"type": "string"}),
            "int" | "long" => json!({"type": "integer"}),
            name => json!({"$ref": name}),
        };
        properties.insert(field["name"].as_str()?.to_owned(), schema);
        if field.get("default").is_none() {
            required.push(field["name"].clone());
        }
    }
    let members = json!({"properties": properties, "required": required, "additionalProperties": false});
    let mut schema = json!({"title": avro["name"], "type": "object"});
    schema.as_object_mut()?.extend(members.as_object()?.clone());
    Some(schema.to_string())
}

/// The names of a case, filled in everywhere.
struct Names(Vec<(String, Value)>);

impl Names {
    fn text(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            text.replace(&format!("{{{name}}}"), &value)
        })
    }

    fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => {
                let whole = self.0.iter().find(|(name, _)| *text == format!("{{{name}}}"));
                whole.map_or_else(|| self.text(text).into(), |(_, value)| value.clone())
            }
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(members) => {
                members.iter().map(|(name, item)| (name.clone(), self.value(item))).collect()
            }
            other => other.clone(),
        }
    }
}

fn body_of(step: &Value, names: &Names) -> String {
    if let Some(raw) = step["raw_body"].as_str() {
        return raw.to_owned();
    }
    if step["body"].is_null() {
        return String::new();
    }
    let mut body = names.value(&step["body"]);
    if let Some(text) = body["schema"].as_str() {
        let is_other = body["schemaType"].as_str().is_some_and(|name| name != "JSON");
        let schema = if body["schemaType"].is_null() { stand_in(text) } else { None };
        if let Some(schema) = schema {
            body["schema"] = schema.into();
        }
        if !is_other {
            body["schemaType"] = "JSON".into();
        }
    }
    body.to_string()
}

fn has(item: &Value, members: &Value) -> bool {
    members.as_object().unwrap().iter().all(|(name, value)| item[name] == *value)
}

/// Holds one answer to what the step says of it.
fn judge(what: &str, step: &Value, answer: &Answer, names: &Names) {
    let what = format!("{what}: {}", answer.text());
    assert_eq!(u64::from(answer.status), step["status"].as_u64().unwrap(), "{what}");
    let told = if answer.text().is_empty() { Value::Null } else { answer.json() };
    let told = &told;
    let stand_in_of = |value: &Value| {
        let text = stand_in(&value.to_string());
        text.map_or_else(|| value.clone(), |text| serde_json::from_str(&text).unwrap())
    };
    for (check, expected) in step.as_object().unwrap() {
        let expected = names.value(expected);
        let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let is_met = match check.as_str() {
            "method" | "path" | "body" | "raw_body" | "request_header" | "status" | "save" => true,
            "error_code" => told["error_code"] == expected,
            "json" => *told == stand_in_of(&expected),
            "json_has" => has(told, &expected),
            "json_string" => expected.as_object().unwrap().iter().all(|(name, value)| {
                let value: Value = serde_json::from_str(value.as_str().unwrap()).unwrap();
                let have: Value = serde_json::from_str(told[name].as_str().unwrap()).unwrap();
                have == stand_in_of(&value)
            }),
            "has" => items(&expected).iter().all(|name| !told[name.as_str().unwrap()].is_null()),
            "absent" => items(&expected).iter().all(|name| told.get(name.as_str().unwrap()).is_none()),
            "contains" => items(&expected).iter().all(|item| items(told).contains(item)),
            "not_contains" => items(&expected).iter().all(|item| !items(told).contains(item)),
            "contains_has" => {
                items(&expected).iter().all(|wanted| items(told).iter().any(|item| has(item, wanted)))
            }
            "not_contains_has" => {
                items(&expected).iter().all(|wanted| !items(told).iter().any(|item| has(item, wanted)))
            }
            "message_contains" => items(&expected)
                .iter()
                .all(|part| told["message"].as_str().unwrap().contains(part.as_str().unwrap())),
            "length" => items(told).len() as u64 == expected.as_u64().unwrap(),
            "header" => expected.as_object().unwrap().iter().all(|(name, value)| {
                answer.header(name).is_some_and(|have| have.starts_with(value.as_str().unwrap()))
            }),
            other => panic!("{what}: nobody knows the check {other}"),
        };
        assert!(is_met, "{what} against {check} {expected}");
    }
}

#[test]
#[cfg_attr(not(has_suites), ignore = "needs ../shared/suites")]
fn requests_are_answered_as_other_registries_answer_them() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/suites/schema-registry/rest.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let gateway = Gateway::start();
    // Others compare to the letter.
    let strict = r#"{"compatibilityPolicy":"STRICT"}"#;
    assert_eq!(ask(&gateway, "PUT", "/config", &[SHOP], strict).status, 200);
    let mut judged = 0;
    for (number, line) in text.lines().enumerate() {
        let case: Value = serde_json::from_str(line).unwrap();
        let id = case["id"].as_str().unwrap();
        if OTHER_LANGUAGES.contains(&id) {
            continue;
        }
        judged += 1;
        let fresh = (case["scope"] == "global").then(Gateway::start);
        let mut names = Names(vec![
            ("s".to_owned(), format!("suite-{number}").into()),
            ("s2".to_owned(), format!("other-{number}").into()),
        ]);
        for (at, step) in case["steps"].as_array().unwrap().iter().enumerate() {
            let (method, path) =
                (step["method"].as_str().unwrap(), names.text(step["path"].as_str().unwrap()));
            let mut headers = vec![SHOP];
            let given = step["request_header"].as_object().cloned().unwrap_or_default();
            headers.extend(given.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())));
            let body = body_of(step, &names);
            let answer = ask(fresh.as_ref().unwrap_or(&gateway), method, &path, &headers, &body);
            judge(&format!("{id} step {at}: {method} {path} {body}"), step, &answer, &names);
            for (member, name) in step["save"].as_object().cloned().unwrap_or_default() {
                names.0.push((name.as_str().unwrap().to_owned(), answer.json()[member].clone()));
            }
        }
    }
    assert!(judged > 60, "only {judged} cases");
}

#[test]
#[cfg_attr(not(has_suites), ignore = "needs ../shared/suites")]
fn every_number_of_a_fault_has_the_status_that_it_has_elsewhere() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/suites/schema-registry/error-codes.jsonl");
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let code: Value = serde_json::from_str(line).unwrap();
        let number = u32::try_from(code["error_code"].as_u64().unwrap()).unwrap();
        let fault = weirgate::problem::Fault::new(number, "");
        assert_eq!(u64::from(fault.status), code["status"].as_u64().unwrap(), "{line}");
    }
}
