//! The contract is a valid AsyncAPI document, and its examples fit its schemas.

use serde_json::{Value, json};

fn contract() -> Value {
    serde_saphyr::from_str(include_str!("../../asyncapi/asyncapi-base.yaml")).unwrap()
}

#[test]
#[cfg_attr(not(has_suites), ignore = "needs ../shared/suites")]
fn the_contract_is_an_asyncapi_document() {
    let schema = std::fs::read("../shared/suites/asyncapi/schemas/3.0.0.json").unwrap();
    let schema: Value = serde_json::from_slice(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&contract()).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn every_example_fits_its_schema() {
    let contract = contract();
    for (name, message) in contract["components"]["messages"].as_object().unwrap() {
        let schema = json!({ "$ref": message["payload"]["$ref"], "components": contract["components"] });
        let validator = jsonschema::validator_for(&schema).unwrap();
        for example in message["examples"].as_array().unwrap() {
            let errors: Vec<String> =
                validator.iter_errors(&example["payload"]).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{name}: {errors:#?}");
        }
    }
}
