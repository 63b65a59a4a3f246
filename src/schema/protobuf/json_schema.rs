//! What JSON a message is posted as, derived as a JSON Schema: for people, documents and tools. Data is judged by the
//! message itself.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::plan::{Field, Kind, Known, Message, Plan, Scalar, Shape};

/// A message with all that it refers to under `$defs`.
pub(super) fn of(plan: &Plan, root: &Message) -> Value {
    let mut writer = Writer { plan, rest: Vec::new(), seen: BTreeSet::new() };
    let mut schema = writer.message(root);
    let mut definitions = Map::new();
    while let Some(index) = writer.rest.pop() {
        if let Some(message) = plan.message(index) {
            definitions.insert(message.name.to_string(), writer.message(message));
        }
    }
    if let (Some(members), false) = (schema.as_object_mut(), definitions.is_empty()) {
        members.insert("$defs".to_owned(), Value::Object(definitions));
    }
    schema
}

struct Writer<'p> {
    plan: &'p Plan,
    /// Messages that are referred to and not written yet.
    rest: Vec<usize>,
    seen: BTreeSet<usize>,
}

impl Writer<'_> {
    fn message(&mut self, message: &Message) -> Value {
        if let Some(known) = message.known {
            return special(known);
        }
        let mut properties = Map::new();
        let mut oneofs: BTreeMap<usize, Vec<Value>> = BTreeMap::new();
        for field in &message.fields {
            properties.insert(field.name.to_string(), self.field(field));
            if let Some(oneof) = field.oneof {
                oneofs.entry(oneof).or_default().push(json!({"required": [&*field.name]}));
            }
        }
        let mut schema = json!({
            "title": &*message.name,
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
        });
        let required: Vec<&str> = message
            .required
            .iter()
            .filter_map(|index| message.fields.get(*index))
            .map(|field| &*field.name)
            .collect();
        // At most one of each oneof's members.
        let oneofs: Vec<Value> = oneofs
            .into_values()
            .filter(|members| members.len() > 1)
            .map(|mut members| {
                members.push(json!({"not": {"anyOf": members.clone()}}));
                json!({"oneOf": members})
            })
            .collect();
        if let Some(members) = schema.as_object_mut() {
            if !required.is_empty() {
                members.insert("required".to_owned(), json!(required));
            }
            if !oneofs.is_empty() {
                members.insert("allOf".to_owned(), Value::Array(oneofs));
            }
        }
        schema
    }

    fn field(&mut self, field: &Field) -> Value {
        let value = self.kind(field.kind);
        match field.shape {
            Shape::One { .. } => value,
            Shape::List { .. } => json!({"type": "array", "items": value}),
            Shape::Map { keys: Scalar::String } => {
                json!({"type": "object", "additionalProperties": value})
            }
            Shape::Map { keys: Scalar::Bool } => {
                let names = json!({"enum": ["true", "false"]});
                json!({"type": "object", "propertyNames": names, "additionalProperties": value})
            }
            Shape::Map { .. } => {
                let names = json!({"pattern": "^-?[0-9]+$"});
                json!({"type": "object", "propertyNames": names, "additionalProperties": value})
            }
        }
    }

    fn kind(&mut self, kind: Kind) -> Value {
        match kind {
            Kind::Scalar(one) => scalar(one),
            Kind::Enum(index) => match self.plan.enumeration(index) {
                Some(one) if one.is_null => json!({"type": "null"}),
                Some(one) => json!({"type": "string", "enum": one.listed}),
                None => Value::Bool(true),
            },
            Kind::Message(index) | Kind::Group(index) => match self.plan.message(index) {
                Some(Message { known: Some(known), .. }) => special(*known),
                Some(message) => {
                    if self.seen.insert(index) {
                        self.rest.push(index);
                    }
                    json!({"$ref": format!("#/$defs/{}", message.name)})
                }
                None => Value::Bool(true),
            },
        }
    }
}

/// The well-known types, as JSON has them.
fn special(known: Known) -> Value {
    match known {
        Known::Any => Value::Bool(false),
        Known::Duration => json!({"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,9})?s$"}),
        Known::FieldMask => json!({"type": "string"}),
        Known::List => json!({"type": "array"}),
        Known::Struct => json!({"type": "object"}),
        Known::Timestamp => json!({"type": "string", "format": "date-time"}),
        Known::Value => json!({}),
        Known::Wrapper(one) => scalar(one),
    }
}

fn scalar(scalar: Scalar) -> Value {
    match scalar {
        Scalar::Double | Scalar::Float => {
            json!({"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]})
        }
        Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 => {
            json!({"type": "integer", "minimum": i32::MIN, "maximum": i32::MAX})
        }
        Scalar::Uint32 | Scalar::Fixed32 => json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
        // Readers get them as text, since JSON's numbers are not that exact for all of them.
        Scalar::Int64 | Scalar::Sint64 | Scalar::Sfixed64 => {
            json!({"type": ["string", "integer"], "pattern": "^-?[0-9]+$", "minimum": i64::MIN, "maximum": i64::MAX})
        }
        Scalar::Uint64 | Scalar::Fixed64 => {
            json!({"type": ["string", "integer"], "pattern": "^[0-9]+$", "minimum": 0, "maximum": u64::MAX})
        }
        Scalar::Bool => json!({"type": "boolean"}),
        Scalar::String => json!({"type": "string"}),
        Scalar::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
    }
}
