//! The registry elsewhere as the room's doors use it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::time::timeout;

use super::client::{Client, Source};
use super::keeper::Keeper;
use super::library::Library;
use super::metrics::Metrics;
use super::types::{Belief, Types};
use super::wish::{Wish, Wishes};
use super::{BuildError, Config};
use crate::event::{EventType, Format, json};
use crate::schema::decoder::{Language, Wanted, Writers};
use crate::schema::framing::Writer;
use crate::schema::registry::judges::Judges;
use crate::schema::registry::live::Live;
use crate::schema::registry::writers::language;
use crate::schema::{self, Checked, Contract, SchemaId};
use crate::telemetry::Registry;

/// The longest an event waits for a schema that was never asked for.
const WAIT_MAX: Duration = Duration::from_secs(3);

/// A registry elsewhere. Cheap to clone; all clones see the same.
#[derive(Debug, Clone)]
pub struct Confluent {
    shared: Arc<Shared>,
    wishes: Wishes,
}

/// What is known, and who is asked for more.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) source: Arc<dyn Source>,
    pub(super) live: Live,
    pub(super) library: Library,
    pub(super) types: Types,
    pub(super) judges: Judges,
    pub(super) metrics: Metrics,
    pub(super) is_ready: AtomicBool,
    pub(super) is_reachable: AtomicBool,
}

impl Confluent {
    /// A registry of which nothing is known until its keeper runs. Blocks on the file of certificates.
    ///
    /// # Errors
    /// When the certificates cannot be used.
    pub fn new(config: &Config, registry: &Registry) -> Result<(Self, Keeper), BuildError> {
        let metrics = Metrics::register(registry);
        if config.auth.is_some()
            && let Some(address) = config.urls.iter().find(|address| address.is_open())
        {
            tracing::warn!(%address, "the credential of the schema registry is sent there in the open; use https");
        }
        let client = Client::new(config, metrics.clone())?;
        Ok(Self::of(Arc::new(client), metrics))
    }

    pub(super) fn of(source: Arc<dyn Source>, metrics: Metrics) -> (Self, Keeper) {
        let (wishes, wished) = Wishes::new();
        let shared = Arc::new(Shared {
            source,
            live: Live::default(),
            library: Library::new(metrics.clone()),
            types: Types::default(),
            judges: Judges::default(),
            metrics,
            is_ready: AtomicBool::new(false),
            // Until it was tried.
            is_reachable: AtomicBool::new(true),
        });
        let keeper = Keeper::new(Arc::clone(&shared), wished);
        (Self { shared, wishes }, keeper)
    }

    /// Whether the registry was asked for the schemas of all types that the catalogue names.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.shared.is_ready.load(Ordering::Relaxed)
    }

    /// Whether it answered last.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.shared.is_reachable.load(Ordering::Relaxed)
    }

    /// Waits until it is known what judges a type, a few seconds at most.
    pub(in crate::schema) async fn learn(&self, event_type: &EventType) {
        // Late or not, what is known by then counts.
        drop(timeout(WAIT_MAX, self.wishes.wait(Wish::Type(event_type.clone()))).await);
    }

    /// Judges an event's data by the latest version of its type's subject, and waits for nothing.
    pub(in crate::schema) fn judge_event(
        &self,
        event_type: &EventType,
        format: Format,
        data: &json::Value<'_>,
    ) -> Result<Checked, schema::Error> {
        let Shared { live, types, library, .. } = &*self.shared;
        let wish = || self.wishes.send(Wish::Type(event_type.clone()));
        if !live.has(event_type) {
            match types.belief(event_type, self.is_reachable()) {
                Belief::Holds => {}
                Belief::Due => wish(),
                Belief::Open => {
                    wish();
                    return Err(schema::Error::Unavailable { event_type: event_type.clone() });
                }
            }
        }
        let checked = live.check(library, event_type, format, data);
        if matches!(checked, Err(schema::Error::Unavailable { .. })) {
            wish();
        }
        checked
    }

    /// A pointer into an event in the words of its data, where its type's schema is known and has others.
    pub(in crate::schema) fn spelled(
        &self,
        event_type: &EventType,
        data: &json::Value<'_>,
        pointer: &json::Pointer,
    ) -> Option<json::Pointer> {
        self.shared.live.spelled(&self.shared.library, event_type, data, pointer)
    }

    /// What the data of a type must satisfy, as far as that is known.
    pub(in crate::schema) fn contract(&self, event_type: &EventType) -> Option<Arc<Contract>> {
        self.shared.live.contract(&self.shared.library, event_type)
    }

    /// The types that are known to have a schema, sorted.
    pub(in crate::schema) fn event_types(&self) -> Vec<EventType> {
        self.shared.live.event_types()
    }
}

#[async_trait]
impl Writers for Confluent {
    fn find(&self, writer: Writer) -> Option<(Language, usize)> {
        language(writer, self.shared.library.whole_of(writer))
    }

    fn latest(&self, event_type: &EventType) -> Option<SchemaId> {
        self.shared.live.latest(event_type)
    }

    async fn learn(&self, wanted: &[Wanted]) {
        let wish = |one: &Wanted| match one {
            Wanted::Schema(writer) => Wish::Schema(*writer),
            Wanted::Latest(event_type) => Wish::Type(event_type.clone()),
        };
        join_all(wanted.iter().map(|one| self.wishes.wait(wish(one)))).await;
    }
}
