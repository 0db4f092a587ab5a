//! How long a device waits before it connects again.
//!
//! The pause doubles with each attempt that fails, up to a bound, and a random part of it is taken: a fleet that has lost its
//! gateway does not come back all at once. This is "full jitter" with a floor of half the pause, so that no device comes back
//! in no time at all.

/// The pauses of one device.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    base_ms: u32,
    pause_ms_max: u32,
    failures: u32,
}

impl Backoff {
    /// The first pause is up to `base_ms` long, none is longer than `pause_ms_max`.
    pub fn new(base_ms: u32, pause_ms_max: u32) -> Self {
        Self { base_ms, pause_ms_max, failures: 0 }
    }

    /// The pause before the next attempt, in ms. `random` is one that is drawn for this pause alone.
    pub fn pause_ms(&mut self, random: u32) -> u32 {
        let doubled = u64::from(self.base_ms) << self.failures.min(DOUBLINGS_MAX);
        let longest = doubled.min(u64::from(self.pause_ms_max)) as u32;
        self.failures = self.failures.saturating_add(1);
        let floor = longest / 2;
        floor + scaled(random, longest - floor)
    }

    /// A connection stands: the next pause is a first one again.
    pub fn handle_connected(&mut self) {
        self.failures = 0;
    }
}

/// `random` out of all 32 bits, brought to 0 ..= `most`.
pub(crate) fn scaled(random: u32, most: u32) -> u32 {
    ((u64::from(random) * (u64::from(most) + 1)) >> 32) as u32
}

/// More than any pause needs: a first pause of 1 ms is over an hour after 22.
const DOUBLINGS_MAX: u32 = 31;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_bound_and_begin_anew() {
        let mut backoff = Backoff::new(100, 1_000);
        for longest in [100, 200, 400, 800, 1_000, 1_000] {
            assert_eq!(backoff.pause_ms(u32::MAX), longest);
        }
        backoff.handle_connected();
        assert_eq!(backoff.pause_ms(u32::MAX), 100);
    }

    #[test]
    fn chance_takes_up_to_half_of_a_pause() {
        for (random, pause) in [(0, 50), (u32::MAX / 2, 75), (u32::MAX, 100)] {
            assert_eq!(Backoff::new(100, 1_000).pause_ms(random), pause);
        }
    }

    #[test]
    fn it_can_fail_for_ever() {
        let mut backoff = Backoff { failures: u32::MAX, ..Backoff::new(u32::MAX, u32::MAX) };
        assert_eq!(backoff.pause_ms(u32::MAX), u32::MAX);
    }
}
