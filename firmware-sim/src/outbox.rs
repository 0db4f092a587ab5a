//! Sealed messages that are not acknowledged yet, in the order in which they were sealed.
//!
//! The bytes stay as they were sealed: sealing a message anew under its counter would make it a replay, and under a new one a
//! second reading. A message keeps its packet id too, so that an acknowledgement that comes late finds it.

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

/// Room for `SLOTS` messages of at most `BYTES` bytes. When it is full, nothing more is sealed.
pub(crate) struct Outbox<const SLOTS: usize, const BYTES: usize> {
    slots: [Slot<BYTES>; SLOTS],
    sealed: u64,
}

#[derive(Clone, Copy)]
struct Slot<const BYTES: usize> {
    state: State,
    /// The place of the message among all that were sealed.
    place: u64,
    packet_id: u16,
    bytes: [u8; BYTES],
    len: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    ToSend(Attempt),
    AwaitsAck,
}

impl<const SLOTS: usize, const BYTES: usize> Outbox<SLOTS, BYTES> {
    const CAN_NUMBER_ITS_SLOTS: () = assert!(SLOTS < u16::MAX as usize, "each slot needs a packet id of its own");

    pub(crate) fn new() -> Self {
        let () = Self::CAN_NUMBER_ITS_SLOTS;
        let free = Slot { state: State::Free, place: 0, packet_id: 0, bytes: [0; BYTES], len: 0 };
        Self { slots: [free; SLOTS], sealed: 0 }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.slots.iter().all(|slot| slot.state != State::Free)
    }

    /// Lets `seal` write into a free slot, and keeps the message if it succeeds. None if there is no free slot.
    pub(crate) fn put<E>(&mut self, seal: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Option<Result<(), E>> {
        let packet_id = self.free_packet_id();
        let place = self.sealed + 1;
        let slot = self.slots.iter_mut().find(|slot| slot.state == State::Free)?;
        Some(seal(&mut slot.bytes).map(|len| {
            *slot = Slot { state: State::ToSend(Attempt::First), place, packet_id, len, ..*slot };
            self.sealed = place;
        }))
    }

    /// The oldest message that is to be sent; it is taken for sent.
    pub(crate) fn poll(&mut self) -> Option<Publish<'_>> {
        let waiting = self.slots.iter_mut().filter(|slot| matches!(slot.state, State::ToSend(_)));
        let slot = waiting.min_by_key(|slot| slot.place)?;
        let State::ToSend(attempt) = slot.state else { return None };
        slot.state = State::AwaitsAck;
        let bytes = slot.bytes.get(..slot.len)?;
        Some(Publish { packet_id: slot.packet_id, attempt, bytes })
    }

    /// Frees the slot of a message that was sent. An id of no such message changes nothing.
    pub(crate) fn acknowledge(&mut self, packet_id: u16) {
        let sent = |slot: &&mut Slot<BYTES>| slot.state == State::AwaitsAck && slot.packet_id == packet_id;
        if let Some(slot) = self.slots.iter_mut().find(sent) {
            slot.state = State::Free;
        }
    }

    /// All that was sent and not acknowledged is to be sent again.
    pub(crate) fn resend(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.state == State::AwaitsAck) {
            slot.state = State::ToSend(Attempt::Again);
        }
    }

    /// Packet ids go round, so that one is not used again at once, and pass over those in use.
    fn free_packet_id(&self) -> u16 {
        let in_use = |id: &u16| self.slots.iter().any(|slot| slot.state != State::Free && slot.packet_id == *id);
        let next = (self.sealed % u64::from(u16::MAX)) as u16;
        let mut ids = (0..u16::MAX).map(|step| 1 + ((u32::from(next) + u32::from(step)) % u32::from(u16::MAX)) as u16);
        ids.find(|id| !in_use(id)).expect("there are more ids than slots")
    }
}
