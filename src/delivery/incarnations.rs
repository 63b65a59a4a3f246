//! Which group of its name one is: a name that was deleted and is used again stands for another group, which gets nothing of
//! what was sent back to the one before it.
//!
//! The redrive topic of a name outlives its group, and no gateway may delete topics. So what is sent back says for which
//! incarnation it is, and the members of a later one pass it over. An incarnation is the time of the deletion before it, or one
//! more than the incarnation then; the first has none.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::event::{GroupName, Timestamp};
use crate::log::{Draft, Table};

use super::policies;

const KEY_PREFIX: &str = "incarnation/";
/// Names of deleted groups that are remembered. Over that the oldest go that no group has: what was sent back to them is a month
/// old by then, or it was a busy month.
const NAMES_MAX: usize = 10_000;

/// By group; one that was never deleted is absent.
pub(super) type All = BTreeMap<GroupName, u64>;

/// A group is deleted: the next one of its name is another.
pub(super) fn advance(draft: &mut Draft<'_>, group: &GroupName, now: Timestamp) {
    let key = key(group);
    let before = draft.read(&key).and_then(|value| parse(&value)).unwrap_or(0);
    let next = before.saturating_add(1).max(u64::try_from(now.millis()).unwrap_or(0));
    draft.write(key.clone(), Some(next.to_string().into()));
    let all = draft.below(KEY_PREFIX.as_bytes());
    let excess = all.len().saturating_sub(NAMES_MAX);
    if excess > 0 {
        let is_unused =
            |key: &Bytes| group_of(key).is_none_or(|group| draft.read(&policies::key(&group)).is_none());
        let mut unused: Vec<(u64, Bytes)> = all
            .into_iter()
            .filter(|(one, _)| *one != key && is_unused(one))
            .map(|(one, value)| (parse(&value).unwrap_or(0), one))
            .collect();
        unused.sort_unstable();
        for (_, one) in unused.into_iter().take(excess) {
            draft.write(one, None);
        }
    }
}

/// The incarnations of all groups.
pub(super) fn read(table: &Table) -> All {
    let entry = |(key, value): (Bytes, Bytes)| Some((group_of(&key)?, parse(&value)?));
    table.below(KEY_PREFIX.as_bytes()).into_iter().filter_map(entry).collect()
}

fn key(group: &GroupName) -> Bytes {
    format!("{KEY_PREFIX}{group}").into()
}

fn group_of(key: &[u8]) -> Option<GroupName> {
    GroupName::parse(std::str::from_utf8(key).ok()?.strip_prefix(KEY_PREFIX)?).ok()
}

fn parse(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}
