//! Whether a schema fits earlier versions, as far as that can be told.

use super::content::{Content, Version};
use super::level::Level;

/// Why a schema does not fit versions of other content; nothing where it does.
pub(super) fn differences(level: Level, candidate: &Content, earlier: &[(Version, Content)]) -> Vec<String> {
    let Some((version, content)) = earlier.last() else { return Vec::new() };
    let what = if content.kind == candidate.kind { "cannot be compared" } else { "is of another type" };
    vec![format!("version {version} {what}; only level NONE takes both, and the level is {}", level.as_str())]
}
