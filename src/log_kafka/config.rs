//! What an operator may set of the Kafka engine.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::OpenError;
use super::settings::Settings;
use super::topic_settings::AllTopicSettings;

/// A text that shows itself to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Keeps a text secret.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(hidden)")
    }
}

/// How connections are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// Neither encrypted nor authenticated.
    Plaintext,
    /// TLS, the client's certificate optional.
    Ssl,
    /// SASL without encryption.
    SaslPlaintext,
    /// SASL within TLS.
    SaslSsl,
}

impl SecurityProtocol {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    pub(super) const fn is_encrypted(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }
}

/// Who the gateway is to Kafka, by SASL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sasl {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: String,
    /// The user.
    pub username: String,
    /// Its password.
    pub password: Secret,
}

/// Files of TLS, in PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates of the authorities that may sign brokers' certificates; the system's when absent.
    pub ca: Option<PathBuf>,
    /// The gateway's own certificate.
    pub certificate: Option<PathBuf>,
    /// The key of that certificate.
    pub key: Option<PathBuf>,
}

impl Tls {
    /// Looks into the files; blocks for a moment.
    pub(super) fn check(&self) -> Result<(), OpenError> {
        let alone = |name: &str| {
            let problem = "is needed beside the other: a certificate and its key".to_owned();
            Err(OpenError::Property { name: name.to_owned(), problem })
        };
        match (&self.certificate, &self.key) {
            (Some(_), None) => return alone("security.tls.key"),
            (None, Some(_)) => return alone("security.tls.certificate"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        let files = [
            ("security.tls.ca", &self.ca, "CERTIFICATE-----"),
            ("security.tls.certificate", &self.certificate, "CERTIFICATE-----"),
            ("security.tls.key", &self.key, "PRIVATE KEY-----"),
        ];
        for (name, path, kind) in files {
            let Some(path) = path else { continue };
            let text = std::fs::read(path).map_err(|error| OpenError::File {
                name,
                problem: format!("cannot be read: {}: {error}", path.display()),
            })?;
            let is_kind = String::from_utf8_lossy(&text)
                .lines()
                .any(|line| line.starts_with("-----BEGIN ") && line.trim_end().ends_with(kind));
            if !is_kind {
                let kind = kind.trim_end_matches('-').to_lowercase();
                let problem = format!("holds no {kind} in PEM: {}", path.display());
                return Err(OpenError::File { name, problem });
            }
        }
        Ok(())
    }
}

/// How the gateway proves itself and whom it trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Security {
    /// How connections are protected.
    pub protocol: SecurityProtocol,
    /// For the SASL protocols.
    pub sasl: Option<Sasl>,
    /// For the TLS protocols.
    pub tls: Tls,
}

/// How group members talk to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupProtocol {
    /// What the cluster offers: [`GroupProtocol::Consumer`] from 4.0 on.
    Auto,
    /// The protocol of KIP-848.
    Consumer,
    /// The older protocol, with cooperative-sticky assignment.
    Classic,
}

/// The Kafka engine's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where to find the cluster, each as `host:port`.
    pub brokers: Vec<String>,
    /// The name under which brokers see the gateway.
    pub client_id: String,
    /// How the gateway proves itself and whom it trusts.
    pub security: Security,
    /// How group members talk to the cluster.
    pub group_protocol: GroupProtocol,
    /// The name of this gateway's static memberships; `None` makes them dynamic.
    pub instance: Option<String>,
    /// How long the producer waits for more records before it sends.
    pub linger: Duration,
    /// How long an append may take before its outcome counts as unknown.
    pub delivery_timeout: Duration,
    /// Further librdkafka properties. Their values may be secrets.
    pub properties: BTreeMap<String, Secret>,
    /// Bytes of appends not yet answered before [`crate::log::Error::Overloaded`].
    pub queue_bytes_max: usize,
    /// How long a revoked partition may take to be given back: longer than any group's grace.
    pub give_back_max: Duration,
    /// How topics are stored that the gateway makes or keeps as configured.
    pub topic_settings: AllTopicSettings,
}

impl Config {
    /// The settings of `deploy/weirgate.yaml`, for these brokers.
    #[must_use]
    pub fn of(brokers: Vec<String>) -> Self {
        Self {
            brokers,
            client_id: "weirgate".to_owned(),
            security: Security { protocol: SecurityProtocol::Plaintext, sasl: None, tls: Tls::default() },
            group_protocol: GroupProtocol::Auto,
            instance: None,
            linger: Duration::ZERO,
            delivery_timeout: Duration::from_secs(10),
            properties: BTreeMap::new(),
            queue_bytes_max: 64 << 20,
            give_back_max: Duration::from_secs(30),
            topic_settings: AllTopicSettings::default(),
        }
    }

    /// Looks for what cannot be, whatever the cluster is like.
    ///
    /// # Errors
    /// The first setting that cannot be.
    pub fn check(&self) -> Result<(), OpenError> {
        Settings::new(self.clone()).map(drop)
    }
}
