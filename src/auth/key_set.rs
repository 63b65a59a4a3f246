//! An issuer's public keys: a JSON Web Key Set, read with distrust.
//!
//! Entries for other uses, of other kinds, or too weak are left out. A set that mixes shared secrets with public
//! keys is refused whole: nobody who publishes one means it.

mod weakness;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::strict_json;

/// The most entries a set may have.
const KEYS_MAX: usize = 100;

/// SHA-256 over a key's kind and value: tells whether two sets hold the same key, whatever its `kid`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 32]);

/// Why a key set is refused whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeySetError {
    /// Not a JSON object with an array `keys` of objects.
    #[error("is no JSON Web Key Set")]
    Malformed,
    /// More than 100 keys.
    #[error("holds more than {KEYS_MAX} keys")]
    TooMany,
    /// Shared secrets beside public keys.
    #[error("mixes shared secrets with public keys")]
    Mixed,
}

/// The keys of one issuer that may verify signatures.
#[derive(Debug, Clone, Default)]
pub(super) struct KeySet {
    keys: Vec<VerifyingKey>,
}

/// One key, bound to what it may verify.
#[derive(Clone)]
pub(super) struct VerifyingKey {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
    fingerprint: Fingerprint,
}

impl KeySet {
    /// Reads a JSON Web Key Set.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, KeySetError> {
        let document = strict_json::object(bytes).ok_or(KeySetError::Malformed)?;
        let Some(Value::Array(entries)) = document.get("keys") else { return Err(KeySetError::Malformed) };
        if entries.len() > KEYS_MAX {
            return Err(KeySetError::TooMany);
        }
        let objects: Option<Vec<_>> = entries.iter().map(Value::as_object).collect();
        let objects = objects.ok_or(KeySetError::Malformed)?;
        let secrets = objects.iter().filter(|entry| text(entry, "kty") == Some("oct")).count();
        if secrets != 0 && secrets != objects.len() {
            return Err(KeySetError::Mixed);
        }
        let is_single = |entry: &&Map<String, Value>| {
            !entry.contains_key("kid") || objects.iter().filter(|other| are_twins(entry, other)).count() == 1
        };
        let singles = objects.iter().copied().filter(is_single);
        Ok(Self { keys: singles.filter_map(VerifyingKey::from_jwk).collect() })
    }

    /// A set of one shared secret for HS256.
    pub(super) fn of_secret(kid: &str, secret: &[u8]) -> Self {
        let algorithms = vec![Algorithm::HS256];
        let fingerprint = Fingerprint::of(b"oct", &[secret]);
        let key = DecodingKey::from_secret(secret);
        Self { keys: vec![VerifyingKey { kid: Some(kid.to_owned()), algorithms, key, fingerprint }] }
    }

    /// The one key that a token with this `kid` and algorithm can mean; `None` when none fits, or more than one.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&VerifyingKey> {
        let mut fitting = self.keys.iter().filter(|key| {
            key.algorithms.contains(&algorithm) && kid.is_none_or(|wanted| key.kid.as_deref() == Some(wanted))
        });
        fitting.next().filter(|_| fitting.next().is_none())
    }

    /// Whether this very key is in the set.
    pub(super) fn contains(&self, fingerprint: Fingerprint) -> bool {
        self.keys.iter().any(|key| key.fingerprint == fingerprint)
    }

    /// Whether every key of this set is in `other`.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.keys.iter().all(|key| other.contains(key.fingerprint))
    }

    /// Whether some key is a shared secret.
    pub(super) fn has_secrets(&self) -> bool {
        self.keys.iter().any(|key| key.key.family() == AlgorithmFamily::Hmac)
    }

    /// Whether some key can verify one of these algorithms.
    pub(super) fn serves(&self, algorithms: &[Algorithm]) -> bool {
        self.keys.iter().any(|key| key.algorithms.iter().any(|one| algorithms.contains(one)))
    }
}

