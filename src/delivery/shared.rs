//! What every task of the room needs: the log, the clock, the configuration, the metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::event::{Clock, LiveCatalogue};
use crate::log::{EventLog, Groups};

use super::Config;
use super::dead_letters::States;
use super::gateways::Gateways;
use super::lookups::Lookups;
use super::member::MemberId;
use super::metrics::Metrics;
use super::policies::Policies;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Config,
    /// Tells this run of the gateway from all others, those of its own name too.
    pub(super) life: Box<str>,
    pub(super) log: Arc<dyn EventLog>,
    pub(super) groups: Arc<dyn Groups>,
    pub(super) catalogue: LiveCatalogue,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) policies: Policies,
    pub(super) states: States,
    /// What other gateways have of groups.
    pub(super) gateways: Gateways,
    /// For the ends of what groups are assigned.
    pub(super) lookups: Lookups,
    pub(super) last_member: AtomicU32,
}

impl Shared {
    pub(super) fn next_member(&self) -> MemberId {
        MemberId::new(self.last_member.fetch_add(2, Ordering::Relaxed).wrapping_add(1))
    }
}
