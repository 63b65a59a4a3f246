//! Commands and programs to copy: publish an event of a type, follow its topic. Pure.

use serde_json::{Value, json};

use crate::event::{EventType, Topic};
use crate::http::known::KnownType;
use crate::http::origin::Origin;

/// Something to copy.
#[derive(Debug)]
pub(super) struct Snippet {
    pub(super) title: &'static str,
    pub(super) text: String,
}

/// An event as it may be posted.
#[derive(Debug)]
pub(super) struct Event<'k> {
    event_type: &'k EventType,
    data: Value,
}

impl<'k> Event<'k> {
    /// An event of a type that its schema takes, where one can be made.
    pub(super) fn example(known: &'k KnownType, sample: Option<&Value>) -> Self {
        Self { event_type: &known.event_type, data: sample.cloned().unwrap_or_else(|| json!({})) }
    }

    /// The event as JSON, its type first.
    pub(super) fn as_json(&self) -> String {
        // No text of JSON holds a line's end.
        let data = format!("{:#}", self.data).replace('\n', "\n  ");
        format!("{{\n  \"eventType\": {},\n  \"data\": {data}\n}}", Value::from(self.event_type.as_str()))
    }

    fn as_python(&self) -> String {
        let name = Value::from(self.event_type.as_str());
        format!("{{\n    \"eventType\": {name},\n    \"data\": {},\n}}", literal(&self.data, 1))
    }
}

/// How an event is published.
pub(super) fn publish(origin: &Origin, event: &Event<'_>) -> Vec<Snippet> {
    let url = format!("{}/v1/events", origin.url("http"));
    let (pretty, python) = (event.as_json(), event.as_python());
    vec![
        Snippet {
            title: "Publish with curl",
            text: format!(
                "curl -i {url} \\\n  -H \"Authorization: Bearer $WEIRGATE_TOKEN\" \\\n  -H 'Content-Type: application/json' \\\n  -d {}",
                quoted(&pretty)
            ),
        },
        Snippet {
            title: "Publish with Python",
            text: format!(
                "import json, os, urllib.request\n\nevent = {python}\nrequest = urllib.request.Request(\n    \"{url}\",\n    \
                 data=json.dumps(event).encode(),\n    headers={{\n        \"Authorization\": \"Bearer \" + os.environ[\"WEIRGATE_TOKEN\"],\n        \
                 \"Content-Type\": \"application/json\",\n    }},\n)\nwith urllib.request.urlopen(request) as answer:\n    \
                 print(answer.status, answer.read().decode())"
            ),
        },
        Snippet {
            title: "Publish with Node",
            text: format!(
                "const event = {pretty};\nconst answer = await fetch(\"{url}\", {{\n  method: \"POST\",\n  headers: {{\n    \
                 Authorization: `Bearer ${{process.env.WEIRGATE_TOKEN}}`,\n    \"Content-Type\": \"application/json\",\n  }},\n  \
                 body: JSON.stringify(event),\n}});\nconsole.log(answer.status, await answer.text());"
            ),
        },
    ]
}

/// How a topic is followed.
pub(super) fn follow(origin: &Origin, topic: &Topic) -> Vec<Snippet> {
    let (http, ws) = (origin.url("http"), origin.url("ws"));
    vec![
        Snippet {
            title: "Follow with curl (server-sent events)",
            text: format!(
                "curl -N '{http}/v1/topics/{topic}/events?from=latest' \\\n  -H \"Authorization: Bearer $WEIRGATE_TOKEN\" \\\n  \
                 -H 'Accept: text/event-stream'"
            ),
        },
        Snippet {
            title: "Follow over a WebSocket",
            text: format!(
                "const socket = new WebSocket(\"{ws}/v1/stream\", [\"weirgate.v1\"]);\nsocket.onopen = () => {{\n  \
                 socket.send(JSON.stringify({{ id: 1, op: \"hello\", token }}));  // or a ticket of POST /v1/tickets\n  \
                 socket.send(JSON.stringify({{ id: 2, op: \"subscribe\", topics: [\"{topic}\"], from: \"latest\" }}));\n}};\n\
                 socket.onmessage = ({{ data }}) => {{\n  const message = JSON.parse(data);\n  \
                 if (message.op === \"ping\") socket.send('{{\"op\":\"pong\"}}');\n  \
                 if (message.event) console.log(message.partition, message.offset, message.event);\n}};"
            ),
        },
    ]
}

/// A text as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A value as Python writes it.
fn literal(value: &Value, depth: usize) -> String {
    let (inner, outer) = ("    ".repeat(depth + 1), "    ".repeat(depth));
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        // A JSON text means the same in Python.
        Value::Number(_) | Value::String(_) => value.to_string(),
        Value::Array(elements) if elements.is_empty() => "[]".to_owned(),
        Value::Object(members) if members.is_empty() => "{}".to_owned(),
        Value::Array(elements) => {
            let mut text = String::from("[\n");
            for element in elements {
                text.push_str(&format!("{inner}{},\n", literal(element, depth + 1)));
            }
            text + &outer + "]"
        }
        Value::Object(members) => {
            let mut text = String::from("{\n");
            for (name, member) in members {
                let name = Value::from(name.as_str());
                text.push_str(&format!("{inner}{name}: {},\n", literal(member, depth + 1)));
            }
            text + &outer + "}"
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{literal, quoted};

    #[test]
    fn a_shell_takes_any_text_as_one_word() {
        assert_eq!(quoted("it's $HOME `x`"), r"'it'\''s $HOME `x`'");
    }

    #[test]
    fn values_are_pythons() {
        let value = json!({"a": [true, null, 1.5, "x\"\\"], "b": {}, "c": []});
        let text = "{\n    \"a\": [\n        True,\n        None,\n        1.5,\n        \"x\\\"\\\\\",\n    ],\n    \"b\": {},\n    \"c\": [],\n}";
        assert_eq!(literal(&value, 0), text);
    }
}
