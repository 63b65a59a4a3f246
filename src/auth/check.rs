//! From the section as written to the checked configuration, with every mistake named at once.

mod grant;
mod issuer;

use std::collections::BTreeSet;
use std::time::Duration;

use super::config::ApiKey;
use super::raw::{RawApiKey, RawMode};
use super::{Config, Mode, RawConfig, api_key};
use crate::event::Timestamp;

/// The shortest shared ticket key.
const TICKET_KEY_BYTES_MIN: usize = 32;
/// The longest time a ticket may be good for.
const TICKET_TTL_MAX: Duration = Duration::from_secs(300);
const TICKET_TTL: Duration = Duration::from_secs(30);

/// The mistakes found so far: path below `auth`, and what is wrong.
#[derive(Debug, Default)]
struct Mistakes(Vec<(String, String)>);

impl Mistakes {
    fn add(&mut self, path: impl Into<String>, problem: impl Into<String>) {
        self.0.push((path.into(), problem.into()));
    }

    /// The value, or a mistake at this path.
    fn take<T, E: ToString>(&mut self, path: impl Into<String>, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(path, error.to_string())).ok()
    }
}

impl RawConfig {
    /// The checked configuration. Reads the files of `jwks_file`, which blocks.
    ///
    /// # Errors
    /// All mistakes at once, each with its path below `auth` (`issuers[0].audience`) and what is wrong.
    pub fn check(self) -> Result<Config, Vec<(String, String)>> {
        let mut mistakes = Mistakes::default();
        let issuers = issuer::check(self.issuers, &mut mistakes);
        let api_keys = check_api_keys(self.api_keys, &mut mistakes);
        if !self.client_certificate_prefix.is_empty() && !is_principal(&self.client_certificate_prefix) {
            mistakes
                .add("client_certificate_prefix", "must have at most 256 bytes and no control characters");
        }
        if self.ticket_key.as_ref().is_some_and(|key| key.expose().len() < TICKET_KEY_BYTES_MIN) {
            mistakes.add("ticket_key", format!("must have at least {TICKET_KEY_BYTES_MIN} bytes"));
        }
        let ticket_ttl = self.ticket_ttl.as_deref().map_or(Some(TICKET_TTL), |text| {
            let bounds = Duration::from_secs(1)..=TICKET_TTL_MAX;
            mistakes.take("ticket_ttl", duration(text, &bounds))
        });
        let grants: Vec<_> = self
            .grants
            .iter()
            .enumerate()
            .filter_map(|(index, raw)| grant::check(&format!("grants[{index}]"), raw, &mut mistakes))
            .collect();
        let mode = match self.mode {
            RawMode::Required => Mode::Required,
            RawMode::Dev => Mode::Dev,
        };
        match ticket_ttl {
            Some(ticket_ttl) if mistakes.0.is_empty() => Ok(Config {
                mode,
                dev_key: None,
                issuers,
                api_keys,
                client_certificate_prefix: self.client_certificate_prefix,
                ticket_key: self.ticket_key,
                ticket_ttl,
                grants,
            }),
            _ => Err(mistakes.0),
        }
    }
}

fn check_api_keys(raw: Vec<RawApiKey>, mistakes: &mut Mistakes) -> Vec<ApiKey> {
    let mut seen = BTreeSet::new();
    let mut checked = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let path = format!("api_keys[{index}]");
        if !api_key::is_id(&raw.id) {
            mistakes.add(format!("{path}.id"), api_key::ID_RULE);
        }
        if !seen.insert(raw.id.clone()) {
            mistakes.add(format!("{path}.id"), format!("'{}' is the id of another key too", raw.id));
        }
        if !is_principal(&raw.principal) {
            mistakes.add(format!("{path}.principal"), "must have 1 to 256 bytes and no control characters");
        }
        let sha256 = api_key::parse_sha256(&raw.sha256)
            .ok_or("must be the SHA-256 of the whole key, 64 hex digits (`weirgate key new` prints it)");
        let sha256 = mistakes.take(format!("{path}.sha256"), sha256);
        let expires_at = raw.expires.as_deref().map_or(Some(None), |text| {
            mistakes.take(format!("{path}.expires"), Timestamp::parse(text)).map(Some)
        });
        if let (Some(sha256), Some(expires_at)) = (sha256, expires_at) {
            checked.push(ApiKey { id: raw.id, principal: raw.principal, sha256, expires_at });
        }
    }
    checked
}