impl VerifyingKey {
    /// Whether `signature` (base64url) is this key's over `message`.
    pub(super) fn verifies(&self, message: &str, signature: &str, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
            && jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.key, algorithm)
                .unwrap_or(false)
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// `None` for a key that is not for signatures, not of a kind known here, or too weak.
    fn from_jwk(entry: &Map<String, Value>) -> Option<Self> {
        if !is_for_signatures(entry) {
            return None;
        }
        let kid = match entry.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.clone()),
            Some(_) => return None,
        };
        let (possible, key, fingerprint) = match text(entry, "kty")? {
            "RSA" => rsa(entry)?,
            "EC" => elliptic(entry)?,
            "OKP" => edwards(entry)?,
            "oct" => secret(entry)?,
            _ => return None,
        };
        let algorithms = match entry.get("alg") {
            None => possible,
            Some(declared) => {
                let declared: Algorithm = declared.as_str()?.parse().ok()?;
                possible.into_iter().filter(|algorithm| *algorithm == declared).collect()
            }
        };
        (!algorithms.is_empty()).then_some(Self { kid, algorithms, key, fingerprint })
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("VerifyingKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl Fingerprint {
    /// From its 32 bytes.
    pub(super) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn of(kind: &[u8], parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new_with_prefix(kind);
        for part in parts {
            hash.update([0]);
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Fingerprint")
    }
}

type Read = (Vec<Algorithm>, DecodingKey, Fingerprint);

fn is_for_signatures(entry: &Map<String, Value>) -> bool {
    let is_use_right = entry.get("use").is_none_or(|usage| usage == "sig");
    let is_verifying = |operations: &Value| {
        operations.as_array().is_some_and(|list| list.iter().any(|operation| operation == "verify"))
    };
    is_use_right && entry.get("key_ops").is_none_or(is_verifying)
}

/// Whether two entries claim the same name for the same use. Neither is taken, even if one cannot be read: whoever
/// added it may have meant to replace the other.
fn are_twins(one: &Map<String, Value>, other: &Map<String, Value>) -> bool {
    is_for_signatures(one)
        && is_for_signatures(other)
        && ["kid", "kty", "alg"].iter().all(|name| one.get(*name) == other.get(*name))
}

fn rsa(entry: &Map<String, Value>) -> Option<Read> {
    let (modulus, exponent) = (bytes(entry, "n")?, bytes(entry, "e")?);
    if weakness::of_rsa(&modulus, &exponent) {
        return None;
    }
    let fingerprint = Fingerprint::of(b"RSA", &[&modulus, &exponent]);
    let algorithms = AlgorithmFamily::Rsa.algorithms().to_vec();
    Some((algorithms, DecodingKey::from_rsa_raw_components(&modulus, &exponent), fingerprint))
}

fn elliptic(entry: &Map<String, Value>) -> Option<Read> {
    let (algorithm, length) = match text(entry, "crv")? {
        "P-256" => (Algorithm::ES256, 32),
        "P-384" => (Algorithm::ES384, 48),
        _ => return None,
    };
    let (x, y) = (bytes(entry, "x")?, bytes(entry, "y")?);
    if x.len() != length || y.len() != length {
        return None;
    }
    let key = DecodingKey::from_ec_components(text(entry, "x")?, text(entry, "y")?).ok()?;
    Some((vec![algorithm], key, Fingerprint::of(b"EC", &[&x, &y])))
}

fn edwards(entry: &Map<String, Value>) -> Option<Read> {
    let x = bytes(entry, "x")?;
    if text(entry, "crv")? != "Ed25519" || x.len() != 32 {
        return None;
    }
    let key = DecodingKey::from_ed_components(text(entry, "x")?).ok()?;
    Some((vec![Algorithm::EdDSA], key, Fingerprint::of(b"OKP", &[&x])))
}

/// A secret serves the algorithms whose hash is not longer than it (RFC 7518 §3.2).
fn secret(entry: &Map<String, Value>) -> Option<Read> {
    let secret = bytes(entry, "k")?;
    let all = [(Algorithm::HS256, 32), (Algorithm::HS384, 48), (Algorithm::HS512, 64)];
    let algorithms =
        all.iter().filter(|(_, least)| secret.len() >= *least).map(|(algorithm, _)| *algorithm).collect();
    Some((algorithms, DecodingKey::from_secret(&secret), Fingerprint::of(b"oct", &[&secret])))
}

fn text<'a>(entry: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    entry.get(name).and_then(Value::as_str)
}

