//! Name patterns of grants and subscriptions: `*` within a segment, `**` across segments.

use std::fmt;
use std::sync::Arc;

/// A pattern over names: `*` matches any run of characters but `.`, `**` any run. A pattern reaches names that
/// begin with `_` or `dlq.` only when it begins with the same literal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern(Arc<str>);

impl Pattern {
    /// The pattern with this text; every text is one.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether the pattern holds no wildcard, and so names exactly one thing.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        !self.0.contains('*')
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `name` is one of the names meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let is_reserved = |prefix: &str| name.starts_with(prefix) && !self.0.starts_with(prefix);
        !is_reserved("_") && !is_reserved("dlq.") && matches(self.0.as_bytes(), name.as_bytes())
    }
}

/// Backtracks to the latest `*` first and to the latest `**` when that is spent, so the work is bounded by
/// the product of both lengths.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut taken) = (0, 0);
    let mut within: Option<(usize, usize)> = None;
    let mut across: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(at), name.get(taken)) {
            (Some(b'*'), _) if pattern.get(at + 1) == Some(&b'*') => {
                while pattern.get(at) == Some(&b'*') {
                    at += 1;
                }
                across = Some((at, taken));
                within = None;
                continue;
            }
            (Some(b'*'), _) => {
                at += 1;
                within = Some((at, taken));
                continue;
            }
            (None, None) => return true,
            (Some(wanted), Some(found)) if wanted == found => {
                at += 1;
                taken += 1;
                continue;
            }
            _ => {}
        }
        match (within, across) {
            (Some((after, from)), _) if name.get(from).is_some_and(|&byte| byte != b'.') => {
                within = Some((after, from + 1));
                (at, taken) = (after, from + 1);
            }
            (_, Some((after, from))) if from < name.len() => {
                across = Some((after, from + 1));
                within = None;
                (at, taken) = (after, from + 1);
            }
            _ => return false,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl serde::Serialize for Pattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Pattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Arc::from(String::deserialize(deserializer)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern).matches(name)
    }

    #[test]
    fn one_star_stays_within_a_segment_and_two_cross() {
        assert!(matches("orders.*", "orders.v1"));
        assert!(!matches("orders.*", "orders.v1.x"));
        assert!(matches("orders.**", "orders.v1.x"));
        assert!(matches("*.v1", "orders.v1"));
        assert!(!matches("*.v1", "a.orders.v1"));
        assert!(matches("**.v1", "a.orders.v1"));
        assert!(matches("service:*", "service:orders"));
        assert!(matches("a*b*c", "axxbxxc"));
        assert!(matches("**", "anything.at.all"));
        assert!(!matches("orders", "orders2"));
        assert!(!matches("Orders", "orders"));
    }

    #[test]
    fn reserved_names_need_the_same_literal_beginning() {
        assert!(!matches("**", "_weirgate.groups"));
        assert!(!matches("**", "dlq.orders.v1.g"));
        assert!(matches("dlq.**", "dlq.orders.v1.g"));
        assert!(matches("_weirgate.*", "_weirgate.groups"));
        assert!(!matches("d**", "dlq.orders.v1.g"));
    }

    #[test]
    fn a_hostile_pattern_ends_in_bounded_time() {
        assert!(!matches(&"*a".repeat(100), &"a".repeat(50)));
        assert!(!matches(&"**a*".repeat(50), &"b".repeat(2_000)));
    }
}
