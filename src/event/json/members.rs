//! The members of a stored object, each with its text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::text::TextSeed;

/// More members than any CloudEvent has; what has more is shown as data.
const MEMBERS_MAX: usize = 128;

/// The members of an object in order, names unique.
#[derive(Debug)]
pub(in crate::event) struct Members<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'a> Members<'a> {
    /// Reads a text that [`super::Outline::parse`] has taken; `None` where it is no object, names a member twice, or has
    /// more than 128.
    pub(in crate::event) fn parse(text: &'a str) -> Option<Self> {
        MembersSeed.deserialize(&mut serde_json::Deserializer::from_str(text)).ok()
    }
}

impl<'a> IntoIterator for Members<'a> {
    type Item = (Cow<'a, str>, &'a str);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

struct MembersSeed;

impl<'a> DeserializeSeed<'a> for MembersSeed {
    type Value = Members<'a>;

    fn deserialize<D: serde::Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for MembersSeed {
    type Value = Members<'a>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found: Vec<(Cow<'a, str>, &'a str)> = Vec::with_capacity(16);
        while let Some(name) = members.next_key_seed(TextSeed)? {
            if found.len() == MEMBERS_MAX || found.iter().any(|(have, _)| *have == name) {
                return Err(A::Error::custom("too many members, or one twice"));
            }
            found.push((name, members.next_value::<&'a RawValue>()?.get()));
        }
        Ok(Members(found))
    }
}
