//! The messages of an event type: the event as it is posted, and the record as it is read.

use serde_json::{Map, Value, json};

use crate::event::{EventType, Storage, TopicRule, Wire};
use crate::http::known::{KnownTopic, KnownType};

use super::relocate::relocate;

/// What an event type adds to the document's components. No name that is written by hand has a dot, so none is taken twice.
pub(super) struct Message {
    pub(super) schemas: Vec<(String, Value)>,
    /// The event as it is posted to `/v1/events`.
    pub(super) event: Value,
    /// The record as it is read.
    pub(super) record: Value,
}

/// Where the parts of an event type lie among components, whose names take letters, digits and `._-` only.
pub(super) struct Names {
    /// The event as it is posted: a message, and its schema.
    pub(super) event: String,
    /// The record as it is read: a message.
    pub(super) record: String,
    /// The event as it is stored: a schema.
    stored: String,
    /// Its data: a schema.
    data: String,
}

impl Names {
    /// The names of a type's parts.
    pub(super) fn of(event_type: &EventType) -> Self {
        let key = event_type.as_str().chars().fold(String::new(), |mut key, letter| {
            if letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-') {
                key.push(letter);
            } else {
                key.push_str(&format!("-{:x}-", u32::from(letter)));
            }
            key
        });
        let name = |part: &str| format!("{part}.{key}");
        Self { event: name("event"), record: name("record"), stored: name("stored"), data: name("data") }
    }
}

impl Message {
    /// The messages of a type in a topic.
    pub(super) fn new(topic: &KnownTopic, known: &KnownType) -> Self {
        let names = Names::of(&known.event_type);
        let schema = known.contract.as_ref().map(|contract| &contract.schema);
        let data = component(schema.unwrap_or(&Value::Bool(true)), &names.data);
        let envelope = envelope(&topic.rule, &known.event_type, &names.data);
        let record = record(topic.rule.storage, &names, &known.event_type);
        let payload = json!({"$ref": reference(&names.event)});
        let mut event = about(topic, known, known.event_type.to_string(), payload);
        if let Some(example) = known.contract.as_ref().and_then(|contract| contract.example.as_ref()) {
            let payload = json!({"eventType": known.event_type.as_str(), "data": example});
            event.insert("examples".to_owned(), json!([{"name": "valid", "payload": payload}]));
        }
        let mut record = about(topic, known, format!("{} as it is read", known.event_type), record);
        record.insert("x-envelope".to_owned(), topic.rule.storage.as_str().into());
        Self {
            event: Value::Object(event),
            record: Value::Object(record),
            schemas: vec![(names.stored, filled(&names.event)), (names.event, envelope), (names.data, data)],
        }
    }
}

/// A schema as a component, which must be an object.
fn component(schema: &Value, name: &str) -> Value {
    match schema {
        Value::Bool(true) => json!({}),
        Value::Bool(false) => json!({"not": {}}),
        _ => relocate(schema, &reference(name)),
    }
}

fn reference(schema: &str) -> String {
    format!("#/components/schemas/{schema}")
}

/// The envelope as a publisher may send it.
fn envelope(rule: &TopicRule, event_type: &EventType, data: &str) -> Value {
    let id = if rule.event_id.is_some() {
        json!({"type": "string", "description": "Taken from the data where it is absent.", "minLength": 1, "maxLength": 128})
    } else {
        json!({"type": "string", "format": "uuid", "description": "Made where it is absent; the same id is stored once."})
    };
    let text = |most: usize| json!({"type": "string", "minLength": 1, "maxLength": most});
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["eventType", "data"],
        "properties": {
            "eventId": id,
            "eventType": {"const": event_type.as_str()},
            "eventVersion": {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+){0,2}$"},
            "timestamp": {"type": "string", "format": "date-time"},
            "source": text(200),
            "correlationId": {"type": "string", "maxLength": 128},
            "causationId": {"type": "string", "maxLength": 128},
            "data": {"$ref": reference(data)},
        },
    })
}

/// The envelope as it is stored: what was absent is filled in.
fn filled(event: &str) -> Value {
    json!({"allOf": [
        {"$ref": reference(event)},
        {"required": ["eventId", "eventVersion", "timestamp", "source"]},
    ]})
}

/// A record of the type; `event`, or `meta` and `data` where the topic does not store envelopes.
fn record(storage: Storage, names: &Names, event_type: &EventType) -> Value {
    let own = match storage {
        Storage::Native => {
            json!({"required": ["event"], "properties": {"event": {"$ref": reference(&names.stored)}}})
        }
        Storage::Headers | Storage::CloudEventsBinary | Storage::CloudEventsStructured => json!({
            "required": ["meta", "data"],
            "properties": {
                "meta": {"required": ["eventType"], "properties": {"eventType": {"const": event_type.as_str()}}},
                "data": {"$ref": reference(&names.data)},
            },
        }),
    };
    json!({"allOf": [{"$ref": reference("Record")}, own]})
}

fn about(topic: &KnownTopic, known: &KnownType, title: String, payload: Value) -> Map<String, Value> {
    let mut message = Map::new();
    let mut put = |name: &str, value: Value| drop(message.insert(name.to_owned(), value));
    put("name", known.event_type.as_str().into());
    put("title", title.into());
    put("contentType", "application/json".into());
    put("payload", payload);
    put("bindings", json!({"kafka": kafka(&topic.rule)}));
    match &known.contract {
        Some(contract) => {
            put("x-subject", (*contract.subject).into());
            put("x-schema-id", contract.id.number().into());
            if let Some(text) = contract.schema.get("description").and_then(Value::as_str) {
                put("description", text.into());
            }
        }
        None if topic.rule.is_by_schema() => {
            let (format, event_type) = (topic.rule.format.as_str(), &known.event_type);
            let about = format!("Data is stored as {format}, by the latest schema of `{event_type}-value`.");
            put("description", about.into());
        }
        None => put("description", "The type has no schema: any data is taken.".into()),
    }
    put("x-format", topic.rule.format.as_str().into());
    let domain = known.event_type.as_str().split('.').next().unwrap_or_default();
    put("tags", json!([{"name": domain}]));
    message
}

/// How the record lies in the log, for those who read it there.
fn kafka(rule: &TopicRule) -> Value {
    let key = key_schema(rule);
    match rule.wire {
        Wire::None => json!({"key": key, "bindingVersion": "0.5.0"}),
        Wire::Prefix => json!({
            "key": key,
            "schemaIdLocation": "payload",
            "schemaIdPayloadEncoding": "confluent",
            "bindingVersion": "0.5.0",
        }),
        Wire::Header => json!({"key": key, "schemaIdLocation": "header", "bindingVersion": "0.5.0"}),
    }
}

fn key_schema(rule: &TopicRule) -> Value {
    match &rule.key {
        None => json!({"description": "Null, unless the publisher names one."}),
        Some(key) if key.is_optional => json!({
            "type": ["string", "null"],
            "description": format!("The event's {}; null where it has none.", key.pointer),
        }),
        Some(key) => json!({"type": "string", "description": format!("The event's {}.", key.pointer)}),
    }
}
