//! A compact signed token taken apart and verified, with nothing left to a library's defaults.
//!
//! `jsonwebtoken` only checks signatures here. What the header may say is decided first: the algorithm must be on
//! the issuer's own list and fit the issuer's own key, keys named inside a token are never looked at.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::Value;

use super::key_set::VerifyingKey;
use super::{Refusal, strict_json};

/// The longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// The longest `kid` that is looked up.
const KID_BYTES_MAX: usize = 256;

/// A token whose form is right and whose signature is not yet checked.
#[derive(Debug)]
pub(super) struct Unverified<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    pub(super) payload: Vec<u8>,
    typ: Option<String>,
    message: &'a str,
    signature: &'a str,
}

impl<'a> Unverified<'a> {
    /// Refuses a token that is too long to be looked at.
    pub(super) fn check_length(token: &str) -> Result<(), Refusal> {
        if token.len() > TOKEN_BYTES_MAX { Err(Refusal::TooLong) } else { Ok(()) }
    }

    /// Takes a token apart.
    pub(super) fn parse(token: &'a str) -> Result<Self, Refusal> {
        Self::check_length(token)?;
        let (message, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(Refusal::Malformed)?;
        if payload.contains('.') || header.is_empty() || signature.is_empty() {
            return Err(Refusal::Malformed);
        }
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed);
        let header = strict_json::object(&decode(header)?).ok_or(Refusal::Malformed)?;
        let payload = decode(payload)?;
        decode(signature)?;
        if header.contains_key("crit") || header.get("b64").is_some_and(|value| *value != Value::Bool(true)) {
            return Err(Refusal::Critical);
        }
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(|name| name.parse().ok());
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= KID_BYTES_MAX => Some(kid.clone()),
            Some(_) => return Err(Refusal::Key),
        };
        let typ = match header.get("typ") {
            None => None,
            Some(Value::String(typ)) => Some(typ.clone()),
            Some(_) => return Err(Refusal::Type),
        };
        Ok(Self { algorithm: algorithm.ok_or(Refusal::Algorithm)?, kid, payload, typ, message, signature })
    }

    /// Refuses a token made for another use than access: `typ` may be absent, `JWT` or `at+jwt`.
    pub(super) fn check_type(&self) -> Result<(), Refusal> {
        let Some(typ) = &self.typ else { return Ok(()) };
        let typ = typ.to_ascii_lowercase();
        let name = typ.strip_prefix("application/").unwrap_or(&typ);
        if matches!(name, "jwt" | "at+jwt") { Ok(()) } else { Err(Refusal::Type) }
    }

    /// Checks the signature.
    pub(super) fn verify(&self, key: &VerifyingKey) -> Result<(), Refusal> {
        if key.verifies(self.message, self.signature, self.algorithm) {
            Ok(())
        } else {
            Err(Refusal::Signature)
        }
    }
}

#[cfg(test)]
mod wycheproof;
