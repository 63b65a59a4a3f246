//! Policies as entries of the table.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::event::GroupName;
use crate::log::{Draft, Table};

use super::super::{Error, Policy};
use super::All;

const KEY_PREFIX: &str = "policy/";

/// An entry of the table.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Stored {
    pub(super) policy: Policy,
    /// Hash of the file's policy that was applied last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<String>,
}

/// Tells policies of the file apart.
pub(super) fn fingerprint(policy: &Policy) -> String {
    let text = serde_json::to_vec(policy).unwrap_or_default();
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where the policy of a group lies.
pub(in crate::delivery) fn key(group: &GroupName) -> Bytes {
    format!("{KEY_PREFIX}{group}").into()
}

pub(super) fn stored(draft: &Draft<'_>, group: &GroupName) -> Option<Stored> {
    serde_json::from_slice(&draft.read(&key(group))?).ok()
}

pub(super) fn write(draft: &mut Draft<'_>, group: &GroupName, stored: &Stored) -> Result<(), Error> {
    let value = serde_json::to_vec(stored).map_err(|error| Error::invalid("", error.to_string()))?;
    draft.write(key(group), Some(value.into()));
    Ok(())
}

/// All policies. A group whose policy another version wrote, and that cannot be read here, was not deleted: it keeps the one
/// that it had before.
pub(super) fn read(table: &Table, before: &All) -> All {
    let entry = |(key, value): (Bytes, Bytes)| {
        let name = std::str::from_utf8(&key).ok()?.strip_prefix(KEY_PREFIX)?;
        let group = GroupName::parse(name).ok()?;
        let policy = match serde_json::from_slice::<Stored>(&value) {
            Ok(stored) => Arc::new(stored.policy),
            Err(error) => {
                tracing::error!(%group, %error, "a stored policy cannot be read");
                Arc::clone(before.get(&group)?)
            }
        };
        Some((group, policy))
    };
    table.entries().into_iter().filter_map(entry).collect()
}
