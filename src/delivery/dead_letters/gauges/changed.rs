//! Of which groups letters have changed since their topics were looked at. It is noted while it happens: the table remembers
//! its last changes only, and a redrive makes more of them between two rounds.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::event::GroupName;

use super::super::super::shared::Shared;
use super::super::entry;

/// What is to be looked at with the next round.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// Held for single changes, never across a wait.
    groups: Mutex<Groups>,
}

/// Some groups, or whichever there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Groups {
    All,
    These(BTreeSet<GroupName>),
}

impl Default for Groups {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl Changed {
    /// Takes note of changes, from when what is known of letters is read. Ends when dropped.
    pub(super) async fn note(&self, shared: &Shared) {
        let table = shared.states.loaded().await;
        let mut changes = table.changes();
        let mut since = *changes.borrow_and_update();
        self.add(Groups::All);
        while changes.changed().await.is_ok() {
            let now = *changes.borrow_and_update();
            let keys = table.changed_since(since);
            self.add(keys.map_or(Groups::All, |keys| {
                Groups::These(keys.iter().filter_map(|key| entry::group_of(key)).collect())
            }));
            since = now;
        }
        std::future::pending().await
    }

    /// These are to be looked at, too.
    pub(super) fn add(&self, more: Groups) {
        let mut groups = self.groups();
        match (&mut *groups, more) {
            (Groups::These(those), Groups::These(more)) => those.extend(more),
            (_, Groups::All) => *groups = Groups::All,
            (Groups::All, Groups::These(_)) => {}
        }
    }

    /// What has changed until now, which is forgotten.
    pub(super) fn take(&self) -> Groups {
        std::mem::take(&mut *self.groups())
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Groups {
    /// Whether this one is among them.
    pub(super) fn have(&self, group: &GroupName) -> bool {
        match self {
            Self::All => true,
            Self::These(groups) => groups.contains(group),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_is_looked_at_once() {
        let group = |name: &str| GroupName::parse(name).unwrap();
        let these = |names: &[&str]| Groups::These(names.iter().copied().map(group).collect());
        let changed = Changed::default();
        assert_eq!(changed.take(), these(&[]));
        changed.add(these(&["a"]));
        changed.add(these(&["a", "b"]));
        let taken = changed.take();
        assert!(taken.have(&group("a")) && taken.have(&group("b")) && !taken.have(&group("c")));
        assert_eq!(changed.take(), these(&[]));
        changed.add(these(&["a"]));
        changed.add(Groups::All);
        changed.add(these(&["b"]));
        assert!(changed.take().have(&group("c")));
    }
}
