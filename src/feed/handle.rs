//! The handle: subscriptions, pages, single events and cursors.

use std::sync::Arc;

use crate::event::{Cursor, Offset, Partition, Topic};

use super::{Admission, At, Error, Frame, Page, PageRequest, Request, Subscription};

/// The feed, as connections hold it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Feed(pub(super) Arc<()>);

impl Feed {
    /// Opens a subscription; when it is answered, its place in the log is fixed.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`] and [`Error::Forbidden`] for topics named literally, or what the log says.
    pub async fn subscribe(&self, _request: Request) -> Result<Subscription, Error> {
        unimplemented!()
    }

    /// One page of events. Reads for a bounded time: a page may be short, even empty, without being at the end.
    ///
    /// # Errors
    /// As [`Feed::subscribe`].
    pub async fn page(&self, _request: PageRequest) -> Result<Page, Error> {
        unimplemented!()
    }

    /// The event at one place.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`], [`Error::UnknownEvent`], [`Error::Forbidden`], or what
    /// the log says.
    pub async fn read_one(
        &self,
        _topic: &Topic,
        _partition: Partition,
        _offset: Offset,
        _admission: &Admission,
    ) -> Result<Arc<Frame>, Error> {
        unimplemented!()
    }

    /// A cursor over all partitions of these topics.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], or what the log says.
    pub async fn cursor(&self, _topics: &[Topic], _at: At) -> Result<Cursor, Error> {
        unimplemented!()
    }
}
