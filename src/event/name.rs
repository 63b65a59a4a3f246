//! Checked names: topics, event types, event ids, groups.
//!
//! Each is a newtype whose only way in is `parse`, so that a name inside the house needs no second look.
//! All are cheap to clone (shared text).

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Why a text is no valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {problem}")]
pub struct NameError {
    what: &'static str,
    problem: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name! {
    /// A topic's name: Kafka's grammar, 1 to 249 of `A-Z a-z 0-9 . _ -`, neither `.` nor `..`.
    Topic
}

name! {
    /// What happened: `{domain}.{action}[.…].v{N}` in the native grammar, or any text of 1 to 200 characters
    /// without control characters where the catalogue binds it to a topic.
    EventType
}

name! {
    /// The identity of an event, 1 to 128 characters without control characters.
    EventId
}

name! {
    /// Under which versions of a schema stand in the registry: 1 to 512 bytes without control characters, often
    /// `{topic}-value`.
    Subject
}

name! {
    /// A consumer group's name: 1 to 64 of `A-Z a-z 0-9 _ -`.
    GroupName
}

/// The name of the audit trail's topic.
const AUDIT: &str = "_weirgate.audit";
/// What begins the name of a topic through which dead letters go back.
const REDRIVES: &str = "_weirgate.redrive.";

impl Topic {
    /// Reads a topic name.
    ///
    /// # Errors
    /// When the text breaks Kafka's grammar for topic names.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let error = |problem| Err(NameError { what: "topic name", problem });
        if text.is_empty() || text.len() > 249 {
            return error("must have 1 to 249 characters");
        }
        if text == "." || text == ".." {
            return error("must not be '.' or '..'");
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) {
            return error("may hold only letters, digits, '.', '_' and '-'");
        }
        Ok(Self(text.into()))
    }

    /// Whether the name belongs to the gateway itself (`_…`) rather than to its users.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.0.starts_with('_')
    }

    /// The topic of the audit trail.
    #[must_use]
    pub fn audit() -> Self {
        Self(AUDIT.into())
    }

    /// Whether this is the audit trail.
    #[must_use]
    pub fn is_audit(&self) -> bool {
        &*self.0 == AUDIT
    }

    /// Whether this is a dead-letter topic (`dlq.…`).
    #[must_use]
    pub fn is_dead_letters(&self) -> bool {
        self.0.starts_with("dlq.")
    }

    /// The topic through which dead letters go back to a group.
    #[must_use]
    pub fn of_redrives(group: &GroupName) -> Self {
        Self(format!("{REDRIVES}{group}").into())
    }

    /// Whether dead letters go back to a group through it (`_weirgate.redrive.…`).
    #[must_use]
    pub fn is_redrives(&self) -> bool {
        self.0.starts_with(REDRIVES)
    }
}

impl EventType {
    /// Reads an event type of any form; see [`EventType::is_native`] for the stricter native grammar.
    ///
    /// # Errors
    /// When the text is empty, longer than 200 characters, or holds a control character.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let error = |problem| Err(NameError { what: "event type", problem });
        if text.is_empty() || text.chars().count() > 200 {
            return error("must have 1 to 200 characters");
        }
        if text.chars().any(char::is_control) {
            return error("must not hold control characters");
        }
        Ok(Self(text.into()))
    }

    /// Whether the type has the native grammar `{domain}.{action}[.…].v{N}`: at least two segments of lower
    /// case letters, digits, `_`, `-`, then `v` and a number from 1 without leading zero.
    #[must_use]
    pub fn is_native(&self) -> bool {
        let Some((stem, _)) = self.split_version() else { return false };
        let mut segments = 0;
        stem.split('.').all(|segment| {
            segments += 1;
            !segment.is_empty()
                && segment.bytes().all(|byte| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-')
                })
        }) && segments >= 2
    }

    /// The major version N of a type that ends in `.v{N}`.
    #[must_use]
    pub fn major(&self) -> Option<u32> {
        self.split_version().map(|(_, major)| major)
    }

    /// The type without its `.v{N}`, and N.
    #[must_use]
    pub fn split_version(&self) -> Option<(&str, u32)> {
        let (stem, version) = self.0.rsplit_once(".v")?;
        let is_plain = !version.starts_with('0') && version.bytes().all(|byte| byte.is_ascii_digit());
        let major = if is_plain { version.parse().ok()? } else { return None };
        Some((stem, major))
    }
}

