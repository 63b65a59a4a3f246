//! What one principal may do: the grants that select it, picked once per policy and asked on every request.
//!
//! Nothing here knows which topics or groups exist, so an answer cannot tell.

use std::sync::Arc;

use super::grant::Grant;
use super::principal::Principal;
use super::{Access, Error, GrantView, KeyFilter, Object, Operation, Rows};
use crate::event::{GroupName, Topic};

/// The rights of one principal under one policy.
#[derive(Debug)]
pub(super) struct Rights {
    /// The version of the policy they were picked from.
    pub(super) version: u64,
    held: Vec<Right>,
}

#[derive(Debug)]
struct Right {
    grant: Arc<Grant>,
    rows: RightRows,
}

#[derive(Debug)]
enum RightRows {
    All,
    Only(KeyFilter),
}

impl Rights {
    /// Picks the grants that select the principal; one whose row filter cannot be filled gives nothing.
    pub(super) fn pick(version: u64, grants: &[Arc<Grant>], principal: &Principal) -> Self {
        let right = |grant: &Arc<Grant>| {
            let rows = match &grant.rows {
                None => RightRows::All,
                Some(rule) => RightRows::Only(rule.fill(&principal.claims)?),
            };
            Some(Right { grant: Arc::clone(grant), rows })
        };
        let held =
            grants.iter().filter(|grant| grant.selector.selects(principal)).filter_map(right).collect();
        Self { version, held }
    }

    /// Decides. Filters of several grants are alternatives; a grant without one lifts them.
    pub(super) fn decide(&self, operation: Operation, object: Object<'_>) -> Result<Access, Error> {
        let mut filters: Vec<KeyFilter> = Vec::new();
        for right in self.held.iter().filter(|right| right.grant.reaches(operation, object)) {
            match &right.rows {
                RightRows::All => return Ok(Access { rows: Rows::All }),
                RightRows::Only(filter) if !filters.contains(filter) => filters.push(filter.clone()),
                RightRows::Only(_) => {}
            }
        }
        if filters.is_empty() { Err(Error::Forbidden) } else { Ok(Access { rows: Rows::Only(filters) }) }
    }

    /// Whether some grant allows the operation on anything.
    pub(super) fn allow_any(&self, operation: Operation) -> bool {
        self.held.iter().any(|right| right.grant.allow.contains(&operation))
    }

    /// The source of an event to `topic`. A grant without sources lets the principal name itself only.
    pub(super) fn source(
        &self,
        principal: &str,
        topic: &Topic,
        given: Option<&str>,
    ) -> Result<String, Error> {
        let mut grants = self
            .held
            .iter()
            .map(|right| &right.grant)
            .filter(|grant| grant.reaches(Operation::Publish, Object::Topic(topic)))
            .peekable();
        if grants.peek().is_none() {
            return Err(Error::Forbidden);
        }
        let Some(given) = given else {
            let literal = grants.find_map(|grant| grant.sources.first_literal());
            return Ok(literal.unwrap_or(principal).to_owned());
        };
        let is_allowed = grants.any(|grant| {
            if grant.sources.is_empty() { given == principal } else { grant.sources.contains(given) }
        });
        if is_allowed {
            Ok(given.to_owned())
        } else {
            Err(Error::SourceNotAllowed { given: given.to_owned() })
        }
    }

    /// The grants as their holder sees them.
    pub(super) fn views(&self) -> Vec<GrantView> {
        self.held.iter().map(|right| right.grant.view()).collect()
    }
}

impl Grant {
    /// Whether the grant allows the operation on the object, whoever asks.
    fn reaches(&self, operation: Operation, object: Object<'_>) -> bool {
        self.allow.contains(&operation)
            && match object {
                Object::Nothing => true,
                // The audit trail is no topic that a pattern reaches: it has a right of its own.
                Object::Topic(topic) if topic.is_audit() => operation == Operation::AuditRead,
                Object::Topic(topic) => {
                    self.topics.as_ref().is_some_and(|topics| topics.contains(topic.as_str()))
                }
                Object::Subject(subject) => self.subjects.contains(subject.as_str()),
                Object::AllSubjects => self.subjects.is_everything(),
                Object::Group(group) => self.reaches_group(operation, group),
                Object::GroupTopic(group, topic) => {
                    self.groups.contains(group.as_str())
                        && self.topics.as_ref().is_none_or(|topics| topics.contains(topic.as_str()))
                }
            }
    }

    /// To be in a group or to manage it is about the group; its letters and replays are about all its topics.
    fn reaches_group(&self, operation: Operation, group: &GroupName) -> bool {
        let is_about_records = matches!(
            operation,
            Operation::DeadLetterRead
                | Operation::DeadLetterPayload
                | Operation::DeadLetterRedrive
                | Operation::Replay
        );
        let is_of_all_topics = || self.topics.as_ref().is_none_or(super::grant::Names::is_everything);
        self.groups.contains(group.as_str()) && (!is_about_records || is_of_all_topics())
    }
}
