//! Schemas within the document: pointers that led to the schema's root lead to its new place.

use serde_json::{Map, Value};

/// Keywords that hold data, in which nothing is a reference.
const DATA: [&str; 4] = ["const", "default", "enum", "examples"];

/// The schema as it reads at `place` of a document. What stands beside a reference, which AsyncAPI passes over, is joined to it
/// by `allOf`.
pub(super) fn relocate(schema: &Value, place: &str) -> Value {
    match schema {
        Value::Object(members) => {
            let copy: Map<String, Value> =
                members.iter().map(|(name, value)| (name.clone(), member(name, value, place))).collect();
            apart(copy)
        }
        Value::Array(elements) => elements.iter().map(|one| relocate(one, place)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => schema.clone(),
    }
}

fn member(name: &str, value: &Value, place: &str) -> Value {
    match value {
        Value::String(target) if name == "$ref" => Value::String(
            target.strip_prefix('#').map_or_else(|| target.clone(), |rest| format!("{place}{rest}")),
        ),
        _ if DATA.contains(&name) => value.clone(),
        _ => relocate(value, place),
    }
}

fn apart(mut members: Map<String, Value>) -> Value {
    let is_reference = members.get("$ref").is_some_and(Value::is_string);
    if !is_reference || members.len() == 1 {
        return Value::Object(members);
    }
    let reference: Map<String, Value> = members.remove_entry("$ref").into_iter().collect();
    let all = members.entry("allOf").or_insert_with(|| Value::Array(Vec::new()));
    if let Some(all) = all.as_array_mut() {
        all.push(Value::Object(reference));
    }
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::relocate;

    #[test]
    fn pointers_follow_the_schema_to_its_place() {
        let schema = json!({
            "properties": {"a": {"$ref": "#/$defs/a"}, "b": {"$ref": "#", "title": "B"}, "c": {"const": {"$ref": "#"}},
                           "$ref": {"type": "string"}},
            "$defs": {"a": true},
        });
        let expected = json!({
            "properties": {"a": {"$ref": "#/x/$defs/a"}, "b": {"allOf": [{"$ref": "#/x"}], "title": "B"},
                           "c": {"const": {"$ref": "#"}}, "$ref": {"type": "string"}},
            "$defs": {"a": true},
        });
        assert_eq!(relocate(&schema, "#/x"), expected);
    }
}
