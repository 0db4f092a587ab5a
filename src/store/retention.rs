//! Retention: what is older than the operator wants to keep is dropped, a step at a time.
//!
//! Days are dropped, of UTC: the *horizon* is the start of the oldest day that is kept. An envelope goes by its arrival. A reading goes by
//! its own time; one that was older than the horizon when it came, or that is of a later day than its arrival, goes with its envelope.
//! With the envelopes goes what `seen` knows of them, and a *floor* for each device and key version stays: the greatest counter below
//! which nothing is remembered any more. What comes at or under it is refused as replayed, for nobody can tell whether it was used.
//!
//! A step is small, so that batches come in between; each leaves the database whole, and the next one goes on where it ended, in this
//! process or another.

use std::time::Duration;

/// Before every device.
pub(super) const FIRST: (i64, i64) = (0, 0);

/// A day of UTC.
pub(super) const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What is still to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgetting {
    /// The start of the oldest day that is kept, Unix ms.
    pub(super) horizon_ms: i64,
    pub(super) stage: Stage,
}

/// Where dropping has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Envelopes: after those of this device, and of this one those that came later.
    Envelopes { after: (i64, i64) },
    /// Readings, of the devices after this one.
    Readings { after: i64 },
    /// The room that they took.
    Space,
}

/// What a step has dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgot {
    /// Envelopes.
    pub envelopes: u64,
    /// Readings.
    pub readings: u64,
}

/// A step, and where the next one begins; none: everything is dropped.
pub(super) type Step = (Forgot, Option<Stage>);

impl Forgetting {
    /// From the beginning. The oldest day that is kept whole is the one that `keep` before now is in.
    pub(super) fn new(now_ms: i64, keep: Duration) -> Forgetting {
        let keep_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let horizon_ms = day(now_ms.saturating_sub(keep_ms)).saturating_mul(DAY_MS);
        Forgetting { horizon_ms, stage: Stage::Envelopes { after: FIRST } }
    }
}

/// The day that a time is in, counted from 1970-01-01.
pub(super) fn day(ms: i64) -> i64 {
    ms.div_euclid(DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_dropped_when_all_of_it_is_too_old() {
        let keep = Duration::from_secs(2 * 24 * 3600);
        let horizon = |now_ms| Forgetting::new(now_ms, keep).horizon_ms / DAY_MS;
        assert_eq!((horizon(10 * DAY_MS - 1), horizon(10 * DAY_MS), horizon(11 * DAY_MS - 1)), (7, 8, 8));
    }

    #[test]
    fn a_clock_that_is_wrong_keeps_everything() {
        assert!(Forgetting::new(0, Duration::MAX).horizon_ms < 0);
        assert!(Forgetting::new(i64::MIN, Duration::MAX).horizon_ms < 0);
    }
}
