//! A bundle says what the schema says, by the cases of the official suite.

use std::path::Path;

use serde_json::Value;

use super::super::place::Node;
use super::super::{Version, content_model, validator};
use crate::schema::Dialect;

fn values(path: &Path) -> Vec<(String, Value)> {
    let mut values = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "json") {
                let value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
                values.push((path.to_str().unwrap().to_owned(), value));
            }
        }
    }
    values
}

#[test]
#[cfg_attr(not(has_suites), ignore = "needs ../shared/suites")]
fn bundles_judge_as_the_suite_says_and_closed_ones_take_no_more() {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/suites/json-schema-test-suite");
    let prefix = format!("{}/", suite.join("remotes").to_str().unwrap());
    let (mut judged, mut closed_cases, mut wrong) = (0, 0, Vec::new());
    for (draft, dialect) in [("draft2020-12", Dialect::Draft202012), ("draft7", Dialect::Draft7)] {
        let is_ours = |path: &str| {
            let place = path.strip_prefix(&prefix).unwrap();
            !place.starts_with("draft") || place.starts_with(draft)
        };
        let remotes: Vec<(String, Value)> = values(&suite.join("remotes"))
            .into_iter()
            .filter(|(path, _)| is_ours(path))
            .map(|(path, value)| (path.replace(&prefix, "http://localhost:1234/"), value))
            .collect();
        let files = values(&suite.join("tests").join(draft));
        for (path, groups) in files.iter().filter(|(path, _)| !path.contains("optional")) {
            if path.ends_with("/format.json") {
                continue;
            }
            for group in groups.as_array().unwrap() {
                let Ok(version) = Version::new(&group["schema"], dialect, &remotes) else { continue };
                if version.bundle.unspoken.is_some() {
                    continue;
                }
                let judge = |schema: &Value| validator(Node::root(schema)).unwrap();
                let plain = judge(&version.bundle.schema);
                let closed = judge(&version.closed().unwrap());
                let filled = judge(&content_model::fill(&version.bundle.schema));
                for case in group["tests"].as_array().unwrap() {
                    let name = format!("{path} > {} > {}", group["description"], case["description"]);
                    judged += 1;
                    if plain.is_valid(&case["data"]) != (case["valid"] == true) {
                        wrong.push(name.clone());
                    }
                    if closed.is_valid(&case["data"]) {
                        closed_cases += 1;
                        if case["valid"] == false {
                            wrong.push(format!("closed: {name}"));
                        }
                    }
                    if case["valid"] == true && !filled.is_valid(&case["data"]) {
                        wrong.push(format!("filled: {name}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(judged > 1_100 && closed_cases > 300, "only {judged} cases, {closed_cases} closed");
}
