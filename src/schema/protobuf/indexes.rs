//! Which message of a schema the data is: Confluent's message indexes, zig-zag varints of their count and of each, where
//! the first message of all is a single zero.

use super::wire::{read_varint, unzigzag};

/// Messages nest no deeper.
const DEPTH_MAX: i64 = 32;

/// The first message of a schema, the one that data posted as JSON is.
pub(super) const FIRST: &[u8] = &[0];

/// The indexes at the front, in numbers, and how many bytes they take; `None` where they are cut off or make no sense.
pub(super) fn read(framed: &[u8]) -> Option<(Vec<u32>, usize)> {
    let mut rest = framed;
    let count = unzigzag(read_varint(&mut rest)?);
    if count == 0 {
        return Some((vec![0], framed.len() - rest.len()));
    }
    if !(1..=DEPTH_MAX).contains(&count) {
        return None;
    }
    let mut place = Vec::new();
    for _ in 0..count {
        place.push(u32::try_from(unzigzag(read_varint(&mut rest)?)).ok()?);
    }
    Some((place, framed.len() - rest.len()))
}

#[cfg(test)]
mod tests {
    use super::super::wire::{write_varint, zigzag};
    use super::{FIRST, read};

    /// Indexes as they are framed.
    fn write(place: &[u32]) -> Vec<u8> {
        if place == [0] {
            return FIRST.to_vec();
        }
        let mut out = Vec::new();
        write_varint(&mut out, zigzag(i64::try_from(place.len()).unwrap_or(i64::MAX)));
        for index in place {
            write_varint(&mut out, zigzag(i64::from(*index)));
        }
        out
    }

    #[test]
    fn indexes_are_zigzag_varints_and_the_first_message_is_a_single_zero() {
        assert_eq!(write(&[0]), FIRST);
        assert_eq!(write(&[1, 2]), [4, 2, 4]);
        assert_eq!(write(&[100]), [2, 0xc8, 1]);
        for place in [&[0][..], &[1], &[0, 0], &[1, 2, 300]] {
            let framed = [write(place), b"rest".to_vec()].concat();
            assert_eq!(read(&framed), Some((place.to_vec(), framed.len() - 4)));
        }
        assert_eq!(read(&[2, 0, 9]), Some((vec![0], 2)), "the long form is read too");
    }

    #[test]
    fn indexes_that_make_no_sense_are_none() {
        for framed in [&[][..], &[4, 2], &[1], &[2, 1], &[0x80], &[0xfe, 0xff, 0xff, 0xff, 0x0f]] {
            assert_eq!(read(framed), None, "{framed:?}");
        }
    }
}
