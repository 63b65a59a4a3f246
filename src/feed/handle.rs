//! The handle: subscriptions, pages, single events and cursors.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future;

use crate::event::{Cursor, Offset, Partition, RecordView, Topic};
use crate::log;

use super::backlog::Source;
use super::channel::Wish;
use super::hub::Hub;
use super::start::Start;
use super::subscription::{Parts, covers};
use super::{Admission, At, Error, Page, PageRequest, Request, Subscription, page};

/// How many topics or patterns one subscription may name.
const TOPICS_MAX: usize = 64;

/// The feed, as connections hold it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Feed(pub(super) Arc<Hub>);

impl Feed {
    /// Opens a subscription; when it is answered, its place in the log is fixed.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`] and [`Error::Forbidden`] for topics named literally, or what the log says.
    pub async fn subscribe(&self, request: Request) -> Result<Subscription, Error> {
        self.0.started().await?;
        let Request { topics, from, filter, admission, on_slow } = request;
        let wish = Wish::new(topics, filter, on_slow);
        let version = self.0.version();
        let wanted = self.topics(&wish, &*admission)?;
        let open = |topic: Topic| {
            let from = &from;
            async move {
                let opened = self.0.open(&topic, |stream| Start::of(from, stream)).await?;
                Ok::<_, Error>((topic, opened))
            }
        };
        let mut opened = Vec::new();
        for (topic, found) in future::try_join_all(wanted.into_iter().map(open)).await? {
            let is_named =
                wish.topics.iter().any(|pattern| pattern.is_literal() && pattern.as_str() == topic.as_str());
            match found {
                Some(found) => opened.push(found),
                None if is_named => return Err(Error::UnknownTopic(topic)),
                None => {}
            }
        }
        let (hub, channel) = (Arc::clone(&self.0), self.0.channels.open(wish));
        let is_resume = from.is_resume();
        Ok(Subscription::new(Parts { hub, channel, admission, version, opened, is_resume }))
    }

    /// One page of events. Reads for a bounded time: a page may be short, even empty, without being at the end.
    ///
    /// # Errors
    /// As [`Feed::subscribe`].
    pub async fn page(&self, request: PageRequest) -> Result<Page, Error> {
        let PageRequest { request, limit, wait } = request;
        let subscription = self.subscribe(request).await?;
        page::read(&*self.0.log, subscription, limit, wait).await
    }

    /// The event at one place as a JSON object, its stored value in it byte for byte.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::UnknownTopic`], [`Error::UnknownPartition`], [`Error::UnknownEvent`], or what
    /// the log says.
    pub async fn read_one(
        &self,
        topic: &Topic,
        partition: Partition,
        offset: Offset,
        admission: &Admission,
    ) -> Result<Bytes, Error> {
        if *admission == Admission::Denied {
            return Err(Error::Forbidden(topic.clone()));
        }
        let info = self.0.known(topic)?;
        if partition.number() >= info.spec.partitions {
            return Err(Error::UnknownPartition { topic: topic.clone(), partition });
        }
        let storage = self.0.catalogue.load().rule(topic).storage;
        // No block is kept of a single event, so it needs no partition's id, which are numbered from 1.
        let (id, incarnation) = (0, info.incarnation);
        let source = Source { topic: topic.clone(), partition, incarnation, id, storage };
        let records = match self.0.backlog.read_alone(&source, offset).await {
            Ok(fetched) => fetched.records,
            Err(log::Error::OffsetOutOfRange { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let is_admitted = |view: &RecordView<'_>| admission.rows().is_none_or(|rows| rows.matches(view));
        let found = records.first().filter(|record| record.offset == offset);
        let found = found.map(|record| RecordView::parse(record, storage)).filter(is_admitted);
        let unknown = || Error::UnknownEvent { topic: topic.clone(), partition, offset };
        let view = found.ok_or_else(unknown)?;
        let mut json = b"{".to_vec();
        view.write_members_as_stored(&mut json, topic, partition);
        json.push(b'}');
        Ok(json.into())
    }

    /// A cursor over all partitions of these topics.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], or what the log says.
    pub async fn cursor(&self, topics: &[Topic], at: At) -> Result<Cursor, Error> {
        let mut entries = Vec::with_capacity(topics.len());
        for topic in topics {
            let info = self.0.known(topic)?;
            let start = Start::from(at);
            let each = (0..info.spec.partitions).map(Partition::new);
            let each = each.map(|partition| start.begin_in(&*self.0.log, topic, partition));
            let begun = future::try_join_all(each).await?;
            let offsets = (0..).map(Partition::new).zip(begun.into_iter().map(|(offset, _)| offset));
            entries.push((topic.clone(), info.incarnation.0, offsets.collect()));
        }
        Ok(Cursor { entries })
    }

    /// The topics a wish means now. Denied names are refused before it is looked whether they exist.
    fn topics(
        &self,
        wish: &Wish,
        admission: &(dyn Fn(&Topic) -> Admission + Send + Sync),
    ) -> Result<Vec<Topic>, Error> {
        if wish.topics.is_empty() || wish.topics.len() > TOPICS_MAX {
            return Err(Error::InvalidTopics { topics_max: TOPICS_MAX });
        }
        let mut wanted = BTreeMap::new();
        for pattern in wish.topics.iter().filter(|pattern| pattern.is_literal()) {
            let invalid = |_| Error::InvalidTopic(pattern.as_str().to_owned());
            let topic = Topic::parse(pattern.as_str()).map_err(invalid)?;
            if admission(&topic) == Admission::Denied {
                return Err(Error::Forbidden(topic));
            }
            wanted.insert(topic, ());
        }
        for topic in wanted.keys() {
            self.0.known(topic)?;
        }
        if wish.topics.iter().any(|pattern| !pattern.is_literal()) {
            let existing = self.0.log.topics().into_iter().map(|info| info.spec.name);
            let meant = existing.filter(|topic| wish.topics.iter().any(|pattern| covers(pattern, topic)));
            wanted
                .extend(meant.filter(|topic| admission(topic) != Admission::Denied).map(|topic| (topic, ())));
        }
        Ok(wanted.into_keys().collect())
    }
}