impl EventId {
    /// Reads an event id of any form.
    ///
    /// # Errors
    /// When the text is empty, longer than 128 characters, or holds a control character.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let error = |problem| Err(NameError { what: "event id", problem });
        if text.is_empty() || text.chars().count() > 128 {
            return error("must have 1 to 128 characters");
        }
        if text.chars().any(char::is_control) {
            return error("must not hold control characters");
        }
        Ok(Self(text.into()))
    }

    /// The id of an event whose producer gave none.
    #[must_use]
    pub fn from_uuid(uuid: uuid::Uuid) -> Self {
        let mut buffer = uuid::Uuid::encode_buffer();
        Self(Arc::from(&*uuid.hyphenated().encode_lower(&mut buffer)))
    }
}

impl Subject {
    /// The subject of an event type's data.
    #[must_use]
    pub fn of_data(event_type: &str) -> Self {
        Self(format!("{event_type}-value").into())
    }

    /// Reads a subject; a name within the default context, `:.:orders`, is that name.
    ///
    /// # Errors
    /// When the text is empty, too long, holds a control character, names another context, or is a word of the
    /// registry's own.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let error = |problem| Err(NameError { what: "subject", problem });
        let name = text.strip_prefix(":.:").unwrap_or(text);
        if name.is_empty() || name.len() > 512 {
            return error("must have 1 to 512 bytes");
        }
        if name.chars().any(char::is_control) {
            return error("must not hold control characters");
        }
        if name.starts_with(":.") {
            return error("names a context, and there is only the default one");
        }
        if matches!(name, "__GLOBAL" | "__EMPTY") {
            return error("is a word of the registry's own");
        }
        Ok(Self(name.into()))
    }
}

impl GroupName {
    /// Reads a group name.
    ///
    /// # Errors
    /// When the text is empty, longer than 64 characters, or holds anything but `A-Z a-z 0-9 _ -`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let error = |problem| Err(NameError { what: "group name", problem });
        if text.is_empty() || text.len() > 64 {
            return error("must have 1 to 64 characters");
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
            return error("may hold only letters, digits, '_' and '-'");
        }
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::{EventType, GroupName, Subject, Topic};

    #[test]
    fn topics_follow_kafkas_grammar() {
        for good in ["orders.v1", "a", "_weirgate.groups", "dlq.orders.v1.inventory-sync"] {
            assert!(Topic::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "ä", "a\n"] {
            assert!(Topic::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Topic::parse(&"a".repeat(249)).is_ok());
        assert!(Topic::parse(&"a".repeat(250)).is_err());
    }

    #[test]
    fn native_types_need_a_domain_an_action_and_a_version() {
        for good in ["orders.placed.v1", "auth.login.success.v12", "a_b.c-d.v1"] {
            assert!(EventType::parse(good).unwrap().is_native(), "{good}");
        }
        for bad in ["orders.v1", "orders.placed", "orders.placed.v0", "orders.placed.v01", "Orders.placed.v1"]
        {
            assert!(!EventType::parse(bad).unwrap().is_native(), "{bad}");
        }
        assert!(!EventType::parse("orders..v1").unwrap().is_native());
        assert!(EventType::parse("ORDER_CREATED").is_ok());
    }

    #[test]
    fn subjects_are_any_text_of_the_default_context() {
        for good in ["orders.v1-value", "a", "com.shop/Order", "größe", ":colon", &"a".repeat(512)] {
            assert_eq!(Subject::parse(good).unwrap().as_str(), good);
        }
        assert_eq!(Subject::parse(":.:orders").unwrap().as_str(), "orders");
        for bad in ["", ":.:", "a\nb", ":.staging:orders", "__GLOBAL", &"a".repeat(513)] {
            assert!(Subject::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn group_names_are_short_and_plain() {
        assert!(GroupName::parse("inventory-sync").is_ok());
        assert!(GroupName::parse("a.b").is_err());
        assert!(GroupName::parse(&"a".repeat(65)).is_err());
    }
}
