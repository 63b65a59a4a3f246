//! A subscription: a place in each partition, and what comes next there.

use std::fmt;

use crate::event::{Cursor, Positions};

use super::{Error, Push};

/// The `sub` of a subscription: one number on this node for all that asked for the same topics, filter and options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct SubscriptionId(pub(super) u32);

impl SubscriptionId {
    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A place in each partition of the topics asked for. Ends when dropped.
#[derive(Debug)]
pub struct Subscription(());

impl Subscription {
    /// What comes next: waits for at least one, then gives what is there, up to about `bytes_max` of frames. Cancel
    /// safe.
    ///
    /// # Errors
    /// [`Error::Slow`] when it fell behind and asked for that, [`Error::Closed`], [`Error::Forbidden`] after a
    /// recheck, or what the log says.
    pub async fn next(&mut self, _bytes_max: usize) -> Result<Vec<Push>, Error> {
        unimplemented!()
    }

    /// Asks admission again for every topic: call when grants changed.
    ///
    /// # Errors
    /// [`Error::Forbidden`] when a topic named literally may no longer be read: the subscription must end.
    pub fn recheck(&mut self) -> Result<(), Error> {
        unimplemented!()
    }

    /// Its `sub`.
    #[must_use]
    pub fn id(&self) -> SubscriptionId {
        unimplemented!()
    }

    /// Whether it began at a cursor or positions and nothing was missing.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        unimplemented!()
    }

    /// The next offset of every partition, after all that was handed out.
    #[must_use]
    pub fn positions(&self) -> Positions {
        unimplemented!()
    }

    /// The same place as a cursor.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        unimplemented!()
    }
}
