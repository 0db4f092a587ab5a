//! How long to wait before the next try.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);

/// Doubles from try to try up to a bound; half of each pause is drawn, so that many workers do not come back at once.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    pub(super) fn new(max: Duration) -> Self {
        Backoff { next: FIRST.min(max), max }
    }

    /// The pause before the next try; `draw` is any number.
    pub(super) fn pause(&mut self, draw: u32) -> Duration {
        let pause = self.next;
        self.next = (self.next * 2).min(self.max);
        pause / 2 + pause.mul_f64(f64::from(draw) / f64::from(u32::MAX) / 2.0)
    }

    /// The last try went well for so long: a broker that takes us in and drops us at once is not one that is back.
    pub(super) fn went_well(&mut self, duration: Duration) {
        if duration >= self.next {
            self.next = FIRST.min(self.max);
        }
    }
}

/// A number to draw a pause with. Without random numbers all workers wait equally long, which is no harm.
pub(super) fn draw() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_bound_and_half_of_each_is_drawn() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        assert_eq!(backoff.pause(0), Duration::from_millis(125));
        assert_eq!(backoff.pause(u32::MAX), Duration::from_millis(500));
        assert_eq!(backoff.pause(0), Duration::from_millis(500));
        assert_eq!(backoff.pause(u32::MAX), Duration::from_secs(1));
    }

    #[test]
    fn only_a_connection_that_lasted_makes_the_pauses_short_again() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        backoff.pause(0);
        backoff.pause(0);
        backoff.went_well(Duration::from_millis(10));
        assert_eq!(backoff.pause(u32::MAX), Duration::from_secs(1));
        backoff.went_well(Duration::from_secs(2));
        assert_eq!(backoff.pause(u32::MAX), Duration::from_millis(250));
    }
}
