//! The conformance suites through the publish path: what must be refused is refused on the wire, and nothing of it is
//! stored. (`tests/suites` judges the same cases, and those that need remote documents, without a gateway.)

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use weirgate::schema::{Dialect, Schema};

use crate::harness::TestGateway;

fn suite(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/suites").join(path)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    files
}

/// Duplicate members, which the suite lets a parser take, are refused by design.
const REFUSED_BY_DESIGN: &[&str] =
    &["y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"];

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_suites), ignore = "needs ../shared/suites")]
async fn json_texts_are_taken_and_refused_on_the_wire_and_the_connection_goes_on() {
    let gateway =
        TestGateway::with("topics: [{name: texts, partitions: 1, schema: {required: false}}]\ngroups: {}")
            .start()
            .await;
    let mut stored = Vec::new();
    for path in files(&suite("json-test-suite/test_parsing")) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let body = std::fs::read(&path).unwrap();
        let answer = gateway.post("/v1/topics/texts/events", "application/json", body.clone()).await;
        let must_take = name.starts_with("y_") && !REFUSED_BY_DESIGN.contains(&name.as_str());
        let must_refuse = name.starts_with("n_") || REFUSED_BY_DESIGN.contains(&name.as_str());
        assert!(!must_take || answer.status == 201, "{name}: {}", answer.text);
        assert!(!must_refuse || answer.status == 400, "{name}: {} {}", answer.status, answer.text);
        assert!(matches!(answer.status, 201 | 400), "{name}: {} {}", answer.status, answer.text);
        if answer.status == 201 {
            stored.push((name, body));
        }
    }
    for (offset, (name, body)) in stored.iter().enumerate() {
        let event = gateway.get(&format!("/v1/topics/texts/events/0/{offset}")).await.expect(200);
        let sent: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(event["event"]["data"], sent, "{name}");
    }
    gateway.stop().await;
}

/// One group of the suite: its schema under a type of its own, and its cases.
struct Group {
    event_type: String,
    cases: Vec<(String, Value, bool)>,
}

/// Groups that stand alone: those with identifiers or remote documents are judged in `tests/suites`.
fn write_groups(draft: &str, dialect: Dialect, schema_uri: &str, directory: &Path) -> Vec<Group> {
    let mut groups = Vec::new();
    for path in files(&suite("json-schema-test-suite/tests").join(draft)) {
        let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
        // Formats are asserted in every dialect, which this file of 2020-12 has otherwise.
        if draft == "draft2020-12" && file == "format" {
            continue;
        }
        let list: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for group in list.as_array().unwrap() {
            let mut schema = group["schema"].clone();
            let text = schema.to_string();
            let stands_alone = !["\"$id\"", "localhost:1234", "json-schema.org/draft"]
                .iter()
                .any(|word| text.replace(&format!("\"$schema\":\"{schema_uri}\""), "").contains(word));
            if !stands_alone || Schema::compile(&schema, dialect, &[]).is_err() {
                continue;
            }
            if let Some(members) = schema.as_object_mut() {
                members.insert("$schema".to_owned(), json!(schema_uri));
            }
            let number = groups.len();
            let folder =
                directory.join("suite").join(draft.replace(['-', '.'], "")).join(format!("g{number}"));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("v1.json"), schema.to_string()).unwrap();
            let cases = group["tests"].as_array().unwrap().iter().map(|case| {
                let name = format!("{draft}/{file}: {} > {}", group["description"], case["description"]);
                (name, case["data"].clone(), case["valid"] == true)
            });
            groups.push(Group {
                event_type: format!("suite.{}.g{number}.v1", draft.replace(['-', '.'], "")),
                cases: cases.collect(),
            });
        }
    }
    groups
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_suites), ignore = "needs ../shared/suites")]
async fn schema_cases_are_answered_201_or_422_on_the_wire() {
    let directory = tempfile::tempdir().unwrap();
    let mut groups =
        write_groups("draft7", Dialect::Draft7, "http://json-schema.org/draft-07/schema#", directory.path());
    groups.extend(write_groups(
        "draft2020-12",
        Dialect::Draft202012,
        "https://json-schema.org/draft/2020-12/schema",
        directory.path(),
    ));
    let gateway = TestGateway::with("topics: [{name: cases, partitions: 1}]\ngroups: {}")
        .with_schemas(directory.path())
        .start()
        .await;
    let mut judged = 0;
    for group in &groups {
        for (name, data, is_valid) in &group.cases {
            let request = gateway
                .request("POST", "/v1/topics/cases/events")
                .header("content-type", "application/json")
                .header("weirgate-event-type", &group.event_type)
                .body(data.to_string());
            let answer = gateway.send(request).await;
            assert_eq!(answer.status, if *is_valid { 201 } else { 422 }, "{name}: {data} {}", answer.text);
            if !is_valid {
                answer.expect_problem(422, "schema_violation");
            }
            judged += 1;
        }
    }
    assert!(judged > 900, "only {judged} cases");
    gateway.stop().await;
}
