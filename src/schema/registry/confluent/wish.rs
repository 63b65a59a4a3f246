//! What is to be fetched, and who waits for it.

use tokio::sync::{mpsc, oneshot};

use crate::event::EventType;
use crate::schema::framing::Writer;

/// So many wishes wait for the keeper; one more is dropped, and whoever needs it wishes again.
pub(super) const WISHES_MAX: usize = 1_024;

/// What is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Wish {
    /// What judges a type.
    Type(EventType),
    /// A schema.
    Schema(Writer),
}

impl std::fmt::Display for Wish {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Type(event_type) => write!(formatter, "the subject of {event_type}"),
            Self::Schema(writer) => write!(formatter, "the schema with {writer}"),
        }
    }
}

/// A wish, and who is told that it was granted or cannot be.
pub(super) type Wished = (Wish, Option<oneshot::Sender<()>>);

/// Where wishes go. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Wishes(mpsc::Sender<Wished>);

impl Wishes {
    pub(super) fn new() -> (Self, mpsc::Receiver<Wished>) {
        let (sender, receiver) = mpsc::channel(WISHES_MAX);
        (Self(sender), receiver)
    }

    /// Wishes, and waits for nothing.
    pub(super) fn send(&self, wish: Wish) {
        // Where there is no room, others are asked for who are as much in need.
        drop(self.0.try_send((wish, None)));
    }

    /// Wishes, and waits until that was granted or cannot be.
    pub(super) async fn wait(&self, wish: Wish) {
        let (sender, receiver) = oneshot::channel();
        if self.0.try_send((wish, Some(sender))).is_ok() {
            // A keeper that ends tells nobody.
            drop(receiver.await);
        }
    }
}
