//! Durations and sizes as operators write them: `100ms`, `30s`, `7d`, `64KiB`.

use std::time::Duration;

/// Reads a duration: a whole or decimal number and `ms`, `s`, `m`, `h`, `d`, `w` or `y` (365 days).
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        "y" => 31_536_000.0,
        _ if number == 0.0 => 0.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * seconds).ok().filter(|duration| duration.as_secs() < 1 << 40)
}

/// Reads a size in bytes: a whole number alone, or any number and `B`, `KiB`, `MiB`, `GiB`, `TiB`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor: f64 = match unit {
        "" | "B" => 1.0,
        "KiB" => 1_024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        "TiB" => 1_099_511_627_776.0,
        _ => return None,
    };
    let bytes = number * factor;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be whole and in range"
    )]
    (bytes.fract() == 0.0 && (0.0..9.0e15).contains(&bytes)).then_some(bytes as u64)
}

fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let number = number.parse::<f64>().ok().filter(|number| number.is_finite())?;
    Some((number, unit.trim()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{bytes, duration};

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(duration("100ms"), Some(Duration::from_millis(100)));
        assert_eq!(duration("1.5s"), Some(Duration::from_millis(1_500)));
        assert_eq!(duration("7d"), Some(Duration::from_secs(604_800)));
        assert_eq!(duration("7y"), Some(Duration::from_secs(7 * 31_536_000)));
        assert_eq!(duration("0"), Some(Duration::ZERO));
        for bad in ["", "5", "s", "-1s", "5 parsecs", "1e400s", "99999999999999y"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_read_with_their_unit() {
        assert_eq!(bytes("8MiB"), Some(8 << 20));
        assert_eq!(bytes("1000"), Some(1_000));
        assert_eq!(bytes("0.5KiB"), Some(512));
        for bad in ["", "1MB", "KiB", "0.3B", "-1", "9999999999TiB"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }
}
