//! What other registries do, case by case, from `../shared/suites`.

use serde_json::Value;

use crate::client::Answer;
use crate::gateway::{Gateway, SHOP};
use crate::registry::ask;

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
    names.value(&step["body"]).to_string()
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
    for (check, expected) in step.as_object().unwrap() {
        let expected = names.value(expected);
        let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let is_met = match check.as_str() {
            "method" | "path" | "body" | "raw_body" | "request_header" | "status" | "save" => true,
            "error_code" => told["error_code"] == expected,
            "json" => *told == expected,
            "json_has" => has(told, &expected),
            "json_string" => expected.as_object().unwrap().iter().all(|(name, value)| {
                let value: Value = serde_json::from_str(value.as_str().unwrap()).unwrap();
                let have: Value = serde_json::from_str(told[name].as_str().unwrap()).unwrap();
                have == value
            }),
            "has" => items(&expected).iter().all(|name| !told[name.as_str().unwrap()].is_null()),
            "absent" => items(&expected).iter().all(|name| told.get(name.as_str().unwrap()).is_none()),
            "same_set" => {
                let (have, wanted) = (items(told), items(&expected));
                have.len() == wanted.len() && wanted.iter().all(|item| have.contains(item))
            }
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
        judged += 1;
        // Of Protobuf, the policy where nothing is said compares as others do.
        let is_apart = case["scope"] == "global" || id.starts_with("proto-");
        let fresh = is_apart.then(Gateway::start);
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
