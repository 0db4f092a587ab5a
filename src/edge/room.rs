//! Room for large packets: what all connections together may hold of packets that are not whole yet.
//!
//! A packet that is larger than one read gets room for all of it before it is read further, in the order in which clients ask, so
//! that whoever has room needs nobody else's. A client that holds room without filling it is let go after a while.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Config;
use super::wire::READ_BYTES;

/// Room is counted in pieces of so many bytes.
const PIECE_BYTES: usize = 1024;

/// All room there is. Clones are one.
#[derive(Clone)]
pub(super) struct Room {
    pieces: Arc<Semaphore>,
    pieces_max: usize,
}

/// What one connection has of it.
pub(super) enum Share {
    /// Nothing, and needs nothing.
    None,
    /// Nothing, and waits for so many bytes.
    Wanted(usize),
    /// Enough for the packet at hand, until then.
    Held { _pieces: OwnedSemaphorePermit, until: Instant },
}

impl Room {
    pub(super) fn new(config: &Config) -> Self {
        // A semaphore counts no further; a bound beyond is none.
        let pieces_max = (config.large_packets_bytes_max / PIECE_BYTES).clamp(1, u32::MAX as usize >> 4);
        Room { pieces: Arc::new(Semaphore::new(pieces_max)), pieces_max }
    }

    /// Waits for room; a packet that is larger than all of it gets all of it. Cancel-safe, but for the place in the queue.
    pub(super) async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let pieces = bytes.div_ceil(PIECE_BYTES).min(self.pieces_max);
        // None only of a semaphore that is closed, and this one never is.
        self.pieces.clone().acquire_many_owned(u32::try_from(pieces).ok()?).await.ok()
    }
}

impl Share {
    /// A packet has begun that has so many bytes in all. True: it needs room, and waits for it from now on.
    pub(super) fn begin(&mut self, packet_bytes: usize) -> bool {
        let begins = matches!(self, Share::None) && packet_bytes > READ_BYTES;
        if begins {
            *self = Share::Wanted(packet_bytes);
        }
        begins
    }

    /// The bytes that are waited for.
    pub(super) fn wanted(&self) -> Option<usize> {
        if let Share::Wanted(bytes) = self { Some(*bytes) } else { None }
    }

    /// Until when the packet has to be whole.
    pub(super) fn until(&self) -> Option<Instant> {
        if let Share::Held { until, .. } = self { Some(*until) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn room_is_had_whole_in_turn_and_comes_back() {
        let config = Config { large_packets_bytes_max: 100 * 1024, ..Config::default() };
        let room = Room::new(&config);
        let first = room.take(60 * 1024).await;
        let (large, small) = (room.take(80 * 1024), room.take(20 * 1024));
        tokio::pin!(large, small);
        let briefly = Duration::from_millis(20);
        assert!(timeout(briefly, &mut large).await.is_err());
        assert!(timeout(briefly, &mut small).await.is_err(), "the large one asked before");
        drop(first);
        assert!(large.await.is_some() && small.await.is_some());
        assert!(timeout(briefly, room.take(1 << 40)).await.is_ok(), "what is larger than all gets all");
    }

    #[test]
    fn what_one_read_can_bring_needs_no_room() {
        let mut share = Share::None;
        assert!(!share.begin(READ_BYTES));
        assert_eq!(share.wanted(), None);
        assert!(share.begin(READ_BYTES + 1));
        assert_eq!(share.wanted(), Some(READ_BYTES + 1));
        assert!(!share.begin(READ_BYTES + 1), "it waits already");
    }
}
