//! API keys: `wg_<id>_<secret>`, known to the gateway by the SHA-256 of the whole text only.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::SetupError;

/// What an id may be.
pub(super) const ID_RULE: &str = "must have 1 to 64 characters of A-Z a-z 0-9 - and _";

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 190 bits of randomness.
const SECRET_CHARS: usize = 32;
/// Longer texts are not looked at.
const KEY_BYTES_MAX: usize = 512;

/// A new key: the only place where its text is seen.
pub struct NewKey {
    /// The whole key, to be shown once.
    pub text: String,
    /// What the configuration stores, in hex.
    pub sha256: String,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("NewKey")
    }
}

/// A new key with this id and a random secret of 190 bits.
///
/// # Errors
/// [`SetupError::KeyId`] when the id is no id, [`SetupError::Random`] when the system has no randomness.
pub fn generate(id: &str) -> Result<NewKey, SetupError> {
    if !is_id(id) {
        return Err(SetupError::KeyId(ID_RULE));
    }
    let text = format!("wg_{id}_{}", random_text(SECRET_CHARS)?);
    let sha256 = hash(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(NewKey { text, sha256 })
}

/// A random id for a key whose maker did not choose one.
///
/// # Errors
/// [`SetupError::Random`] when the system has no randomness.
pub fn random_id() -> Result<String, SetupError> {
    Ok(random_text(10)?.to_ascii_lowercase())
}

pub(super) fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

pub(super) fn parse_sha256(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    text.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(hash)
}

/// The id inside a key; `None` when the text has not the form of one.
pub(super) fn id_of(key: &str) -> Option<&str> {
    let (id, secret) = key.strip_prefix("wg_")?.rsplit_once('_')?;
    (key.len() <= KEY_BYTES_MAX && is_id(id) && !secret.is_empty()).then_some(id)
}

/// Whether `key` is the one with this hash, in a time that does not depend on how much of it is right. An unknown
/// id passes `None` and takes as long.
pub(super) fn is_right(key: &str, sha256: Option<&[u8; 32]>) -> bool {
    let is_equal = bool::from(hash(key).ct_eq(sha256.unwrap_or(&[0; 32])));
    is_equal && sha256.is_some()
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// Letters and digits, each equally likely: bytes from 248 up would favour the first eight and are drawn again.
fn random_text(chars: usize) -> Result<String, SetupError> {
    let mut text = String::with_capacity(chars);
    while text.len() < chars {
        let mut bytes = [0_u8; 64];
        getrandom::fill(&mut bytes).map_err(SetupError::Random)?;
        let letters = bytes.iter().filter(|byte| **byte < 248);
        let letters = letters.filter_map(|byte| ALPHABET.get(usize::from(*byte) % ALPHABET.len()));
        text.extend(letters.take(chars - text.len()).map(|letter| char::from(*letter)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{generate, id_of, is_right, parse_sha256, random_id};

    #[test]
    fn a_new_key_is_recognised_by_its_hash_only() {
        let new = generate("k_1-A").unwrap();
        assert!(new.text.starts_with("wg_k_1-A_") && new.text.len() == 9 + 32);
        assert_eq!(id_of(&new.text), Some("k_1-A"));
        let sha256 = parse_sha256(&new.sha256).unwrap();
        assert!(is_right(&new.text, Some(&sha256)));
        assert!(!is_right(&new.text[..new.text.len() - 1], Some(&sha256)));
        assert!(!is_right(&new.text, Some(&[0; 32])));
        assert!(!is_right(&new.text, None));
        assert_eq!(format!("{new:?}"), "NewKey");
    }

    #[test]
    fn secrets_are_long_and_never_the_same() {
        let keys: BTreeSet<_> = (0..1_000).map(|_| generate("k").unwrap().text).collect();
        assert_eq!(keys.len(), 1_000);
        let letters: BTreeSet<_> = keys.iter().flat_map(|key| key["wg_k_".len()..].chars()).collect();
        assert_eq!(letters.len(), 62, "every letter of the alphabet turns up");
        assert_eq!(random_id().unwrap().len(), 10);
    }

    #[test]
    fn other_texts_are_no_keys() {
        for bad in [
            "",
            "wg_",
            "wg_k",
            "wg_k_",
            "wg__x",
            "k_x",
            "wg_a b_x",
            "WG_k_x",
            &format!("wg_k_{}", "x".repeat(600)),
        ] {
            assert_eq!(id_of(bad), None, "{bad}");
        }
        assert!(generate("a b").is_err());
    }

    #[test]
    fn a_hash_is_64_hex_digits() {
        assert!(parse_sha256(&"aF".repeat(32)).is_some());
        for bad in ["", &"a".repeat(63), &"g".repeat(64), &"+1".repeat(32), &"ä".repeat(32)] {
            assert!(parse_sha256(bad).is_none(), "{bad}");
        }
    }
}
