//! The id of a job: its group, and when it was asked for, so that it is found without a search and sorts by age.

use std::fmt;

use crate::event::GroupName;

/// The id of a job, such as `inventory-sync.1795382073123`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId {
    group: GroupName,
    /// Milliseconds since 1970 when it was asked for, or more where there had been another one by then.
    number: u64,
}

impl JobId {
    pub(in crate::delivery) const fn new(group: GroupName, number: u64) -> Self {
        Self { group, number }
    }

    /// Reads an id; `None` for a text that is none, or that another text says more simply.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // The name of a group has no dot.
        let (group, number) = text.split_once('.')?;
        let id = Self::new(GroupName::parse(group).ok()?, number.parse().ok()?);
        (id.to_string() == text).then_some(id)
    }

    /// The group that it is about.
    #[must_use]
    pub const fn group(&self) -> &GroupName {
        &self.group
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.group, self.number)
    }
}

impl serde::Serialize for JobId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for JobId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("no id of a job"))
    }
}

#[cfg(test)]
mod tests {
    use super::JobId;

    #[test]
    fn an_id_is_read_as_it_was_written_and_nothing_else_is() {
        for good in ["inventory-sync.1795382073123", "a.0", "a_b-C.18446744073709551615"] {
            assert_eq!(JobId::parse(good).unwrap().to_string(), good);
        }
        let bad =
            ["", ".", "a", "a.", ".1", "a.+1", "a.01", "a.1.2", "a.-1", "a/b.1", "a.18446744073709551616"];
        for bad in bad {
            assert_eq!(JobId::parse(bad), None, "{bad}");
        }
    }
}
