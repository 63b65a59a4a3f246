//! Where a caller reached the gateway, for documents and pages that name it.

use http::HeaderMap;
use http::header::HOST;

use super::call::Call;
use super::serve::Shared;

/// Where the gateway is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) host: String,
    pub(super) is_tls: bool,
}

impl Origin {
    /// Where the caller reached the gateway, as far as it can tell.
    pub(super) fn of(shared: &Shared, call: &Call, headers: &HeaderMap) -> Self {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        let is_forwarded = || {
            let proto = headers.get("x-forwarded-proto").and_then(|proto| proto.to_str().ok());
            shared.admission.is_trusted(call.connection().peer()) && proto == Some("https")
        };
        Self { host: host.to_owned(), is_tls: shared.tls.is_some() || is_forwarded() }
    }

    /// The address of a protocol (`http`, `ws`), without a path.
    pub(super) fn url(&self, protocol: &str) -> String {
        format!("{protocol}{}://{}", if self.is_tls { "s" } else { "" }, self.host)
    }
}
