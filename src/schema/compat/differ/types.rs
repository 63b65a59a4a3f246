//! Types and listed values: those that a writer has must be among those of the reader.

use serde_json::Value;

use super::super::place::Node;
use super::super::types::Types;
use super::super::validator;
use super::{At, Differ, Rule, Wish, shown};

impl<'b> Differ<'b> {
    /// Where the writer lists its values each of them is tried.
    pub(super) fn judge_listed(
        &mut self,
        writers: &[Node<'b>],
        values: &[Value],
        reader: Node<'b>,
        at: &At,
    ) -> bool {
        let (Some(judge), mut follows) = (validator(reader), true) else {
            return self.find(Rule::Unfollowed, at, "what cannot be compiled alone", "", Wish::Anything);
        };
        for value in values.iter().filter(|value| !judge.is_valid(value)) {
            let is_written =
                writers.iter().all(|writer| validator(*writer).is_none_or(|judge| judge.is_valid(value)));
            if is_written {
                let told = shown(value);
                follows = self.find(Rule::EnumValueRemoved, at, &told, &told, Wish::Exactly(value.clone()));
            }
        }
        follows
    }

    pub(super) fn types(&mut self, writers: Types, wanted: &Value, at: &At) -> bool {
        let wanted = Types::named(wanted);
        let missing = writers.without(wanted);
        if missing.is_empty() {
            return true;
        }
        let lost = if writers == Types::ALL { "any type".to_owned() } else { names(missing) };
        let example = missing.described().into_iter().map(|(_, value)| value).next();
        let wish = example.map_or(Wish::Anything, Wish::Exactly);
        self.find(Rule::TypeNarrowed, &at.keyword("type"), &names(wanted), &lost, wish)
    }

    /// A list of values for a writer that has none.
    pub(super) fn values(&mut self, writers: &[Node<'b>], keyword: &str, wanted: &Value, at: &At) -> bool {
        let is_listed = |value: &Value| match keyword {
            "const" => wanted == value,
            _ => wanted.as_array().is_some_and(|values| values.contains(value)),
        };
        let few = Types::of(writers).and_then(Types::values);
        match few {
            Some(values) if values.iter().all(is_listed) => true,
            _ => self.find(
                Rule::EnumAdded,
                &at.keyword(keyword),
                &shown(wanted),
                "other values",
                Wish::Anything,
            ),
        }
    }
}

fn names(types: Types) -> String {
    let names: Vec<&str> = types.described().into_iter().map(|(name, _)| name).collect();
    names.join(", ")
}
