//! Tickets: short-lived stand-ins for a credential, for clients that cannot send headers.

use std::time::Duration;

/// A ticket for one use.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// What the client puts into the URL.
    pub text: String,
    /// How long it may be used.
    pub expires_in: Duration,
}
