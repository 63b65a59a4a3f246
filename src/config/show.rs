//! Writes a tree back as YAML, secrets hidden.

use super::tree::{Node, Value};

/// Keys whose values nobody sees.
const SECRETS: &[&str] = &["ticket_key", "sha256", "password", "secret", "sasl"];

/// The tree as YAML in block style.
pub(super) fn yaml(node: &Node) -> String {
    let mut out = String::new();
    if let Value::Map(members) = &node.value {
        write_members(&mut out, members, 0);
    }
    out
}

fn write_members(out: &mut String, members: &[(String, Node)], depth: usize) {
    for (key, node) in members {
        let indent = "  ".repeat(depth);
        let is_hidden = SECRETS.contains(&key.as_str()) && node.value != Value::Null;
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
                let is_hidden = SECRETS.contains(&key.as_str());
                format!("{key}: {}", if is_hidden { "\"(hidden)\"".to_owned() } else { inline(&node.value) })
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
