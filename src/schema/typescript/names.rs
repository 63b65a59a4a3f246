//! Names of types and members.

use std::collections::HashSet;

/// Names of types that are given already.
#[derive(Debug)]
pub(super) struct Taken(HashSet<String>);

impl Taken {
    /// These are given from the start.
    pub(super) fn new<const N: usize>(names: [&str; N]) -> Self {
        Self(names.map(str::to_owned).into())
    }

    /// The name, or the first with a number that nothing else has.
    pub(super) fn free(&mut self, name: &str) -> String {
        let numbered = |number: usize| if number < 2 { name.to_owned() } else { format!("{name}{number}") };
        let free = (1..).map(numbered).find(|name| !self.0.contains(name)).unwrap_or_default();
        self.0.insert(free.clone());
        free
    }
}

/// Words, each with a capital, as one name; what cannot be in a name parts words.
pub(super) fn pascal(text: &str) -> String {
    let mut name = String::new();
    for word in text.split(|character: char| !character.is_ascii_alphanumeric()) {
        let mut characters = word.chars();
        name.extend(characters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(characters.as_str());
    }
    if name.starts_with(|first: char| first.is_ascii_digit()) || name.is_empty() {
        name.insert(0, 'T');
    }
    name
}

/// A member's name, in quotes where it must be.
pub(super) fn member(name: &str) -> String {
    let mut characters = name.chars();
    let begins = |first: char| first.is_ascii_alphabetic() || matches!(first, '_' | '$');
    let is_plain = characters.next().is_some_and(begins)
        && characters.all(|character| begins(character) || character.is_ascii_digit());
    if is_plain { name.to_owned() } else { serde_json::Value::from(name).to_string() }
}
