//! Which partition a key belongs to, as the Java client says.

use super::Partition;

/// Kafka's murmur2 of a key (`org.apache.kafka.common.utils.Utils.murmur2`), as unsigned bits.
#[must_use]
pub fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let mut hash = 0x9747_b28c_u32 ^ length;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(M);
        mixed ^= mixed >> 24;
        hash = hash.wrapping_mul(M) ^ mixed.wrapping_mul(M);
    }
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

/// The partition of a key among `partitions`, as the Java client chooses it; partition 0 when there are none.
#[must_use]
pub fn partition_of(key: &[u8], partitions: u32) -> Partition {
    Partition::new((murmur2(key) & 0x7fff_ffff).checked_rem(partitions).unwrap_or(0))
}
