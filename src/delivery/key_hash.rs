//! What stands for a record's key where keys are remembered: as long for a long key as for a short one, and nothing
//! that can be read in a table or a log.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// The first half of a key's SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct KeyHash([u8; Self::BYTES]);

impl KeyHash {
    /// How long it is.
    pub(super) const BYTES: usize = 16;

    /// One whose bytes were kept.
    pub(super) const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    pub(super) fn of(key: &[u8]) -> Self {
        let mut hash = [0; Self::BYTES];
        hash.iter_mut().zip(Sha256::digest(key)).for_each(|(to, from)| *to = from);
        Self(hash)
    }

    /// Reads one as it is shown; `None` for a text that is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let number = u128::from_str_radix(text, 16).ok()?;
        let hash = Self(number.to_be_bytes());
        (hash.to_string() == text).then_some(hash)
    }

    pub(super) const fn bytes(self) -> [u8; Self::BYTES] {
        self.0
    }
}

impl serde::Serialize for KeyHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for KeyHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("no hash of a key"))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::KeyHash;

    #[test]
    fn a_hash_is_read_as_it_is_shown_and_nothing_else_is() {
        let hash = KeyHash::of(b"42");
        assert_eq!(hash.to_string(), "73475cb40a568e8da8a045ced110137e");
        assert_eq!(KeyHash::parse(&hash.to_string()), Some(hash));
        for bad in ["", "42", "73475CB40A568E8DA8A045CED110137E", "+3475cb40a568e8da8a045ced110137e"] {
            assert_eq!(KeyHash::parse(bad), None, "{bad}");
        }
    }
}
