//! How sound what a device sends is: what was refused of it, why, and whether that changes.
//!
//! Refusals are counted by device, hour and reason as they are committed. What was accepted is counted when somebody asks, for the devices
//! of which most was refused.

use super::quarantine::Suspect;
use super::{Engine, Store, StoreError};
use std::collections::BTreeMap;

/// An hour of UTC.
const HOUR_MS: i64 = 60 * 60 * 1000;
/// How many devices are looked at for each that is named.
const CANDIDATES: u32 = 10;
/// Of the standard normal distribution, for 95 %.
const Z: f64 = 1.96;

/// What was refused of one device within a time, and the same within as long a time before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Integrity {
    /// The device.
    pub device_id: String,
    /// Within the time.
    pub now: Share,
    /// Within the time before it.
    pub before: Share,
    /// The first hour and the last one in which something was refused, of both, Unix ms.
    pub hours: (i64, i64),
}

/// Messages that were accepted and refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Stored.
    pub accepted: u64,
    /// Refused, for whatever reason.
    pub refused: u64,
    /// Of these, damaged: their CRC is wrong.
    pub damaged: u64,
    /// Of these, forged or under a wrong key: their HMAC is wrong.
    pub forged: u64,
}

/// How a share has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trend {
    /// There was nothing before.
    New,
    /// It has become greater by more than chance.
    Worse,
    /// It has become smaller by more than chance.
    Better,
    /// What differs may be chance.
    Steady,
}

/// A row of either database: the device, its first and its last hour, what was refused, damaged and forged now and before, and what was
/// accepted now and before.
pub(super) type Row = (String, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64);

/// A time up to now, and as long a time before it, in whole hours. Unix ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Where the time before begins.
    pub(super) before_ms: i64,
    /// Where the time begins.
    pub(super) since_ms: i64,
}

/// Messages of one device that were refused in one hour for one reason.
pub(super) struct Refusals<'a> {
    pub(super) device_id: &'a str,
    pub(super) hour_ms: i64,
    pub(super) reason: &'static str,
    pub(super) messages: i64,
}

impl Period {
    /// From the hour of `since_ms` on.
    pub fn since(since_ms: i64, now_ms: i64) -> Period {
        let since_ms = hour(since_ms);
        let long_ms = now_ms.saturating_sub(since_ms).max(HOUR_MS);
        Period { before_ms: hour(since_ms.saturating_sub(long_ms)), since_ms }
    }
}

impl Store {
    /// The devices of which the greatest part is refused, at most `limit`, the worst first: out of ten times as many of which most is.
    pub async fn worst(&self, period: Period, limit: u32) -> Result<Vec<Integrity>, StoreError> {
        let candidates = limit.saturating_mul(CANDIDATES);
        let mut devices = match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.most_refused(period, candidates).await,
            Engine::Postgres(postgres) => postgres.within(postgres.most_refused(period, candidates)).await,
        }?;
        Integrity::rank(&mut devices);
        devices.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(devices)
    }
}

impl Share {
    /// The part that was refused, 0 to 1; none: nothing came.
    pub fn refused_part(&self) -> Option<f64> {
        let all = self.accepted + self.refused;
        (all > 0).then(|| self.refused as f64 / all as f64)
    }

    /// Between which bounds the part that is refused lies, as far as these messages tell: the interval of Wilson, 1927
    /// (<https://www.itl.nist.gov/div898/handbook/prc/section2/prc241.htm>). One refused message of one tells little, a hundred of a
    /// hundred much.
    fn bounds(&self) -> (f64, f64) {
        let Some(part) = self.refused_part() else { return (0.0, 1.0) };
        let n = (self.accepted + self.refused) as f64;
        let middle = part + Z * Z / (2.0 * n);
        let width = Z * (part * (1.0 - part) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        ((middle - width) / scale, (middle + width) / scale)
    }
}

impl Integrity {
    pub(super) fn of(row: Row) -> Integrity {
        let (
            device_id,
            first,
            last,
            refused,
            damaged,
            forged,
            refused_before,
            damaged_before,
            forged_before,
            now,
            before,
        ) = row;
        let share = |accepted, refused, damaged, forged| {
            let [accepted, refused, damaged, forged] =
                [accepted, refused, damaged, forged].map(|count: i64| u64::try_from(count).unwrap_or(0));
            Share { accepted, refused, damaged, forged }
        };
        Integrity {
            device_id,
            now: share(now, refused, damaged, forged),
            before: share(before, refused_before, damaged_before, forged_before),
            hours: (first, last),
        }
    }

