//! How fast: so much a second, with a second's worth at once.
//!
//! The generic cell rate algorithm (ITU-T I.371) in its form by time: what was taken moves a moment ahead, and whoever is more than
//! the burst ahead of the clock waits. That is a bucket of tokens in one number.

use std::time::{Duration, Instant};

/// How far ahead of the clock one may be.
const BURST: Duration = Duration::from_secs(1);

/// So much a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    secs_each: f64,
}

impl Rate {
    /// `count` a second; of none, one.
    pub fn per_second(count: u64) -> Self {
        Rate { secs_each: 1.0 / count.max(1) as f64 }
    }

    fn time_of(self, count: u64) -> Duration {
        Duration::try_from_secs_f64(self.secs_each * count as f64).unwrap_or(Duration::MAX)
    }
}

/// What somebody has taken of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    paid_until: Instant,
}

impl Pace {
    /// Nothing was taken.
    pub fn new(now: Instant) -> Self {
        Pace { paid_until: now }
    }

    /// Takes `count`, which may be more than there is: the rest is waited for afterwards.
    pub fn take(&mut self, count: u64, rate: Rate, now: Instant) {
        let from = self.paid_until.max(now);
        // What lies beyond the clock's range is as good as never.
        self.paid_until = from.checked_add(rate.time_of(count)).unwrap_or(from);
    }

    /// Takes one if there is one left; false: there is none now.
    pub fn try_take(&mut self, rate: Rate, now: Instant) -> bool {
        let mut after = *self;
        after.take(1, rate, now);
        let allowed = after.free_at() <= now;
        if allowed {
            *self = after;
        }
        allowed
    }

    /// From when on more may be taken.
    pub fn free_at(&self) -> Instant {
        self.paid_until.checked_sub(BURST).unwrap_or(self.paid_until)
    }

    /// True: all that was taken has been paid for, and the pace is as good as a new one.
    pub fn is_settled(&self, now: Instant) -> bool {
        self.paid_until <= now
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's clock has to begin somewhere")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_second_s_worth_comes_at_once_and_then_one_at_a_time() {
        let (start, rate) = (Instant::now(), Rate::per_second(10));
        let mut pace = Pace::new(start);
        let at_once = (0..100).filter(|_| pace.try_take(rate, start)).count();
        assert_eq!(at_once, 10);
        assert!(!pace.try_take(rate, start + Duration::from_millis(99)));
        assert!(pace.try_take(rate, start + Duration::from_millis(101)));
        assert!(!pace.try_take(rate, start + Duration::from_millis(102)));
    }

    #[test]
    fn more_than_there_is_is_waited_for() {
        let (start, rate) = (Instant::now(), Rate::per_second(1_000));
        let mut pace = Pace::new(start);
        pace.take(5_000, rate, start);
        assert_eq!(pace.free_at(), start + Duration::from_secs(4));
        assert!(pace.is_settled(start + Duration::from_secs(5)));
    }

    proptest! {
        #[test]
        fn never_more_than_the_rate_and_a_burst(
            per_second in 1u64..10_000,
            steps in prop::collection::vec((0u64..2_000, 0u64..500), 1..50),
        ) {
            let (start, rate) = (Instant::now(), Rate::per_second(per_second));
            let (mut pace, mut now, mut taken) = (Pace::new(start), start, 0u64);
            for (millis, wanted) in steps {
                now += Duration::from_millis(millis);
                taken += (0..wanted).filter(|_| pace.try_take(rate, now)).count() as u64;
                let most = (now - start + BURST).as_secs_f64() * per_second as f64;
                prop_assert!(taken as f64 <= most + 1e-3, "{taken} of at most {most}");
            }
        }

        #[test]
        fn no_number_is_too_large(count in any::<u64>(), per_second in any::<u64>()) {
            let start = Instant::now();
            let mut pace = Pace::new(start);
            pace.take(count, Rate::per_second(per_second), start);
            prop_assert!(pace.free_at() <= pace.paid_until);
        }
    }
}