fn bytes(entry: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text(entry, name)?).ok()
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::Algorithm;

    use super::{KeySet, KeySetError};

    const EC: &str = r#"{"kty":"EC","crv":"P-256","kid":"a","x":"04N0xi21hshyvBp7I167sbE_bXqyqkAPfefdklMO7wY","y":"UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgmw"}"#;
    const OCT: &str = r#"{"kty":"oct","kid":"s","k":"-ebuDNsVZ2iJtoZ-akfXTSCt4UO2cruLCsbWlBinggE"}"#;

    fn set(entries: &[&str]) -> Result<KeySet, KeySetError> {
        KeySet::parse(format!("{{\"keys\":[{}]}}", entries.join(",")).as_bytes())
    }

    #[test]
    fn a_key_is_found_by_kid_and_algorithm_or_by_being_the_only_one() {
        let one = set(&[EC]).unwrap();
        assert!(one.find(Some("a"), Algorithm::ES256).is_some());
        assert!(one.find(None, Algorithm::ES256).is_some());
        assert!(one.find(Some("A"), Algorithm::ES256).is_none());
        assert!(one.find(Some("a"), Algorithm::RS256).is_none());
        assert!(one.find(Some("a"), Algorithm::HS256).is_none());
        let twins = set(&[EC, EC]).unwrap();
        assert!(twins.find(Some("a"), Algorithm::ES256).is_none());
        assert!(twins.find(None, Algorithm::ES256).is_none());
        let broken = EC.replace("04N0", "====");
        assert!(set(&[EC, &broken]).unwrap().find(Some("a"), Algorithm::ES256).is_none());
        let renamed = EC.replace("\"a\"", "\"b\"");
        let two = set(&[EC, &renamed]).unwrap();
        assert!(two.find(Some("b"), Algorithm::ES256).is_some());
        assert!(two.find(None, Algorithm::ES256).is_none());
    }

    #[test]
    fn secrets_beside_public_keys_are_refused() {
        assert_eq!(set(&[EC, OCT]).unwrap_err(), KeySetError::Mixed);
        let secrets = set(&[OCT]).unwrap();
        assert!(secrets.has_secrets());
        assert!(secrets.find(Some("s"), Algorithm::HS256).is_some());
        assert!(secrets.find(Some("s"), Algorithm::HS512).is_none(), "a secret shorter than the hash");
    }

    #[test]
    fn malformed_and_oversized_sets_are_refused() {
        for bad in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[1]}"#, r#"{"keys":[],"keys":[]}"#] {
            assert_eq!(KeySet::parse(bad.as_bytes()).unwrap_err(), KeySetError::Malformed, "{bad}");
        }
        assert!(set(&vec![EC; 100]).is_ok());
        assert_eq!(set(&vec![EC; 101]).unwrap_err(), KeySetError::TooMany);
    }

    #[test]
    fn keys_for_other_uses_and_kinds_are_left_out() {
        let with = |extra: &str| set(&[&EC.replace("{\"kty\"", &format!("{{{extra},\"kty\""))]).unwrap();
        for extra in [
            r#""use":"enc""#,
            r#""key_ops":["encrypt"]"#,
            r#""key_ops":"verify""#,
            r#""alg":"ES384""#,
            r#""alg":"ES521""#,
            r#""alg":7"#,
        ] {
            assert!(with(extra).find(Some("a"), Algorithm::ES256).is_none(), "{extra}");
        }
        for extra in [r#""use":"sig""#, r#""key_ops":["verify"]"#, r#""alg":"ES256""#, r#""x5t":"q""#] {
            assert!(with(extra).find(Some("a"), Algorithm::ES256).is_some(), "{extra}");
        }
    }
}
