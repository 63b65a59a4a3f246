//! Numbers too long to be meant.

/// A number may have this many characters.
const CHARACTERS_MAX: usize = 1_000;

/// Where the first number of more than 1,000 characters begins.
///
/// A run so long covers every 1,000th byte, so that looking at those is enough to know of most bodies that they
/// hold none; only a body with a long run of number characters, perhaps in a string, is looked at byte by byte.
pub(super) fn first_too_long(body: &[u8]) -> Option<usize> {
    let mut probe = CHARACTERS_MAX;
    while let Some(&byte) = body.get(probe) {
        if is_number_byte(byte) {
            let (before, after) = body.split_at(probe);
            let run =
                before.iter().rev().take(CHARACTERS_MAX).take_while(|&&byte| is_number_byte(byte)).count()
                    + after.iter().take(CHARACTERS_MAX + 1).take_while(|&&byte| is_number_byte(byte)).count();
            if run > CHARACTERS_MAX {
                return outside_strings(body);
            }
        }
        probe += CHARACTERS_MAX;
    }
    None
}

fn outside_strings(body: &[u8]) -> Option<usize> {
    let (mut is_string, mut is_escaped, mut run) = (false, false, 0);
    for (at, &byte) in body.iter().enumerate() {
        run = if !is_string && is_number_byte(byte) { run + 1 } else { 0 };
        if run > CHARACTERS_MAX {
            return Some(at + 1 - run);
        }
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            _ => {}
        }
    }
    None
}

const fn is_number_byte(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')
}
