//! What the operator says of the HTTP side: addresses, origins, limits, time-outs.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::LiveLimits;
use super::registry::RegistryPath;
use super::serve::FAREWELL;

/// The HTTP side's configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where `/metrics` is served; `None` serves it nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Single-threaded runtimes, each with a listener of its own: one per core.
    pub shards: NonZeroUsize,
    /// Origins of browsers that may read answers and open sockets.
    pub allowed_origins: Vec<OriginPattern>,
    /// Proxies whose `X-Forwarded-For` is believed, and which the limit per address does not bind.
    pub trusted_proxies: Vec<Network>,
    /// Certificate and key; `None` serves plain HTTP.
    pub tls: Option<Tls>,
    /// How long the listener goes on serving, with `Connection: close`, after the drain began.
    pub drain_delay: Duration,
    /// How long sockets and running requests have after that; with the delay at most [`Config::DRAIN_MAX`].
    pub drain_window: Duration,
    /// Below which path the schema registry answers.
    pub registry_path: RegistryPath,
    /// Bounds on requests and connections, which a reload may change.
    pub limits: LiveLimits,
}

impl Config {
    /// What delay and window of a drain may take together, so that there is time for what comes after them.
    pub const DRAIN_MAX: Duration = Duration::from_secs(25);
    /// The longest that the server takes to end, from its shutdown on.
    pub(crate) const END_MAX: Duration = Self::DRAIN_MAX.saturating_add(FAREWELL);
}

/// Where certificates and key lie, all PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// Certificates of those who sign certificates of clients; `None` asks clients for none.
    pub client_ca: Option<PathBuf>,
}

/// An allowed origin: exact (`https://shop.example.com`, `http://localhost:5173`) or all hosts below a domain
/// (`https://*.example.com`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPattern {
    scheme: String,
    host: Host,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Exact(String),
    Below(String),
}

/// Why a text is no origin pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an origin such as https://shop.example.com or https://*.example.com, without a path")]
pub struct OriginError;

impl OriginPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it is no origin: no scheme, a path, a star elsewhere than as the first label.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let (scheme, host, port) = split(text).ok_or(OriginError)?;
        let host = match host.strip_prefix("*.") {
            Some(domain) if domain.contains('.') => Host::Below(domain.to_ascii_lowercase()),
            Some(_) => return Err(OriginError),
            None => Host::Exact(host.to_ascii_lowercase()),
        };
        let name = match &host {
            Host::Exact(name) | Host::Below(name) => name,
        };
        if name.contains('*') {
            return Err(OriginError);
        }
        Ok(Self { scheme: scheme.to_ascii_lowercase(), host, port })
    }

    /// Whether a browser's `Origin` header is one of those meant. `null` never is.
    #[must_use]
    pub fn matches(&self, origin: &str) -> bool {
        let Some((scheme, host, port)) = split(origin) else { return false };
        let is_host = match &self.host {
            Host::Exact(name) => host.eq_ignore_ascii_case(name),
            Host::Below(domain) => {
                let host = host.to_ascii_lowercase();
                host.strip_suffix(domain.as_str())
                    .and_then(|below| below.strip_suffix('.'))
                    .is_some_and(|below| !below.is_empty())
            }
        };
        is_host && scheme.eq_ignore_ascii_case(&self.scheme) && port == self.port
    }
}

/// Scheme, host and port where it is not the scheme's own.
fn split(origin: &str) -> Option<(&str, &str, Option<u16>)> {
    let (scheme, authority) = origin.split_once("://")?;
    let is_plain = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._*[]:".contains(&byte))
    };
    if !is_plain(authority) || scheme.is_empty() || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse::<u16>().ok()?)),
        _ => (authority, None),
    };
    let own = match scheme.to_ascii_lowercase().as_str() {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    };
    (!host.is_empty()).then_some((scheme, host, port.filter(|_| port != own)))
}

/// A range of addresses, such as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an address or a range such as 10.0.0.0/8")]
pub struct NetworkError;

impl Network {
    /// Reads an address, or an address and the length of its fixed prefix.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => whole,
            Some(prefix) => prefix.parse().map_err(|_| NetworkError)?,
        };
        if prefix > whole { Err(NetworkError) } else { Ok(Self { address, prefix }) }
    }

    /// Whether the address lies in the range; an IPv4 address written as IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(mine), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.prefix);
                (mine.to_bits() ^ other.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(mine), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.prefix);
                (mine.to_bits() ^ other.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Network, OriginPattern};

    #[test]
    fn origins_match_exactly_or_below_a_domain() {
        let exact = OriginPattern::parse("https://shop.example.com").unwrap();
        assert!(exact.matches("https://shop.example.com"));
        assert!(exact.matches("https://shop.example.com:443"));
        for foreign in [
            "null",
            "http://shop.example.com",
            "https://shop.example.com:8443",
            "https://shop.example.com.evil.net",
            "https://evilshop.example.com",
            "https://shop.example.com/",
            "https://user@shop.example.com",
            "",
        ] {
            assert!(!exact.matches(foreign), "{foreign}");
        }
        let below = OriginPattern::parse("https://*.example.com").unwrap();
        assert!(below.matches("https://a.example.com") && below.matches("https://a.b.EXAMPLE.com"));
        for foreign in ["https://example.com", "https://.example.com", "https://evilexample.com"] {
            assert!(!below.matches(foreign), "{foreign}");
        }
    }

    #[test]
    fn patterns_with_a_path_or_a_stray_star_are_refused() {
        for bad in
            ["*", "https://*", "https://*.com", "https://a.*.com", "https://a/b", "example.com", "null"]
        {
            assert!(OriginPattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_hold_their_addresses() {
        let network = Network::parse("10.1.0.0/16").unwrap();
        assert!(network.contains("10.1.2.3".parse().unwrap()));
        assert!(network.contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!network.contains("10.2.0.1".parse().unwrap()));
        assert!(Network::parse("0.0.0.0/0").unwrap().contains("8.8.8.8".parse().unwrap()));
        assert!(Network::parse("::1").unwrap().contains("::1".parse().unwrap()));
        assert!(Network::parse("10.0.0.0/33").is_err());
    }
}
