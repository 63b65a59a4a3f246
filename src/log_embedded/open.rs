//! Opening: the directory is taken, the database held against its high-water file, the threads are started.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use crate::event::{Clock, Partition as Number};
use crate::telemetry::Registry;

use super::commit::Committer;
use super::directory::{Directory, Refusal};
use super::engine::Engine;
use super::high_water::{HighWater, Noted};
use super::metrics::Metrics;
use super::partition::Partition;
use super::queue::Queue;
use super::retention::Upkeep;
use super::shared::Shared;
use super::sqlite::{Durability, Sqlite};
use super::storage::{Failure, FailureKind, LogId, Source, Storage};
use super::topics::{self, Followers, TOPIC_PREFIX, TopicState, Topics};
use super::{Config, Fsync};

/// Why the engine refuses to start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the directory.
    #[error("'{path}' is in use by another gateway ({holder}); each needs a directory of its own")]
    InUse {
        /// The directory.
        path: String,
        /// What the lock file says of the holder.
        holder: String,
    },
    /// The directory lies where neither locks nor syncs can be relied on.
    #[error("'{path}' lies on a network file system ({kind}); the embedded log needs a local disk")]
    Remote {
        /// The directory.
        path: String,
        /// The kind of file system.
        kind: String,
    },
    /// The directory cannot be used.
    #[error("'{path}' cannot be used")]
    Directory {
        /// The directory.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The database lost commits that had been acknowledged.
    #[error(
        "the log in '{path}' ends at commit {commits}, but {noted} were acknowledged: {missing}; its write-ahead file \
         is damaged or missing. Restore the directory from a copy, or remove '{path}/high-water' to go on without them"
    )]
    Behind {
        /// The directory.
        path: String,
        /// How many commits the database has.
        commits: u64,
        /// How many the high-water file knows of.
        noted: u64,
        /// What is missing, in words.
        missing: String,
    },
    /// The database cannot be read or is not ours.
    #[error("the log in '{path}' cannot be opened")]
    Database {
        /// The directory.
        path: String,
        /// Why.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

/// The engine in `config.path`, running.
pub(super) fn open(config: &Config, clock: Clock, registry: &Registry) -> Result<Engine, OpenError> {
    let directory = Directory::hold(&config.path).map_err(|refusal| refused(&config.path, refusal))?;
    let path = directory.path().display().to_string();
    let io_error = |source| OpenError::Directory { path: path.clone(), source };
    let (mut high_water, noted) = HighWater::open(&directory.high_water()).map_err(io_error)?;
    let existed = directory.database().exists();
    if let Some(commits) = noted.commits.filter(|commits| !existed && *commits > 0) {
        let missing = "the database itself is missing".to_owned();
        return Err(OpenError::Behind { path, commits: 0, noted: commits, missing });
    }
    if noted.damaged > 0 || (existed && noted.commits.is_none()) {
        tracing::warn!(
            path,
            damaged = noted.damaged,
            "the log's high-water file is damaged or missing; losses up to now would go unnoticed"
        );
    }
    let database = |failure: Failure| OpenError::Database { path: path.clone(), source: Arc::new(failure) };
    let durability = match config.fsync {
        Fsync::Group => Durability::Full,
        Fsync::Interval(_) | Fsync::Never => Durability::Normal,
    };
    let mut storage = Sqlite::open(&directory.database(), durability).map_err(database)?;
    let loaded = load(&mut storage).map_err(database)?;
    compare(&path, &mut storage, &noted, &loaded)?;
    storage.trust().map_err(database)?;
    note_all(&mut high_water, &storage, &loaded).map_err(io_error)?;
    start(config, clock, registry, Opened { directory, high_water, storage: Box::new(storage), loaded })
}

/// What was opened and found in order.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) directory: Directory,
    pub(super) high_water: HighWater,
    pub(super) storage: Box<dyn Storage>,
    pub(super) loaded: Loaded,
}

