//! The subscriptions of one connection as the protocol sees them: how many, which groups, and their credit.

use crate::event::GroupName;
use crate::problem::{Code, Problem};
use crate::socket::command::invalid;

/// Subscriptions open and being opened, held to the connection's bounds.
#[derive(Debug)]
pub(super) struct Book {
    entries: Vec<Entry>,
    subscriptions_max: usize,
    in_flight_max: u32,
}

#[derive(Debug)]
struct Entry {
    /// `None` while it is being opened.
    sub: Option<u32>,
    group: Option<GroupName>,
    credit: u32,
}

/// What kind of subscription a `sub` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Audience,
    Worker,
}

impl Book {
    pub(super) const fn new(subscriptions_max: usize, in_flight_max: u32) -> Self {
        Self { entries: Vec::new(), subscriptions_max, in_flight_max }
    }

    /// Makes room for a subscription about to be opened.
    pub(super) fn reserve(&mut self, group: Option<&GroupName>, credit: u32) -> Result<(), Problem> {
        if let Some(group) = group
            && self.entries.iter().any(|entry| entry.group.as_ref() == Some(group))
        {
            let detail = format!("this connection is a member of group '{group}' already");
            return Err(Problem::new(Code::AlreadySubscribed, detail));
        }
        let most = self.subscriptions_max;
        if self.entries.len() >= most {
            let detail = format!("a connection has at most {most} subscriptions; open another connection");
            return Err(Problem::new(Code::Conflict, detail));
        }
        self.check_credit(None, "/credit", credit)?;
        self.entries.push(Entry { sub: None, group: group.cloned(), credit });
        Ok(())
    }

    /// Gives the room back: the subscription could not be opened.
    pub(super) fn release(&mut self, group: Option<&GroupName>) {
        if let Some(at) = self.opening(group) {
            self.entries.swap_remove(at);
        }
    }

    /// The subscription is open; refused when the connection has it already, and the room is then to be released.
    pub(super) fn open(&mut self, group: Option<&GroupName>, sub: u32) -> Result<(), Problem> {
        let is_known = self.kind(sub).is_some();
        let opening = self.opening(group);
        match opening.and_then(|at| self.entries.get_mut(at)) {
            Some(entry) if !is_known => {
                entry.sub = Some(sub);
                Ok(())
            }
            Some(_) | None => {
                let detail = format!("this connection has the same subscription already, as sub {sub}");
                Err(Problem::new(Code::AlreadySubscribed, detail))
            }
        }
    }

    /// Strikes a subscription out; false when there is none.
    pub(super) fn close(&mut self, sub: u32) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.sub != Some(sub));
        self.entries.len() < before
    }

    /// Changes a group's credit, where the connection's bound allows it.
    pub(super) fn set_credit(&mut self, sub: u32, credit: u32) -> Result<(), Problem> {
        self.check_credit(Some(sub), "/set", credit)?;
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.sub == Some(sub)) {
            entry.credit = credit;
        }
        Ok(())
    }

    pub(super) fn kind(&self, sub: u32) -> Option<Kind> {
        let entry = self.entries.iter().find(|entry| entry.sub == Some(sub))?;
        Some(if entry.group.is_some() { Kind::Worker } else { Kind::Audience })
    }

    #[cfg(test)]
    pub(super) fn totals(&self) -> (usize, u32) {
        (self.entries.len(), self.entries.iter().map(|entry| entry.credit).sum())
    }

    fn opening(&self, group: Option<&GroupName>) -> Option<usize> {
        self.entries.iter().position(|entry| entry.sub.is_none() && entry.group.as_ref() == group)
    }

    /// Whether all groups' windows together stay within the connection's bound.
    fn check_credit(&self, sub: Option<u32>, pointer: &str, credit: u32) -> Result<(), Problem> {
        let others = self.entries.iter().filter(|entry| sub.is_none() || entry.sub != sub);
        let taken = others.fold(0_u32, |sum, entry| sum.saturating_add(entry.credit));
        let most = self.in_flight_max;
        if taken.saturating_add(credit) <= most {
            return Ok(());
        }
        let message =
            format!("a connection has at most {most} deliveries in flight, of which {taken} are taken");
        Err(invalid(pointer, message))
    }
}
