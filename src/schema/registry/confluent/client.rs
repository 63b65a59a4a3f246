//! Requests to a registry elsewhere: several addresses in turn, bounded in time and size, tried again where that may help.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, AUTHORIZATION};
use tokio::time::{sleep, timeout};

use super::metrics::Metrics;
use super::{Address, Auth, BuildError, Config};
use crate::schema::registry::content::Reference;
use crate::schema::registry::error as registry;

/// How long a registry that is well takes at most.
const TIMES: Times =
    Times { request_max: Duration::from_millis(1_500), connect_max: Duration::from_millis(700) };
/// The largest answer that is read: a schema as large as one may be, twice over as a text in JSON.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// So often are all addresses tried, with these pauses.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];
const MEDIA: &str = "application/vnd.schemaregistry.v1+json, application/json;q=0.9";

/// Who has what a registry holds.
#[async_trait]
pub(super) trait Source: std::fmt::Debug + Send + Sync {
    /// What lies at a place; `None` where the registry says that nothing does.
    async fn get(&self, place: Place<'_>, patience: Patience) -> Result<Option<Body>, Error>;
}

/// Where something lies below a registry's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place<'p> {
    pub(super) segments: &'p [&'p str],
    pub(super) query: Option<&'static str>,
}

/// An answer, and who gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) address: Address,
    pub(super) bytes: Vec<u8>,
}

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// From connecting to the last byte.
    request_max: Duration,
    connect_max: Duration,
}

/// Asks a registry. It is asked as if all its addresses were one.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    addresses: Vec<Address>,
    auth: Option<Auth>,
    times: Times,
    metrics: Metrics,
    /// The address that answered last is asked first.
    first: AtomicUsize,
}

/// Why there is no answer. Texts name the address and nothing that was sent.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Error {
    #[error("{address} cannot be reached")]
    Unreachable { address: Address, source: Arc<reqwest::Error> },
    #[error("{address} does not answer within 1.5 s")]
    Slow { address: Address },
    #[error("{address} answers with status {status}")]
    Failing { address: Address, status: StatusCode },
    #[error(
        "{address} does not take the credential of schemas.confluent.auth, or wants one where there is none (401)"
    )]
    Unauthenticated { address: Address },
    #[error("{address} does not let this gateway read that (403)")]
    Forbidden { address: Address },
    #[error("{address} answers as no schema registry does ({status}); see whether its path is right")]
    NoRegistry { address: Address, status: StatusCode },
    #[error("{address} answers with more than 1 MiB")]
    TooLarge { address: Address },
    #[error("{address} answers with what is no schema")]
    Malformed { address: Address, source: Arc<serde_json::Error> },
    #[error("the registry has a schema that refers to version {} of '{}', which it does not have", .0.version, .0.subject)]
    Dangling(Reference),
    #[error("the schema cannot be judged")]
    Unjudged(#[source] registry::Error),
}

/// How an address failed to answer.
enum Failed {
    /// Another address, or a later time, may bring an answer.
    Passing(Error),
    /// Nothing else will.
    Lasting(Error),
}

/// The body of a registry's error.
#[derive(Debug, serde::Deserialize)]
struct Fault {
    error_code: u32,
}

impl Error {
    /// Whether it is about one subject or schema alone; the registry answers for others.
    pub(super) const fn is_of_one(&self) -> bool {
        match self {
            Self::Forbidden { .. }
            | Self::TooLarge { .. }
            | Self::Malformed { .. }
            | Self::Dangling(_)
            | Self::Unjudged(_) => true,
            Self::Unreachable { .. }
            | Self::Slow { .. }
            | Self::Failing { .. }
            | Self::Unauthenticated { .. }
            | Self::NoRegistry { .. } => false,
        }
    }
}

impl Client {
    /// A client. Blocks on the file of certificates.
    pub(super) fn new(config: &Config, metrics: Metrics) -> Result<Self, BuildError> {
        Self::within(TIMES, config, metrics)
    }

    fn within(times: Times, config: &Config, metrics: Metrics) -> Result<Self, BuildError> {
        let http = builder(config)?.connect_timeout(times.connect_max).build().map_err(BuildError::Client)?;
        let (addresses, auth) = (config.urls.clone(), config.auth.clone());
        Ok(Self { http, addresses, auth, times, metrics, first: AtomicUsize::new(0) })
    }

