//! Lanes whose order is broken: later events of them must not be sent.

use std::collections::HashSet;

use bytes::Bytes;

use crate::event::Topic;

/// The unit of order: events of one topic and key.
pub(super) type Lane = (Topic, Bytes);

/// The lanes that a failed event holds. Null keys have no order and are never held.
#[derive(Debug, Default)]
pub(super) struct Lanes(HashSet<Lane>);

impl Lanes {
    /// Holds a lane, where there is one.
    pub(super) fn hold(&mut self, lane: Option<Lane>) {
        self.0.extend(lane);
    }

    /// How many are held.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn holds(&self, topic: &Topic, key: Option<&Bytes>) -> bool {
        match key {
            Some(key) if !self.0.is_empty() => self.0.contains(&(topic.clone(), key.clone())),
            Some(_) | None => false,
        }
    }
}
