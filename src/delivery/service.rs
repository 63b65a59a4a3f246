//! The room's service and the handle to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::event::{Clock, GroupName, LiveCatalogue};
use crate::log::{EventLog, Groups};
use crate::telemetry::Registry;

use super::{DeadLetterPage, DeadLetterQuery, Error, GroupView, Join, Member, Policy, PolicyPatch};

/// How groups are served.
#[derive(Debug, Clone)]
pub struct Config {
    /// This gateway's name.
    pub node: Arc<str>,
    /// What a group has that says nothing else; its topics are empty.
    pub defaults: Policy,
    /// Groups of the configuration file: they create and update, and never delete.
    pub groups: BTreeMap<GroupName, PolicyPatch>,
    /// How long dead letters are kept.
    pub dead_letter_retention: Duration,
    /// The largest credit of a member.
    pub in_flight_max: u32,
}

/// Whether a PUT made a group or changed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// There was none.
    Created,
    /// There was one.
    Changed,
}

/// Owns all groups; run it beside the handle.
#[derive(Debug)]
pub struct Service {
    _log: Arc<dyn EventLog>,
}

/// The handle to all groups. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Delivery {
    _log: Arc<dyn EventLog>,
}

impl Service {
    /// A service and the handle to it; nothing happens before [`Service::run`].
    #[must_use]
    pub fn new(
        _config: Config,
        log: Arc<dyn EventLog>,
        _groups: Arc<dyn Groups>,
        _catalogue: LiveCatalogue,
        _clock: Clock,
        _registry: &Registry,
    ) -> (Self, Delivery) {
        (Self { _log: Arc::clone(&log) }, Delivery { _log: log })
    }

    /// Serves until the shutdown, then drains if nobody did before.
    pub async fn run(self, _shutdown: CancellationToken) {
        unimplemented!()
    }
}

impl Delivery {
    /// Becomes a member of a group.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`], [`Error::TopicsDiffer`], [`Error::UnknownTopic`], [`Error::Draining`], or what the
    /// log says.
    pub async fn join(&self, _join: Join) -> Result<Member, Error> {
        unimplemented!()
    }

    /// All groups known to the configuration or the log.
    ///
    /// # Errors
    /// What the log says.
    pub async fn groups(&self) -> Result<Vec<GroupView>, Error> {
        unimplemented!()
    }

    /// One group.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`], or what the log says.
    pub async fn group(&self, _group: &GroupName) -> Result<GroupView, Error> {
        unimplemented!()
    }

    /// Creates a group or changes its policy, durably; deliveries from now on follow it.
    ///
    /// # Errors
    /// [`Error::InvalidPolicy`], [`Error::UnknownTopic`], or what the log says.
    pub async fn put_policy(
        &self,
        _group: &GroupName,
        _patch: PolicyPatch,
    ) -> Result<(Put, GroupView), Error> {
        unimplemented!()
    }

    /// A group's policy now; `None` for an unknown group.
    #[must_use]
    pub fn policy(&self, _group: &GroupName) -> Option<Arc<Policy>> {
        unimplemented!()
    }

    /// The dead letters of a group.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`], [`Error::InvalidCursor`], or what the log says.
    pub async fn dead_letters(
        &self,
        _group: &GroupName,
        _query: DeadLetterQuery,
    ) -> Result<DeadLetterPage, Error> {
        unimplemented!()
    }

    /// Whether the policies stored in the log are loaded.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        unimplemented!()
    }

    /// Takes no new members, withdraws what is unsent, gives members up to `rebalance_grace` to settle, commits
    /// and leaves every group. Returns when that is done.
    pub async fn drain(&self) {
        unimplemented!()
    }
}
