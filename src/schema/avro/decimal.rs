//! Decimal numbers: text to the bytes of an unscaled whole number, two's complement, and back.

/// The bytes of a decimal: as few as hold it, or `size`. `None` where it is no decimal number or has too many digits.
pub(super) fn parse(text: &str, precision: usize, scale: usize, size: Option<usize>) -> Option<Vec<u8>> {
    let (is_negative, unsigned) = text.strip_prefix('-').map_or((false, text), |unsigned| (true, unsigned));
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || (unsigned.contains('.') && !is_number(fraction)) || fraction.len() > scale {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    if whole.len() + scale > precision {
        return None;
    }
    let missing = std::iter::repeat_n(b'0', scale - fraction.len());
    let mut magnitude = Vec::new();
    for digit in whole.bytes().chain(fraction.bytes()).chain(missing) {
        multiply_add(&mut magnitude, digit - b'0');
    }
    complement(magnitude, is_negative, size)
}

/// The decimal of these bytes, all digits of the scale told. `None` where it has more digits than the precision.
pub(super) fn write(bytes: &[u8], precision: usize, scale: usize) -> Option<String> {
    let is_negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let fill = if is_negative { 0xff } else { 0 };
    let start = bytes.iter().position(|byte| *byte != fill).unwrap_or(bytes.len());
    let significant = bytes.get(start..).unwrap_or_default();
    // A byte holds more than two digits.
    if significant.len() > precision / 2 + 1 {
        return None;
    }
    let mut magnitude: Vec<u8> = significant.iter().map(|byte| byte ^ fill).collect();
    magnitude.reverse();
    if is_negative {
        increment(&mut magnitude);
    }
    let mut digits = Vec::new();
    while magnitude.iter().any(|byte| *byte != 0) {
        digits.push(b'0' + divide(&mut magnitude));
        if digits.len() > precision {
            return None;
        }
    }
    while digits.len() <= scale {
        digits.push(b'0');
    }
    let mut text = String::with_capacity(digits.len() + 2);
    if is_negative {
        text.push('-');
    }
    for (at, digit) in digits.iter().enumerate().rev() {
        text.push(char::from(*digit));
        if at == scale && scale > 0 {
            text.push('.');
        }
    }
    Some(text)
}

/// Ten times a number, least byte first, and a digit more.
fn multiply_add(magnitude: &mut Vec<u8>, digit: u8) {
    let mut carry = u16::from(digit);
    for byte in magnitude.iter_mut() {
        let product = u16::from(*byte) * 10 + carry;
        [*byte, _] = product.to_le_bytes();
        carry = product >> 8;
    }
    if carry > 0 {
        let [byte, _] = carry.to_le_bytes();
        magnitude.push(byte);
    }
}

/// Takes a tenth, and answers the digit that is left over.
fn divide(magnitude: &mut [u8]) -> u8 {
    let mut rest = 0_u16;
    for byte in magnitude.iter_mut().rev() {
        let part = rest << 8 | u16::from(*byte);
        [*byte, _] = (part / 10).to_le_bytes();
        rest = part % 10;
    }
    let [digit, _] = rest.to_le_bytes();
    digit
}

fn increment(magnitude: &mut Vec<u8>) {
    for byte in magnitude.iter_mut() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return;
        }
    }
    magnitude.push(1);
}

/// Two's complement, greatest byte first.
fn complement(mut magnitude: Vec<u8>, is_negative: bool, size: Option<usize>) -> Option<Vec<u8>> {
    let is_negative = is_negative && magnitude.iter().any(|byte| *byte != 0);
    if is_negative {
        for byte in &mut magnitude {
            *byte = !*byte;
        }
        let length = magnitude.len();
        increment(&mut magnitude);
        // What is carried out of all bytes, those of zero only, is the sign's.
        magnitude.truncate(length);
    }
    let fill = if is_negative { 0xff } else { 0 };
    let has_sign = magnitude.last().is_some_and(|byte| (byte & 0x80 != 0) == is_negative);
    if !has_sign {
        magnitude.push(fill);
    }
    while let [.., second, last] = &*magnitude
        && *last == fill
        && (second & 0x80 != 0) == is_negative
    {
        magnitude.pop();
    }
    if let Some(size) = size {
        if magnitude.len() > size {
            return None;
        }
        magnitude.resize(size, fill);
    }
    magnitude.reverse();
    Some(magnitude)
}

#[cfg(test)]
mod tests {
    use super::{parse, write};

    #[test]
    fn decimals_are_the_bytes_of_their_unscaled_number() {
        for (text, bytes, told) in [
            ("0", &[0][..], "0.00"),
            ("-0.00", &[0], "0.00"),
            ("1.27", &[127], "1.27"),
            ("1.28", &[0, 128], "1.28"),
            ("-1.28", &[128], "-1.28"),
            ("-1.29", &[255, 127], "-1.29"),
            ("-2.56", &[255, 0], "-2.56"),
            ("2.56", &[1, 0], "2.56"),
            ("-0.01", &[255], "-0.01"),
            ("0059.8", &[23, 92], "59.80"),
            ("-327.68", &[128, 0], "-327.68"),
        ] {
            let have = parse(text, 10, 2, None);
            assert_eq!(have.as_deref(), Some(bytes), "{text}");
            assert_eq!(write(bytes, 10, 2).as_deref(), Some(told), "{text}");
            let wide = parse(text, 10, 2, Some(5)).unwrap();
            assert_eq!((wide.len(), write(&wide, 10, 2).as_deref()), (5, Some(told)), "{text}");
        }
        let digits = "9".repeat(100);
        let bytes = parse(&digits, 100, 0, None).unwrap();
        assert_eq!(write(&bytes, 100, 0), Some(digits));
        assert_eq!(write(&bytes, 99, 0), None);
        assert_eq!(write(&vec![0x7f; 1 << 20], 1_000, 0), None);
    }

    #[test]
    fn what_is_no_decimal_of_so_many_digits_is_refused() {
        for text in ["", "-", ".", "1.", ".5", "1e3", "+1", " 1", "1.234", "123456789.00", "0x1", "١"] {
            assert_eq!(parse(text, 10, 2, None), None, "{text}");
        }
        assert_eq!(parse("1.28", 10, 2, Some(1)), None);
    }
}
