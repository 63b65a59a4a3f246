//! Who a connection is, for as long as it lives: the principal may be renewed, and rights are asked again each time.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::auth::{self, Authenticator, Credential, Object, Operation, Principal, Rows};
use crate::event::{Filter, GroupName, Topic};
use crate::feed::Admission;
use crate::problem::{CloseCode, Code, Problem};

use super::machine::Refused;

/// How an API key begins; no JWT does.
const API_KEY_PREFIX: &str = "wg_";

/// A connection's principal, shared with the admissions of its subscriptions. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    principal: Arc<ArcSwap<Principal>>,
    authenticator: Authenticator,
}

impl Identity {
    pub(super) fn new(principal: Arc<Principal>, authenticator: Authenticator) -> Self {
        Self { principal: Arc::new(ArcSwap::new(principal)), authenticator }
    }

    /// Puts a renewed principal in place for all that ask from now on.
    pub(super) fn renew(&self, principal: Arc<Principal>) {
        self.principal.store(principal);
    }

    pub(super) fn principal(&self) -> Arc<Principal> {
        self.principal.load_full()
    }

    /// What the feed asks for each topic: always judged by the grants and the principal of the moment.
    pub(super) fn admission(&self) -> Arc<dyn Fn(&Topic) -> Admission + Send + Sync> {
        let identity = self.clone();
        Arc::new(move |topic| identity.admit(topic))
    }

    /// Whether the principal may work for the group on all of its topics.
    pub(super) fn check_group(&self, group: &GroupName, topics: &[Topic]) -> Result<(), auth::Error> {
        let principal = self.principal.load();
        topics.iter().try_for_each(|topic| {
            let object = Object::GroupTopic(group, topic);
            self.authenticator.authorize(&principal, Operation::Consume, object).map(drop)
        })
    }

    /// Whether the principal may work for the group on any topic at all.
    pub(super) fn may_consume_of(&self, group: &GroupName) -> bool {
        let principal = self.principal.load();
        self.authenticator.authorize(&principal, Operation::Consume, Object::Group(group)).is_ok()
    }

    /// Whether the principal may still be connected; else with which code it goes.
    pub(super) fn check_standing(&self) -> Result<(), CloseCode> {
        self.authenticator.recheck(&self.principal.load()).map_err(|error| CloseCode::from(&error))
    }

    fn admit(&self, topic: &Topic) -> Admission {
        let principal = self.principal.load();
        match self.authenticator.authorize(&principal, Operation::Subscribe, Object::Topic(topic)) {
            Err(_) => Admission::Denied,
            Ok(access) => match access.rows {
                Rows::All => Admission::All,
                Rows::Only(filters) => {
                    let filters =
                        filters.into_iter().map(|filter| Filter::equals(filter.pointer, &filter.equals));
                    Admission::Rows(Filter::any(filters.collect()))
                }
            },
        }
    }
}

/// Checks the token of a `hello` or `refresh`. A connection that has a principal keeps that name.
pub(super) async fn identify(
    authenticator: Authenticator,
    current: Option<Arc<Principal>>,
    token: String,
) -> Result<Arc<Principal>, Refused> {
    let is_api_key = token.starts_with(API_KEY_PREFIX);
    let credential = if is_api_key { Credential::ApiKey(&token) } else { Credential::Bearer(&token) };
    let principal = authenticator.authenticate(credential).await.map_err(|error| refused(&error))?;
    match current {
        Some(current) if current.id() != principal.id() => Err(Refused {
            problem: Problem::new(
                Code::Forbidden,
                "the token is another principal's; open a connection for it",
            ),
            close: CloseCode::Forbidden,
        }),
        Some(_) | None => Ok(principal),
    }
}

pub(super) fn refused(error: &auth::Error) -> Refused {
    Refused { problem: Problem::from(error), close: CloseCode::from(error) }
}
