//! A registry elsewhere that speaks Confluent's API: the gateway judges by what that holds, and keeps nothing itself.
//!
//! Judging asks nobody. Everything that has to be fetched is a wish, and one keeper grants them, a few at a time, equal ones
//! at once: the subjects of the catalogue's types at the start, of other types with their first event, and all that are
//! known again every 30 seconds. A registry that does not answer changes nothing of what is known.
//!
//! ```text
//! event type ── live (latest version, compiled) ── judge
//!        └─ not known ── wish ─┐
//! record ── library (by id, GUID) ─ not there ─ wish ─┤
//!                                  keeper ── client ── registry: {eventType}-value, schemas by id and GUID, references
//!                                       └─ library (texts, within a weight), live
//! ```

mod client;
mod fetch;
mod handle;
mod keeper;
mod library;
mod metrics;
mod types;
mod wish;

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::HeaderValue;

use client::Place;
pub use handle::Confluent;
pub use keeper::Keeper;

/// Where the registry is, and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Its addresses, all of one registry: one that does not answer is passed over for the next.
    pub urls: Vec<Address>,
    /// What is shown to it.
    pub auth: Option<Auth>,
    /// Whom to trust in the system's place: certificates in PEM.
    pub ca: Option<PathBuf>,
}

/// An address of a registry: `http` or `https`, without a user, a query or a fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(Url);

/// A credential; `Debug` prints nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth(HeaderValue);

/// Why a registry cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The certificates cannot be read.
    #[error("the certificates in {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The certificates are none, or there is no client for HTTPS.
    #[error("there is no client for the schema registry")]
    Client(#[source] reqwest::Error),
}

impl Config {
    /// Whether the certificates can be used. Blocks on the file system.
    ///
    /// # Errors
    /// When they cannot.
    pub fn check(&self) -> Result<(), BuildError> {
        client::check(self)
    }
}

impl Address {
    /// Reads an address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        let is_bare = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        is_bare.then_some(Self(url))
    }

    /// Whether others on the way may read what is sent there.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let is_local = match self.0.host_str() {
            Some(host) => {
                let host = host.trim_matches(['[', ']']);
                host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
            }
            None => false,
        };
        self.0.scheme() == "http" && !is_local
    }

    /// The address of a place below it.
    fn below(&self, place: Place<'_>) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(place.segments);
        }
        url.set_query(place.query);
        url
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Auth {
    /// A user and a password. `None` where the user has a colon.
    #[must_use]
    pub fn basic(user: &str, password: &str) -> Option<Self> {
        let pair = STANDARD.encode(format!("{user}:{password}"));
        (!user.contains(':')).then(|| Self::of(&format!("Basic {pair}"))).flatten()
    }

    /// A token. `None` where it has what no header can hold.
    #[must_use]
    pub fn bearer(token: &str) -> Option<Self> {
        (!token.is_empty()).then(|| Self::of(&format!("Bearer {token}"))).flatten()
    }

    fn of(text: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(text).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, Auth, Place};

    #[test]
    fn an_address_keeps_its_path_and_names_are_encoded() {
        let below = |text: &str| {
            let address = Address::parse(text).unwrap();
            address.below(Place::new(&["subjects", "a/b ü-value", "versions", "latest"])).to_string()
        };
        let path = "subjects/a%2Fb%20%C3%BC-value/versions/latest";
        assert_eq!(below("http://registry:8081"), format!("http://registry:8081/{path}"));
        assert_eq!(below("https://a.example/registry/"), format!("https://a.example/registry/{path}"));
        for bad in
            ["registry:8081", "ftp://a", "http://u:p@a", "http://u@a", "http://a?b=c", "http://a#b", ""]
        {
            assert!(Address::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn what_is_sent_in_the_open_is_known() {
        for (text, is_open) in [
            ("http://registry:8081", true),
            ("https://registry:8081", false),
            ("http://localhost:8081", false),
            ("http://127.0.0.1:8081", false),
            ("http://[::1]:8081", false),
            ("http://10.0.0.7", true),
        ] {
            assert_eq!(Address::parse(text).unwrap().is_open(), is_open, "{text}");
        }
    }

    #[test]
    fn a_credential_is_not_seen() {
        for auth in [Auth::basic("gateway", "not-to-be-seen"), Auth::bearer("not-to-be-seen")] {
            assert_eq!(format!("{:?}", auth.unwrap()), "Auth(Sensitive)");
        }
        assert_eq!(Auth::basic("a:b", "c"), None);
        assert_eq!(Auth::bearer("a\nb"), None);
        assert_eq!(Auth::bearer(""), None);
        assert_eq!(Auth::basic("u", "p").unwrap().0, "Basic dTpw");
    }
}
