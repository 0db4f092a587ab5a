//! A moment on the command line: RFC 3339, or how long ago.

use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

use humantime_serde::re::humantime::{parse_duration, parse_rfc3339};

/// A moment as it is written; which one it is may depend on now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// `2026-01-31T12:00:00Z`, in Unix ms.
    At(i64),
    /// `2h`.
    Ago(Duration),
}

impl Moment {
    /// In Unix ms.
    pub(super) fn unix_ms(self, now_ms: i64) -> i64 {
        match self {
            Moment::At(unix_ms) => unix_ms,
            Moment::Ago(ago) => now_ms.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)).max(0),
        }
    }
}

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(ago) = parse_duration(text) {
            return Ok(Moment::Ago(ago));
        }
        rfc3339(text)
            .map(Moment::At)
            .ok_or("expected a time from 1970 on like 2026-01-31T12:00:00Z, or how long ago, like 2h or 7d")
    }
}

/// Unix ms. The library reads UTC alone; an offset from it is taken off here. // [RFC 3339 section 5.6]
fn rfc3339(text: &str) -> Option<i64> {
    let (local, offset_ms) = match text.len().checked_sub("+hh:mm".len()).and_then(|at| text.split_at_checked(at)) {
        Some((local, offset)) if offset.starts_with(['+', '-']) => (format!("{local}Z"), offset_ms(offset)?),
        _ => (text.to_owned(), 0),
    };
    let since = parse_rfc3339(&local).ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()?.checked_sub(offset_ms).filter(|unix_ms| *unix_ms >= 0)
}

/// Of `+hh:mm` or `-hh:mm`.
fn offset_ms(text: &str) -> Option<i64> {
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let number = |digits: &str, max: i64| -> Option<i64> {
        let digits = (digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_digit())).then_some(digits)?;
        digits.parse::<i64>().ok().filter(|number| *number <= max)
    };
    let offset = (number(hours, 23)? * 60 + number(minutes, 59)?) * 60_000;
    Some(if text.starts_with('-') { -offset } else { offset })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Option<i64> {
        text.parse().ok().map(|moment: Moment| moment.unix_ms(10_000_000))
    }

    #[test]
    fn times_are_read_with_their_offset() {
        assert_eq!(at("1970-01-01T02:00:00Z"), Some(7_200_000));
        assert_eq!(at("1970-01-01T02:00:00.125Z"), Some(7_200_125));
        assert_eq!(at("1970-01-01T02:00:00+01:30"), Some(1_800_000));
        assert_eq!(at("1970-01-01T02:00:00-01:30"), Some(12_600_000));
        for wrong in ["", "yesterday", "1970-01-01", "1970-01-01T00:00:00+01:00", "1970-01-01T02:00:00+1:300", "+01:00"]
        {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_duration_counts_back_from_now_and_not_beyond_1970() {
        assert_eq!(at("1h"), Some(6_400_000));
        assert_eq!(at("7d"), Some(0));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = at(&text);
        }

        #[test]
        fn what_is_written_is_read(unix_ms in 0..=253_402_300_799_999_i64) {
            prop_assert_eq!(at(&super::super::time_text_ms(unix_ms)), Some(unix_ms));
        }
    }
}
