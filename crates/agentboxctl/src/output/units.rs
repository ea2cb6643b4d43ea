//! Times, ages and sizes as people write and read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `10s`, `500ms`, `2m`, `1h`; a bare number is seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err("a time is a number and a unit: 500ms, 10s, 2m, 1h".into()),
    };
    let number: u64 = number.parse().map_err(|_| "a time begins with a number: 10s".to_owned())?;
    // A day is longer than anybody waits.
    let ms = number.checked_mul(unit_ms).filter(|ms| *ms <= 86_400_000).ok_or("at most 24h")?;
    Ok(Duration::from_millis(ms))
}

/// Seconds since the epoch, now.
pub(crate) fn now_unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// How long ago something was, in its largest unit.
pub(crate) fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A time as [`parse_duration`] reads it, in the largest unit that divides it.
pub(crate) fn span(ms: u64) -> String {
    for (unit_ms, unit) in [(3_600_000, "h"), (60_000, "m"), (1000, "s")] {
        if ms > 0 && ms.is_multiple_of(unit_ms) {
            return format!("{}{unit}", ms / unit_ms);
        }
    }
    format!("{ms}ms")
}

/// Bytes with a binary unit.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let step = (63 - u64::leading_zeros(bytes.max(1)) as usize) / 10;
    let tenths = u128::from(bytes) * 10 / (1u128 << (10 * step));
    match (step, tenths) {
        (0, _) => format!("{bytes} B"),
        (_, 0..1000) => format!("{}.{} {}", tenths / 10, tenths % 10, units[step]),
        _ => format!("{} {}", tenths / 10, units[step]),
    }
}

/// Milliseconds since the epoch as a date and time of UTC (RFC 3339).
pub(crate) fn utc(unix_ms: u64) -> String {
    let (seconds, ms) = (unix_ms / 1000, unix_ms % 1000);
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (of_day / 3600, of_day % 3600 / 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Seconds since the epoch as day and minute of UTC, for people.
pub(crate) fn minute(unix_s: u64) -> String {
    let (year, month, day) = date(unix_s / 86_400);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", unix_s % 86_400 / 3600, unix_s / 60 % 60)
}

/// Days since the epoch as a date. Years are counted from March, so that the leap day ends one.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(minute(0), "1970-01-01 00:00 UTC");
        assert_eq!(minute(951_827_696), "2000-02-29 12:34 UTC");
        assert_eq!(minute(1_795_737_600), "2026-11-27 00:00 UTC");
    }

    #[test]
    fn durations_have_a_number_and_a_unit() {
        for (text, ms) in [
            ("10s", 10_000),
            ("10", 10_000),
            ("500ms", 500),
            ("2m", 120_000),
            ("2min", 120_000),
            ("1h", 3_600_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "-1s", "1.5s", "10 s", "10x", "25h", "99999999999999999999s", "１s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ages_and_sizes_are_short() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (3661, "1h 01m"), (90_000, "1d 1h")]
        {
            assert_eq!(age(seconds), text);
        }
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (300 << 20, "300 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn a_span_is_written_as_it_is_read() {
        for text in ["1ms", "90s", "10m", "90m", "2h", "1500ms"] {
            let time = parse_duration(text).unwrap();
            assert_eq!(span(u64::try_from(time.as_millis()).unwrap()), text);
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_798_761_599_001, "2026-12-31T23:59:59.001Z"),
        ] {
            assert_eq!(utc(ms), text);
        }
    }
}
