//! Project Wycheproof's attack vectors on signed tokens, keys and encrypted tokens.
//!
//! They are read from the shared suites. Every vector with an algorithm known here must come out as the suite says.

use std::path::Path;

use serde_json::{Value, json};

use super::Unverified;
use crate::auth::Refusal;
use crate::auth::key_set::KeySet;

/// A token and the key set it meets.
#[derive(Clone)]
struct Vector {
    name: String,
    token: String,
    keys: Value,
    is_valid: bool,
}

/// Vectors that come out otherwise than the suite says, each with the reason.
const KNOWN_DIFFERENCES: [(&str, &str); 5] = [
    ("\"rfc7520\" 346:", "the header says PS384, the key is for PS256: a key serves its own `alg` only"),
    ("\"base64\" 367:", "its padding got lost upstream: the token is canonical and its MAC is right"),
    ("\"base64\" 370:", "the very same token as 367"),
    (
        "\"base64\" 372:",
        "called valid with a `?` in the header, which is no base64url and not what was signed",
    ),
    ("\"base64\" 373:", "the same in the payload"),
];

fn vectors(file: &str, token_member: &str) -> Vec<Vector> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/suites/wycheproof-jose").join(file);
    let suite: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let mut vectors = Vec::new();
    for group in suite["testGroups"].as_array().unwrap() {
        let key = group.get("public").unwrap_or_else(|| &group["private"]);
        let keys = if key.get("keys").is_some() { key.clone() } else { json!({ "keys": [key] }) };
        for test in group["tests"].as_array().unwrap() {
            let name = format!("{file} {} {}: {}", group["comment"], test["tcId"], test["comment"]);
            let Some(token) = test[token_member].as_str() else { continue };
            let is_valid = test["result"] == "valid";
            vectors.push(Vector { name, token: token.to_owned(), keys: keys.clone(), is_valid });
        }
    }
    vectors
}

/// Whether an issuer with these keys, and with every algorithm of their kind on its list, would take the token.
fn is_taken(vector: &Vector) -> bool {
    let Ok(keys) = KeySet::parse(vector.keys.to_string().as_bytes()) else { return false };
    let Ok(token) = Unverified::parse(&vector.token) else { return false };
    let key = keys.find(token.kid.as_deref(), token.algorithm);
    token.check_type().is_ok() && key.is_some_and(|key| token.verify(key).is_ok())
}

/// Whether the vector is for an algorithm that is not offered: such a token is refused, good or not.
fn is_foreign(vector: &Vector) -> bool {
    vector.name.contains("\"rfc7520\" 347:")
        && Unverified::parse(&vector.token).err() == Some(Refusal::Algorithm)
}

fn check(vectors: &[Vector]) -> (usize, usize) {
    let mut wrong = Vec::new();
    let (mut taken, mut refused) = (0, 0);
    for vector in vectors {
        let is_known = KNOWN_DIFFERENCES.iter().any(|(name, _)| vector.name.contains(name));
        let is_expected = (vector.is_valid && !is_foreign(vector)) != is_known;
        let is_taken = is_taken(vector);
        if is_taken {
            taken += 1
        } else {
            refused += 1
        }
        if is_taken != is_expected {
            wrong.push(format!("{} {}", if is_taken { "taken" } else { "refused" }, vector.name));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    (taken, refused)
}

#[test]
#[cfg_attr(not(has_suites), ignore = "needs ../shared/suites")]
fn signed_tokens_come_out_as_the_suite_says() {
    let vectors =
        [vectors("json_web_signature_test.json", "jws"), vectors("json_web_crypto_test.json", "jws")]
            .concat();
    let (taken, refused) = check(&vectors);
    assert!(taken >= 20 && refused >= 200, "{taken} taken, {refused} refused");
}

#[test]
#[cfg_attr(not(has_suites), ignore = "needs ../shared/suites")]
fn weak_and_ambiguous_keys_come_out_as_the_suite_says() {
    let (taken, refused) = check(&vectors("json_web_key_test.json", "jws"));
    assert_eq!((taken, refused), (3, 19));
}

#[test]
#[cfg_attr(not(has_suites), ignore = "needs ../shared/suites")]
fn encrypted_tokens_are_all_refused() {
    let vectors =
        [vectors("json_web_encryption_test.json", "jwe"), vectors("json_web_crypto_test.json", "jwe")]
            .concat();
    assert!(vectors.len() > 80);
    for vector in &vectors {
        assert!(!is_taken(vector), "{}", vector.name);
    }
}
