//! What all handles, tails and subscriptions of one feed share: which topics are followed, and by whom.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::sync::SetOnce;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::event::{Clock, LiveCatalogue, Offset, Topic};
use crate::log::{self, EventLog, Incarnation, TopicInfo};

use super::backlog::{Backlog, Reading, Source};
use super::bell::{Bell, Bells, Shard};
use super::channel::Channels;
use super::metrics::Metrics;
use super::partition::Partition;
use super::start::{Begun, Start};
use super::stream::Stream;
use super::tail::Tail;
use super::{Config, Error};

/// The heart of the feed.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) config: Config,
    pub(super) log: Arc<dyn EventLog>,
    pub(super) catalogue: LiveCatalogue,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) backlog: Arc<Backlog>,
    pub(super) channels: Arc<Channels>,
    /// Where tails run: the service's runtime, once it runs.
    runtime: SetOnce<Handle>,
    tasks: TaskTracker,
    stop: CancellationToken,
    is_closed: AtomicBool,
    /// Guards the topics followed.
    streams: Mutex<HashMap<Topic, Arc<Stream>>>,
    /// Guards the topics known and when each was first seen.
    known: Mutex<Known>,
    version: AtomicU64,
    /// Guards one shard per runtime that subscribes.
    shards: Mutex<HashMap<runtime::Id, Arc<Shard>>>,
    /// Guards the bells of all subscriptions.
    bells: Mutex<Bells>,
    last_partition_id: AtomicU64,
    ring_bytes: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Known {
    topics: HashMap<Topic, (Incarnation, u64)>,
    by_version: BTreeMap<u64, Topic>,
}

