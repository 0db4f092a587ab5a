//! What waits for one session: a bounded queue that publishers fill and the session's connection empties.
//!
//! It outlives the connection if the session does. While nobody is connected it keeps what has QoS 1 alone, as MQTT asks. At
//! its bound the newest message is dropped and counted, unless it is retained and can be had later: a reader that is slow or gone
//! costs a bounded amount of memory and never stops a publisher.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::Message;
use super::retained::Change;
use crate::mqtt::QoS;

/// What a message costs besides its topic and payload.
const OVERHEAD_BYTES: usize = 128;

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
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// In messages.
    pub messages_max: usize,
    /// In bytes of topic and payload, with a fixed overhead each.
    pub bytes_max: usize,
}

/// The queue of one session.
pub struct Mailbox {
    bounds: Bounds,
    queue: Mutex<Queue>,
    arrived: Notify,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Queued>,
    bytes: usize,
    connected: bool,
    /// The first change of what is retained that found no room.
    missed: Option<Change>,
}

/// What became of a message that was put into a mailbox.
#[derive(Debug, PartialEq, Eq)]
pub enum Put {
    /// It waits.
    Queued,
    /// It is gone: the queue is at its bound.
    Full,
    /// It is gone: QoS 0, and nobody is connected.
    Away,
}

impl Mailbox {
    /// An empty mailbox with nobody connected.
    pub fn new(bounds: Bounds) -> Self {
        Mailbox { bounds, queue: Mutex::default(), arrived: Notify::new() }
    }

    /// Puts a message in, unless the bound or the session's absence forbids.
    pub fn put(&self, message: &Arc<Message>, qos: QoS) -> Put {
        let mut queue = self.lock();
        if !queue.connected && qos == QoS::AtMostOnce {
            return Put::Away;
        }
        let bytes = queue.bytes + cost(message);
        if queue.waiting.len() >= self.bounds.messages_max || bytes > self.bounds.bytes_max {
            return Put::Full;
        }
        queue.bytes = bytes;
        queue.waiting.push_back(Queued { message: message.clone(), qos, retain: false });
        drop(queue);
        self.arrived.notify_one();
        Put::Queued
    }

    /// Takes the oldest message out.
    pub fn take(&self) -> Option<Queued> {
        let mut queue = self.lock();
        let taken = queue.waiting.pop_front()?;
        queue.bytes -= cost(&taken.message);
        Some(taken)
    }

    /// A message found no room, and is retained with this change: the session is to catch up when there is room again.
    pub(super) fn miss(&self, change: Change) {
        let mut queue = self.lock();
        queue.missed = Some(queue.missed.map_or(change, |first| first.min(change)));
        drop(queue);
        self.arrived.notify_one();
    }

    /// From which change on the session is to catch up, if it is.
    pub(super) fn take_missed(&self) -> Option<Change> {
        self.lock().missed.take()
    }

    /// Resolves when something has come since the last time; a wake-up without a message is possible.
    pub fn arrived(&self) -> Notified<'_> {
        self.arrived.notified()
    }

    /// A connection serves the session from now on.
    pub fn connect(&self) {
        self.lock().connected = true;
        self.arrived.notify_one();
    }

    /// Nobody is connected any more: what has QoS 0 goes.
    pub fn disconnect(&self) {
        let mut queue = self.lock();
        queue.connected = false;
        queue.waiting.retain(|queued| queued.qos != QoS::AtMostOnce);
        queue.recount();
    }

    /// Drops what `keep` does not want.
    pub fn retain(&self, keep: impl Fn(&Message) -> bool) {
        let mut queue = self.lock();
        queue.waiting.retain(|queued| keep(&queued.message));
        queue.recount();
    }

    /// Empties the queue.
    pub fn clear(&self) {
        let mut queue = self.lock();
        queue.waiting = VecDeque::new();
        queue.bytes = 0;
        queue.missed = None;
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn recount(&mut self) {
        self.bytes = self.waiting.iter().map(|queued| cost(&queued.message)).sum();
    }
}

fn cost(message: &Message) -> usize {
    message.topic.len() + message.payload.len() + OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::mqtt::topic::Topic;

    fn message(payload: &'static str) -> Arc<Message> {
        Arc::new(Message::plain(Topic::new("a").unwrap(), Bytes::from_static(payload.as_bytes()), QoS::AtLeastOnce))
    }

    fn mailbox(messages_max: usize, bytes_max: usize) -> Mailbox {
        let mailbox = Mailbox::new(Bounds { messages_max, bytes_max });
        mailbox.connect();
        mailbox
    }

    #[test]
    fn at_its_bound_the_newest_message_is_dropped() {
        let by_count = mailbox(2, 10_000);
        let answers = ["1", "2", "3"].map(|payload| by_count.put(&message(payload), QoS::AtMostOnce));
        assert_eq!(answers, [Put::Queued, Put::Queued, Put::Full]);
        let by_bytes = mailbox(100, 2 * (OVERHEAD_BYTES + 2));
        let answers = ["1", "2", "3"].map(|payload| by_bytes.put(&message(payload), QoS::AtMostOnce));
        assert_eq!(answers, [Put::Queued, Put::Queued, Put::Full]);
        assert_eq!(&by_bytes.take().unwrap().message.payload[..], b"1");
        assert_eq!(by_bytes.put(&message("4"), QoS::AtMostOnce), Put::Queued);
    }

    #[test]
    fn a_session_that_is_away_keeps_qos_1_alone() {
        let mailbox = mailbox(10, 10_000);
        mailbox.put(&message("0"), QoS::AtMostOnce);
        mailbox.put(&message("1"), QoS::AtLeastOnce);
        mailbox.disconnect();
        assert_eq!(mailbox.put(&message("0"), QoS::AtMostOnce), Put::Away);
        assert_eq!(mailbox.put(&message("2"), QoS::AtLeastOnce), Put::Queued);
        let kept: Vec<Bytes> =
            std::iter::from_fn(|| mailbox.take()).map(|queued| queued.message.payload.clone()).collect();
        assert_eq!(kept, ["1", "2"]);
    }
}
