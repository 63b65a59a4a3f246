//! JSON Schema drafts 2020-12 and 7, through the borrowed document.

use std::path::Path;

use weirgate::event::json::{Document, Limits};
use weirgate::schema::{Dialect, Schema, Verdict};

use crate::{files, suite};

/// Cases judged otherwise than the suite says: the beginning of `file > group > case`, and the reason.
const DIFFERENT: &[(&str, &str)] = &[
    (
        "draft2020-12/format.json",
        "formats are asserted in every dialect: an annotation would let bad events in",
    ),
    ("draft2020-12/optional/format-assertion.json", "other dialects than the three are refused at load"),
    (
        "draft2020-12/optional/format/idn-email.json",
        "idn-email is not asserted: it needs tables of all scripts",
    ),
    (
        "draft7/optional/format/idn-hostname.json",
        "idn-hostname is not asserted: it needs tables of all scripts",
    ),
    ("draft7/optional/format/idn-email.json", "idn-email is not asserted: it needs tables of all scripts"),
];

struct Tally {
    passed: usize,
    failed: Vec<String>,
}

fn remotes(draft: &str) -> Vec<(String, serde_json::Value)> {
    let folder = suite("json-schema-test-suite/remotes");
    let is_ours = |path: &Path| {
        let first = path.strip_prefix(&folder).unwrap().components().next().unwrap();
        let name = first.as_os_str().to_string_lossy();
        !name.starts_with("draft") || *name == *draft
    };
    files(&folder)
        .into_iter()
        .filter(|path| is_ours(path))
        .map(|path| {
            let place = path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
            let schema = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            (format!("http://localhost:1234/{place}"), schema)
        })
        .collect()
}

fn run(draft: &str, dialect: Dialect, is_wanted: impl Fn(&str) -> bool) -> Tally {
    let folder = suite("json-schema-test-suite/tests").join(draft);
    let remotes = remotes(draft);
    let mut tally = Tally { passed: 0, failed: Vec::new() };
    for path in files(&folder) {
        let file = path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
        if !is_wanted(&file) {
            continue;
        }
        let groups: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for group in groups.as_array().unwrap() {
            judge(draft, &file, group, dialect, &remotes, &mut tally);
        }
    }
    tally
}

fn judge(
    draft: &str,
    file: &str,
    group: &serde_json::Value,
    dialect: Dialect,
    remotes: &[(String, serde_json::Value)],
    tally: &mut Tally,
) {
    let schema = Schema::compile(&group["schema"], dialect, remotes);
    for case in group["tests"].as_array().unwrap() {
        let name = format!(
            "{draft}/{file} > {} > {}",
            group["description"].as_str().unwrap(),
            case["description"].as_str().unwrap()
        );
        let text = case["data"].to_string();
        let document = Document::parse(text.as_bytes(), Limits::default()).unwrap();
        let verdict = schema.as_ref().map(|schema| schema.judge(document.root()));
        let is_right = match &verdict {
            Ok(Verdict::Valid) => case["valid"] == true,
            Ok(Verdict::Broken(violations)) => case["valid"] == false && !violations.is_empty(),
            Ok(Verdict::PatternLimit) | Err(_) => false,
        };
        if is_right {
            tally.passed += 1;
        } else {
            tally.failed.push(format!("{name}: {verdict:?}"));
        }
    }
}

fn assert_known(tally: &Tally, passed_min: usize) {
    let is_known = |name: &str| DIFFERENT.iter().any(|(known, _)| name.starts_with(known));
    let unknown: Vec<&String> = tally.failed.iter().filter(|name| !is_known(name)).collect();
    assert!(unknown.is_empty(), "{} unknown differences:\n{:#?}", unknown.len(), unknown);
    assert!(tally.passed >= passed_min, "only {} cases passed", tally.passed);
}

#[test]
#[cfg_attr(not(has_suites), ignore = "needs ../shared/suites")]
fn every_required_case_of_2020_12_is_judged_right() {
    let tally = run("draft2020-12", Dialect::Draft202012, |file| !file.starts_with("optional"));
    assert_known(&tally, 767);
}

#[test]
#[cfg_attr(not(has_suites), ignore = "needs ../shared/suites")]
fn every_required_case_of_draft_7_is_judged_right() {
    let tally = run("draft7", Dialect::Draft7, |file| !file.starts_with("optional"));
    assert_known(&tally, 529);
}

#[test]
#[cfg_attr(not(has_suites), ignore = "needs ../shared/suites")]
fn formats_and_optional_cases_are_judged_right() {
    for (draft, dialect) in [("draft2020-12", Dialect::Draft202012), ("draft7", Dialect::Draft7)] {
        let tally = run(draft, dialect, |file| file.starts_with("optional"));
        assert_known(&tally, 383);
    }
}
