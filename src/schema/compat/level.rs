//! How far compatibility is asked for, under Confluent's names.

use std::fmt;
use std::str::FromStr;

/// Which versions a new one is compared with, and which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// Nothing is compared.
    None,
    /// Readers of the new schema take what was written by the latest earlier one.
    Backward,
    /// Readers of the new schema take what was written by any earlier one.
    BackwardTransitive,
    /// Readers of the latest earlier schema take what is written by the new one.
    Forward,
    /// Readers of any earlier schema take what is written by the new one.
    ForwardTransitive,
    /// Both ways with the latest earlier one.
    Full,
    /// Both ways with all earlier ones.
    FullTransitive,
}

/// Who reads whose data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Readers of the new schema, data of the old one.
    Backward,
    /// Readers of the old schema, data of the new one.
    Forward,
}

/// What holds for members that a schema does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// What the schemas say, to the letter.
    Strict,
    /// Writers send none, as the gateway sees to; readers pass over them.
    Lenient,
}

/// How much a version changes, as a semantic version would say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeLevel {
    /// It accepts the same data.
    Patch,
    /// It accepts other data, compatibly.
    Minor,
    /// It breaks what the level asks for; where that is nothing, what `BACKWARD` does.
    Major,
}

/// A name that is none of those known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} is none of {known}")]
pub struct UnknownName {
    name: String,
    known: &'static str,
}

impl Level {
    /// All levels.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::Backward,
        Self::BackwardTransitive,
        Self::Forward,
        Self::ForwardTransitive,
        Self::Full,
        Self::FullTransitive,
    ];

    /// Confluent's name, as `BACKWARD_TRANSITIVE`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Backward => "BACKWARD",
            Self::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Self::Forward => "FORWARD",
            Self::ForwardTransitive => "FORWARD_TRANSITIVE",
            Self::Full => "FULL",
            Self::FullTransitive => "FULL_TRANSITIVE",
        }
    }

    /// Whether all earlier versions count.
    #[must_use]
    pub const fn is_transitive(self) -> bool {
        match self {
            Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive => true,
            Self::None | Self::Backward | Self::Forward | Self::Full => false,
        }
    }

    /// Which ways are compared.
    #[must_use]
    pub const fn directions(self) -> &'static [Direction] {
        match self {
            Self::None => &[],
            Self::Backward | Self::BackwardTransitive => &[Direction::Backward],
            Self::Forward | Self::ForwardTransitive => &[Direction::Forward],
            Self::Full | Self::FullTransitive => &[Direction::Backward, Direction::Forward],
        }
    }
}

impl Direction {
    /// By what is read, and by what was written, in words.
    pub(in crate::schema) const fn sides(self) -> (&'static str, &'static str) {
        match self {
            Self::Backward => ("the new schema", "the old one"),
            Self::Forward => ("the old schema", "the new one"),
        }
    }
}

impl Policy {
    /// Confluent's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "STRICT",
            Self::Lenient => "LENIENT",
        }
    }
}

impl ChangeLevel {
    /// `patch`, `minor` or `major`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Patch => "patch",
            Self::Minor => "minor",
            Self::Major => "major",
        }
    }
}

impl FromStr for Level {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let known = "NONE, BACKWARD, BACKWARD_TRANSITIVE, FORWARD, FORWARD_TRANSITIVE, FULL, FULL_TRANSITIVE";
        let is_named = |level: &Self| level.as_str().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(is_named).ok_or_else(|| UnknownName { name: name.to_owned(), known })
    }
}

impl FromStr for Policy {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let is_named = |policy: &Self| policy.as_str().eq_ignore_ascii_case(name);
        let unknown = || UnknownName { name: name.to_owned(), known: "STRICT, LENIENT" };
        [Self::Strict, Self::Lenient].into_iter().find(is_named).ok_or_else(unknown)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{Level, Policy};

    #[test]
    fn levels_and_policies_have_confluents_names() {
        for level in Level::ALL {
            assert_eq!(level.as_str().parse(), Ok(level));
        }
        assert_eq!("lenient".parse(), Ok(Policy::Lenient));
        let error = "BACKWARDS".parse::<Level>().unwrap_err().to_string();
        assert!(error.starts_with("BACKWARDS is none of NONE, BACKWARD, "), "{error}");
        assert!("LOGICAL".parse::<Policy>().is_err());
    }
}
