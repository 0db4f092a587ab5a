//! Sealed messages that are not safe with the gateway yet, in the order in which they were sealed.
//!
//! What makes one safe is the device's to choose: the gateway's acknowledgement, or a receipt that it has sealed.
//!
//! The bytes stay as they were sealed: sealing a message anew under its counter would make it a replay, and under a new one a
//! second reading. A message keeps its packet id too, so that an acknowledgement that comes late finds it.

use sealgate_envelope::{Policy, Sealed, TruncatedTag, Verdict};
use sha2::{Digest as _, Sha256};

use crate::receipt::{Digest, Line};
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

/// What lets a message go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// The gateway's acknowledgement, which is as good as the connection that it came over.
    #[default]
    UntilAck,
    /// A receipt that names it, which only the gateway can have sealed.
    UntilReceipt {
        /// How long after its acknowledgement a message without one is sent again, in ms.
        patience_ms: u64,
    },
}

/// A message that is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acked<'a> {
    /// Its slot is free. These are its bytes, until something is sealed.
    Dropped(&'a [u8]),
    /// It is kept until a receipt names it.
    Kept,
    /// A receipt was faster; its slot is free.
    Told,
}

/// What a receipt has told of a message, which is dropped with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told<'a> {
    /// What it was published under.
    pub packet_id: u16,
    /// What became of it.
    pub verdict: Verdict,
    /// The sealed message.
    pub bytes: &'a [u8],
}

/// As many messages as its storage has slots. When it is full, nothing more is sealed.
pub(crate) struct Outbox<S> {
    slots: S,
    count: u64,
    pub(crate) keep: Keep,
}

/// What becomes of a slot next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Free,
    ToSend(Attempt),
    AwaitsAck,
    /// It is acknowledged. Without a receipt it is sent again at this moment.
    AwaitsReceipt(u64),
    /// A receipt has named it. Only its packet id is still in use, until the acknowledgement comes.
    Told,
}

/// The last packet id is left to whoever speaks MQTT, for a SUBSCRIBE.
const PACKET_IDS: u16 = u16::MAX - 1;

