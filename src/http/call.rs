//! One request as its handler sees it: its id, who calls, from where, over which connection.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use axum::extract::{FromRequestParts, MatchedPath};
use http::request::Parts;

use crate::auth::Principal;
use crate::problem::{Code, Problem};

use super::connection::Connection;

/// What the front knows of a request; handlers take it as an argument. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Call(Arc<Inner>);

/// What the caller gave as `X-Correlation-Id`, or why it cannot be used.
pub(super) type CorrelationId = Result<Option<Box<str>>, Problem>;

#[derive(Debug)]
struct Inner {
    id: Box<str>,
    correlation_id: CorrelationId,
    principal: Option<Arc<Principal>>,
    peer: IpAddr,
    connection: Arc<Connection>,
    route: OnceLock<MatchedPath>,
}

impl Call {
    /// A call whose route is not known yet.
    pub(super) fn new(
        id: Box<str>,
        correlation_id: CorrelationId,
        principal: Option<Arc<Principal>>,
        peer: IpAddr,
        connection: Arc<Connection>,
    ) -> Self {
        Self(Arc::new(Inner { id, correlation_id, principal, peer, connection, route: OnceLock::new() }))
    }

    /// The request's id, as in `X-Request-Id` and every problem.
    pub(super) fn id(&self) -> &str {
        &self.0.id
    }

    /// What the caller gave as `X-Correlation-Id`.
    pub(super) fn correlation_id(&self) -> Option<&str> {
        self.0.correlation_id.as_ref().ok()?.as_deref()
    }

    /// Who calls; absent on public routes and the socket's. An `X-Correlation-Id` that cannot be used is refused here,
    /// since it comes with the request's other parameters: behind credential, route and media type, before any grant.
    pub(super) fn principal(&self) -> Result<&Arc<Principal>, Problem> {
        self.0.correlation_id.as_ref().map_err(Clone::clone)?;
        self.0
            .principal
            .as_ref()
            .ok_or_else(|| Problem::new(Code::Unauthenticated, "send a bearer token or an API key"))
    }

    /// The client's address; behind a trusted proxy, the one that proxy names.
    pub(super) fn peer(&self) -> IpAddr {
        self.0.peer
    }

    /// The connection the request came over.
    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.0.connection
    }

    /// The route's pattern; `none` where no route took the request.
    pub(super) fn route(&self) -> &str {
        self.0.route.get().map_or("none", MatchedPath::as_str)
    }
}

impl<S: Sync> FromRequestParts<S> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Some(call) = parts.extensions.get::<Self>() else {
            return Err(Problem::hidden(Code::Internal));
        };
        if let Some(route) = parts.extensions.get::<MatchedPath>() {
            call.0.route.get_or_init(|| route.clone());
        }
        Ok(call.clone())
    }
}
