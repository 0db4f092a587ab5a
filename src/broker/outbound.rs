//! What a session has sent its client at QoS 1 and was not acknowledged yet.
//!
//! It belongs to the session and outlives the connection: on the next one the same messages go out again, in their order, with
//! DUP set [MQTT-4.4.0-1] [MQTT-4.6.0-1], and no faster than that client takes them.

use std::collections::VecDeque;
use std::num::NonZeroU16;

use super::mailbox::Queued;

/// Messages that the client has not acknowledged, oldest first.
#[derive(Default)]
pub(super) struct Outbound {
    unacknowledged: VecDeque<Kept>,
    last_id: u16,
}

struct Kept {
    id: NonZeroU16,
    queued: Queued,
    sent: Sent,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// On this connection.
    Now,
    /// On an earlier one.
    Before,
}

impl Outbound {
    /// Keeps a message that is sent now until its PUBACK, under an identifier that no other one has [MQTT-2.2.1-3].
    pub(super) fn keep(&mut self, queued: Queued) -> NonZeroU16 {
        let id = self.free_id();
        self.unacknowledged.push_back(Kept { id, queued, sent: Sent::Now });
        id
    }

    /// The client has it; false: it was not under way.
    pub(super) fn acknowledge(&mut self, id: NonZeroU16) -> bool {
        let Some(place) = self.unacknowledged.iter().position(|kept| kept.id == id) else { return false };
        self.unacknowledged.remove(place).is_some()
    }

    /// The client is on a new connection: all that is kept has to go out again.
    pub(super) fn reconnect(&mut self) {
        self.unacknowledged.iter_mut().for_each(|kept| kept.sent = Sent::Before);
    }

    /// The next message that has to go out again; it counts as sent now.
    pub(super) fn poll_again(&mut self) -> Option<(NonZeroU16, &Queued)> {
        let kept = self.unacknowledged.iter_mut().find(|kept| kept.sent == Sent::Before)?;
        kept.sent = Sent::Now;
        Some((kept.id, &kept.queued))
    }

    /// Forgets what `keep` does not want.
    pub(super) fn retain(&mut self, keep: impl Fn(&Queued) -> bool) {
        self.unacknowledged.retain(|kept| keep(&kept.queued));
    }

    /// Messages under way on this connection.
    pub(super) fn under_way(&self) -> usize {
        self.unacknowledged.iter().filter(|kept| kept.sent == Sent::Now).count()
    }

    /// Identifiers wrap, and there are fewer messages under way than identifiers: the session's window sees to that.
    fn free_id(&mut self) -> NonZeroU16 {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            let Some(id) = NonZeroU16::new(self.last_id) else { continue };
            if self.unacknowledged.iter().all(|kept| kept.id != id) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::broker::Message;
    use crate::mqtt::QoS;
    use crate::mqtt::topic::Topic;

    fn queued() -> Queued {
        let message = Message::plain(Topic::new("a").unwrap(), Bytes::new(), QoS::AtLeastOnce);
        Queued { message: Arc::new(message), qos: QoS::AtLeastOnce, retain: false }
    }

    #[test]
    fn an_identifier_under_way_is_not_given_out_again() {
        let mut outbound = Outbound::default();
        let first = outbound.keep(queued());
        for _ in 0..u16::MAX - 1 {
            let id = outbound.keep(queued());
            assert_ne!(id, first, "[MQTT-2.2.1-3]");
            assert!(outbound.acknowledge(id));
        }
        assert_ne!(outbound.keep(queued()), first);
        assert!(outbound.acknowledge(first) && !outbound.acknowledge(first));
    }

    #[test]
    fn after_a_reconnect_all_goes_out_again_once_and_in_order() {
        let mut outbound = Outbound::default();
        let kept = [outbound.keep(queued()), outbound.keep(queued())];
        assert!(outbound.poll_again().is_none());
        outbound.reconnect();
        assert_eq!(outbound.under_way(), 0);
        let again: Vec<NonZeroU16> = std::iter::from_fn(|| outbound.poll_again().map(|(id, _)| id)).collect();
        assert_eq!(again, kept, "[MQTT-4.6.0-1]");
        assert_eq!(outbound.under_way(), 2);
    }
}
