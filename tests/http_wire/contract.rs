//! `openapi/openapi.yaml` against the gateway, both ways.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jsonschema::Validator;
use serde_json::Value;

use crate::client::{Answer, Client};
use crate::gateway::{Gateway, SHOP};
use crate::registry::V1;

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// Judges bodies by schemas of the contract, each compiled once.
type Validators = HashMap<String, Arc<Validator>>;

static CONTRACT: LazyLock<Value> = LazyLock::new(contract);
static VALIDATORS: LazyLock<Mutex<Validators>> = LazyLock::new(Mutex::default);

/// Fails where the contract does not list the answer to a request, or says something else of its body. Of addresses and
/// methods that it does not know it says nothing.
pub(crate) fn hold(method: &str, path: &str, answer: &Answer) {
    let path = path.split('?').next().unwrap();
    let paths = CONTRACT["paths"].as_object().unwrap();
    // What is written out comes before what a parameter stands for.
    let found = paths.iter().filter(|(template, _)| fits(template, path));
    let Some((template, item)) = found.min_by_key(|(template, _)| template.matches('{').count()) else {
        return;
    };
    let operation = &item[method.to_lowercase()];
    if operation.is_null() {
        return;
    }
    let mut response = &operation["responses"][answer.status.to_string()];
    let place = format!("{method} {template} {}", answer.status);
    assert!(!response.is_null(), "{place} is not listed: {}", answer.text());
    if let Some(reference) = response["$ref"].as_str() {
        response = CONTRACT.pointer(reference.trim_start_matches('#')).unwrap();
    }
    let Some(media_type) = answer.header("content-type").filter(|_| !answer.body.is_empty()) else { return };
    let bare = media_type.split(';').next().unwrap();
    let content = &response["content"];
    // The registry's answers have one form under three names, as the caller asks.
    let listed = [media_type, bare, "*/*", V1].into_iter().find(|one| !content[*one].is_null());
    let listed = listed.unwrap_or_else(|| panic!("{place} says nothing of {media_type}"));
    if !bare.ends_with("json") || bare.ends_with("ndjson") {
        return;
    }
    let validator = validator(&format!("{place} {listed}"), &content[listed]["schema"]);
    if let Err(error) = validator.validate(&answer.json()) {
        panic!("{place}: {error} in {}", answer.text());
    }
}

fn fits(template: &str, path: &str) -> bool {
    let (wanted, have): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    let is_one = |(wanted, have): (&&str, &&str)| match wanted.split_once('}') {
        Some((_, verb)) => {
            !have.is_empty() && have.ends_with(verb) && (!verb.is_empty() || !have.contains(':'))
        }
        None => wanted == have,
    };
    wanted.len() == have.len() && wanted.iter().zip(&have).all(is_one)
}

fn validator(name: &str, schema: &Value) -> Arc<Validator> {
    let mut validators = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner);
    let build = || {
        let mut schema = schema.clone();
        if schema.is_object() {
            schema["components"] = CONTRACT["components"].clone();
        }
        Arc::new(jsonschema::validator_for(&schema).unwrap())
    };
    Arc::clone(validators.entry(name.to_owned()).or_insert_with(build))
}

fn contract() -> Value {
    serde_saphyr::from_str(include_str!("../../openapi/openapi.yaml")).unwrap()
}

/// A path of the contract with its parameters filled in.
fn filled(path: &str) -> String {
    let path = path.replace("{topic}", "orders.v1").replace("{group}", "inventory-sync");
    let path = path.replace("{partition}", "0").replace("{offset}", "0").replace("{code}", "not_found");
    let path = path
        .replace("{eventType}", "orders.placed.v1")
        .replace("{subject}", "absent-value")
        .replace("{version}", "1")
        .replace("{id}", "1");
    path.replace("{guid}", "absent").replace("{namespace}", "-").replace("{name}", "orders.v1")
}

#[test]
fn every_path_takes_exactly_the_methods_of_the_contract() {
    let gateway = Gateway::start();
    let contract = contract();
    for (path, item) in contract["paths"].as_object().unwrap() {
        for method in METHODS {
            let mut client = Client::connect(gateway.address);
            let answer = client.send(&method.to_uppercase(), &filled(path), &[SHOP], b"");
            let is_taken = answer.status != 405;
            assert_eq!(is_taken, item.get(method).is_some(), "{method} {path} gave {}", answer.status);
            if let Some(operation) = item.get(method) {
                let is_listed = operation["responses"].get(answer.status.to_string()).is_some();
                assert!(
                    is_listed,
                    "{method} {path} gave {}, which the contract does not list",
                    answer.status
                );
            }
        }
    }
}