impl Hub {
    pub(super) fn new(
        config: Config,
        log: Arc<dyn EventLog>,
        catalogue: LiveCatalogue,
        clock: Clock,
        metrics: Metrics,
    ) -> Self {
        let metrics = Arc::new(metrics);
        let readers_max = config.catch_up_readers_max;
        Self {
            config,
            backlog: Arc::new(Backlog::new(Arc::clone(&log), Arc::clone(&metrics), readers_max)),
            log,
            catalogue,
            clock,
            metrics,
            channels: Arc::default(),
            runtime: SetOnce::new(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            is_closed: AtomicBool::new(false),
            streams: Mutex::default(),
            known: Mutex::default(),
            version: AtomicU64::new(0),
            shards: Mutex::default(),
            bells: Mutex::default(),
            last_partition_id: AtomicU64::new(0),
            ring_bytes: Arc::default(),
        }
    }

    /// The service runs, on this runtime.
    pub(super) fn start(self: &Arc<Self>, runtime: Handle) {
        self.topics_changed();
        if self.runtime.set(runtime).is_err() {
            tracing::error!("A feed was started twice");
        }
    }

    /// Waits until the service runs.
    pub(super) async fn started(&self) -> Result<(), Error> {
        tokio::select! {
            _ = self.runtime.wait() => {}
            () = self.stop.cancelled() => {}
        }
        if self.is_closed() { Err(Error::Closed) } else { Ok(()) }
    }

    /// Ends all subscriptions and tails, and waits for the tasks.
    pub(super) async fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        lock(&self.bells).iter().for_each(Bell::ring);
        self.stop.cancel();
        self.tasks.close();
        // A task on a runtime that no longer turns cannot end; it holds nothing the log waits for.
        if timeout(CLOSE_MAX, self.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.tasks.len(), "Tasks of the feed did not end in time");
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// A new bell on the caller's runtime, and its place among all bells.
    pub(super) fn bell(&self) -> (Arc<Bell>, usize) {
        let runtime = Handle::current();
        let shard = Arc::clone(lock(&self.shards).entry(runtime.id()).or_insert_with(|| {
            let shard = Arc::new(Shard::default());
            let (stop, woken) = (self.stop.clone(), Arc::clone(&shard));
            let run = async move {
                tokio::select! {
                    () = stop.cancelled() => woken.wake_rung(),
                    () = woken.run() => {}
                }
            };
            self.tasks.spawn_on(run, &runtime);
            shard
        }));
        let bell = Arc::new(Bell::new(&shard));
        let place = lock(&self.bells).add(Arc::clone(&bell));
        (bell, place)
    }

    pub(super) fn remove_bell(&self, place: usize) {
        lock(&self.bells).remove(place);
    }

    /// Asks every subscription whose turn it is to say where it stands, and wakes those whose topics move.
    pub(super) fn ask_reports(&self, turn: usize) {
        lock(&self.bells).of_phase(turn % REPORT_TURNS, REPORT_TURNS).for_each(|bell| bell.ask_report());
        for stream in self.streams() {
            stream.ask_reports(turn, REPORT_TURNS);
        }
    }

    /// The topic as the log knows it; an error says whether there is none, or the log cannot tell yet.
    pub(super) fn known(&self, topic: &Topic) -> Result<Arc<TopicInfo>, Error> {
        let Some(info) = self.log.topic(topic) else {
            self.log.topics_known()?;
            return Err(Error::UnknownTopic(topic.clone()));
        };
        Ok(info)
    }

    /// The topic as it is followed now, from now on at the latest. `None`: no such topic.
    pub(super) fn stream(self: &Arc<Self>, topic: &Topic) -> Option<Arc<Stream>> {
        let info = self.log.topic(topic)?;
        let mut streams = lock(&self.streams);
        if let Some(stream) = streams.get(topic)
            && !stream.is_gone()
            && stream.incarnation == info.incarnation
        {
            return Some(Arc::clone(stream));
        }
        let stream = Arc::new(Stream::new(topic.clone(), info.incarnation, self.stop.child_token()));
        self.grow(&stream, info.spec.partitions);
        if let Some(old) = streams.insert(topic.clone(), Arc::clone(&stream)) {
            old.end();
        }
        Some(stream)
    }

    /// Follows the topic and finds where reading begins in it. `None`: no such topic.
    pub(super) async fn open(
        self: &Arc<Self>,
        topic: &Topic,
        start: impl FnOnce(&Stream) -> Start,
    ) -> Result<Option<(Arc<Stream>, Begun)>, log::Error> {
        let Some(stream) = self.stream(topic) else { return Ok(None) };
        match start(&stream).begin(&*self.log, &stream).await {
            Ok(begun) => Ok(Some((stream, begun))),
            Err(log::Error::UnknownTopic(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the log still knows the topic as this stream does.
    pub(super) fn is_current(&self, stream: &Stream) -> bool {
        self.log.topic(&stream.topic).is_some_and(|info| info.incarnation == stream.incarnation)
    }

    /// Reads behind the rings, in a task of the service's runtime.
    pub(super) fn read_behind(&self, stream: &Stream, partition: &Partition, at: Offset) -> Reading {
        let source = Source {
            topic: stream.topic.clone(),
            partition: partition.number,
            incarnation: stream.incarnation,
            id: partition.id,
            storage: self.catalogue.load().rule(&stream.topic).storage,
        };
        self.backlog.read(source, at, |read| {
            if let Some(runtime) = self.runtime.get() {
                let stop = self.stop.clone();
                let run = async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = read => {}
                    }
                };
                self.tasks.spawn_on(run, runtime);
            }
        })
    }

    /// Looks at all topics again: new ones are announced, changed ones grow, those gone end.
    pub(super) fn topics_changed(self: &Arc<Self>) {
        let topics = self.log.topics();
        {
            let mut known = lock(&self.known);
            let mut version = self.version.load(Ordering::Acquire);
            let incarnations: HashMap<&Topic, Incarnation> =
                topics.iter().map(|info| (&info.spec.name, info.incarnation)).collect();
            known.keep(|topic, incarnation| incarnations.get(topic) == Some(&incarnation));
            for info in &topics {
                version += u64::from(known.add(&info.spec.name, info.incarnation, version + 1));
            }
            for stream in self.streams() {
                match topics.iter().find(|info| info.spec.name == stream.topic) {
                    Some(info) if info.incarnation == stream.incarnation => {
                        self.grow(&stream, info.spec.partitions);
                    }
                    _ => stream.end(),
                }
            }
            self.version.store(version + 1, Ordering::Release);
        }
        lock(&self.streams).retain(|_, stream| !stream.is_gone());
        lock(&self.bells).iter().for_each(Bell::ring);
    }

    /// Changes whenever topics did.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The topics first seen after this version.
    pub(super) fn topics_since(&self, version: u64) -> Vec<Topic> {
        lock(&self.known).by_version.range(version + 1..).map(|(_, topic)| topic.clone()).collect()
    }

    /// Brings all rings together below their bound, at the expense of the largest.
    pub(super) fn shrink(&self) {
        let bytes_max = self.config.ring_bytes_total;
        for _ in 0..SHRINKS_MAX {
            let held = self.ring_bytes.load(Ordering::Relaxed);
            self.metrics.ring_bytes.set(i64::try_from(held).unwrap_or(i64::MAX));
            if held <= bytes_max {
                return;
            }
            let streams = self.streams();
            let partitions = streams.iter().flat_map(|stream| stream.partitions());
            let Some(largest) = partitions.max_by_key(|partition| partition.meter.own()) else { return };
            largest.shrink(largest.meter.own().saturating_sub(held - bytes_max));
        }
    }

    /// Stops following topics nobody has read for a while, and lets idle readers and blocks go.
    pub(super) fn tidy(&self) {
        lock(&self.streams).retain(|_, stream| {
            // Whoever opens a stream does so under this lock, so a count of one cannot grow meanwhile.
            let is_kept = !stream.count_unread() || Arc::strong_count(stream) > 1;
            if !is_kept {
                stream.stop.cancel();
            }
            is_kept
        });
        self.backlog.tidy();
        self.shrink();
    }

    fn streams(&self) -> Vec<Arc<Stream>> {
        lock(&self.streams).values().map(Arc::clone).collect()
    }

    /// Follows partitions up to this number.
    fn grow(self: &Arc<Self>, stream: &Arc<Stream>, partitions: u32) {
        let Some(runtime) = self.runtime.get() else { return };
        while stream.partition_count() < partitions as usize {
            let id = self.last_partition_id.fetch_add(1, Ordering::Relaxed) + 1;
            let Some(partition) = stream.grow(id, &self.ring_bytes) else { return };
            let tail = Tail { hub: Arc::clone(self), stream: Arc::downgrade(stream), partition };
            self.tasks.spawn_on(tail.run(), runtime);
        }
    }
}

/// Each subscription says where it stands every so many turns, one a second.
const REPORT_TURNS: usize = 5;
/// How long the end waits for tasks.
const CLOSE_MAX: Duration = Duration::from_secs(5);
/// How many rings one call shrinks at most; the next call goes on.
const SHRINKS_MAX: usize = 16;

impl Known {
    fn keep(&mut self, mut is_kept: impl FnMut(&Topic, Incarnation) -> bool) {
        let Self { topics, by_version } = self;
        topics.retain(|topic, (incarnation, version)| {
            let is_kept = is_kept(topic, *incarnation);
            if !is_kept {
                by_version.remove(version);
            }
            is_kept
        });
    }

    fn add(&mut self, topic: &Topic, incarnation: Incarnation, version: u64) -> bool {
        let is_new = !self.topics.contains_key(topic);
        if is_new {
            self.topics.insert(topic.clone(), (incarnation, version));
            self.by_version.insert(version, topic.clone());
        }
        is_new
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
