//! What a document tells: what there is, less what the caller may not know.

use std::sync::Arc;

use crate::auth::{Object, Operation, Principal};
use crate::delivery::Policy;
use crate::event::{GroupName, Topic};
use crate::http::Parts;
use crate::http::known::{self, KnownTopic};
use crate::http::origin::Origin;

/// Whose part the document takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// The gateway's, as AsyncAPI means it: what it receives and sends.
    Gateway,
    /// A client's: what is received and sent the other way round.
    Client,
}

/// All that a document is made of; of equal ones equal documents are made.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    pub(super) origin: Origin,
    /// The path of the schema registry.
    pub(super) registry: String,
    pub(super) view: View,
    /// By name.
    pub(super) topics: Vec<KnownTopic>,
    /// By name.
    pub(super) groups: Vec<KnownGroup>,
}

/// A group that the caller may work in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KnownGroup {
    pub(super) name: GroupName,
    pub(super) policy: Arc<Policy>,
    /// Topics of its dead letters that the caller may read, each with the topic they come from.
    pub(super) letters: Vec<(Topic, Topic)>,
}

impl Known {
    /// Gathers what there is now. Blocks for as long as schemas take to be written out for the first time.
    pub(super) fn gather(
        parts: &Parts,
        principal: &Principal,
        (origin, registry): (Origin, String),
        view: View,
    ) -> Self {
        let may = |operation, object: Object<'_>| {
            parts.authenticator.authorize(principal, operation, object).is_ok()
        };
        let topics = known::topics(parts, principal);
        let mut groups: Vec<KnownGroup> = parts
            .delivery
            .policies()
            .into_iter()
            .filter(|(name, _)| may(Operation::Consume, Object::Group(name)))
            .map(|(name, policy)| {
                let letters = policy.topics.iter().filter_map(|from| {
                    let to = Topic::parse(&format!("dlq.{from}.{name}")).ok()?;
                    may(Operation::Subscribe, Object::Topic(&to)).then(|| (to, from.clone()))
                });
                KnownGroup { letters: letters.collect(), name, policy }
            })
            .collect();
        groups.sort_by(|left, right| left.name.cmp(&right.name));
        Self { origin, registry, view, topics, groups }
    }
}