/// Starts the threads.
pub(super) fn start(
    config: &Config,
    clock: Clock,
    registry: &Registry,
    opened: Opened,
) -> Result<Engine, OpenError> {
    let Opened { directory, high_water, storage, loaded } = opened;
    let path = directory.path().display().to_string();
    let io_error = |source| OpenError::Directory { path: path.clone(), source };
    let database = |failure: Failure| OpenError::Database { path: path.clone(), source: Arc::new(failure) };
    let sources: Result<Vec<Box<dyn Source>>, Failure> =
        (0..config.readers.max(1)).map(|_| storage.source()).collect();
    let sources = sources.map_err(database)?;
    let topics = Topics::new(loaded.topics, config.ring_bytes_max, config.rings_bytes_max);
    let shared = Arc::new(Shared::new(
        Queue::new(config.queue_bytes_max),
        topics,
        Metrics::register(registry),
        clock,
        config.record_bytes_max,
    ));
    let compacting = storage.source().map_err(database)?;
    let mut readers = shared.pool.start("read", sources).map_err(io_error)?;
    readers.extend(shared.compactor.start("compact", vec![compacting]).map_err(io_error)?);
    let committer = Committer {
        shared: Arc::clone(&shared),
        storage,
        high_water,
        upkeep: Upkeep::new(config.retention_interval, loaded.graves),
        fsync: config.fsync,
        sync_due: None,
        probe_due: None,
        incoming: VecDeque::new(),
        unnoted: HashMap::new(),
        groups_unnoted: 0,
        readers,
        directory,
    };
    let (finished, finishing) = watch::channel(false);
    let thread =
        std::thread::Builder::new().name("log-commit".into()).spawn(move || committer.run(&finished));
    let thread = thread.map_err(io_error)?;
    Ok(Engine::new(shared, finishing, thread))
}

/// What the database holds.
#[derive(Debug)]
pub(super) struct Loaded {
    topics: Vec<TopicState>,
    /// Logs that belong to no topic any more.
    graves: Vec<LogId>,
}

pub(super) fn load(storage: &mut dyn Storage) -> Result<Loaded, Failure> {
    let mut graves = storage.logs()?;
    let mut states = Vec::new();
    for (key, value) in storage.scan(TOPIC_PREFIX)? {
        // Left out, its records would be taken for a deleted topic's.
        let (info, logs) = topics::parse_entry(&key, &value).ok_or_else(|| {
            let source = format!("the entry '{}' is damaged", String::from_utf8_lossy(&key)).into();
            Failure { kind: FailureKind::Corrupt, doing: "reading the topics", source }
        })?;
        graves.retain(|log| !logs.contains(log));
        let followers = Arc::<Followers>::default();
        let mut partitions = Vec::with_capacity(logs.len());
        for (number, log) in (0..).map(Number::new).zip(logs) {
            let bounds = storage.bounds(log)?;
            partitions.push(Arc::new(Partition::new(&info.spec, number, log, bounds, &followers)));
        }
        states.push(TopicState { info: Arc::new(info), partitions, followers });
    }
    Ok(Loaded { topics: states, graves })
}

/// Refuses a database that is behind what was acknowledged.
fn compare(path: &str, storage: &mut Sqlite, noted: &Noted, loaded: &Loaded) -> Result<(), OpenError> {
    let by_log: HashMap<LogId, &Arc<Partition>> = loaded
        .topics
        .iter()
        .flat_map(|topic| &topic.partitions)
        .map(|partition| (partition.log, partition))
        .collect();
    let mut missing = Vec::new();
    for (log, end) in &noted.ends {
        match by_log.get(log) {
            Some(partition) if partition.end() >= *end => {}
            Some(partition) => missing.push(format!(
                "{}/{} ends at offset {} and not at {end}",
                partition.topic,
                partition.number,
                partition.end()
            )),
            None => missing.push(format!("a partition that ended at offset {end} is not there")),
        }
    }
    let commits = storage.commits();
    let behind = noted.commits.is_some_and(|noted| noted > commits);
    if !behind && missing.is_empty() {
        return Ok(());
    }
    if missing.is_empty() {
        missing.push("the newest records or committed offsets are not there".to_owned());
    }
    let noted = noted.commits.unwrap_or(commits);
    Err(OpenError::Behind { path: path.to_owned(), commits, noted, missing: missing.join(", ") })
}

fn note_all(high_water: &mut HighWater, storage: &Sqlite, loaded: &Loaded) -> io::Result<()> {
    high_water.note_commits(storage.commits())?;
    for partition in loaded.topics.iter().flat_map(|topic| &topic.partitions) {
        high_water.note_end(partition.log, partition.end())?;
    }
    loaded.graves.iter().try_for_each(|log| high_water.forget(*log))
}

fn refused(path: &Path, refusal: Refusal) -> OpenError {
    let path = path.display().to_string();
    match refusal {
        Refusal::Held { holder } => OpenError::InUse { path, holder },
        Refusal::Remote(kind) => OpenError::Remote { path, kind },
        Refusal::Io(source) => OpenError::Directory { path, source },
    }
}
