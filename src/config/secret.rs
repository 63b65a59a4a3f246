//! Secrets: each a text, `{env: NAME}` or `{file: path}`.

use super::Environment;
use super::tree::{Node, Value};

/// What is said of a value that is none of these.
pub(super) const MALFORMED: &str = "must be a text, {env: NAME} or {file: path}";

/// What is said where a secret is needed and absent.
pub(super) const MISSING: &str = "is missing: a text, {env: NAME} of a variable that is set, or {file: path}";

/// What a secret's place holds.
pub(super) enum Secret {
    Given(String),
    /// Nothing, or the name of a variable that is not set.
    Absent,
    /// The name of a file that cannot be read; why, with the file.
    Unreadable(String),
    Malformed,
}

impl Secret {
    pub(super) fn read(node: &Node, environment: &Environment) -> Self {
        match &node.value {
            Value::Text(text) => Self::Given(text.clone()),
            Value::Null => Self::Absent,
            Value::Map(members) => match members.as_slice() {
                [(kind, Node { value: Value::Text(name), .. })] if kind == "env" => {
                    environment.read(name).map_or(Self::Absent, |text| Self::Given(text.to_owned()))
                }
                [(kind, Node { value: Value::Text(path), .. })] if kind == "file" => {
                    match std::fs::read_to_string(path) {
                        Ok(text) => Self::Given(text.trim_end().to_owned()),
                        Err(error) => Self::Unreadable(format!("cannot read {path}: {error}")),
                    }
                }
                _ => Self::Malformed,
            },
            Value::Bool(_) | Value::List(_) => Self::Malformed,
        }
    }
}
