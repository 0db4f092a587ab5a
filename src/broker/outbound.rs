//! What a session has sent its client at QoS 1 and was not acknowledged yet.
//!
//! It belongs to the session and outlives the connection: after a reconnect the same messages go out again, in their order,
//! with DUP set [MQTT-4.4.0-1] [MQTT-4.6.0-1].

use std::collections::VecDeque;
use std::num::NonZeroU16;

use super::mailbox::Queued;

/// Messages under way to the client, oldest first.
#[derive(Default)]
pub(super) struct Outbound {
    unacknowledged: VecDeque<(NonZeroU16, Queued)>,
    last_id: u16,
}

impl Outbound {
    /// Keeps a message until its PUBACK, under an identifier that no other one has [MQTT-2.2.1-3].
    pub(super) fn keep(&mut self, queued: Queued) -> NonZeroU16 {
        let id = self.free_id();
        self.unacknowledged.push_back((id, queued));
        id
    }

    /// The client has it; false: it was not under way.
    pub(super) fn acknowledge(&mut self, id: NonZeroU16) -> bool {
        let Some(place) = self.unacknowledged.iter().position(|(known, _)| *known == id) else { return false };
        self.unacknowledged.remove(place).is_some()
    }

    /// Everything that has to go out again.
    pub(super) fn unacknowledged(&self) -> impl Iterator<Item = (NonZeroU16, &Queued)> {
        self.unacknowledged.iter().map(|(id, queued)| (*id, queued))
    }

    /// Messages under way.
    pub(super) fn len(&self) -> usize {
        self.unacknowledged.len()
    }

    /// Identifiers wrap, and there are fewer messages under way than identifiers: the session's window sees to that.
    fn free_id(&mut self) -> NonZeroU16 {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            let Some(id) = NonZeroU16::new(self.last_id) else { continue };
            if self.unacknowledged.iter().all(|(known, _)| *known != id) {
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
        Queued { message: Arc::new(message), qos: QoS::AtLeastOnce }
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
}
