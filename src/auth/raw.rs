//! The `auth` section as it is written; `check` makes it a configuration.

use std::collections::BTreeMap;

use super::Secret;

/// The `auth` section of the configuration file.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// `required` or `dev`.
    pub mode: RawMode,
    /// Who may sign tokens.
    pub issuers: Vec<RawIssuer>,
    /// Keys of services.
    pub api_keys: Vec<RawApiKey>,
    /// Put before the name in a client certificate to make the principal; without one, whoever signs them can name any
    /// principal, those of API keys too.
    pub client_certificate_prefix: String,
    /// The shared key of tickets, at least 32 bytes; absent: a random one of this process.
    pub ticket_key: Option<Secret>,
    /// How long a ticket may be used; 30 s when absent.
    pub ticket_ttl: Option<String>,
    /// Who may do what.
    pub grants: Vec<RawGrant>,
}

/// `auth.mode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RawMode {
    /// Every caller brings a credential.
    #[default]
    Required,
    /// As `required`, plus the issuer `weirgate-dev`; on loopback only.
    Dev,
}

/// One entry of `auth.issuers`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawIssuer {
    /// The exact `iss`.
    pub issuer: String,
    /// The `aud` that tokens for this gateway carry.
    pub audience: String,
    /// The algorithms this issuer signs with.
    pub algorithms: Vec<String>,
    /// Where its key set is; https, or http on a loopback address.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// A file with its key set, instead of a URL.
    #[serde(default)]
    pub jwks_file: Option<String>,
    /// Put before `sub` to make the principal; without one, the issuer can name any principal, those of API keys too.
    #[serde(default)]
    pub principal_prefix: String,
    /// The claim that holds roles: a name, or a JSON pointer into the claims.
    #[serde(default)]
    pub role_claim: Option<String>,
    /// How long a fetched key set is fresh; 10 min when absent.
    #[serde(default)]
    pub jwks_max_age: Option<String>,
    /// The least time between two fetches; 30 s when absent.
    #[serde(default)]
    pub jwks_cooldown: Option<String>,
    /// How long a key set may be used while no newer one can be had; 1 h when absent.
    #[serde(default)]
    pub jwks_stale_max: Option<String>,
}

/// One entry of `auth.api_keys`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawApiKey {
    /// The id inside the key, `wg_<id>_<secret>`.
    pub id: String,
    /// Whom the key stands for.
    pub principal: String,
    /// SHA-256 of the whole key, in hex.
    pub sha256: String,
    /// When the key ends, RFC 3339.
    #[serde(default)]
    pub expires: Option<String>,
}

/// One entry of `auth.grants`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawGrant {
    /// Selects principals by a pattern over their names.
    #[serde(default)]
    pub principal: Option<String>,
    /// Selects principals by a pattern over their roles.
    #[serde(default)]
    pub role: Option<String>,
    /// Selects principals by patterns over their claims; all must fit.
    #[serde(default)]
    pub claim: Option<BTreeMap<String, RawScalar>>,
    /// The operations.
    pub allow: Vec<String>,
    /// The topics.
    #[serde(default)]
    pub topics: Vec<String>,
    /// The groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The sources a publisher may name.
    #[serde(default)]
    pub sources: Vec<String>,
    /// The subjects of the schema registry.
    #[serde(default)]
    pub subjects: Vec<String>,
    /// The row filter, `/data/customerId == ${sub}`.
    #[serde(default)]
    pub key_filter: Option<String>,
}

/// A claim's wanted value: text is a pattern, numbers and flags stand for their text.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(untagged)]
pub enum RawScalar {
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// A pattern.
    Text(String),
}

impl std::fmt::Display for RawScalar {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(flag) => flag.fmt(formatter),
            Self::Number(number) => number.fmt(formatter),
            Self::Text(text) => text.fmt(formatter),
        }
    }
}
