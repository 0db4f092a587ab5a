//! How much of a client is taken a second. Who brings more is not read for a while: what it sent waits in its own socket, and TCP
//! slows it down. Nothing is dropped.

use std::time::Instant;

use super::Config;
use super::metrics::Throttled;
use crate::limit::{Pace, Rate};

/// The paces of one client.
pub(super) struct Throttle {
    messages: Pace,
    bytes: Pace,
    messages_rate: Rate,
    bytes_rate: Rate,
}

impl Throttle {
    /// Of a client that has just come.
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        Throttle {
            messages: Pace::new(now),
            bytes: Pace::new(now),
            messages_rate: Rate::per_second(config.messages_per_second_max),
            bytes_rate: Rate::per_second(config.bytes_per_second_max),
        }
    }

    /// A packet was taken.
    pub(super) fn take_packet(&mut self, now: Instant) {
        self.messages.take(1, self.messages_rate, now);
    }

    /// So many bytes were read.
    pub(super) fn take_bytes(&mut self, count: usize, now: Instant) {
        self.bytes.take(count as u64, self.bytes_rate, now);
    }

    /// Which bound the client has met; none: more may be taken.
    pub(super) fn met(&self, now: Instant) -> Option<Throttled> {
        if self.messages.free_at() > now {
            return Some(Throttled::Messages);
        }
        (self.bytes.free_at() > now).then_some(Throttled::Bytes)
    }

    /// When more may be taken.
    pub(super) fn free_at(&self) -> Instant {
        self.messages.free_at().max(self.bytes.free_at())
    }
}
