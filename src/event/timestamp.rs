//! Wall-clock time in milliseconds, read and written as RFC 3339.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Why a text is no timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an RFC 3339 time with an offset, such as 2026-11-21T10:15:30.123Z")]
pub struct TimestampError;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time that lies `millis` milliseconds after 1970 began, UTC.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Reads RFC 3339 with an offset; finer than a millisecond is cut off.
    ///
    /// # Errors
    /// When the text is anything else, ISO 8601 without an offset included.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimestampError)?;
        let millis = time.unix_timestamp_nanos().div_euclid(1_000_000);
        i64::try_from(millis).map(Self).map_err(|_| TimestampError)
    }

    /// Milliseconds since 1970 began, UTC.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The text of [`fmt::Display`] as bytes, for hot paths.
    #[must_use]
    pub fn to_digits(self) -> [u8; 24] {
        const FIRST: i64 = -62_167_219_200_000;
        const LAST: i64 = 253_402_300_799_999;
        let millis = self.0.clamp(FIRST, LAST);
        let time = OffsetDateTime::from_unix_timestamp(millis.div_euclid(1_000))
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (date, (hour, minute, second)) = (time.date(), time.to_hms());
        let mut text = *b"0000-00-00T00:00:00.000Z";
        write_digits(&mut text, 0..4, i64::from(date.year()));
        write_digits(&mut text, 5..7, i64::from(u8::from(date.month())));
        write_digits(&mut text, 8..10, i64::from(date.day()));
        write_digits(&mut text, 11..13, i64::from(hour));
        write_digits(&mut text, 14..16, i64::from(minute));
        write_digits(&mut text, 17..19, i64::from(second));
        write_digits(&mut text, 20..23, millis.rem_euclid(1_000));
        text
    }

    /// This time moved by a number of milliseconds, held at the ends of the range.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

/// Writes `2026-11-21T10:15:30.123Z`; a time outside years 0 to 9999 is held at the end of that range.
impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(std::str::from_utf8(&self.to_digits()).map_err(|_| fmt::Error)?)
    }
}

/// Where loops take the wall-clock time from; logic below them takes it as a parameter. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
        })
    }

    /// A clock that asks `now`.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Clock")
    }
}

fn write_digits(text: &mut [u8], at: Range<usize>, number: i64) {
    let mut rest = number;
    for digit in text.get_mut(at).unwrap_or_default().iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn rfc3339_is_read_and_written_in_utc_milliseconds() {
        let time = Timestamp::parse("2026-11-21T11:15:30.1239+01:00").unwrap();
        assert_eq!(time.to_string(), "2026-11-21T10:15:30.123Z");
        assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
    }

    #[test]
    fn a_time_without_offset_is_refused() {
        for bad in ["2026-11-21T10:15:30", "2026-11-21", "", "1763720130"] {
            assert!(Timestamp::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_out_of_range_are_written_without_panic() {
        assert_eq!(Timestamp::from_millis(i64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::from_millis(i64::MIN).to_string(), "0000-01-01T00:00:00.000Z");
    }
}
