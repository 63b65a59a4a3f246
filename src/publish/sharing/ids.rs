//! Event ids as a value of the table: a version, then entries of a fixed size.

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::event::{Offset, Partition, Timestamp};

use super::super::identity::{EventKey, Fingerprint, Place, Stored};

/// So many ids are one value at most.
pub(super) const ENTRIES_MAX: usize = 1_024;
/// What one takes: key, fingerprint, partition, offset and time.
pub(super) const ENTRY_BYTES: usize = 16 + 16 + 4 + 8 + 8;

/// Grows with the layout, and with what a fingerprint is.
const VERSION: u8 = 2;

pub(super) fn encode(stored: &[Stored]) -> Bytes {
    let mut value = BytesMut::with_capacity(1 + stored.len() * ENTRY_BYTES);
    value.put_u8(VERSION);
    for Stored { key, fingerprint, place } in stored {
        value.put_slice(&key.to_bytes());
        value.put_slice(&fingerprint.to_bytes());
        value.put_u32_le(place.partition.number());
        value.put_u64_le(place.offset.number());
        value.put_i64_le(place.timestamp.millis());
    }
    value.freeze()
}

/// `None` where a later version, or something else, wrote it.
pub(super) fn decode(value: &[u8]) -> Option<impl ExactSizeIterator<Item = Stored>> {
    let (version, entries) = value.split_first()?;
    let (entries, rest) = entries.as_chunks::<ENTRY_BYTES>();
    (*version == VERSION && rest.is_empty()).then(|| entries.iter().map(entry))
}

fn entry(bytes: &[u8; ENTRY_BYTES]) -> Stored {
    let mut rest = bytes.as_slice();
    let place = |rest: &mut &[u8]| Place {
        partition: Partition::new(u32::from_le_bytes(next(rest))),
        offset: Offset::new(u64::from_le_bytes(next(rest))),
        timestamp: Timestamp::from_millis(i64::from_le_bytes(next(rest))),
    };
    let key = EventKey::from_bytes(next(&mut rest));
    let fingerprint = Fingerprint::from_bytes(next(&mut rest));
    Stored { key, fingerprint, place: place(&mut rest) }
}

/// The next bytes, of which there are enough.
fn next<const COUNT: usize>(rest: &mut &[u8]) -> [u8; COUNT] {
    let Some((first, behind)) = rest.split_first_chunk::<COUNT>() else { return [0; COUNT] };
    *rest = behind;
    *first
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::super::super::identity::{EventKey, Fingerprint, Place, Stored};
    use super::{ENTRY_BYTES, VERSION, decode, encode};
    use crate::event::{Offset, Partition, Timestamp};

    fn stored(key: u8, partition: u32, offset: u64, millis: i64) -> Stored {
        Stored {
            key: EventKey::from_bytes([key; 16]),
            fingerprint: Fingerprint::from_bytes([key.wrapping_add(1); 16]),
            place: Place {
                partition: Partition::new(partition),
                offset: Offset::new(offset),
                timestamp: Timestamp::from_millis(millis),
            },
        }
    }

    #[test]
    fn ids_come_back_as_they_went_in() {
        let all = [stored(1, 0, 0, 0), stored(2, u32::MAX, u64::MAX, i64::MIN), stored(3, 7, 8, i64::MAX)];
        let value = encode(&all);
        assert_eq!(value.len(), 1 + all.len() * ENTRY_BYTES);
        assert_eq!(decode(&value).unwrap().collect::<Vec<_>>(), all);
    }

    #[test]
    fn what_another_version_wrote_or_is_cut_off_is_passed_over() {
        let value = encode(&[stored(1, 2, 3, 4)]);
        assert!(decode(&value[..value.len() - 1]).is_none());
        assert!(decode(&[&[VERSION + 1], &value[1..]].concat()).is_none());
        assert!(decode(&[]).is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(value: Vec<u8>, is_ours in any::<bool>()) {
            let value = if is_ours { [&[VERSION], &value[..]].concat() } else { value };
            if let Some(stored) = decode(&value) {
                assert_eq!(stored.count() * ENTRY_BYTES, value.len() - 1);
            }
        }
    }
}
