//! What waits for one session: a bounded queue that publishers fill and the session's connection empties.
//!
//! It outlives the connection if the session does. While nobody is connected it keeps what has QoS 1 alone, as MQTT asks. A
//! message that finds it full is dropped and counted, unless it is retained and can be had later, or has QoS 1 and its publisher's
//! connection can wait: then it stands in [`Line`](line::Line) until the reader has made room, for as long as the reader has
//! [`Patience`](patience::Patience) left. So a reader that keeps up loses nothing, and one that is slow or gone costs a bounded amount of
//! memory and of other clients' time.

mod account;
mod line;
mod patience;
mod queue;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::Message;
use super::retained::Change;
use crate::mqtt::QoS;
pub(super) use account::Account;
pub use account::Together;
pub(super) use line::Slip;
use queue::Queue;

/// A message, and the QoS at which this session gets it.
#[derive(Clone)]
pub struct Queued {
    /// The message, shared by all who get it.
    pub message: Arc<Message>,
    /// The lesser of the publisher's and the subscription's.
    pub qos: QoS,
    /// Whether the client is told that it was retained.
    pub retain: bool,
}

/// How much may wait.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// In messages.
    pub messages_max: usize,
    /// In bytes of topic and payload, with a fixed overhead each.
    pub bytes_max: usize,
    /// The same for all mailboxes together, and for what was taken out of them and is not acknowledged.
    pub together: Together,
}

/// The queue of one session.
pub struct Mailbox {
    queue: Mutex<Queue>,
    arrived: Notify,
}

/// What became of a message that was put into a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It waits.
    Queued,
    /// It is gone: the queue is at its bound.
    Full,
    /// It is gone: all queues together are at theirs.
    AllFull,
    /// It is gone: QoS 0, and nobody is connected.
    Away,
}

/// What becomes of a message whose publisher can wait.
pub(super) enum PutOrWait {
    /// It is decided.
    Put(Put),
    /// It stands in line. The slip tells what has become of it; at the given time [`Mailbox::lose_patience`] is to be called.
    Waits(Arc<Slip>, Instant),
}

impl Mailbox {
    /// An empty mailbox with nobody connected.
    pub fn new(bounds: Bounds) -> Self {
        Mailbox { queue: Mutex::new(Queue::new(bounds)), arrived: Notify::new() }
    }

    /// Puts a message in, unless the bound or the session's absence forbids.
    pub fn put(&self, message: &Arc<Message>, qos: QoS) -> Put {
        let mut queue = self.lock();
        let was_empty = queue.is_empty();
        let put = queue.put(Queued { message: message.clone(), qos, retain: false });
        drop(queue);
        self.tell(was_empty, put);
        put
    }

    /// The same for a publisher that can wait: at QoS 1 its message stands in line where there is no room.
    pub(super) fn put_or_wait(&self, message: &Arc<Message>, qos: QoS, now: Instant) -> PutOrWait {
        let mut queue = self.lock();
        let was_empty = queue.is_empty();
        let put = queue.put_or_wait(Queued { message: message.clone(), qos, retain: false }, now);
        drop(queue);
        if let PutOrWait::Put(put) = put {
            self.tell(was_empty, put);
        }
        put
    }

    /// Takes the oldest messages out, up to `count`, and lets those who stand in line have the room. Nothing taken: there was
    /// nothing, and [`Mailbox::arrived`] will tell when there is.
    pub fn take(&self, count: usize, into: &mut VecDeque<Queued>, now: Instant) {
        let mut queue = self.lock();
        queue.take(count, into);
        let served = queue.serve(now);
        if into.is_empty() && !served.is_empty() {
            queue.take(count, into);
        }
        drop(queue);
        served.iter().for_each(|slip| slip.ring());
    }

    /// The time of a slip is over. Until when it may still wait; none: it has been decided.
    pub(super) fn lose_patience(&self, slip: &Arc<Slip>, now: Instant) -> Option<Instant> {
        let (mut queue, mut dropped) = (self.lock(), Vec::new());
        let until = queue.lose_patience(slip, now, &mut dropped);
        drop(queue);
        dropped.iter().for_each(|slip| slip.ring());
        until
    }

    /// A message found no room, and is retained with this change: the session is to catch up when there is room again.
    pub(super) fn miss(&self, change: Change) {
        self.lock().miss(change);
        self.arrived.notify_one();
    }

    /// From which change on the session is to catch up, if it is.
    pub(super) fn take_missed(&self) -> Option<Change> {
        self.lock().take_missed()
    }

    /// Resolves when something has come into the empty queue since the last time; a wake-up without a message is possible.
    pub fn arrived(&self) -> Notified<'_> {
        self.arrived.notified()
    }

    /// A connection serves the session from now on.
    pub fn connect(&self) {
        self.lock().connect();
        self.arrived.notify_one();
    }

    /// Nobody is connected any more: what has QoS 0 goes, and nobody stands in line.
    pub fn disconnect(&self) {
        let dismissed = self.lock().disconnect();
        dismissed.iter().for_each(|slip| slip.ring());
    }

    /// Drops what `keep` does not want.
    pub fn retain(&self, keep: impl Fn(&Message) -> bool) {
        self.lock().retain(|queued| keep(&queued.message));
    }

    /// Empties the queue.
    pub fn clear(&self) {
        let mut queue = self.lock();
        queue.retain(|_| false);
        queue.take_missed();
    }

    /// A reader that found the queue empty is waiting, and only that one.
    fn tell(&self, was_empty: bool, put: Put) {
        if was_empty && put == Put::Queued {
            self.arrived.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
