//! Times as text and as numbers: dates, times of day, instants with an offset, and local times without.
//!
//! Fractions finer than the unit are cut off. What has no text, such as the year 12000, is a number only.

use std::fmt::Write as _;

use super::tree::{Meaning, Unit};

const DAY_SECONDS: i64 = 86_400;

/// The number that a text stands for.
pub(super) fn parse(meaning: Meaning, text: &str) -> Option<i64> {
    match meaning {
        Meaning::Number => None,
        Meaning::Date => parse_date(text.as_bytes()),
        Meaning::TimeOfDay(unit) => match parse_clock(text.as_bytes(), unit)? {
            (number, []) => Some(number),
            _ => None,
        },
        Meaning::Instant(unit) => {
            let (number, rest) = parse_date_time(text.as_bytes(), unit)?;
            number.checked_sub(parse_offset(rest)?.checked_mul(unit.per_second())?)
        }
        Meaning::Local(unit) => match parse_date_time(text.as_bytes(), unit)? {
            (number, []) => Some(number),
            _ => None,
        },
    }
}

/// The text of a number; `None` where it has none.
pub(super) fn write(meaning: Meaning, number: i64) -> Option<String> {
    let mut text = String::with_capacity(32);
    match meaning {
        Meaning::Number => return None,
        Meaning::Date => write_date(&mut text, number)?,
        Meaning::TimeOfDay(unit) => {
            if !(0..DAY_SECONDS * unit.per_second()).contains(&number) {
                return None;
            }
            write_clock(&mut text, number, unit)?;
        }
        Meaning::Instant(unit) | Meaning::Local(unit) => {
            let day = DAY_SECONDS * unit.per_second();
            write_date(&mut text, number.div_euclid(day))?;
            text.push('T');
            write_clock(&mut text, number.rem_euclid(day), unit)?;
            if meaning == Meaning::Instant(unit) {
                text.push('Z');
            }
        }
    }
    Some(text)
}

fn parse_date(text: &[u8]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else { return None };
    let (year, month, day) = (digits(&[*y1, *y2, *y3, *y4])?, digits(&[*m1, *m2])?, digits(&[*d1, *d2])?);
    let is_date = (1..=12).contains(&month) && day >= 1 && day <= days_of(year, month);
    is_date.then(|| days_from(year, month, day))
}

/// `10:15:30.123`, and what follows.
fn parse_clock(text: &[u8], unit: Unit) -> Option<(i64, &[u8])> {
    let [h1, h2, b':', m1, m2, b':', s1, s2, rest @ ..] = text else { return None };
    let (hour, minute, second) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?, digits(&[*s1, *s2])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let whole = ((hour * 60 + minute) * 60 + second) * unit.per_second();
    let [b'.', rest @ ..] = rest else { return Some((whole, rest)) };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (fraction, rest) = rest.split_at_checked(length)?;
    if fraction.is_empty() {
        return None;
    }
    let padded = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(unit.digits());
    let fraction = padded.fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
    Some((whole + fraction, rest))
}

fn parse_date_time(text: &[u8], unit: Unit) -> Option<(i64, &[u8])> {
    let (date, [b'T' | b't', clock @ ..]) = text.split_at_checked(10)? else { return None };
    let (time, rest) = parse_clock(clock, unit)?;
    let number = i128::from(parse_date(date)?) * i128::from(DAY_SECONDS * unit.per_second());
    Some((i64::try_from(number + i128::from(time)).ok()?, rest))
}

/// Seconds east of UTC.
fn parse_offset(text: &[u8]) -> Option<i64> {
    match text {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hour, minute) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            let seconds = (hour * 60 + minute) * 60;
            let is_offset = hour <= 23 && minute <= 59;
            is_offset.then_some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn digits(text: &[u8]) -> Option<i64> {
    let digit = |number: i64, byte: &u8| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'));
    text.iter().try_fold(0, digit)
}

const fn days_of(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970 of a date of our calendar; the year is counted from March, so that the leap day comes last.
const fn days_from(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468
}

fn write_date(text: &mut String, days: i64) -> Option<()> {
    let shifted = days.checked_add(719_468)?;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    if !(0..=9_999).contains(&year) {
        return None;
    }
    write!(text, "{year:04}-{month:02}-{day:02}").ok()
}

fn write_clock(text: &mut String, number: i64, unit: Unit) -> Option<()> {
    let (seconds, fraction) = (number / unit.per_second(), number % unit.per_second());
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    write!(text, "{hour:02}:{minute:02}:{second:02}.{fraction:0width$}", width = unit.digits()).ok()
}

#[cfg(test)]
mod tests {
    use super::{parse, write};
    use crate::schema::avro::tree::{Meaning, Unit};

    #[test]
    fn times_come_back() {
        let (millis, micros) = (Meaning::Instant(Unit::Millis), Meaning::Instant(Unit::Micros));
        for (meaning, text, number, told) in [
            (Meaning::Date, "1970-01-01", 0, "1970-01-01"),
            (Meaning::Date, "2000-02-29", 11_016, "2000-02-29"),
            (Meaning::Date, "0000-03-01", -719_468, "0000-03-01"),
            (Meaning::Date, "9999-12-31", 2_932_896, "9999-12-31"),
            (millis, "2026-11-21T10:15:30.123Z", 1_795_256_130_123, "2026-11-21T10:15:30.123Z"),
            (millis, "2026-11-21t11:15:30.1239+01:00", 1_795_256_130_123, "2026-11-21T10:15:30.123Z"),
            (millis, "1969-12-31T23:59:59.999Z", -1, "1969-12-31T23:59:59.999Z"),
            (micros, "1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00.000000Z"),
            (Meaning::Local(Unit::Millis), "1970-01-01T00:00:01", 1_000, "1970-01-01T00:00:01.000"),
            (Meaning::TimeOfDay(Unit::Micros), "23:59:59.5", 86_399_500_000, "23:59:59.500000"),
        ] {
            assert_eq!(parse(meaning, text), Some(number), "{text}");
            assert_eq!(write(meaning, number).as_deref(), Some(told), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let nanos = Meaning::Instant(Unit::Nanos);
        for (meaning, text) in [
            (Meaning::Date, "2026-02-29"),
            (Meaning::Date, "2026-13-01"),
            (Meaning::Date, "2026-1-1"),
            (nanos, "2026-11-21T10:15:30"),
            (nanos, "2300-01-01T00:00:00Z"),
            (nanos, "2026-11-21T24:00:00Z"),
            (nanos, "2026-11-21T10:15:60Z"),
            (nanos, "2026-11-21T10:15:30.Z"),
            (nanos, "2026-11-21T10:15:30+1:00"),
            (Meaning::Local(Unit::Millis), "2026-11-21T10:15:30Z"),
            (Meaning::TimeOfDay(Unit::Millis), "10:15"),
            (Meaning::Number, "1"),
        ] {
            assert_eq!(parse(meaning, text), None, "{text}");
        }
        for (meaning, number) in [
            (Meaning::Date, i64::from(i32::MAX)),
            (Meaning::Instant(Unit::Millis), i64::MAX),
            (Meaning::TimeOfDay(Unit::Millis), -1),
            (Meaning::Number, 5),
        ] {
            assert_eq!(write(meaning, number), None, "{number}");
        }
    }
}
