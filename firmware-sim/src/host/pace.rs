//! When a device measures: at a steady rate, from the moment at which it is first asked.

use std::time::{Duration, Instant};

/// When the next reading is due, and how many are left.
pub(super) struct Pace {
    interval: Duration,
    next: Option<Instant>,
    left: Option<u64>,
}

impl Pace {
    /// So many readings a second; with `messages_max` that many in all.
    pub(super) fn new(rate: f64, messages_max: Option<u64>) -> Self {
        let interval = Duration::from_secs_f64(1.0 / rate.max(RATE_MIN)).max(Duration::from_nanos(1));
        Pace { interval, next: None, left: messages_max }
    }

    /// True: a reading is due.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        // The first reading is due at once, the next ones from there.
        !self.is_over() && *self.next.get_or_insert(now) <= now
    }

    /// When the next reading is due, if any is.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next.filter(|_| !self.is_over())
    }

    /// A reading is made.
    pub(super) fn take(&mut self) {
        self.next = self.next.map(|next| next + self.interval);
        self.left = self.left.map(|left| left.saturating_sub(1));
    }

    /// Passes over what is due and gives its number. A device that has a number of messages to send passes over none: it is late.
    pub(super) fn skip(&mut self, now: Instant) -> u64 {
        if self.left.is_some() {
            return 0;
        }
        let Some(next) = self.next.filter(|next| *next <= now) else { return 0 };
        // Computed and not counted: whoever was away for an hour at a high rate has missed millions.
        let missed = (now - next).as_nanos() / self.interval.as_nanos() + 1;
        let missed = u32::try_from(missed).unwrap_or(u32::MAX);
        self.next = next.checked_add(self.interval.saturating_mul(missed));
        missed.into()
    }

    /// True: no reading will ever be due.
    pub(super) fn is_over(&self) -> bool {
        self.left == Some(0)
    }
}

/// One message in about three years.
const RATE_MIN: f64 = 1e-8;

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn some_moment() -> Instant {
        Instant::now()
    }

    #[test]
    fn readings_are_due_at_a_steady_rate() {
        let (start, mut pace) = (some_moment(), Pace::new(10.0, None));
        assert!(pace.is_due(start));
        pace.take();
        assert!(!pace.is_due(start + Duration::from_millis(99)));
        assert!(pace.is_due(start + Duration::from_millis(100)));
        assert_eq!(pace.poll_timeout(), Some(start + Duration::from_millis(100)));
    }

    #[test]
    fn who_is_late_passes_over_what_was_due_unless_it_is_counted() {
        let start = some_moment();
        let late = start + Duration::from_millis(950);
        let (mut steady, mut counted) = (Pace::new(10.0, None), Pace::new(10.0, Some(2)));
        assert!(steady.is_due(start) && counted.is_due(start));
        assert_eq!((steady.skip(late), counted.skip(late)), (10, 0));
        assert!(!steady.is_due(late));
        counted.take();
        assert!(counted.is_due(late) && !counted.is_over());
        counted.take();
        assert!(counted.is_over() && !counted.is_due(late));
        assert_eq!(counted.poll_timeout(), None);
    }
}
