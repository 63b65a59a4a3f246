//! What the registry has of an event type, for callers who may read its subject.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::auth::{Object, Operation, Principal};
use crate::event::Subject;
use crate::http::query::{Query, invalid};
use crate::http::serve::Shared;
use crate::problem::{Code, Problem};
use crate::schema::registry::{Content, Deleted, Difference, Level, Policy, Version, Which};

/// The versions of a type's subject.
#[derive(Debug)]
pub(in crate::http) struct Versions {
    pub(in crate::http) subject: Subject,
    /// Oldest first; there is one at least.
    pub(in crate::http) all: Vec<Version>,
}

/// What the registry has of a type's subject.
#[derive(Debug)]
pub(in crate::http) struct Registered {
    pub(in crate::http) versions: Versions,
    /// The latest one's.
    pub(in crate::http) latest: Content,
    pub(in crate::http) level: Level,
    pub(in crate::http) policy: Policy,
    /// Where a schema is checked against it.
    pub(in crate::http) check: String,
}

impl Versions {
    /// The versions of a type, where there are any and the caller may see them.
    pub(in crate::http) fn of(shared: &Shared, principal: &Principal, event_type: &str) -> Option<Self> {
        let subject = Subject::parse(&format!("{event_type}-value")).ok()?;
        let object = Object::Subject(&subject);
        shared.parts.authenticator.authorize(principal, Operation::SchemaRead, object).ok()?;
        let all = shared.parts.schemas.versions(&subject, Deleted::Hidden).ok()?;
        (!all.is_empty()).then_some(Self { subject, all })
    }

    /// How the two versions differ that a query names by `from` and `to`; else the last two.
    pub(in crate::http) async fn difference(
        &self,
        shared: &Shared,
        query: &Query<'_>,
    ) -> Result<Difference, Problem> {
        let latest = self.all.last().copied().unwrap_or(Version::FIRST);
        let previous = self.all.iter().rev().nth(1).copied().unwrap_or(latest);
        let chosen = |name: &str, otherwise: Version| match query.get(name) {
            None => Ok(otherwise),
            Some(text) => text
                .parse()
                .ok()
                .and_then(Version::new)
                .filter(|version| self.all.contains(version))
                .ok_or_else(|| invalid(format!("'{name}' must be a version that there is"))),
        };
        let (from, to) = (chosen("from", previous)?, chosen("to", latest)?);
        let schemas = &shared.parts.schemas;
        let difference = schemas.difference(&self.subject, Which::Number(from), Which::Number(to)).await;
        difference.map_err(|error| {
            tracing::debug!(%error, "versions cannot be compared");
            Problem::hidden(Code::Overloaded)
        })
    }
}

impl Registered {
    /// What the registry tells of a type, where the caller may see it.
    pub(in crate::http) fn of(shared: &Shared, principal: &Principal, event_type: &str) -> Option<Self> {
        let versions = Versions::of(shared, principal, event_type)?;
        let (schemas, subject) = (&shared.parts.schemas, &versions.subject);
        let settings = schemas.effective_settings(Some(subject)).ok()?;
        let name = utf8_percent_encode(subject.as_str(), NON_ALPHANUMERIC);
        let check = format!("/registry/compatibility/subjects/{name}/versions");
        Some(Self {
            latest: schemas.version(subject, Which::Latest, Deleted::Hidden).ok()?.content,
            versions,
            level: settings.compatibility.unwrap_or_default(),
            policy: settings.policy.unwrap_or_default(),
            check: format!("{}?verbose=true", shared.config.registry_path.place(&check)),
        })
    }
}
