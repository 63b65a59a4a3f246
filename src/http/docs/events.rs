//! `/docs/events`: the AsyncAPI document as a page. The bundles that show such documents compile schemas by evaluating
//! text, which no strict policy allows, so the page is written here, and can be read without a script.

use maud::{Markup, html};
use serde_json::{Map, Value};

use super::event_type::table;
use super::fields;

/// The body of the page.
pub(super) fn body(document: &Value) -> Markup {
    let reader = Document(document);
    html! {
        h1 { "Events and the socket" }
        @for text in paragraphs(document.pointer("/info/description")) { p { (prose(text)) } }
        (super::list::downloads())
        section aria-labelledby="servers" {
            h2 #servers { "Servers" }
            dl.facts {
                @for (_, server) in members(document.get("servers")) {
                    dt { (text(server, "title")) }
                    dd { code { (text(server, "protocol")) "://" (text(server, "host")) } }
                }
            }
        }
        @for (key, channel) in members(document.get("channels")) { (reader.channel(key, channel)) }
    }
}

struct Document<'d>(&'d Value);

impl<'d> Document<'d> {
    /// What a reference leads to; the value itself where it is none.
    fn target(&self, value: &'d Value) -> &'d Value {
        let mut value = value;
        for _ in 0..8 {
            let pointer =
                value.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
            match pointer.and_then(|pointer| self.0.pointer(pointer)) {
                Some(next) => value = next,
                None => break,
            }
        }
        value
    }

    fn channel(&self, key: &str, channel: &'d Value) -> Markup {
        let here = format!("#/channels/{key}");
        let is_here =
            |operation: &&Value| operation.pointer("/channel/$ref").and_then(Value::as_str) == Some(&here);
        let operations = members(self.0.get("operations")).map(|(_, operation)| operation).filter(is_here);
        let title = channel.get("title").and_then(Value::as_str).unwrap_or(key);
        html! {
            section {
                h2 { (title) }
                p { code { (text(channel, "address")) } }
                @for text in paragraphs(channel.get("description")) { p { (prose(text)) } }
                ul {
                    @for operation in operations { (operation_line(operation)) }
                }
                @for (_, message) in members(channel.get("messages")) { (self.message(message)) }
            }
        }
    }

    fn message(&self, message: &'d Value) -> Markup {
        let message = self.target(message);
        let name =
            message.get("title").or_else(|| message.get("name")).and_then(Value::as_str).unwrap_or_default();
        let payload = message.get("payload").map(|payload| fields::within(self.0, payload));
        let example = message.pointer("/examples/0/payload");
        html! {
            details.message {
                summary { code { (name) } @if let Some(text) = message.get("summary").and_then(Value::as_str) { " · " (text) } }
                @for text in paragraphs(message.get("description")) { p { (prose(text)) } }
                @if let Some(fields) = payload { (table(&fields, &format!("Fields of {name}"))) }
                @if let Some(example) = example { pre tabindex="0" { code { (format!("{example:#}")) } } }
            }
        }
    }
}

fn operation_line(operation: &Value) -> Markup {
    html! {
        li {
            (text(operation, "title")) " "
            span.badge { @if text(operation, "action") == "send" { "sends" } @else { "receives" } }
        }
    }
}

fn members(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn paragraphs(text: Option<&Value>) -> impl Iterator<Item = &str> {
    text.and_then(Value::as_str).unwrap_or_default().split("\n\n").filter(|text| !text.trim().is_empty())
}

/// A text with its `code` and its *stress*; other marks stay as they are.
fn prose(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (stressed(part)) }
        }
    }
}

fn stressed(text: &str) -> Markup {
    let parts: Vec<&str> = text.split('*').collect();
    html! {
        // Marks come in pairs, else they are none.
        @if parts.len().is_multiple_of(2) { (text) }
        @else {
            @for (index, part) in parts.iter().enumerate() {
                @if index % 2 == 1 { em { (part) } } @else { (part) }
            }
        }
    }
}
