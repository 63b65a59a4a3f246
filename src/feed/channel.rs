//! Which subscription has which number.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::event::{Filter, Pattern};

use super::OnSlow;

/// The `sub` of a subscription: one number on this node for all that asked for the same topics, filter and options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct SubscriptionId(pub(super) u32);

/// What subscriptions of one number have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Wish {
    /// Sorted, each once.
    pub(super) topics: Vec<Pattern>,
    pub(super) filter: Option<Filter>,
    pub(super) on_slow: OnSlow,
}

/// All subscriptions of one number; the number goes with the last.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) id: SubscriptionId,
    pub(super) wish: Arc<Wish>,
    channels: Weak<Channels>,
}

/// The numbers in use. None is given twice.
#[derive(Debug, Default)]
pub(super) struct Channels {
    /// Guards the numbers.
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    last: u32,
    channels: HashMap<Arc<Wish>, Weak<Channel>>,
}

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

impl Wish {
    pub(super) fn new(mut topics: Vec<Pattern>, filter: Option<Filter>, on_slow: OnSlow) -> Self {
        topics.sort_by(|left, right| left.as_str().cmp(right.as_str()));
        topics.dedup();
        Self { topics, filter, on_slow }
    }
}

impl Channels {
    /// The channel of this wish, the one in use or a new one.
    pub(super) fn open(self: &Arc<Self>, wish: Wish) -> Arc<Channel> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = open.channels.get(&wish).and_then(Weak::upgrade) {
            return channel;
        }
        open.last += 2;
        let wish = Arc::new(wish);
        let (id, channels) = (SubscriptionId(open.last), Arc::downgrade(self));
        let channel = Arc::new(Channel { id, wish: Arc::clone(&wish), channels });
        open.channels.insert(wish, Arc::downgrade(&channel));
        channel
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        let Some(channels) = self.channels.upgrade() else { return };
        let mut open = channels.open.lock().unwrap_or_else(PoisonError::into_inner);
        // Another of the same wish may have been opened since this one lost its last reader.
        if open.channels.get(&self.wish).is_some_and(|channel| channel.strong_count() == 0) {
            open.channels.remove(&self.wish);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Channels, Wish};
    use crate::event::Pattern;
    use crate::feed::OnSlow;

    fn wish(topics: &[&str], on_slow: OnSlow) -> Wish {
        Wish::new(topics.iter().map(|topic| Pattern::new(topic)).collect(), None, on_slow)
    }

    #[test]
    fn same_wishes_share_a_number_while_one_is_open() {
        let channels = Arc::new(Channels::default());
        let one = channels.open(wish(&["a", "b"], OnSlow::Resume));
        let same = channels.open(wish(&["b", "a", "b"], OnSlow::Resume));
        let other = channels.open(wish(&["a", "b"], OnSlow::Skip));
        assert_eq!(one.id, same.id);
        assert_ne!(one.id, other.id);
        let id = one.id;
        drop((one, same));
        assert_ne!(channels.open(wish(&["a", "b"], OnSlow::Resume)).id, id, "a number is never given twice");
    }
}
