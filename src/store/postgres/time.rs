//! Times, as PostgreSQL counts them.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef, Postgres};
use sqlx::{Decode, Encode, Type};

/// 2000-01-01, from which it counts, in Unix ms.
const EPOCH_MS: i64 = 946_684_800_000;
/// What `timestamptz` holds, in µs from there: from 4713 BC on, and before 294277 AD.
const RANGE: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;

/// A `timestamptz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time(i64);

/// A time that no column holds. It is the row's fault.
#[derive(Debug, thiserror::Error)]
#[error("{0} ms is outside the times of this database")]
pub(super) struct NoSuchTime(pub(super) i64);

impl Time {
    /// Before every other.
    pub(super) const BEFORE_ALL: Time = Time(i64::MIN);

    /// After every other.
    pub(super) const AFTER_ALL: Time = Time(i64::MAX);

    /// Of µs from 2000 on, as [`Time::micros`] gives them.
    pub(super) fn of_micros(micros: i64) -> Time {
        Time(micros)
    }

    /// In µs from 2000 on: nothing is rounded.
    pub(super) fn micros(self) -> i64 {
        self.0
    }

    /// In Unix ms.
    pub(super) fn ms(self) -> i64 {
        self.0.div_euclid(1000).saturating_add(EPOCH_MS)
    }

    /// Of Unix ms.
    pub(super) fn of_ms(ms: i64) -> sqlx::Result<Time> {
        let micros = ms.checked_sub(EPOCH_MS).and_then(|ms| ms.checked_mul(1000));
        let micros = micros.filter(|micros| RANGE.contains(micros));
        micros.map(Time).ok_or_else(|| sqlx::Error::Encode(Box::new(NoSuchTime(ms))))
    }
}

impl Type<Postgres> for Time {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("timestamptz")
    }
}

impl PgHasArrayType for Time {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("_timestamptz")
    }
}

impl Encode<'_, Postgres> for Time {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.0.to_be_bytes());
        Ok(IsNull::No)
    }

    fn size_hint(&self) -> usize {
        size_of::<i64>()
    }
}

impl Decode<'_, Postgres> for Time {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        // Statements are prepared, and what they give is binary.
        Ok(Time(i64::from_be_bytes(value.as_bytes()?.try_into()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(ms: i64) -> Option<i64> {
        Time::of_ms(ms).ok().map(|time| time.0)
    }

    #[test]
    fn times_are_counted_from_2000_and_have_ends() {
        assert_eq!(time(946_684_800_001), Some(1000));
        assert_eq!(time(0), Some(-946_684_800_000_000));
        assert!(time(-210_866_803_200_000).is_some() && time(9_224_318_015_999_999).is_some());
        assert_eq!(Time::of_ms(-1).unwrap().ms(), -1);
        assert_eq!(Time::of_micros(-946_684_800_000_001).ms(), -1);
        for outside in [i64::MIN, i64::MAX, -210_866_803_200_001, 9_224_318_016_000_000] {
            assert_eq!(time(outside), None, "{outside}");
        }
    }
}
