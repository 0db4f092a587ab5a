//! The counter of a device that has no storage to spare: it writes its flash once a boot.
//!
//! `boot_count << 32 | messages_since_boot` grows with every message, and past every message of an earlier boot.

use core::fmt;

/// The counter of the next message. It is given out once and never goes back.
#[derive(Debug)]
pub struct Counter {
    boot_count: u32,
    messages: u32,
}

impl Counter {
    /// The counter of a boot. The boot count is kept by the device and was raised before; at most 2^31 - 1, as the envelope's
    /// counter has 63 bits.
    pub fn at_boot(boot_count: u32) -> Result<Self, BadBootCount> {
        if boot_count > BOOT_COUNT_MAX {
            return Err(BadBootCount);
        }
        Ok(Self { boot_count, messages: 0 })
    }

    /// The next counter, used up from now on; none if this boot has used up all of its own.
    pub fn take(&mut self) -> Option<u64> {
        self.messages = self.messages.checked_add(1)?;
        Some((u64::from(self.boot_count) << 32) | u64::from(self.messages))
    }
}

/// The boot count does not fit into a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadBootCount;

impl fmt::Display for BadBootCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a boot count is at most 2^31 - 1")
    }
}

impl core::error::Error for BadBootCount {}

const BOOT_COUNT_MAX: u32 = u32::MAX >> 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_with_messages_and_boots() {
        let mut first = Counter::at_boot(0).unwrap();
        let mut second = Counter::at_boot(1).unwrap();
        assert_eq!((first.take(), first.take()), (Some(1), Some(2)));
        assert_eq!(second.take(), Some((1 << 32) | 1));
    }

    #[test]
    fn it_ends_rather_than_goes_back() {
        let mut counter = Counter { boot_count: BOOT_COUNT_MAX, messages: u32::MAX - 1 };
        assert_eq!(counter.take(), Some(sealgate_envelope::COUNTER_MAX));
        assert_eq!((counter.take(), counter.take()), (None, None));
    }

    #[test]
    fn a_boot_count_beyond_the_envelope_is_refused() {
        assert_eq!(Counter::at_boot(BOOT_COUNT_MAX + 1).unwrap_err(), BadBootCount);
    }
}