impl<S: Storage> Outbox<S> {
    /// With all slots free.
    pub(crate) fn new(slots: S) -> Self {
        assert!(slots.slots().len() < usize::from(PACKET_IDS), "each slot needs a packet id of its own");
        Self { slots, count: 0, keep: Keep::UntilAck }
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
        let named = self.keep != Keep::UntilAck;
        let slot = self.slots.slots_mut().iter_mut().find(|slot| slot.state == State::Free)?;
        Some(fill(slot.buffer.room(bytes)).map(|len| {
            if let Some(message) = slot.buffer.bytes().get(..len).filter(|_| named) {
                (slot.counter, slot.digest) = name(message);
            }
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

    /// A message that was sent is acknowledged at `uptime_ms`. An id of no such message changes nothing.
    pub(crate) fn acknowledge(&mut self, packet_id: u16, uptime_ms: u64) -> Option<Acked<'_>> {
        let keep = self.keep;
        let sent = |slot: &&mut Slot<S::Buffer>| {
            matches!(slot.state, State::AwaitsAck | State::Told) && slot.packet_id == packet_id
        };
        let slot = self.slots.slots_mut().iter_mut().find(sent)?;
        match (slot.state, keep) {
            (State::AwaitsAck, Keep::UntilReceipt { patience_ms }) => {
                slot.state = State::AwaitsReceipt(uptime_ms.saturating_add(patience_ms));
                Some(Acked::Kept)
            }
            (State::AwaitsAck, Keep::UntilAck) => slot.release().map(Acked::Dropped),
            _ => slot.release().map(|_| Acked::Told),
        }
    }

    /// Frees the slot of a message that awaits a receipt, and gives its bytes.
    pub(crate) fn give_up(&mut self, packet_id: u16) -> Option<&[u8]> {
        let kept =
            |slot: &&mut Slot<S::Buffer>| matches!(slot.state, State::AwaitsReceipt(_)) && slot.packet_id == packet_id;
        self.slots.slots_mut().iter_mut().find(kept)?.release()
    }

    /// A receipt says this of a message: the oldest that was sent and bears the name. None: there is no such message here.
    pub(crate) fn tell(&mut self, line: Line) -> Option<Told<'_>> {
        let verdict = line.verdict?;
        let named = self.slots.slots_mut().iter_mut().filter(|slot| slot.was_sent() && slot.is_named(&line, verdict));
        let slot = named.min_by_key(|slot| slot.place)?;
        let packet_id = slot.packet_id;
        slot.state = if slot.state == State::AwaitsAck { State::Told } else { State::Free };
        Some(Told { packet_id, verdict, bytes: slot.message()? })
    }

    /// All that was sent and not let go is to be sent again.
    pub(crate) fn resend(&mut self) {
        for slot in self.slots.slots_mut() {
            slot.state = match slot.state {
                State::AwaitsAck | State::AwaitsReceipt(_) => State::ToSend(Attempt::Again),
                State::Told => State::Free,
                State::Free | State::ToSend(_) => slot.state,
            };
        }
    }

    /// When the first message has waited for its receipt long enough.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        self.slots.slots().iter().filter_map(Slot::due_ms).min()
    }

    /// What has waited for its receipt long enough is to be sent again.
    pub(crate) fn resend_due(&mut self, uptime_ms: u64) {
        let due = self.slots.slots_mut().iter_mut().filter(|slot| slot.due_ms().is_some_and(|due| due <= uptime_ms));
        due.for_each(|slot| slot.state = State::ToSend(Attempt::Again));
    }

    /// Packet ids go round, so that one is not used again at once, and pass over those in use.
    fn free_packet_id(&self) -> u16 {
        let in_use =
            |id: &u16| self.slots.slots().iter().any(|slot| slot.state != State::Free && slot.packet_id == *id);
        let next = (self.count % u64::from(PACKET_IDS)) as u16;
        let mut ids =
            (0..PACKET_IDS).map(|step| 1 + ((u32::from(next) + u32::from(step)) % u32::from(PACKET_IDS)) as u16);
        ids.find(|id| !in_use(id)).expect("there are more ids than slots")
    }
}

impl<B: Buffer> Slot<B> {
    fn message(&self) -> Option<&[u8]> {
        self.buffer.bytes().get(..self.len)
    }

    fn release(&mut self) -> Option<&[u8]> {
        self.state = State::Free;
        self.message()
    }

    /// Whether the gateway may have it, and its receipt is not here.
    fn was_sent(&self) -> bool {
        matches!(self.state, State::AwaitsAck | State::AwaitsReceipt(_) | State::ToSend(Attempt::Again))
    }

    /// Whether a line is about this message. What was refused may not have been read as far as its counter; what has become good has.
    fn is_named(&self, line: &Line, verdict: Verdict) -> bool {
        let counter_fits = match line.counter {
            Some(counter) => self.counter.is_none_or(|own| own == counter),
            None => matches!(verdict, Verdict::Rejected(_)),
        };
        counter_fits && self.digest == line.digest
    }

    fn due_ms(&self) -> Option<u64> {
        match self.state {
            State::AwaitsReceipt(due_ms) => Some(due_ms),
            _ => None,
        }
    }
}

/// What a receipt calls a message: its counter, none where it cannot be read here, and its hash.
fn name(message: &[u8]) -> (Option<u64>, Digest) {
    let policy = Policy { bytes_max: usize::MAX, truncated_tag: TruncatedTag::Allow };
    let counter = Sealed::parse(message, &policy).ok().map(|sealed| sealed.header().counter);
    let mut digest = Digest::default();
    digest.copy_from_slice(&Sha256::digest(message)[..Digest::default().len()]);
    (counter, digest)
}
