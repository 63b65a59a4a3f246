//! What a verified token says, checked: issuer, audience, times, subject, roles.

use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::{Error, Refusal};
use crate::event::Timestamp;

/// How far the issuer's clock may differ from ours.
pub(super) const LEEWAY_MS: i64 = 30_000;
/// The furthest `exp` that is believed: a year and a day.
const LIFETIME_MS_MAX: i64 = 366 * 24 * 60 * 60 * 1_000;
/// The longest name a principal may have.
const PRINCIPAL_BYTES_MAX: usize = 256;

/// What an issuer's tokens must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rules {
    /// The exact `iss`.
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) principal_prefix: String,
    /// A claim's name, or a JSON pointer when it begins with `/`.
    pub(super) role_claim: Option<String>,
}

/// Whom a token names.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) principal: String,
    pub(super) roles: Vec<String>,
    pub(super) expires_at: Timestamp,
}

impl Rules {
    /// Checks every claim this gateway relies on.
    pub(super) fn check(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<Identity, Error> {
        let refuse = |refusal| Err(Error::TokenInvalid(refusal));
        if claims.get("iss").and_then(Value::as_str) != Some(self.issuer.as_str()) {
            return refuse(Refusal::Issuer);
        }
        if !claims.get("aud").is_some_and(|audience| self.is_meant(audience)) {
            return refuse(Refusal::Audience);
        }
        let expires_at = check_times(claims, now)?;
        let Some(sub) = claims.get("sub").and_then(Value::as_str).filter(|sub| !sub.is_empty()) else {
            return refuse(Refusal::Subject);
        };
        let principal = format!("{}{sub}", self.principal_prefix);
        if principal.len() > PRINCIPAL_BYTES_MAX || principal.chars().any(char::is_control) {
            return refuse(Refusal::Subject);
        }
        Ok(Identity { principal, roles: self.roles(claims), expires_at })
    }

    /// A string, or an array of strings that holds ours.
    fn is_meant(&self, audience: &Value) -> bool {
        match audience {
            Value::String(one) => *one == self.audience,
            Value::Array(many) => {
                many.iter().all(Value::is_string) && many.iter().any(|one| *one == self.audience.as_str())
            }
            _ => false,
        }
    }

    fn roles(&self, claims: &Map<String, Value>) -> Vec<String> {
        let claim = self.role_claim.as_deref().and_then(|name| find(claims, name));
        match claim {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }
}

/// A claim by its name, or by a JSON pointer for names like `/realm_access/roles`.
fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let Some(path) = name.strip_prefix('/') else { return claims.get(name) };
    let (first, rest) = path.split_once('/').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let found = claims.get(&first.replace("~1", "/").replace("~0", "~"))?;
    rest.map_or(Some(found), |rest| found.pointer(&format!("/{rest}")))
}

/// `exp` is required; `nbf` and `iat` count when given. All are whole seconds. Answers `exp`.
fn check_times(claims: &Map<String, Value>, now: Timestamp) -> Result<Timestamp, Error> {
    let refused = Error::TokenInvalid(Refusal::Times);
    let seconds = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => {
            let millis = value.as_u64().and_then(|seconds| i64::try_from(seconds).ok()?.checked_mul(1_000));
            millis.map(Some).ok_or_else(|| refused.clone())
        }
    };
    let (exp, nbf, iat) = (seconds("exp")?, seconds("nbf")?, seconds("iat")?);
    let exp = exp.ok_or_else(|| refused.clone())?;
    let is_future =
        |time: Option<i64>| time.is_some_and(|time| time > now.millis().saturating_add(LEEWAY_MS));
    if is_future(nbf) || is_future(iat) || exp > now.millis().saturating_add(LIFETIME_MS_MAX) {
        return Err(refused);
    }
    if is_over(Timestamp::from_millis(exp), now) {
        return Err(Error::TokenExpired);
    }
    Ok(Timestamp::from_millis(exp))
}

/// Whether a token with this `exp` is over, leeway granted.
pub(super) fn is_over(expires_at: Timestamp, now: Timestamp) -> bool {
    now >= expires_at.plus_millis(LEEWAY_MS)
}
