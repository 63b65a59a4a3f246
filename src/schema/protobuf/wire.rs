//! Protobuf's wire format: varints, keys and lengths, written and read within bounds.

/// How a field's bytes are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Varint,
    Fixed64,
    Length,
    GroupBegin,
    GroupEnd,
    Fixed32,
}

/// A field's bytes as they stand on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire<'b> {
    Varint(u64),
    Fixed64(u64),
    /// Text, bytes, a message or packed numbers.
    Bytes(&'b [u8]),
    /// The inside of a group.
    Group(&'b [u8]),
    Fixed32(u32),
}

/// Groups may nest this deep where they are passed over.
const GROUPS_DEPTH_MAX: usize = 64;
/// The highest number of a field.
const NUMBER_MAX: u64 = (1 << 29) - 1;

impl Layout {
    const fn number(self) -> u32 {
        match self {
            Self::Varint => 0,
            Self::Fixed64 => 1,
            Self::Length => 2,
            Self::GroupBegin => 3,
            Self::GroupEnd => 4,
            Self::Fixed32 => 5,
        }
    }

    const fn of(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Varint),
            1 => Some(Self::Fixed64),
            2 => Some(Self::Length),
            3 => Some(Self::GroupBegin),
            4 => Some(Self::GroupEnd),
            5 => Some(Self::Fixed32),
            _ => None,
        }
    }
}

/// What stands before a field's bytes.
pub(super) fn key(number: u32, layout: Layout) -> Box<[u8]> {
    let mut key = Vec::new();
    write_varint(&mut key, u64::from(number << 3 | layout.number()));
    key.into()
}

#[expect(clippy::cast_possible_truncation, reason = "seven bits of it")]
pub(super) fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A number as zig-zag varints have it: small whatever its sign.
pub(super) const fn zigzag(value: i64) -> u64 {
    (value.wrapping_shl(1) ^ (value >> 63)).cast_unsigned()
}

pub(super) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Leaves room for the length of what is written next; see [`end`].
pub(super) fn begin(out: &mut Vec<u8>) -> usize {
    out.push(0);
    out.len()
}

/// Writes the length of all that came since [`begin`], which answered `start`.
pub(super) fn end(out: &mut Vec<u8>, start: usize) {
    let written = out.len();
    let length = written - start;
    if let (true, Ok(short), Some(room)) = (length < 0x80, u8::try_from(length), out.get_mut(start - 1)) {
        *room = short;
        return;
    }
    let mut long = Vec::new();
    write_varint(&mut long, length as u64);
    out.resize(written + long.len() - 1, 0);
    out.copy_within(start..written, start + long.len() - 1);
    if let Some(room) = out.get_mut(start - 1..start - 1 + long.len()) {
        room.copy_from_slice(&long);
    }
}

/// A varint from the front; `None` where it is cut off or longer than ten bytes.
pub(super) fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// The next field: its number and its bytes. `None` where they are cut off or make no sense.
pub(super) fn read_field<'b>(bytes: &mut &'b [u8]) -> Option<(u32, Wire<'b>)> {
    read_field_within(bytes, GROUPS_DEPTH_MAX)
}

fn read_field_within<'b>(bytes: &mut &'b [u8], groups: usize) -> Option<(u32, Wire<'b>)> {
    let (number, layout) = read_key(bytes)?;
    let wire = match layout {
        Layout::Varint => Wire::Varint(read_varint(bytes)?),
        Layout::Fixed64 => Wire::Fixed64(u64::from_le_bytes(read_array(bytes)?)),
        Layout::Length => {
            let length = usize::try_from(read_varint(bytes)?).ok()?;
            let (inside, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            Wire::Bytes(inside)
        }
        Layout::GroupBegin => Wire::Group(read_group(bytes, number, groups.checked_sub(1)?)?),
        Layout::GroupEnd => return None,
        Layout::Fixed32 => Wire::Fixed32(u32::from_le_bytes(read_array(bytes)?)),
    };
    Some((number, wire))
}

pub(super) fn read_key(bytes: &mut &[u8]) -> Option<(u32, Layout)> {
    let key = read_varint(bytes)?;
    let number = key >> 3;
    if number == 0 || number > NUMBER_MAX {
        return None;
    }
    Some((u32::try_from(number).ok()?, Layout::of(key & 7)?))
}

pub(super) fn read_array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (array, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*array)
}

/// The inside of a group, up to the end of its own number.
fn read_group<'b>(bytes: &mut &'b [u8], number: u32, groups: usize) -> Option<&'b [u8]> {
    let whole = *bytes;
    loop {
        let inside = whole.len() - bytes.len();
        let mut ahead = *bytes;
        let (found, layout) = read_key(&mut ahead)?;
        if layout == Layout::GroupEnd {
            *bytes = ahead;
            return if found == number { whole.get(..inside) } else { None };
        }
        read_field_within(bytes, groups)?;
    }
}

#[cfg(test)]
mod tests {
    use super::{Layout, Wire, begin, end, key, read_field, read_varint, unzigzag, write_varint, zigzag};

    #[test]
    fn varints_come_back_and_none_is_longer_than_ten_bytes() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            write_varint(&mut bytes, value);
            assert!(bytes.len() <= 10);
            assert_eq!(read_varint(&mut &bytes[..]), Some(value));
            assert_eq!(read_varint(&mut &bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(read_varint(&mut &[0xff; 20][..]), None);
        assert_eq!(read_varint(&mut &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2][..]), None);
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
        assert_eq!((zigzag(-1), zigzag(1)), (1, 2));
    }

    #[test]
    fn lengths_are_written_after_what_they_measure() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 70_000] {
            let mut out = vec![9];
            let start = begin(&mut out);
            out.resize(start + length, 7);
            end(&mut out, start);
            let mut expected = vec![9];
            write_varint(&mut expected, length as u64);
            expected.resize(expected.len() + length, 7);
            assert!(out == expected, "{length}");
        }
    }

    #[test]
    fn groups_end_with_their_own_number_and_nest_only_so_deep() {
        let group = |number, inside: &[u8], closed| {
            [&key(number, Layout::GroupBegin), inside, &key(closed, Layout::GroupEnd)].concat()
        };
        let inner = group(2, &[0x18, 5], 2);
        let bytes = group(1, &inner, 1);
        assert_eq!(read_field(&mut &bytes[..]), Some((1, Wire::Group(&inner))));
        assert_eq!(read_field(&mut &group(1, &inner, 2)[..]), None);
        assert_eq!(read_field(&mut &bytes[..bytes.len() - 1]), None);
        let deep = (0..100).fold(Vec::new(), |inside, _| group(1, &inside, 1));
        assert_eq!(read_field(&mut &deep[..]), None);
    }

    #[test]
    fn a_field_that_is_cut_off_is_none() {
        let bytes = [0x0a, 3, b'a', b'b', b'c'];
        assert_eq!(read_field(&mut &bytes[..]), Some((1, Wire::Bytes(b"abc"))));
        for cut in 0..bytes.len() {
            assert_eq!(read_field(&mut &bytes[..cut]), None, "{cut}");
        }
        assert_eq!(read_field(&mut &[0x02, 0][..]), None, "number 0");
        assert_eq!(read_field(&mut &[0x0e, 0][..]), None, "layout 6");
    }
}
