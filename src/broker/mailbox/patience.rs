//! How long publishers wait for a reader: a second, and a second more for each whole queue that it has taken.
//!
//! A reader that takes a queue's worth within each second that somebody waits for it is waited for without end; it keeps up. One
//! that takes less costs its publishers one second for each queue that it takes, however it times its reads, and one that takes
//! nothing costs them one second in all.

use std::time::{Duration, Instant};

/// What publishers wait in all until a whole queue has been taken.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// What a reader has taken, and what it was waited for.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// Time in which somebody waited, since the last whole queue was set against it.
    waited: Duration,
    waiting_since: Option<Instant>,
    taken_messages: usize,
    taken_bytes: usize,
}

/// What a whole queue is; either bound makes one.
#[derive(Debug, Clone, Copy)]
pub(super) struct WholeQueue {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Patience {
    pub(super) fn taken(&mut self, messages: usize, bytes: usize) {
        self.taken_messages = self.taken_messages.saturating_add(messages);
        self.taken_bytes = self.taken_bytes.saturating_add(bytes);
    }

    /// Until when somebody who waits now may wait; none: not at all.
    pub(super) fn wait(&mut self, whole: WholeQueue, now: Instant) -> Option<Instant> {
        let since = *self.waiting_since.get_or_insert(now);
        self.waited += now.saturating_duration_since(since);
        self.waiting_since = Some(now);
        let has_paid = self.taken_messages >= whole.messages || self.taken_bytes >= whole.bytes;
        if self.waited >= WAIT_MAX && has_paid {
            (self.waited, self.taken_messages, self.taken_bytes) = (Duration::ZERO, 0, 0);
        }
        match WAIT_MAX.checked_sub(self.waited) {
            Some(left) if !left.is_zero() => Some(now + left),
            _ => {
                self.waiting_since = None;
                None
            }
        }
    }

    /// The reader has gone. Where somebody waited for it, that took the whole patience: going away and coming back gains nothing.
    pub(super) fn end(&mut self) {
        if self.waiting_since.take().is_some() {
            self.waited = WAIT_MAX;
        }
    }

    /// Nobody waits any more.
    pub(super) fn rest(&mut self, now: Instant) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += now.saturating_duration_since(since);
        }
    }
}
