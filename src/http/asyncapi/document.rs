//! The document of what is known. Pure.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::event::Topic;
use crate::http::known::KnownTopic;
use crate::http::origin::Origin;
use crate::log::{Cleanup, TopicInfo};

use super::known::{Known, KnownGroup, View};
use super::message::{Message, Names};

/// The socket, by hand.
static BASE: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../asyncapi/asyncapi-base.json")).unwrap_or_default()
});

const ABOUT: &str = "What this gateway does now, as far as the token that asked may know it: events are posted to \
    `/v1/events`, read from `/v1/topics/{topic}/events` or followed over the socket `/v1/stream`, and worked on in groups \
    over the socket.";
const GATEWAYS_VIEW: &str = "Actions are the gateway's: it *receives* what you publish and *sends* what you read. Ask with \
    `?view=client` to have them the other way round.";
const CLIENTS_VIEW: &str = "Actions are a client's: you *send* what you publish and *receive* what you read.";

/// The document.
pub(super) fn document(known: &Known) -> Value {
    let mut writer = Writer { known, document: BASE.clone() };
    writer.introduce();
    writer.events();
    for topic in &known.topics {
        writer.topic(topic);
    }
    for group in &known.groups {
        writer.group(group);
    }
    if known.view == View::Client {
        writer.turn_round();
    }
    writer.document
}

struct Writer<'k> {
    known: &'k Known,
    document: Value,
}