fn is_principal(text: &str) -> bool {
    (1..=256).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// A duration as configuration writes it, within bounds: digits and one of `ms s m h d`.
pub(super) fn duration(text: &str, bounds: &std::ops::RangeInclusive<Duration>) -> Result<Duration, String> {
    let (digits, unit) =
        text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()));
    let unit_ms = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    let millis = digits.parse::<u64>().ok().zip(unit_ms).and_then(|(number, unit)| number.checked_mul(unit));
    let Some(millis) = millis else { return Err(format!("'{text}' is no duration; write 30s, 10m or 1h")) };
    let duration = Duration::from_millis(millis);
    if bounds.contains(&duration) {
        Ok(duration)
    } else {
        Err(format!(
            "'{text}' is out of bounds: from {}s to {}s",
            bounds.start().as_secs(),
            bounds.end().as_secs()
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::auth::{Config, RawConfig};

    pub(super) fn check(section: Value) -> Result<Config, Vec<(String, String)>> {
        serde_json::from_value::<RawConfig>(section).expect("the section has the right shape").check()
    }

    pub(super) fn paths(section: Value) -> Vec<String> {
        check(section)
            .map_or_else(|errors| errors.into_iter().map(|(path, _)| path).collect(), |_| Vec::new())
    }

    #[test]
    fn an_empty_section_denies_everyone() {
        let config = check(json!({})).unwrap();
        assert!(config.grants.is_empty() && config.issuers.is_empty() && config.api_keys.is_empty());
        assert_eq!(config.ticket_ttl.as_secs(), 30);
    }

    #[test]
    fn every_mistake_is_named_at_once_with_its_path() {
        let paths = paths(json!({
            "api_keys": [
                { "id": "a b", "principal": "p", "sha256": "00" },
                { "id": "k", "principal": "", "sha256": "0".repeat(64) },
                { "id": "k", "principal": "p", "sha256": "0".repeat(64), "expires": "tomorrow" },
            ],
            "ticket_key": "short",
            "ticket_ttl": "30",
            "grants": [{ "allow": [] }],
        }));
        assert_eq!(
            paths,
            [
                "api_keys[0].id",
                "api_keys[0].sha256",
                "api_keys[1].principal",
                "api_keys[2].id",
                "api_keys[2].expires",
                "ticket_key",
                "ticket_ttl",
                "grants[0]",
                "grants[0].allow",
            ]
        );
    }

    #[test]
    fn unknown_members_are_refused() {
        for section in [json!({ "issuer": [] }), json!({ "grants": [{ "allow": [], "topic": [] }] })] {
            assert!(serde_json::from_value::<RawConfig>(section).is_err());
        }
    }

    #[test]
    fn ticket_times_are_bounded() {
        for (text, is_good) in [
            ("30s", true),
            ("5m", true),
            ("1000ms", true),
            ("999ms", false),
            ("301s", false),
            ("1w", false),
            ("", false),
        ] {
            assert_eq!(check(json!({ "ticket_ttl": text })).is_ok(), is_good, "{text}");
        }
    }

    #[test]
    fn a_printed_configuration_shows_no_secret() {
        let key = "k".repeat(32);
        let section = json!({ "ticket_key": key });
        let raw: RawConfig = serde_json::from_value(section).unwrap();
        assert!(!format!("{raw:?}").contains(&key));
        assert!(!format!("{:?}", raw.check().unwrap()).contains(&key));
    }
}
