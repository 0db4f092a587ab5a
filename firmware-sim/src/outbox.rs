//! Sealed messages that are not acknowledged yet, in the order in which they were sealed.
//!
//! The bytes stay as they were sealed: sealing a message anew under its counter would make it a replay, and under a new one a
//! second reading. A message keeps its packet id too, so that an acknowledgement that comes late finds it.

use crate::storage::{Buffer, Slot, Storage};

/// A message to be published at QoS 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Never 0 [MQTT-2.2.1-3], and of no other message in the outbox.
    pub packet_id: u16,
    /// Whether it was sent before [MQTT-3.3.1-1].
    pub attempt: Attempt,
    /// The sealed message.
    pub bytes: &'a [u8],
}

/// Whether a message was sent before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It was not.
    First,
    /// It was, over a connection that was lost: DUP is set.
    Again,
}

/// As many messages as its storage has slots. When it is full, nothing more is sealed.
pub(crate) struct Outbox<S> {
    slots: S,
    count: u64,
}

/// What becomes of a slot next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Free,
    ToSend(Attempt),
    AwaitsAck,
}

impl<S: Storage> Outbox<S> {
    /// With all slots free.
    pub(crate) fn new(slots: S) -> Self {
        assert!(slots.slots().len() < usize::from(u16::MAX), "each slot needs a packet id of its own");
        Self { slots, count: 0 }
    }

    /// How many more messages fit.
    pub(crate) fn free(&self) -> usize {
        self.slots.slots().iter().filter(|slot| slot.state == State::Free).count()
    }

    /// Lets `fill` write into a free slot of `bytes` and say how many it used, and keeps the message under the packet id that
    /// comes back. None if there is no free slot.
    pub(crate) fn put<E>(
        &mut self,
        bytes: usize,
        attempt: Attempt,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Option<Result<u16, E>> {
        let packet_id = self.free_packet_id();
        let place = self.count + 1;
        let slot = self.slots.slots_mut().iter_mut().find(|slot| slot.state == State::Free)?;
        Some(fill(slot.buffer.room(bytes)).map(|len| {
            (slot.state, slot.place, slot.packet_id, slot.len) = (State::ToSend(attempt), place, packet_id, len);
            self.count = place;
            packet_id
        }))
    }

    /// The oldest message that is to be sent; it is taken for sent.
    pub(crate) fn poll(&mut self) -> Option<Publish<'_>> {
        let waiting = self.slots.slots_mut().iter_mut().filter(|slot| matches!(slot.state, State::ToSend(_)));
        let slot = waiting.min_by_key(|slot| slot.place)?;
        let State::ToSend(attempt) = slot.state else { return None };
        slot.state = State::AwaitsAck;
        let bytes = slot.buffer.bytes().get(..slot.len)?;
        Some(Publish { packet_id: slot.packet_id, attempt, bytes })
    }

    /// Frees the slot of a message that was sent, and gives its bytes. An id of no such message changes nothing.
    pub(crate) fn acknowledge(&mut self, packet_id: u16) -> Option<&[u8]> {
        let sent = |slot: &&mut Slot<S::Buffer>| slot.state == State::AwaitsAck && slot.packet_id == packet_id;
        let slot = self.slots.slots_mut().iter_mut().find(sent)?;
        slot.state = State::Free;
        slot.buffer.bytes().get(..slot.len)
    }

    /// All that was sent and not acknowledged is to be sent again.
    pub(crate) fn resend(&mut self) {
        for slot in self.slots.slots_mut().iter_mut().filter(|slot| slot.state == State::AwaitsAck) {
            slot.state = State::ToSend(Attempt::Again);
        }
    }

    /// Packet ids go round, so that one is not used again at once, and pass over those in use.
    fn free_packet_id(&self) -> u16 {
        let in_use =
            |id: &u16| self.slots.slots().iter().any(|slot| slot.state != State::Free && slot.packet_id == *id);
        let next = (self.count % u64::from(u16::MAX)) as u16;
        let mut ids = (0..u16::MAX).map(|step| 1 + ((u32::from(next) + u32::from(step)) % u32::from(u16::MAX)) as u16);
        ids.find(|id| !in_use(id)).expect("there are more ids than slots")
    }
}
