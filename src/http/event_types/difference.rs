//! The difference of two versions as JSON. Pure.

use serde_json::{Map, Value, json};

use crate::event::EventType;
use crate::http::known::Versions;
use crate::schema::compat::{Break, CounterExample};
use crate::schema::registry::{Difference, Versioned};

/// What is told of a difference.
pub(super) fn told(event_type: &EventType, versions: &Versions, difference: &Difference) -> Value {
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
    put("eventType", event_type.as_str().into());
    put("subject", versions.subject.as_str().into());
    put("from", version(&difference.from));
    put("to", version(&difference.to));
    if let Some(report) = &difference.report {
        put("compatible", report.compatible.into());
        put("breaks", report.breaks.iter().map(broken).collect());
        if let Some(level) = report.change_level {
            put("changeLevel", json!(level));
        }
    }
    Value::Object(members)
}

fn version(versioned: &Versioned) -> Value {
    let content = &versioned.content;
    json!({
        "version": versioned.version.number(),
        "id": versioned.id.number(),
        "schemaType": content.kind.as_str(),
        "schema": content.text,
    })
}

fn broken(found: &Break) -> Value {
    let differences: Vec<Value> = found
        .differences
        .iter()
        .map(|one| {
            json!({
                "rule": one.rule,
                "direction": one.direction,
                "pointer": one.pointer,
                "path": one.path,
                "message": one.message,
                "fix": one.fix,
            })
        })
        .collect();
    let mut told = json!({"direction": found.direction, "differences": differences});
    if let Some(members) = told.as_object_mut() {
        if let Some(reason) = &found.unproved {
            members.insert("unproved".to_owned(), reason.as_str().into());
        }
        match &found.counter_example {
            Some(CounterExample::Data(data)) => {
                members.insert("counterExample".to_owned(), data.clone());
            }
            Some(CounterExample::Misread { data, read }) => {
                members.insert("counterExample".to_owned(), data.clone());
                members.insert("readAs".to_owned(), read.clone());
            }
            Some(CounterExample::Schema(schema)) => {
                members.insert("counterExampleSchema".to_owned(), schema.clone());
            }
            None => {}
        }
    }
    told
}
