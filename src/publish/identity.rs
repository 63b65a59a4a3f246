//! What an event is told apart by: whose it is, and what it holds; and where one with an id was stored.
//!
//! Both are hashes, the same on every gateway and after every start, so that memories can be shared.

use sha2::{Digest, Sha256};
use twox_hash::xxhash3_128::{RawHasher, SecretBuffer};

use crate::event::{EventId, Offset, Partition, Timestamp, Topic};
use crate::log;

/// Whose event it is: topic, principal and event id, hashed so that entries are small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct EventKey(pub(super) u128);

impl EventKey {
    pub(super) fn new(topic: &Topic, principal: &str, event_id: &EventId) -> Self {
        Self(digest(&[topic.as_str().as_bytes(), principal.as_bytes(), event_id.as_str().as_bytes()]))
    }

    /// The key within this life of the topic: what was stored in an earlier topic of the same name is gone with it.
    pub(super) const fn within(self, incarnation: log::Incarnation) -> Self {
        const ODD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
        Self(self.0 ^ (incarnation.0 as u128).wrapping_mul(ODD))
    }

    pub(super) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_le_bytes(bytes))
    }

    pub(super) const fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }
}

/// What was received under an event id. Not proof against somebody who looks for two contents of one fingerprint: an id is
/// its principal's own, so who finds them deceives himself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint(u128);

impl Fingerprint {
    /// The fingerprint of an event's parts as received, and of a key given beside it.
    pub(super) fn new(parts: &[&[u8]], key: Option<&[u8]>) -> Self {
        let mut hash = RawHasher::new(SecretBuffer::default());
        for part in parts.iter().copied().chain(key) {
            hash.write(&(part.len() as u64).to_le_bytes());
            hash.write(part);
        }
        Self(hash.finish_128())
    }

    pub(super) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_le_bytes(bytes))
    }

    pub(super) const fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }
}

/// SHA-256 cut to 128 bits, over parts with their lengths, so that no two lists of parts are one text.
fn digest(parts: &[&[u8]]) -> u128 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let (first, _) = digest.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    u128::from_le_bytes(*first)
}

/// Where an event was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) partition: Partition,
    pub(super) offset: Offset,
    pub(super) timestamp: Timestamp,
}

/// An event that is stored: all that is remembered of it, and told to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) key: EventKey,
    pub(super) fingerprint: Fingerprint,
    pub(super) place: Place,
}
