//! Writes a tree back as YAML, secrets hidden.

use super::tree::{Node, Value};

/// Keys whose values nobody sees.
const SECRETS: &[&str] = &["ticket_key", "sha256", "password", "token"];

/// Parts of librdkafka's names for secrets.
const SECRET_PARTS: &[&str] = &["password", "passphrase", "secret", ".pem", "jaas", "oauthbearer.config"];

/// The tree as YAML in block style.
pub(super) fn yaml(node: &Node) -> String {
    let mut out = String::new();
    if let Value::Map(members) = &node.value {
        write_members(&mut out, members, 0);
    }
    out
}

/// The tree as JSON; whole numbers are numbers, sizes and durations texts.
pub(super) fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Text(text) => text.parse::<u64>().map_or_else(|_| text.as_str().into(), Into::into),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(members) => {
            let shown = |(key, node): &(String, Node)| {
                let value = if is_secret(key, node) { "(hidden)".into() } else { json(node) };
                (key.clone(), value)
            };
            serde_json::Value::Object(members.iter().map(shown).collect())
        }
    }
}

fn write_members(out: &mut String, members: &[(String, Node)], depth: usize) {
    for (key, node) in members {
        let indent = "  ".repeat(depth);
        let is_hidden = is_secret(key, node);
        let text = if is_hidden { "\"(hidden)\"".to_owned() } else { inline(&node.value) };
        match &node.value {
            Value::Map(inner) if !is_hidden && !inner.is_empty() => {
                push(out, format_args!("{indent}{key}:\n"));
                write_members(out, inner, depth + 1);
            }
            Value::List(items)
                if !is_hidden && items.iter().any(|item| matches!(item.value, Value::Map(_))) =>
            {
                push(out, format_args!("{indent}{key}:\n"));
                for item in items {
                    push(out, format_args!("{indent}  - {}\n", inline(&item.value)));
                }
            }
            Value::Null | Value::Bool(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
                push(out, format_args!("{indent}{key}: {text}\n"));
            }
        }
    }
}

/// A secret written out; where it only says which variable or file holds it, that may be seen.
fn is_secret(key: &str, node: &Node) -> bool {
    let is_named =
        SECRETS.contains(&key) || key.contains('.') && SECRET_PARTS.iter().any(|part| key.contains(part));
    is_named && matches!(node.value, Value::Text(_))
}

fn inline(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Text(text) if is_plain(text) => text.clone(),
        Value::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
        Value::List(items) => {
            format!("[{}]", items.iter().map(|item| inline(&item.value)).collect::<Vec<_>>().join(", "))
        }
        Value::Map(members) => {
            let member = |(key, node): &(String, Node)| {
                format!(
                    "{key}: {}",
                    if is_secret(key, node) { "\"(hidden)\"".to_owned() } else { inline(&node.value) }
                )
            };
            format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(", "))
        }
    }
}

fn is_plain(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:".contains(&byte);
    text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/')
        && text.bytes().all(is_word)
        && !text.ends_with(':')
        && !matches!(text, "null" | "true" | "false" | "yes" | "no" | "on" | "off")
}

fn push(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.push_str(&arguments.to_string());
}
