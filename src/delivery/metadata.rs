//! The commit metadata: what a committed offset alone cannot say.
//!
//! Beside the offset (the contiguous settled prefix) travel the records settled above it and the attempts of
//! those that are not: version, run lengths, attempts, checksum, in base64url of at most 4,096 characters.
//! Whatever else is found there (another client's text, a damaged one) reads as empty.
//!
//! ```text
//! 1 | runs: n, (unsettled, settled)* | attempts: n, (offset gap, count, first failure)* | crc32c
//! ```

use std::collections::BTreeMap;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::event::Timestamp;

/// The broker's limit for metadata (`offset.metadata.max.bytes`).
pub(super) const BYTES_MAX: usize = 4_096;

const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 4;

/// Counted failures of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempts {
    /// How many.
    pub(super) count: u32,
    /// When the first was.
    pub(super) first_failed: Timestamp,
}

/// What is known above a committed offset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Offsets settled, sorted, neither touching nor overlapping.
    pub(super) settled: Vec<Range<u64>>,
    /// Attempts of offsets not settled.
    pub(super) attempts: BTreeMap<u64, Attempts>,
}

/// Writes the metadata for a commit at `position`; the caller compares its length to [`BYTES_MAX`].
#[must_use]
pub(super) fn encode(position: u64, progress: &Progress) -> String {
    if progress.settled.is_empty() && progress.attempts.is_empty() {
        return String::new();
    }
    let mut bytes = vec![VERSION];
    write_count(&mut bytes, progress.settled.len());
    let mut at = position;
    for run in &progress.settled {
        write_varint(&mut bytes, run.start.saturating_sub(at));
        write_varint(&mut bytes, run.end.saturating_sub(run.start));
        at = run.end;
    }
    write_count(&mut bytes, progress.attempts.len());
    let (mut at, mut before) = (position, 0_i64);
    for (&offset, attempts) in &progress.attempts {
        let millis = attempts.first_failed.millis();
        write_varint(&mut bytes, offset.saturating_sub(at));
        write_varint(&mut bytes, u64::from(attempts.count));
        write_varint(&mut bytes, zigzag(millis.saturating_sub(before)));
        (at, before) = (offset, millis);
    }
    let checksum = checksum(position, &bytes);
    bytes.extend_from_slice(&checksum);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads the metadata found beside a committed `position`; empty when it is not ours.
#[must_use]
pub(super) fn decode(position: u64, text: &str) -> Progress {
    try_decode(position, text).unwrap_or_default()
}

fn try_decode(position: u64, text: &str) -> Option<Progress> {
    if text.len() > BYTES_MAX {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (body, found) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM_BYTES)?)?;
    if found != checksum(position, body) {
        return None;
    }
    let (&version, mut rest) = body.split_first()?;
    if version != VERSION {
        return None;
    }
    let mut progress = Progress::default();
    let mut at = position;
    for _ in 0..read_varint(&mut rest)? {
        let start = at.checked_add(read_varint(&mut rest)?)?;
        at = start.checked_add(read_varint(&mut rest)?)?;
        progress.settled.push(start..at);
    }
    let (mut at, mut before) = (position, 0_i64);
    for _ in 0..read_varint(&mut rest)? {
        at = at.checked_add(read_varint(&mut rest)?)?;
        let count = u32::try_from(read_varint(&mut rest)?).ok()?;
        before = before.checked_add(unzigzag(read_varint(&mut rest)?))?;
        let attempts = Attempts { count, first_failed: Timestamp::from_millis(before) };
        progress.attempts.insert(at, attempts);
    }
    rest.is_empty().then_some(progress)
}

/// The position is part of it, so that metadata left beside another offset reads as empty.
fn checksum(position: u64, body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    crc32c::crc32c_append(crc32c::crc32c(&position.to_le_bytes()), body).to_le_bytes()
}

const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

const fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

fn write_count(out: &mut Vec<u8>, count: usize) {
    write_varint(out, u64::try_from(count).unwrap_or(u64::MAX));
}

/// Appends a number, seven bits a byte, least significant first.
pub(super) fn write_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
}

/// Takes a number written by [`write_varint`] from the front; `None` when there is no whole one.
pub(super) fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            return None;
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "settled offsets are runs, often a single one")]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::{any, proptest};
    use proptest::{collection, prop_assert_eq};

    use super::{Attempts, BYTES_MAX, Progress, Timestamp, decode, encode};

    fn attempts(count: u32, millis: i64) -> Attempts {
        Attempts { count, first_failed: Timestamp::from_millis(millis) }
    }

    #[test]
    fn nothing_above_the_offset_is_an_empty_text() {
        assert_eq!(encode(7, &Progress::default()), "");
        assert_eq!(decode(7, ""), Progress::default());
    }

    #[test]
    fn foreign_damaged_and_displaced_metadata_reads_as_empty() {
        let progress =
            Progress { settled: vec![12..20], attempts: BTreeMap::from([(10, attempts(2, 5_000))]) };
        let text = encode(10, &progress);
        assert_eq!(decode(10, &text), progress);
        assert_eq!(decode(11, &text), Progress::default());
        let mut damaged = text.into_bytes();
        damaged[3] ^= 1;
        assert_eq!(decode(10, std::str::from_utf8(&damaged).unwrap()), Progress::default());
        for foreign in ["AA==", "some consumer", "eyJhIjoxfQ", "\u{fc}", &"A".repeat(5_000)] {
            assert_eq!(decode(10, foreign), Progress::default(), "{foreign}");
        }
    }

    #[test]
    fn a_stuck_head_with_everything_after_it_done_costs_a_few_bytes() {
        let progress = Progress {
            settled: vec![1..10_000],
            attempts: BTreeMap::from([(0, attempts(3, 1_763_720_130_123))]),
        };
        assert!(encode(0, &progress).len() <= 32);
    }

    #[test]
    fn a_full_partition_of_scattered_first_failures_fits() {
        let settled = (0..256).map(|step| step * 39 + 1..step * 39 + 39).collect();
        let at = 1_763_720_130_123;
        let failed = (0..256).map(|step| (step * 39, attempts(2, at + i64::try_from(step).unwrap() * 997)));
        let text = encode(0, &Progress { settled, attempts: failed.collect() });
        assert!(text.len() <= BYTES_MAX, "{}", text.len());
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_back(
            position in 0_u64..1 << 60,
            steps in collection::vec((1_u64..300, 1_u64..300), 0..100),
            failures in collection::btree_map(0_u64..10_000, (1_u32..1_000, any::<i32>()), 0..60),
        ) {
            let mut at = position;
            let settled = steps.iter().map(|(gap, length)| {
                let start = at + gap;
                at = start + length;
                start..at
            }).collect();
            let failures = failures.into_iter().map(|(offset, (count, millis))| {
                (position + offset, attempts(count, i64::from(millis)))
            }).collect();
            let progress = Progress { settled, attempts: failures };
            let text = encode(position, &progress);
            if text.len() <= BYTES_MAX {
                prop_assert_eq!(decode(position, &text), progress);
            }
        }

        #[test]
        fn no_text_makes_the_reader_fail(position in any::<u64>(), text in ".*") {
            let progress = decode(position, &text);
            prop_assert_eq!(progress.settled.is_empty() || !text.is_empty(), true);
        }
    }
}
