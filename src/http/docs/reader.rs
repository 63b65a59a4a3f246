//! Who reads a page: the caller, or in dev mode whoever sits at this machine.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use http::header::HOST;
use http::request::Parts;

use crate::auth::{Credential, Principal};
use crate::http::call::Call;
use crate::http::origin::Origin;
use crate::http::pages;
use crate::http::serve::Shared;
use crate::problem::Problem;

use super::page::{self, Here};

/// Who reads a page.
#[derive(Debug, Default)]
pub(in crate::http) struct Reader {
    principal: Option<Arc<Principal>>,
    /// The development gateway's own token, for the page's script.
    own_token: Option<String>,
    /// Whether there is a playground to lead to.
    pub(super) has_playground: bool,
}

/// A reader who may be told something; any other one gets the page that says how to become one.
#[derive(Debug)]
pub(in crate::http) struct Visitor {
    pub(super) principal: Arc<Principal>,
    pub(super) reader: Reader,
    /// Where the reader reached the gateway.
    pub(super) origin: Origin,
}

impl Reader {
    pub(super) fn principal(&self) -> Option<&Arc<Principal>> {
        self.principal.as_ref()
    }

    pub(super) fn own_token(&self) -> Option<&str> {
        self.own_token.as_deref()
    }
}

/// The caller; one without a credential is the development gateway's own reader, where the page was asked for by a name of
/// this machine: a foreign name that was made to point here would read the token as its own page.
impl FromRequestParts<Arc<Shared>> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        let call = Call::from_request_parts(parts, shared).await?;
        let has_playground = shared.parts.front_page.is_some();
        if let Ok(principal) = call.principal() {
            return Ok(Self { principal: Some(Arc::clone(principal)), own_token: None, has_playground });
        }
        let is_here =
            parts.headers.get(HOST).and_then(|host| host.to_str().ok()).is_some_and(pages::is_loopback);
        let Some(own_token) = shared.parts.own_token.as_ref().filter(|_| is_here).map(|token| token()) else {
            return Ok(Self { has_playground, ..Self::default() });
        };
        Ok(match shared.parts.authenticator.authenticate(Credential::Bearer(&own_token)).await {
            Ok(principal) => Self { principal: Some(principal), own_token: Some(own_token), has_playground },
            Err(error) => {
                tracing::error!(%error, "the docs do not take their own token");
                Self { has_playground, ..Self::default() }
            }
        })
    }
}

impl FromRequestParts<Arc<Shared>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Response> {
        let refuse = Problem::into_response;
        let reader = Reader::from_request_parts(parts, shared).await.map_err(refuse)?;
        let Some(principal) = reader.principal().cloned() else {
            return Err(page::stranger(&reader, Here::of(parts.uri.path())));
        };
        let call = Call::from_request_parts(parts, shared).await.map_err(refuse)?;
        let origin = Origin::of(shared, &call, &parts.headers);
        Ok(Self { principal, reader, origin })
    }
}
