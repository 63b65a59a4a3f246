//! Names of types, and what a name within a namespace means.

/// Types that every schema knows.
pub(super) const PRIMITIVES: [&str; 8] =
    ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// The full name of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    full: Box<str>,
}

impl Name {
    /// The name of a definition; one with a dot is full, another lies in the namespace.
    pub(super) fn define(name: &str, namespace: &str) -> Result<Self, String> {
        let full = full(name, namespace);
        if !full.split('.').all(is_name) {
            return Err(
                "a name must be letters, digits and _, not beginning with a digit; dots divide namespaces"
                    .to_owned(),
            );
        }
        if PRIMITIVES.contains(&full.as_str()) {
            return Err(format!("no type may be named {full}"));
        }
        Ok(Self { full: full.into() })
    }

    pub(super) fn full(&self) -> &str {
        &self.full
    }

    /// The name without its namespace.
    pub(super) fn simple(&self) -> &str {
        self.full.rsplit_once('.').map_or(&self.full, |(_, simple)| simple)
    }

    /// The namespace; empty where there is none.
    pub(super) fn namespace(&self) -> &str {
        self.full.rsplit_once('.').map_or("", |(namespace, _)| namespace)
    }
}

/// What a name means within a namespace.
pub(super) fn full(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

/// Whether this may name a field, a symbol or a part of a type's name.
pub(super) fn is_name(text: &str) -> bool {
    let is_first = |letter: char| letter.is_alphabetic() || letter == '_';
    text.starts_with(is_first) && text.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
}
