//! Who calls.

use std::sync::Arc;

use crate::event::Timestamp;

/// A caller whose credential was checked.
#[derive(Debug)]
pub struct Principal {
    id: Arc<str>,
    expires_at: Option<Timestamp>,
}

impl Principal {
    /// The name grants, quotas and logs know the caller by: an issuer's prefix and `sub`, or an API key's principal.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When the credential ends (a token's `exp` without leeway); `None` where it has no end.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }
}
