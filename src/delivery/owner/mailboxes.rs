//! The mailboxes of a group's members here, each with what its member was told last of its work: both go together.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::BreakerReason;
use super::super::group::Slot;
use super::super::mailbox::Mailbox;

/// By member.
#[derive(Debug, Default)]
pub(super) struct Mailboxes(BTreeMap<u32, Entry>);

/// Which partitions a member works on, and why they stand still, where they do.
pub(super) type Told = (Vec<Slot>, Option<BreakerReason>);

#[derive(Debug)]
struct Entry {
    mailbox: Arc<Mailbox>,
    told: Option<Told>,
}

impl Mailboxes {
    pub(super) fn insert(&mut self, member: u32, mailbox: Arc<Mailbox>) {
        self.0.insert(member, Entry { mailbox, told: None });
    }

    pub(super) fn remove(&mut self, member: u32) -> Option<Arc<Mailbox>> {
        self.0.remove(&member).map(|entry| entry.mailbox)
    }

    /// All of them, which are here no longer.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Arc<Mailbox>> + use<> {
        std::mem::take(&mut self.0).into_values().map(|entry| entry.mailbox)
    }

    pub(super) fn note_told(&mut self, member: u32, told: Told) {
        if let Some(entry) = self.0.get_mut(&member) {
            entry.told = Some(told);
        }
    }

    /// Members that stay are told anew.
    pub(super) fn forget_told(&mut self) {
        self.0.values_mut().for_each(|entry| entry.told = None);
    }

    pub(super) fn get(&self, member: u32) -> Option<&Arc<Mailbox>> {
        self.0.get(&member).map(|entry| &entry.mailbox)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &Arc<Mailbox>)> {
        self.0.iter().map(|(member, entry)| (*member, &entry.mailbox))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a member was told last.
    pub(super) fn told(&self, member: u32) -> Option<&Told> {
        self.0.get(&member)?.told.as_ref()
    }

    /// Whether nobody here was told anything.
    pub(super) fn have_told_nothing(&self) -> bool {
        self.0.values().all(|entry| entry.told.is_none())
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::super::super::AckMode;
    use super::super::super::member::MemberId;
    use super::*;
    use crate::event::{Catalogue, LiveCatalogue, Topic, TopicRule};

    fn mailbox(member: u32) -> Arc<Mailbox> {
        let rule = TopicRule::plain(Topic::parse("orders.v1").unwrap(), Vec::new());
        let catalogue = LiveCatalogue::new(Catalogue::new(vec![rule.clone()], rule));
        let mailbox = Mailbox::new(MemberId::new(member), AckMode::Auto, catalogue, Arc::new(Notify::new()));
        Arc::new(mailbox)
    }

    #[test]
    fn what_a_member_was_told_goes_with_its_mailbox() {
        let mut mailboxes = Mailboxes::default();
        let told = (vec![Slot { topic: 0, partition: 1 }], None);
        mailboxes.insert(1, mailbox(1));
        mailboxes.note_told(1, told.clone());
        mailboxes.note_told(3, told.clone());
        assert_eq!((mailboxes.told(1), mailboxes.told(3)), (Some(&told), None), "only one is here");
        assert!(mailboxes.remove(1).is_some() && mailboxes.have_told_nothing());
        mailboxes.insert(1, mailbox(1));
        assert_eq!(mailboxes.told(1), None);
    }
}