    async fn try_all(&self, place: Place<'_>) -> Result<Option<Body>, Failed> {
        let first = self.first.load(Ordering::Relaxed);
        let mut failed = None;
        for turn in 0..self.addresses.len() {
            let at = (first + turn) % self.addresses.len();
            let Some(address) = self.addresses.get(at) else { break };
            let asked = timeout(self.times.request_max, self.ask(address, place)).await;
            let asked =
                asked.unwrap_or_else(|_| Err(Failed::Passing(Error::Slow { address: address.clone() })));
            self.count(&asked);
            match asked {
                Err(Failed::Passing(error)) => failed = Some(error),
                lasting => {
                    self.first.store(at, Ordering::Relaxed);
                    return lasting;
                }
            }
        }
        // The configuration has at least one address.
        failed.map_or(Ok(None), |error| Err(Failed::Passing(error)))
    }

    /// The body of an answer; `None` where there is nothing at this place.
    async fn ask(&self, address: &Address, place: Place<'_>) -> Result<Option<Body>, Failed> {
        let unreachable = |error: reqwest::Error| {
            let source = Arc::new(error.without_url());
            Failed::Passing(Error::Unreachable { address: address.clone(), source })
        };
        let mut request = self.http.get(address.below(place)).header(ACCEPT, MEDIA);
        if let Some(Auth(value)) = &self.auth {
            request = request.header(AUTHORIZATION, value.clone());
        }
        let mut answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Failed::Lasting(Error::TooLarge { address: address.clone() }));
            }
            bytes.extend_from_slice(&chunk);
        }
        let address = address.clone();
        let is_absent = || {
            serde_json::from_slice(&bytes)
                .is_ok_and(|fault: Fault| (40_401..=40_403).contains(&fault.error_code))
        };
        match status {
            StatusCode::OK => Ok(Some(Body { address, bytes })),
            StatusCode::NOT_FOUND if is_absent() => Ok(None),
            StatusCode::UNAUTHORIZED => Err(Failed::Lasting(Error::Unauthenticated { address })),
            StatusCode::FORBIDDEN => Err(Failed::Lasting(Error::Forbidden { address })),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Err(Failed::Passing(Error::Failing { address, status }))
            }
            status if status.is_server_error() => Err(Failed::Passing(Error::Failing { address, status })),
            status => Err(Failed::Lasting(Error::NoRegistry { address, status })),
        }
    }

    fn count(&self, asked: &Result<Option<Body>, Failed>) {
        let result = match asked {
            Ok(Some(_)) => "ok",
            Ok(None) => "absent",
            Err(Failed::Lasting(Error::Unauthenticated { .. } | Error::Forbidden { .. })) => "refused",
            Err(Failed::Lasting(_)) => "unusable",
            Err(Failed::Passing(_)) => "failed",
        };
        self.metrics.requests.with_label_values(&[result]).inc();
    }
}

/// Who speaks HTTP: no redirects, no proxies, and trusts whom the configuration names.
fn builder(config: &Config) -> Result<reqwest::ClientBuilder, BuildError> {
    let mut http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
    if let Some(path) = &config.ca {
        let pem =
            std::fs::read(path).map_err(|source| BuildError::Unreadable { path: path.clone(), source })?;
        let trusted = reqwest::Certificate::from_pem_bundle(&pem).map_err(BuildError::Client)?;
        http = http.tls_certs_only(trusted);
    }
    Ok(http)
}

/// Whether there can be such a client. Blocks on the file of certificates.
pub(super) fn check(config: &Config) -> Result<(), BuildError> {
    builder(config)?.build().map(drop).map_err(BuildError::Client)
}

#[async_trait]
impl Source for Client {
    async fn get(&self, place: Place<'_>, patience: Patience) -> Result<Option<Body>, Error> {
        let mut pauses = match patience {
            Patience::Some => PAUSES.iter(),
            Patience::None => [].iter(),
        };
        loop {
            let failed = match self.try_all(place).await {
                Ok(found) => return Ok(found),
                Err(Failed::Lasting(error)) => return Err(error),
                Err(Failed::Passing(error)) => error,
            };
            let Some(pause) = pauses.next() else { return Err(failed) };
            sleep(jittered(*pause)).await;
        }
    }
}

impl<'p> Place<'p> {
    pub(super) const fn new(segments: &'p [&'p str]) -> Self {
        Self { segments, query: None }
    }
}

/// A wait of a half to all of this, so that gateways do not come back at once.
pub(super) fn jittered(wait: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) % 1_000;
    wait / 2 + wait / 2 * u32::try_from(random).unwrap_or(0) / 1_000
}

/// Whether a request is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// It is.
    Some,
    /// It is not: the registry is known to be away, and this asks whether it is back.
    None,
}

#[cfg(test)]
mod tests;