#[test]
fn every_route_is_in_the_contract() {
    let contract = contract();
    let paths = contract["paths"].as_object().unwrap().keys();
    // A verb behind a name is split off by its handler, which the test above asks.
    let listed: BTreeSet<&str> =
        paths.map(|path| path.find("}:").map_or(path.as_str(), |end| &path[..=end])).collect();
    let page = include_str!("../../src/http/routes.rs");
    // What stands between quotation marks.
    let texts = page.split('"').skip(1).step_by(2);
    let routes: BTreeSet<&str> = texts.filter(|text| text.starts_with('/') && *text != "/registry").collect();
    assert_eq!(listed, routes);
}

#[test]
fn codes_are_those_of_the_catalogue_and_every_status_is_some_codes() {
    let contract = contract();
    let listed: BTreeSet<&str> = contract["components"]["schemas"]["Code"]["enum"]
        .as_array()
        .unwrap()
        .iter()
        .map(|code| code.as_str().unwrap())
        .collect();
    let codes = weirgate::problem::Code::ALL;
    assert_eq!(listed, codes.iter().map(|code| code.as_str()).collect());
    let statuses: BTreeSet<String> = codes.iter().map(|code| code.status().to_string()).collect();
    for (path, item) in contract["paths"].as_object().unwrap() {
        for operation in METHODS.iter().filter_map(|method| item.get(*method)) {
            for status in operation["responses"].as_object().unwrap().keys() {
                assert!(status.as_str() < "400" || statuses.contains(status), "{path} lists {status}");
            }
        }
    }
    // Each component names the codes of one status, all of them where they can be raised over HTTP.
    let responses = contract["components"]["responses"].to_string();
    for code in codes.iter().filter(|code| code.as_str() != "already_subscribed") {
        assert!(responses.contains(&format!("`{}`", code.as_str())), "no response names {}", code.as_str());
    }
}

#[test]
fn the_contract_is_served_as_yaml_and_as_json() {
    let gateway = Gateway::start();
    let yaml = gateway.send("GET", "/openapi.yaml", &[SHOP], "");
    assert_eq!(yaml.header("content-type"), Some("application/yaml"));
    assert_eq!(yaml.text(), include_str!("../../openapi/openapi.yaml"));
    let json = gateway.send("GET", "/openapi.json", &[SHOP], "").json();
    let fresh = contract();
    if json != fresh {
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("openapi.json");
        std::fs::write(&path, serde_json::to_string(&fresh).unwrap()).unwrap();
        panic!("openapi.json is not openapi.yaml; copy {} to openapi/", path.display());
    }
}

#[test]
fn examples_satisfy_their_schemas() {
    fn walk(value: &Value, contract: &Value, count: &mut usize) {
        match value {
            Value::Object(members) => {
                let named = members.get("examples").and_then(Value::as_object).into_iter().flatten();
                let named = named.filter_map(|(_, example)| example.get("value"));
                let examples: Vec<&Value> = named.chain(members.get("example")).collect();
                if let Some(schema) = members.get("schema").filter(|_| !examples.is_empty()) {
                    let mut schema = schema.clone();
                    if schema.is_object() {
                        schema["components"] = contract["components"].clone();
                    }
                    let validator =
                        jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
                    for example in examples {
                        let verdict = validator.validate(example);
                        assert!(verdict.is_ok(), "{example}: {}", verdict.unwrap_err());
                        *count += 1;
                    }
                }
                members.values().for_each(|value| walk(value, contract, count));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, contract, count)),
            _ => {}
        }
    }
    let (contract, mut count) = (contract(), 0);
    walk(&contract, &contract, &mut count);
    assert!(count > 30, "{count} examples");
}

#[test]
fn references_lead_somewhere() {
    fn walk(value: &Value, contract: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(contract.pointer(pointer).is_some(), "{reference} leads nowhere");
                }
                members.values().for_each(|value| walk(value, contract));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, contract)),
            _ => {}
        }
    }
    let contract = contract();
    walk(&contract, &contract);
}
