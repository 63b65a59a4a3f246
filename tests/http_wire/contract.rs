//! `openapi/openapi.yaml` against the gateway, both ways.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::client::Client;
use crate::gateway::{Gateway, SHOP};

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

fn contract() -> Value {
    serde_saphyr::from_str(include_str!("../../openapi/openapi.yaml")).unwrap()
}

/// A path of the contract with its parameters filled in.
fn filled(path: &str) -> String {
    let path = path.replace("{topic}", "orders.v1").replace("{group}", "inventory-sync");
    let path = path.replace("{partition}", "0").replace("{offset}", "0").replace("{code}", "not_found");
    let path = path.replace("{subject}", "absent-value").replace("{version}", "1").replace("{id}", "1");
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
    let listed: BTreeSet<&str> = contract["paths"].as_object().unwrap().keys().map(String::as_str).collect();
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
