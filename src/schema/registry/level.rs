//! What is asked of new versions, and whether there may be any.

use serde::{Deserialize, Serialize};

use crate::schema::compat;

/// Which earlier versions of a subject a new one must fit, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Level {
    /// Readers of the new version read data of the last one.
    #[default]
    Backward,
    /// Readers of the new version read data of all.
    BackwardTransitive,
    /// Readers of the last version read data of the new one.
    Forward,
    /// Readers of every version read data of the new one.
    ForwardTransitive,
    /// Both ways with the last version.
    Full,
    /// Both ways with all.
    FullTransitive,
    /// Anything goes.
    None,
}

/// What holds for members that a schema does not name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Policy {
    /// What the schemas say, to the letter.
    Strict,
    /// Writers send none, as the gateway sees to; readers pass over them.
    #[default]
    Lenient,
}

/// What may be changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Mode {
    /// Everything.
    #[default]
    Readwrite,
    /// Nothing.
    Readonly,
    /// Nothing anywhere, whatever is said of single subjects; only of all subjects at once.
    ReadonlyOverride,
    /// Everything, and versions bring their own numbers and ids, unjudged.
    Import,
}

/// What is said of new versions; what is absent is as for all subjects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// The level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compatibility: Option<Level>,
    /// The policy.
    #[serde(default, rename = "compatibilityPolicy", skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
}

impl From<Level> for compat::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Backward => Self::Backward,
            Level::BackwardTransitive => Self::BackwardTransitive,
            Level::Forward => Self::Forward,
            Level::ForwardTransitive => Self::ForwardTransitive,
            Level::Full => Self::Full,
            Level::FullTransitive => Self::FullTransitive,
            Level::None => Self::None,
        }
    }
}

impl From<Policy> for compat::Policy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Strict => Self::Strict,
            Policy::Lenient => Self::Lenient,
        }
    }
}

impl Policy {
    const ALL: [Self; 2] = [Self::Strict, Self::Lenient];

    /// Reads a policy, in whatever case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str().eq_ignore_ascii_case(text))
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "STRICT",
            Self::Lenient => "LENIENT",
        }
    }
}

impl Level {
    const ALL: [Self; 7] = [
        Self::Backward,
        Self::BackwardTransitive,
        Self::Forward,
        Self::ForwardTransitive,
        Self::Full,
        Self::FullTransitive,
        Self::None,
    ];

    /// Reads a level, in whatever case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(text))
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backward => "BACKWARD",
            Self::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Self::Forward => "FORWARD",
            Self::ForwardTransitive => "FORWARD_TRANSITIVE",
            Self::Full => "FULL",
            Self::FullTransitive => "FULL_TRANSITIVE",
            Self::None => "NONE",
        }
    }

    /// Whether it looks at all earlier versions rather than at the last.
    #[must_use]
    pub const fn is_transitive(self) -> bool {
        match self {
            Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive => true,
            Self::Backward | Self::Forward | Self::Full | Self::None => false,
        }
    }
}

impl Mode {
    const ALL: [Self; 4] = [Self::Readwrite, Self::Readonly, Self::ReadonlyOverride, Self::Import];

    /// Reads a mode, in whatever case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str().eq_ignore_ascii_case(text))
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Readwrite => "READWRITE",
            Self::Readonly => "READONLY",
            Self::ReadonlyOverride => "READONLY_OVERRIDE",
            Self::Import => "IMPORT",
        }
    }

    pub(super) const fn takes_writes(self) -> bool {
        match self {
            Self::Readwrite | Self::Import => true,
            Self::Readonly | Self::ReadonlyOverride => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Level, Mode, Policy};

    #[test]
    fn names_are_those_that_are_stored_and_read_in_any_case() {
        for level in Level::ALL {
            assert_eq!(serde_json::to_value(level).unwrap(), level.as_str());
            assert_eq!(Level::parse(&level.as_str().to_lowercase()), Some(level));
        }
        for policy in Policy::ALL {
            assert_eq!(serde_json::to_value(policy).unwrap(), policy.as_str());
            assert_eq!(Policy::parse(&policy.as_str().to_lowercase()), Some(policy));
        }
        for mode in Mode::ALL {
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.as_str());
            assert_eq!(Mode::parse(&mode.as_str().to_lowercase()), Some(mode));
        }
        assert_eq!((Level::parse("BACKWARDS"), Mode::parse("")), (None, None));
    }
}
