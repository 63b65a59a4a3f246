//! `auth.issuers`, checked.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use jsonwebtoken::{Algorithm, AlgorithmFamily};
use reqwest::Url;

use super::{Mistakes, duration};
use crate::auth::claims::Rules;
use crate::auth::config::{Issuer, KeySource};
use crate::auth::dev;
use crate::auth::jwks::Location;
use crate::auth::key_set::KeySet;
use crate::auth::raw::RawIssuer;

const MAX_AGE: Duration = Duration::from_secs(600);
const COOLDOWN: Duration = Duration::from_secs(30);
const STALE_MAX: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Checks all issuers; only the good ones come back, the others are named as mistakes.
pub(super) fn check(raw: Vec<RawIssuer>, mistakes: &mut Mistakes) -> Vec<Issuer> {
    let mut seen = BTreeSet::new();
    let mut checked = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let path = format!("issuers[{index}]");
        if !seen.insert(raw.issuer.clone()) {
            mistakes.add(format!("{path}.issuer"), format!("'{}' is configured twice", raw.issuer));
        }
        checked.extend(check_one(&path, raw, mistakes));
    }
    checked
}

fn check_one(path: &str, raw: RawIssuer, mistakes: &mut Mistakes) -> Option<Issuer> {
    if raw.issuer.is_empty() {
        mistakes.add(format!("{path}.issuer"), "must be the exact `iss` of its tokens");
    }
    if raw.issuer == dev::ISSUER {
        mistakes.add(format!("{path}.issuer"), "is reserved for development mode");
    }
    if raw.audience.is_empty() {
        mistakes.add(format!("{path}.audience"), "must not be empty");
    }
    if raw.role_claim.as_deref().is_some_and(|claim| matches!(claim, "" | "/")) {
        mistakes.add(format!("{path}.role_claim"), "must name a claim, or be a JSON pointer to one");
    }
    let algorithms = check_algorithms(path, &raw, mistakes)?;
    let keys = check_keys(path, &raw, &algorithms, mistakes)?;
    let rules = Rules {
        issuer: raw.issuer,
        audience: raw.audience,
        algorithms,
        principal_prefix: raw.principal_prefix,
        role_claim: raw.role_claim,
    };
    Some(Issuer { rules, keys })
}

fn check_algorithms(path: &str, raw: &RawIssuer, mistakes: &mut Mistakes) -> Option<Vec<Algorithm>> {
    let path = format!("{path}.algorithms");
    if raw.algorithms.is_empty() {
        mistakes.add(&path, "must name at least one, such as RS256 or ES256");
        return None;
    }
    let algorithms: Result<Vec<Algorithm>, String> = raw
        .algorithms
        .iter()
        .map(|name| name.parse().map_err(|_| format!("'{name}' is no algorithm known here")))
        .collect();
    let algorithms = mistakes.take(&path, algorithms)?;
    let secrets = algorithms.iter().filter(|one| one.family() == AlgorithmFamily::Hmac).count();
    if secrets != 0 && secrets != algorithms.len() {
        mistakes.add(&path, "must not mix HS… with algorithms of public keys");
        return None;
    }
    if secrets != 0 && raw.jwks_url.is_some() {
        mistakes.add(&path, "HS… needs its secret in a jwks_file; a URL would publish it");
        return None;
    }
    Some(algorithms)
}

fn check_keys(
    path: &str,
    raw: &RawIssuer,
    algorithms: &[Algorithm],
    mistakes: &mut Mistakes,
) -> Option<KeySource> {
    match (&raw.jwks_url, &raw.jwks_file) {
        (Some(url), None) => {
            let url = mistakes.take(format!("{path}.jwks_url"), check_url(url));
            let mut time = |name: &str, given: &Option<String>, default, least, most| match given {
                None => Some(default),
                Some(text) => mistakes.take(format!("{path}.{name}"), duration(text, &(least..=most))),
            };
            let second = Duration::from_secs(1);
            let max_age = time("jwks_max_age", &raw.jwks_max_age, MAX_AGE, second, DAY);
            let cooldown = time("jwks_cooldown", &raw.jwks_cooldown, COOLDOWN, second, DAY);
            let stale_max = time("jwks_stale_max", &raw.jwks_stale_max, STALE_MAX, Duration::ZERO, 7 * DAY);
            let (url, max_age, cooldown, stale_max) = (url?, max_age?, cooldown?, stale_max?);
            Some(KeySource::Remote(Location { url, max_age, cooldown, stale_max }))
        }
        (None, Some(file)) => {
            let set = mistakes.take(format!("{path}.jwks_file"), read_file(file, algorithms))?;
            Some(KeySource::Fixed(set))
        }
        _ => {
            mistakes.add(path, "needs one of jwks_url and jwks_file");
            None
        }
    }
}