    /// Whether it gets better or worse.
    pub fn trend(&self) -> Trend {
        let ((low, high), (low_before, high_before)) = (self.now.bounds(), self.before.bounds());
        match self.before.refused_part() {
            None => Trend::New,
            Some(_) if low > high_before => Trend::Worse,
            Some(_) if high < low_before => Trend::Better,
            Some(_) => Trend::Steady,
        }
    }

    /// The worst first: of which the greatest part is refused for certain.
    pub(super) fn rank(devices: &mut [Integrity]) {
        let certain = |device: &Integrity| device.now.bounds().0;
        devices.sort_by(|one, other| {
            let by_name = || one.device_id.cmp(&other.device_id);
            certain(other).total_cmp(&certain(one)).then_with(by_name)
        });
    }
}

/// When the hour began.
fn hour(unix_ms: i64) -> i64 {
    unix_ms.saturating_sub(unix_ms.rem_euclid(HOUR_MS))
}

/// What is to be counted, in the order of the table's key.
pub(super) fn counted<'a>(suspects: &[Suspect<'a>]) -> Vec<Refusals<'a>> {
    let mut counts: BTreeMap<(&str, i64, &'static str), i64> = BTreeMap::new();
    for suspect in suspects {
        *counts.entry((suspect.device_id, hour(suspect.received_at_ms), suspect.reason)).or_default() += 1;
    }
    let refusals = |((device_id, hour_ms, reason), messages)| Refusals { device_id, hour_ms, reason, messages };
    counts.into_iter().map(refusals).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(device_id: &str, now: (u64, u64), before: (u64, u64)) -> Integrity {
        let share = |(accepted, refused)| Share { accepted, refused, ..Share::default() };
        Integrity { device_id: device_id.to_owned(), now: share(now), before: share(before), hours: (0, 0) }
    }

    #[test]
    fn refusals_are_counted_by_device_hour_and_reason() {
        let suspect = |device_id, received_at_ms, reason| Suspect {
            device_id,
            received_at_ms,
            reason,
            encoding: "frame",
            bytes: b"",
        };
        let suspects = [
            suspect("b", HOUR_MS, "corrupt"),
            suspect("a", 2 * HOUR_MS - 1, "corrupt"),
            suspect("a", HOUR_MS, "corrupt"),
            suspect("a", HOUR_MS, "bad_seal"),
            suspect("a", HOUR_MS - 1, "corrupt"),
            suspect("a", -1, "corrupt"),
        ];
        let counted: Vec<_> = counted(&suspects)
            .iter()
            .map(|refusals| (refusals.device_id, refusals.hour_ms / HOUR_MS, refusals.reason, refusals.messages))
            .collect();
        let expected = [
            ("a", -1, "corrupt", 1),
            ("a", 0, "corrupt", 1),
            ("a", 1, "bad_seal", 1),
            ("a", 1, "corrupt", 2),
            ("b", 1, "corrupt", 1),
        ];
        assert_eq!(counted, expected);
    }

    #[test]
    fn one_bad_message_is_not_worse_than_many() {
        let mut devices = [
            device("one-of-one", (0, 1), (0, 0)),
            device("few", (1_000, 5), (0, 0)),
            device("nearly-all", (100, 900), (0, 0)),
            device("a", (10, 10), (0, 0)),
            device("b", (10, 10), (0, 0)),
        ];
        Integrity::rank(&mut devices);
        let names: Vec<_> = devices.iter().map(|device| device.device_id.as_str()).collect();
        assert_eq!(names, ["nearly-all", "a", "b", "one-of-one", "few"]);
    }

    #[test]
    fn a_trend_is_more_than_chance() {
        assert_eq!(device("d", (90, 10), (0, 0)).trend(), Trend::New);
        assert_eq!(device("d", (90, 10), (99, 1)).trend(), Trend::Worse);
        assert_eq!(device("d", (990, 1), (900, 100)).trend(), Trend::Better);
        assert_eq!(device("d", (9, 1), (10, 0)).trend(), Trend::Steady);
        assert_eq!(device("d", (0, 0), (9, 1)).trend(), Trend::Steady);
    }

    /// The handbook's example: 4 of 20 at 95 % lie between 0.0807 and 0.4160 without its correction.
    #[test]
    fn bounds_are_wilsons() {
        let (low, high) = Share { accepted: 16, refused: 4, ..Share::default() }.bounds();
        assert!((low - 0.0807).abs() < 1e-4 && (high - 0.4160).abs() < 1e-4, "{low} {high}");
    }
}
