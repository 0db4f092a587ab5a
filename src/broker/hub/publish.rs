//! From a publisher to the mailboxes of those who have subscribed, and what is counted there.

use std::cmp::Reverse;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::{Attachment, Echo, Hub, SessionId, Subscription};
use crate::broker::Message;
use crate::broker::held::Held;
use crate::broker::mailbox::{Mailbox, Put, PutOrWait};
use crate::broker::metrics::Drop as DropCause;
use crate::mqtt::QoS;
use crate::mqtt::topic::Topic;

impl Hub {
    /// Delivers to every session with a matching subscription, once each, at the greatest QoS of those that match
    /// [MQTT-3.3.5-1], and never above the message's own. Where there is no room it is dropped, unless it is retained.
    pub fn publish(&self, message: &Arc<Message>, publisher: Option<SessionId>) {
        self.each_subscriber(message, publisher, |mailbox, qos| match mailbox.put(message, qos) {
            Put::Full | Put::AllFull if self.is_caught_up(mailbox, message) => {}
            put => self.count_put(put),
        });
    }

    /// The same for a publisher that can wait: where readers that keep up have no room, the message has to be held.
    fn publish_or_hold(&self, message: &Arc<Message>, publisher: SessionId, now: Instant) -> Option<Held> {
        let mut held = None;
        self.each_subscriber(message, Some(publisher), |mailbox, qos| match mailbox.put_or_wait(message, qos, now) {
            PutOrWait::Put(put) => self.count_put(put),
            PutOrWait::Waits(slip, until) => {
                self.0.metrics.held.inc();
                held.get_or_insert_with(|| Held::new(self.clone())).add(mailbox.clone(), slip, until);
            }
        });
        held
    }

    /// Whether some session has subscribed to it.
    pub(in crate::broker) fn is_heard(&self, topic: &Topic) -> bool {
        let mut heard = false;
        let tree = self.0.tree.read().unwrap_or_else(PoisonError::into_inner);
        tree.matches(topic, |_| heard = true);
        heard
    }

    /// Counts what became of a message at one session.
    pub(in crate::broker) fn count_put(&self, put: Put) {
        match put {
            Put::Queued => self.0.metrics.routed.inc(),
            Put::Full => self.0.metrics.dropped.inc(DropCause::QueueFull),
            Put::AllFull => self.0.metrics.dropped.inc(DropCause::QueuesFull),
            Put::Away => self.0.metrics.dropped.inc(DropCause::Away),
        }
    }

    fn each_subscriber(
        &self,
        message: &Message,
        publisher: Option<SessionId>,
        mut deliver: impl FnMut(&Arc<Mailbox>, QoS),
    ) {
        let tree = self.0.tree.read().unwrap_or_else(PoisonError::into_inner);
        // Most messages have one subscriber, and cost no list of them.
        let (mut first, mut found): (Option<&Subscription>, Vec<&Subscription>) = (None, Vec::new());
        tree.matches(&message.topic, |subscription| {
            if subscription.echo == Echo::No && Some(subscription.session) == publisher {
                return;
            }
            match first {
                None => first = Some(subscription),
                Some(_) => found.push(subscription),
            }
        });
        if !found.is_empty() {
            found.extend(first.take());
            found.sort_unstable_by_key(|subscription| (subscription.session, Reverse(subscription.qos)));
            found.dedup_by_key(|subscription| subscription.session);
        }
        for subscription in first.into_iter().chain(found) {
            deliver(&subscription.mailbox, subscription.qos.min(message.qos));
        }
    }
}

impl Attachment {
    /// Publishes in the session's name; what is held has to be settled before anything else is done for the client.
    #[must_use = "what is held is not with its subscribers yet"]
    pub fn publish(&self, message: &Arc<Message>, now: Instant) -> Option<Held> {
        self.hub.publish_or_hold(message, self.id, now)
    }
}