/// https anywhere; http only where nobody can listen in between.
fn check_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("'{text}' is no URL: {error}"))?;
    let host = url.host_str().unwrap_or_default();
    let is_loopback = host == "localhost"
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or password".to_owned());
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback => Ok(url),
        _ => Err("must be https (http is for loopback addresses only)".to_owned()),
    }
}

fn read_file(file: &str, algorithms: &[Algorithm]) -> Result<KeySet, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("cannot read {file}: {error}"))?;
    let set = KeySet::parse(&bytes).map_err(|error| format!("{file} {error}"))?;
    if set.serves(algorithms) { Ok(set) } else { Err(format!("{file} holds no key for these algorithms")) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::auth::check::tests::{check, paths};

    fn issuer(changes: &Value) -> Value {
        let mut issuer = json!({
            "issuer": "https://id.example.com", "audience": "weirgate", "algorithms": ["ES256"],
            "jwks_url": "https://id.example.com/jwks",
        });
        for (name, value) in changes.as_object().unwrap() {
            issuer[name] = value.clone();
        }
        json!({ "issuers": [issuer] })
    }

    #[test]
    fn urls_are_https_or_http_on_loopback() {
        for good in
            ["https://id.example.com/k", "http://127.0.0.1:9/k", "http://[::1]:9/k", "http://localhost/k"]
        {
            assert!(check(issuer(&json!({ "jwks_url": good }))).is_ok(), "{good}");
        }
        for bad in [
            "http://id.example.com/k",
            "http://127.0.0.1.example.com/k",
            "http://169.254.169.254/k",
            "file:///etc/k",
            "http://[::ffff:10.0.0.1]/k",
            "ftp://127.0.0.1/k",
            "nonsense",
            "https://u:p@id.example.com/",
        ] {
            assert_eq!(paths(issuer(&json!({ "jwks_url": bad }))), ["issuers[0].jwks_url"], "{bad}");
        }
    }

    #[test]
    fn algorithms_are_known_ones_of_one_kind() {
        let at = ["issuers[0].algorithms"];
        for bad in [
            json!([]),
            json!(["none"]),
            json!(["ES256", "es384"]),
            json!(["HS256"]),
            json!(["HS256", "RS256"]),
        ] {
            assert_eq!(paths(issuer(&json!({ "algorithms": bad }))), at, "{bad}");
        }
        assert!(check(issuer(&json!({ "algorithms": ["RS256", "PS384", "ES384", "EdDSA"] }))).is_ok());
    }

    #[test]
    fn an_issuer_has_exactly_one_source_of_keys() {
        assert_eq!(paths(issuer(&json!({ "jwks_url": null }))), ["issuers[0]"]);
        assert_eq!(paths(issuer(&json!({ "jwks_file": "x" }))), ["issuers[0]"]);
        let file = json!({ "jwks_url": null, "jwks_file": "/nonexistent/jwks.json" });
        assert_eq!(paths(issuer(&file)), ["issuers[0].jwks_file"]);
    }

    #[test]
    fn the_development_issuer_and_twins_are_refused() {
        assert_eq!(paths(issuer(&json!({ "issuer": "weirgate-dev" }))), ["issuers[0].issuer"]);
        let mut twins = issuer(&json!({}));
        let one = twins["issuers"][0].clone();
        twins["issuers"].as_array_mut().unwrap().push(one);
        assert_eq!(paths(twins), ["issuers[1].issuer"]);
    }

    #[test]
    fn times_have_bounds() {
        let bad = json!({ "jwks_max_age": "0s", "jwks_cooldown": "2d", "jwks_stale_max": "soon" });
        let expected = ["issuers[0].jwks_max_age", "issuers[0].jwks_cooldown", "issuers[0].jwks_stale_max"];
        assert_eq!(paths(issuer(&bad)), expected);
    }
}
