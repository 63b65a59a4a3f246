//! Times, durations and names of fields as JSON has them.

use std::fmt::Write as _;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The years 1 to 9999, in seconds.
const TIMESTAMPS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// About 10,000 years.
const DURATION_SECONDS_MAX: i64 = 315_576_000_000;
const NANOS: i32 = 1_000_000_000;
/// Digits of a fraction.
const FRACTION_MAX: usize = 9;

/// Seconds and nanoseconds since 1970 of an RFC 3339 time.
pub(super) fn parse_timestamp(text: &str) -> Option<(i64, i32)> {
    let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
    if fraction.bytes().take_while(u8::is_ascii_digit).count() > FRACTION_MAX {
        return None;
    }
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let seconds = time.unix_timestamp();
    TIMESTAMPS.contains(&seconds).then_some((seconds, i32::try_from(time.nanosecond()).ok()?))
}

/// A time in UTC; `None` where it is out of range.
pub(super) fn timestamp(seconds: i64, nanos: i32) -> Option<String> {
    if !TIMESTAMPS.contains(&seconds) || !(0..NANOS).contains(&nanos) {
        return None;
    }
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second) = time.to_hms();
    let mut text = format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}", u8::from(month));
    push_fraction(&mut text, nanos);
    text.push('Z');
    Some(text)
}

/// Seconds and nanoseconds of a text such as `-1.5s`.
pub(super) fn parse_duration(text: &str) -> Option<(i64, i32)> {
    let digits = text.strip_suffix('s')?;
    let (sign, digits) = digits.strip_prefix('-').map_or((1, digits), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) || fraction.len() > FRACTION_MAX {
        return None;
    }
    let seconds = whole.parse::<i64>().ok().filter(|seconds| *seconds <= DURATION_SECONDS_MAX)?;
    let nanos: i32 = format!("{fraction:0<FRACTION_MAX$}").parse().ok()?;
    Some((sign * seconds, if sign < 0 { -nanos } else { nanos }))
}

/// A duration; `None` where it is out of range, or its parts have different signs.
pub(super) fn duration(seconds: i64, nanos: i32) -> Option<String> {
    let is_far = seconds.unsigned_abs() > DURATION_SECONDS_MAX.unsigned_abs();
    let is_mixed = (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0);
    if is_far || is_mixed || nanos.unsigned_abs() >= NANOS.unsigned_abs() {
        return None;
    }
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    let mut text = format!("{sign}{}", seconds.unsigned_abs());
    push_fraction(&mut text, nanos.abs());
    text.push('s');
    Some(text)
}

/// A fraction of 0, 3, 6 or 9 digits.
fn push_fraction(text: &mut String, nanos: i32) {
    let (digits, part) = match nanos {
        0 => return,
        nanos if nanos % 1_000_000 == 0 => (3, nanos / 1_000_000),
        nanos if nanos % 1_000 == 0 => (6, nanos / 1_000),
        nanos => (9, nanos),
    };
    // Text in memory can be written.
    write!(text, ".{part:0digits$}").unwrap_or_default();
}

/// `zipCode` as `zip_code`; `None` where it would not come back.
pub(super) fn snake_case(path: &str) -> Option<String> {
    if path.is_empty() || path.contains('_') {
        return None;
    }
    let mut snake = String::with_capacity(path.len() + 4);
    for letter in path.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    Some(snake)
}

/// `zip_code` as `zipCode`; `None` where it would not come back.
pub(super) fn camel_case(path: &str) -> Option<String> {
    let (mut camel, mut is_after_line) = (String::with_capacity(path.len()), false);
    for letter in path.chars() {
        match letter {
            '_' if is_after_line => return None,
            '_' => is_after_line = true,
            letter if letter.is_ascii_uppercase() => return None,
            letter if is_after_line && !letter.is_ascii_lowercase() => return None,
            letter => {
                camel.push(if is_after_line { letter.to_ascii_uppercase() } else { letter });
                is_after_line = false;
            }
        }
    }
    if is_after_line { None } else { Some(camel) }
}

#[cfg(test)]
mod tests {
    use super::{camel_case, duration, parse_duration, parse_timestamp, snake_case, timestamp};

    #[test]
    fn times_come_back_in_utc_with_as_many_digits_as_they_need() {
        for (text, parts, told) in [
            ("2026-11-22T10:15:30Z", (1_795_342_530, 0), "2026-11-22T10:15:30Z"),
            ("2026-11-22T11:15:30.5+01:00", (1_795_342_530, 500_000_000), "2026-11-22T10:15:30.500Z"),
            ("1969-12-31T23:59:59.000001Z", (-1, 1_000), "1969-12-31T23:59:59.000001Z"),
            ("0001-01-01T00:00:00Z", (-62_135_596_800, 0), "0001-01-01T00:00:00Z"),
            (
                "9999-12-31T23:59:59.999999999Z",
                (253_402_300_799, 999_999_999),
                "9999-12-31T23:59:59.999999999Z",
            ),
        ] {
            assert_eq!(parse_timestamp(text), Some(parts), "{text}");
            assert_eq!(timestamp(parts.0, parts.1).as_deref(), Some(told));
        }
        for text in ["", "2026-11-22", "0000-12-31T00:00:00Z", "2026-11-22T10:15:30", "2026-02-30T00:00:00Z"]
        {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
        assert_eq!(parse_timestamp("2026-11-22T10:15:30.0000000001Z"), None);
        assert_eq!((timestamp(i64::MAX, 0), timestamp(0, -1)), (None, None));
    }

    #[test]
    fn durations_come_back_and_have_one_sign() {
        for (text, parts, told) in [
            ("1s", (1, 0), "1s"),
            ("-1.5s", (-1, -500_000_000), "-1.500s"),
            ("0.000000001s", (0, 1), "0.000000001s"),
            ("-0.25s", (0, -250_000_000), "-0.250s"),
        ] {
            assert_eq!(parse_duration(text), Some(parts), "{text}");
            assert_eq!(duration(parts.0, parts.1).as_deref(), Some(told));
        }
        for text in ["", "s", "1", "1.s", ".5s", "+1s", "1.0000000000s", "315576000001s", "1e3s", "--1s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        assert_eq!((duration(1, -1), duration(i64::MIN, 0), duration(0, i32::MIN)), (None, None, None));
    }

    #[test]
    fn names_of_fields_change_their_case_only_where_they_come_back() {
        for (camel, snake) in [("name", "name"), ("address.zipCode", "address.zip_code")] {
            assert_eq!(snake_case(camel).as_deref(), Some(snake));
            assert_eq!(camel_case(snake).as_deref(), Some(camel));
        }
        assert_eq!(snake_case("zip_code"), None);
        for snake in ["a__b", "a_", "zipCode", "a_1"] {
            assert_eq!(camel_case(snake), None, "{snake}");
        }
    }
}
