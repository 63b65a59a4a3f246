//! Numbers as Avro writes them: zig-zag, seven bits a byte, least first.

/// Writes a whole number.
pub(super) fn write_long(out: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push((rest & 0x7f) as u8);
}

/// Writes how many bytes or elements follow.
pub(super) fn write_count(out: &mut Vec<u8>, count: usize) {
    write_long(out, i64::try_from(count).unwrap_or(i64::MAX));
}

/// Writes bytes behind their number.
pub(super) fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Reads a whole number: it, and what follows. `None` where it is cut off or too long.
pub(super) fn read_long(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (mut raw, mut rest) = (0_u64, bytes);
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            return None;
        }
        raw |= part << shift;
        if byte & 0x80 == 0 {
            return Some(((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed(), rest));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{read_long, write_long};

    #[test]
    fn numbers_come_back_and_nothing_longer_is_one() {
        for number in [0, -1, 1, 63, 64, -64, -65, 8_191, 8_192, i64::MAX, i64::MIN, 1 << 40] {
            let mut out = Vec::new();
            write_long(&mut out, number);
            assert_eq!(read_long(&out), Some((number, &[][..])));
            let (_, cut) = out.split_last().unwrap();
            assert_eq!(read_long(cut), None);
        }
        let mut out = Vec::new();
        write_long(&mut out, -65);
        assert_eq!(out, [0x81, 0x01]);
        assert_eq!(read_long(&[0xff; 10]), None);
        assert_eq!(read_long(&[0x80; 11]), None);
    }
}
