//! What can go wrong with a credential or a decision. No message holds a secret, a token or a foreign name.

use std::path::PathBuf;

/// Why a caller is not let in, or not let do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The credential cannot be read as what its header says, or there is more than one (400).
    #[error("the credential {problem}")]
    BadCredential {
        /// What is wrong with its form.
        problem: &'static str,
    },
    /// No credential, or an API key that is unknown, wrong or expired (401).
    #[error("a valid credential is required")]
    Unauthenticated,
    /// The token or ticket was good but its time is over (401; close 4100).
    #[error("the token has expired")]
    TokenExpired,
    /// The token or ticket is refused (401; close 4001).
    #[error("the token is refused: {0}")]
    TokenInvalid(Refusal),
    /// The credential behind a principal was withdrawn by a change of policy (401; close 4010).
    #[error("the credential was revoked")]
    Revoked,
    /// No grant allows it; the same whether the object exists or not (403).
    #[error("no grant of this principal allows that")]
    Forbidden,
    /// The event names a source that no publish grant of the principal lists (422).
    #[error("source '{given}' is not among those this principal may name")]
    SourceNotAllowed {
        /// The source as given by the caller.
        given: String,
    },
    /// The keys of the token's issuer cannot be fetched, and no usable ones are held (503; try again).
    #[error("the keys of the token's issuer cannot be fetched at the moment; try again later")]
    KeysUnavailable,
    /// Ticket memory is full, or the system gives no randomness (503; try again).
    #[error("tickets cannot be handled at the moment; try again later")]
    Unavailable,
}

/// Why a token is refused, in words that tell its owner what to mend and nobody else anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Longer than 8 KiB.
    #[error("it is longer than 8 KiB")]
    TooLong,
    /// Not three base64url parts, or not JSON objects with unique members.
    #[error("it is not a well-formed signed token")]
    Malformed,
    /// The algorithm is missing, `none`, or not one the issuer may use.
    #[error("its algorithm is not accepted")]
    Algorithm,
    /// `crit` or `b64` ask for what is not understood here.
    #[error("its header asks for an extension that is not supported")]
    Critical,
    /// `typ` says it was made for another use.
    #[error("its type is not that of an access token")]
    Type,
    /// `iss` is missing, no string, or not configured.
    #[error("its issuer is not accepted")]
    Issuer,
    /// No key of the issuer fits `kid` and the algorithm.
    #[error("its key is not known")]
    Key,
    /// The signature does not fit.
    #[error("its signature does not match")]
    Signature,
    /// `aud` is missing, of another kind, or does not name this gateway.
    #[error("its audience is not this gateway")]
    Audience,
    /// `exp`, `nbf` or `iat` is missing where needed, no whole number, or out of bounds.
    #[error("its times are missing, malformed or out of bounds")]
    Times,
    /// `sub` is missing or no usable name.
    #[error("its subject is missing or malformed")]
    Subject,
    /// A client certificate without a usable name.
    #[error("the client certificate names nobody: it has no URI, no DNS name and no common name")]
    Certificate,
    /// A ticket that was used before.
    #[error("the ticket was used before")]
    Used,
}

/// Why the room cannot start with a configuration, or go on with a new one.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Development mode needs a signing key; see [`crate::auth::dev::Key::load_or_create`].
    #[error("development mode needs the key of its issuer")]
    DevKeyMissing,
    /// Development mode listens on loopback addresses only.
    #[error(
        "development mode refuses to listen on {0}: only loopback addresses such as 127.0.0.1 are allowed"
    )]
    NotLoopback(std::net::SocketAddr),
    /// The development key cannot be read or made.
    #[error("cannot read or make the development key {path}")]
    DevKey {
        /// Where the key should lie.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: std::io::Error,
    },
    /// The development key's file holds something else.
    #[error("{path} is no development key; remove it to have a new one made")]
    DevKeyMalformed {
        /// The file.
        path: PathBuf,
    },
    /// The client for key sets cannot be built.
    #[error("cannot set up the client that fetches key sets")]
    Client(#[source] reqwest::Error),
    /// The system has no randomness to give.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
    /// An API key's id breaks its rule.
    #[error("the id of a key {0}")]
    KeyId(&'static str),
    /// Signing failed.
    #[error("cannot sign a token")]
    Sign(#[source] jsonwebtoken::errors::Error),
}