impl Writer<'_> {
    fn introduce(&mut self) {
        let Known { origin, registry, view, .. } = self.known;
        let Origin { host, is_tls } = origin;
        let security = self.document.pointer("/servers/local/security").cloned().unwrap_or_default();
        let server = |protocol: &str, title: &str, security: Value| {
            let protocol = if *is_tls { format!("{protocol}s") } else { protocol.to_owned() };
            json!({"host": host, "protocol": protocol, "title": title, "security": security})
        };
        let schemes = ["bearer", "apiKey", "certificate"];
        let plain = schemes.map(|name| json!({"$ref": format!("#/components/securitySchemes/{name}")}));
        let mut http = server("http", "Posts, and reading without a socket", json!(plain));
        let has_by_schema = self.known.topics.iter().any(|topic| topic.rule.is_by_schema());
        if let Some(members) = http.as_object_mut().filter(|_| has_by_schema) {
            let registry = format!("{}{registry}", origin.url("http"));
            let registry = json!({"schemaRegistryUrl": registry, "schemaRegistryVendor": "confluent", "bindingVersion": "0.5.0"});
            members.insert("bindings".to_owned(), json!({"kafka": registry}));
        }
        let servers = json!({"socket": server("ws", "The socket", security), "http": http});
        let socket = self.document.pointer("/info/description").and_then(Value::as_str).unwrap_or_default();
        let view = if *view == View::Client { CLIENTS_VIEW } else { GATEWAYS_VIEW };
        let about = format!("{ABOUT} {view}\n\nThe socket: {socket}");
        self.put("", "servers", servers);
        self.put("/channels/stream", "servers", json!([{"$ref": "#/servers/socket"}]));
        self.put("", "id", "urn:weirgate:gateway".into());
        self.put("/info", "title", "Weirgate".into());
        self.put("/info", "version", env!("CARGO_PKG_VERSION").into());
        self.put("/info", "description", about.into());
    }

    /// `POST /v1/events`, which takes the events of all topics.
    fn events(&mut self) {
        let mut messages = Map::new();
        for topic in self.known.topics.iter().filter(|topic| topic.may_publish) {
            for known in &topic.types {
                let name = Names::of(&known.event_type).event;
                messages.insert(name.clone(), component(&name));
            }
        }
        if messages.is_empty() {
            return;
        }
        let all = references("events", messages.keys());
        let channel = json!({
            "address": "/v1/events",
            "title": "Publishing",
            "description": "Each event goes to the topic of its type. 201 says that the log has it.",
            "servers": [{"$ref": "#/servers/http"}],
            "messages": messages,
        });
        self.put("/channels", "events", channel);
        let operation = json!({
            "action": "receive",
            "title": "Publish",
            "channel": {"$ref": "#/channels/events"},
            "messages": all,
            "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
        });
        self.put("/operations", "publish", operation);
    }

    fn topic(&mut self, topic: &KnownTopic) {
        let mut messages = Map::new();
        for known in &topic.types {
            let Message { schemas, event, record } = Message::new(topic, known);
            for (name, schema) in schemas {
                self.put("/components/schemas", &name, schema);
            }
            let names = Names::of(&known.event_type);
            messages.insert(names.record.clone(), component(&names.record));
            self.put("/components/messages", &names.event, event);
            self.put("/components/messages", &names.record, record);
        }
        if !topic.may_read {
            return;
        }
        let name = &topic.rule.topic;
        self.records(
            name,
            topic.info.as_deref(),
            &messages,
            "Events of the topic, oldest first where that is asked for.",
        );
    }

    fn group(&mut self, group: &KnownGroup) {
        let name = group.name.as_str();
        let policy = serde_json::to_value(&group.policy).unwrap_or_default();
        let topics: Vec<&str> = group.policy.topics.iter().map(Topic::as_str).collect();
        let operation = |action: &str, title: String, messages: &[&str]| {
            json!({
                "action": action,
                "title": title,
                "channel": {"$ref": "#/channels/stream"},
                "messages": references("stream", messages.iter()),
                "bindings": {"kafka": {"groupId": {"type": "string", "enum": [name]}, "bindingVersion": "0.5.0"}},
                "x-group": {"name": name, "topics": topics, "policy": policy},
            })
        };
        let pushes = ["deliveryPush", "settledPush", "withdrawnPush", "assignmentPush", "drainingPush"];
        let work = operation("send", format!("Deliveries of the group {name}"), &pushes);
        self.put("/operations", &format!("work.{name}"), work);
        let commands = [
            "subscribeCommand",
            "ackCommand",
            "nackCommand",
            "rejectCommand",
            "extendCommand",
            "creditCommand",
        ];
        let settle =
            operation("receive", format!("Joining the group {name} and settling its deliveries"), &commands);
        self.put("/operations", &format!("settle.{name}"), settle);
        for (letters, from) in &group.letters {
            let of_topic = self.known.topics.iter().find(|topic| topic.rule.topic == *from);
            let types = of_topic.map(|topic| topic.types.as_slice()).unwrap_or_default();
            let names = types.iter().map(|known| Names::of(&known.event_type).record);
            let messages = names.map(|name| (name.clone(), component(&name)));
            let about = format!(
                "Dead letters of the group {name}, with the reason in their headers `__dlq.errors.*`."
            );
            self.records(letters, None, &messages.collect(), &about);
        }
    }

    /// The channel and the operation by which a topic is read.
    fn records(
        &mut self,
        topic: &Topic,
        info: Option<&TopicInfo>,
        messages: &Map<String, Value>,
        about: &str,
    ) {
        let channel_key = format!("topic.{topic}");
        let all = references(&channel_key, messages.keys());
        let channel = json!({
            "address": format!("/v1/topics/{topic}/events"),
            "title": topic.as_str(),
            "description": about,
            "servers": [{"$ref": "#/servers/http"}],
            "messages": messages,
            "bindings": {"kafka": kafka(topic, info)},
        });
        self.put("/channels", &channel_key, channel);
        let operation = json!({
            "action": "send",
            "title": format!("Follow {topic}"),
            "channel": {"$ref": format!("#/channels/{channel_key}")},
            "messages": all,
            "bindings": {"http": {"method": "GET", "bindingVersion": "0.3.0"}},
        });
        self.put("/operations", &format!("follow.{topic}"), operation);
    }

    /// Puts a member into the object at a pointer.
    fn put(&mut self, place: &str, name: &str, value: Value) {
        if let Some(members) = self.document.pointer_mut(place).and_then(Value::as_object_mut) {
            members.insert(name.to_owned(), value);
        }
    }

    /// Every operation as the other side does it.
    fn turn_round(&mut self) {
        let operations = self.document.pointer_mut("/operations").and_then(Value::as_object_mut);
        for action in operations.into_iter().flat_map(Map::values_mut).filter_map(|one| one.get_mut("action"))
        {
            *action = if *action == "send" { "receive" } else { "send" }.into();
        }
    }
}

/// References to messages of a channel, which is where operations must take them from.
fn references(channel: &str, messages: impl Iterator<Item = impl AsRef<str>>) -> Value {
    messages.map(|key| json!({"$ref": format!("#/channels/{channel}/messages/{}", key.as_ref())})).collect()
}

fn component(message: &str) -> Value {
    json!({"$ref": format!("#/components/messages/{message}")})
}

fn kafka(topic: &Topic, info: Option<&TopicInfo>) -> Value {
    let Some(TopicInfo { spec, .. }) = info else {
        return json!({"topic": topic.as_str(), "bindingVersion": "0.5.0"});
    };
    let cleanup = match spec.cleanup {
        Cleanup::Delete => "delete",
        Cleanup::Compact => "compact",
    };
    let retention = spec.retention.map(|retention| u64::try_from(retention.as_millis()).unwrap_or(u64::MAX));
    let bounds = [("retention.ms", retention), ("retention.bytes", spec.retention_bytes)];
    let bounds = bounds.into_iter().filter_map(|(name, bound)| Some((name.to_owned(), bound?.into())));
    let settings: Map<String, Value> =
        bounds.chain([("cleanup.policy".to_owned(), json!([cleanup]))]).collect();
    json!({
        "topic": topic.as_str(),
        "partitions": spec.partitions,
        "topicConfiguration": settings,
        "bindingVersion": "0.5.0",
    })
}
