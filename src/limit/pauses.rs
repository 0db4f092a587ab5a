//! How long the answer to a failure waits: none of the first, then longer each time.
//!
//! Only a failure waits. Who brings what is right is never kept waiting, so nobody can shut another out by failing in his name or
//! from his address; who fails again and again comes less often, and holds a connection of his own meanwhile.

use std::hash::Hash;
use std::time::{Duration, Instant};

use quick_cache::Equivalent;
use quick_cache::sync::Cache;

/// The first pause; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// After so long without a failure there was none.
const FORGET_AFTER: Duration = Duration::from_secs(600);
/// How many who have failed are remembered. At the bound those are forgotten who failed least.
const ENTRIES_MAX: usize = 65_536;

/// The failures of whoever `K` names.
pub struct Pauses<K> {
    free: u32,
    pause_max: Duration,
    failures: Cache<K, Failures>,
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl<K: Eq + Hash + Clone> Pauses<K> {
    /// `free` failures are answered at once, and none waits longer than `pause_max`.
    pub fn new(free: u32, pause_max: Duration) -> Self {
        Pauses { free, pause_max, failures: Cache::new(ENTRIES_MAX) }
    }

    /// One more has failed; how long its answer waits.
    pub fn failed(&self, who: K, now: Instant) -> Duration {
        let count = self.count(&who, now).saturating_add(1);
        self.failures.insert(who, Failures { count, last: now });
        self.pause(count)
    }

    /// It has succeeded: all its failures are forgotten.
    pub fn succeeded<Q: Hash + Equivalent<K> + ?Sized>(&self, who: &Q) {
        self.failures.remove(who);
    }

    /// Somebody of several whom `who` stands for has succeeded: one failure is forgotten.
    pub fn forgive_one(&self, who: &K, now: Instant) {
        match self.count(who, now) {
            0 | 1 => drop(self.failures.remove(who)),
            count => self.failures.insert(who.clone(), Failures { count: count - 1, last: now }),
        }
    }

    fn count(&self, who: &K, now: Instant) -> u32 {
        let known = self.failures.get(who).filter(|failures| now < failures.last + FORGET_AFTER);
        known.map_or(0, |failures| failures.count)
    }

    fn pause(&self, count: u32) -> Duration {
        let Some(times) = count.checked_sub(self.free + 1) else { return Duration::ZERO };
        let factor = 1u32.checked_shl(times).unwrap_or(u32::MAX);
        PAUSE_FIRST.saturating_mul(factor).min(self.pause_max)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's clock has to begin somewhere")]
mod tests {
    use super::*;

    fn millis(pauses: &Pauses<&'static str>, who: &'static str, times: usize, now: Instant) -> Vec<u128> {
        (0..times).map(|_| pauses.failed(who, now).as_millis()).collect()
    }

    #[test]
    fn after_the_free_ones_each_waits_twice_as_long_up_to_the_bound() {
        let (pauses, now) = (Pauses::new(2, Duration::from_secs(3)), Instant::now());
        assert_eq!(millis(&pauses, "a", 7, now), [0, 0, 500, 1_000, 2_000, 3_000, 3_000]);
        assert_eq!(millis(&pauses, "b", 1, now), [0], "another has his own");
        assert_eq!(pauses.pause(u32::MAX), Duration::from_secs(3));
    }

    #[test]
    fn who_succeeds_begins_anew() {
        let (pauses, now) = (Pauses::new(1, Duration::from_secs(3)), Instant::now());
        millis(&pauses, "a", 5, now);
        pauses.succeeded(&"a");
        assert_eq!(millis(&pauses, "a", 2, now), [0, 500]);
        pauses.forgive_one(&"a", now);
        assert_eq!(millis(&pauses, "a", 1, now), [500]);
        (0..3).for_each(|_| pauses.forgive_one(&"a", now));
        assert_eq!(millis(&pauses, "a", 1, now), [0]);
    }

    #[test]
    fn time_heals() {
        let (pauses, now) = (Pauses::new(0, Duration::from_secs(60)), Instant::now());
        millis(&pauses, "a", 5, now);
        assert_eq!(millis(&pauses, "a", 1, now + FORGET_AFTER), [500]);
    }

    #[test]
    fn as_many_are_remembered_as_may_be() {
        let (pauses, now) = (Pauses::new(0, Duration::from_secs(60)), Instant::now());
        for who in 0..3 * ENTRIES_MAX {
            pauses.failed(who, now);
        }
        assert!(pauses.failures.len() <= ENTRIES_MAX);
    }
}
