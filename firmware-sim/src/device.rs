//! One device: its identity, its key, its counter and its outbox.

use core::fmt;

use sealgate_envelope::{Algorithm, DeviceId, Key, Message, SealError};

use crate::counter::Counter;
use crate::outbox::{Attempt, Outbox, Publish};
use crate::seal::Encoding;
use crate::storage::{Slot, Storage};

/// A device that keeps frames of at most `BYTES` bytes in `SLOTS` places until they are acknowledged, without an allocator.
pub type FixedDevice<const SLOTS: usize, const BYTES: usize> = Device<[Slot<[u8; BYTES]>; SLOTS]>;

/// A device that keeps as many messages as its storage has slots until they are acknowledged.
pub struct Device<S> {
    id: DeviceId,
    key: Key,
    key_version: u8,
    encoding: Encoding,
    counter: Counter,
    outbox: Outbox<S>,
}

/// A message in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    /// What it is published under.
    pub packet_id: u16,
    /// The counter that it is sealed under.
    pub counter: u64,
}

impl<const SLOTS: usize, const BYTES: usize> FixedDevice<SLOTS, BYTES> {
    /// A device after its boot, with nothing to send. It seals frames.
    pub fn new(id: DeviceId, key: Key, key_version: u8, counter: Counter) -> Self {
        Self::with(id, key, key_version, counter, Encoding::Frame, [Slot::free([0; BYTES]); SLOTS])
    }
}

impl<S: Storage> Device<S> {
    /// A device after its boot, with nothing to send.
    pub fn with(id: DeviceId, key: Key, key_version: u8, counter: Counter, encoding: Encoding, slots: S) -> Self {
        Self { id, key, key_version, counter, encoding, outbox: Outbox::new(slots) }
    }

    /// Who it is.
    pub fn id(&self) -> &DeviceId {
        &self.id
    }

    /// Seals a reading of `content_format` (a CoAP content-format) under the next counter, and puts it into the outbox.
    /// `now_ms` is the device's clock in Unix ms, none if it has no clock.
    pub fn seal_reading(
        &mut self,
        now_ms: Option<i64>,
        content_format: u16,
        payload: &[u8],
    ) -> Result<Queued, SealReadingError> {
        if self.room() == 0 {
            return Err(SealReadingError::OutboxFull);
        }
        // A counter is used up even if sealing fails: a gap does no harm, a counter used twice does.
        let counter = self.take_counter().ok_or(SealReadingError::CounterSpent)?;
        let Self { id, key, key_version, encoding, outbox, .. } = self;
        let message = Message {
            algorithm: Algorithm::HmacSha256,
            key_version: *key_version,
            content_format,
            counter,
            time_ms: now_ms,
            payload,
        };
        let put = outbox
            .put(encoding.bytes_max(&message), Attempt::First, |room| encoding.seal(room, &message, key, id))
            .ok_or(SealReadingError::OutboxFull)?;
        let packet_id = put.map_err(SealReadingError::Sealing)?;
        Ok(Queued { packet_id, counter })
    }

    /// Puts an envelope that was sealed elsewhere into the outbox, by a sensor behind this device for example, and gives its
    /// packet id. `attempt` says whether it was sent before.
    pub fn forward(&mut self, envelope: &[u8], attempt: Attempt) -> Result<u16, SealReadingError> {
        let put = self.outbox.put(envelope.len(), attempt, |room| {
            let room = room.get_mut(..envelope.len()).ok_or(SealReadingError::Sealing(SealError::Room))?;
            room.copy_from_slice(envelope);
            Ok(envelope.len())
        });
        put.ok_or(SealReadingError::OutboxFull)?
    }

    /// The next counter, used up from now on; none if this boot has used up all of its own.
    pub fn take_counter(&mut self) -> Option<u64> {
        self.counter.take()
    }

    /// How many more messages the outbox takes.
    pub fn room(&self) -> usize {
        self.outbox.free()
    }

    /// The next message to publish, the oldest first; none until something is sealed or a connection is lost.
    pub fn poll_publish(&mut self) -> Option<Publish<'_>> {
        self.outbox.poll()
    }

    /// The gateway has acknowledged a message, whose bytes come back; none if no such message awaits it. What the gateway thinks
    /// of it makes no difference here: it has it.
    pub fn handle_ack(&mut self, packet_id: u16) -> Option<&[u8]> {
        self.outbox.acknowledge(packet_id)
    }

    /// A new connection stands: what the last one left unacknowledged is sent again, the very same bytes [MQTT-4.4.0-1].
    pub fn handle_connected(&mut self) {
        self.outbox.resend();
    }
}

impl<S> fmt::Debug for Device<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("id", &self.id).field("counter", &self.counter).finish_non_exhaustive()
    }
}

/// Why a reading is not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealReadingError {
    /// No message in the outbox is acknowledged yet: the reading waits, or is dropped, as the application decides.
    OutboxFull,
    /// This boot has used up its counters.
    CounterSpent,
    /// The envelope cannot say it.
    Sealing(SealError),
}

impl fmt::Display for SealReadingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutboxFull => f.write_str("the outbox is full of messages that are not acknowledged"),
            Self::CounterSpent => f.write_str("the counters of this boot are used up"),
            Self::Sealing(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for SealReadingError {}

#[cfg(test)]
mod tests {
    use super::*;
    use sealgate_envelope::{DeviceKey, Direction, Policy, Sealed};

    type Small = FixedDevice<3, 100>;

    fn device() -> Small {
        Device::new("pump".parse().unwrap(), key(), 1, Counter::at_boot(7).unwrap())
    }

    fn key() -> Key {
        Key::new(&DeviceKey::from([7; 32]))
    }

    /// The counter and the payload's first byte of a frame, which the device must have sealed.
    fn open(bytes: &[u8]) -> (u64, u8) {
        let sealed = Sealed::parse(bytes, &Policy::default()).unwrap();
        let payload = sealed.open(&key(), &"pump".parse().unwrap(), Direction::FromDevice).unwrap();
        (sealed.header().counter, payload[0])
    }

    const BOOT_7: u64 = 7 << 32;

    #[test]
    fn readings_go_out_in_order_each_under_a_counter_of_its_own() {
        let mut device = device();
        for reading in 1..=3 {
            device.seal_reading(Some(1_790_000_000_000), 42, &[reading]).unwrap();
        }
        for reading in 1..=3 {
            let publish = device.poll_publish().unwrap();
            assert_eq!(open(publish.bytes), (BOOT_7 + u64::from(reading), reading));
            assert_eq!((publish.packet_id, publish.attempt), (u16::from(reading), Attempt::First));
        }
        assert_eq!(device.poll_publish(), None);
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_byte_by_byte() {
        let mut device = device();
        let mut sent = [[0; 100]; 3];
        for room in &mut sent {
            device.seal_reading(None, 42, b"x").unwrap();
            let publish = device.poll_publish().unwrap();
            room[..publish.bytes.len()].copy_from_slice(publish.bytes);
        }
        device.handle_ack(2);
        device.handle_connected();
        for (packet_id, bytes) in [(1, sent[0]), (3, sent[2])] {
            let publish = device.poll_publish().unwrap();
            assert_eq!((publish.packet_id, publish.attempt), (packet_id, Attempt::Again));
            assert_eq!(publish.bytes, &bytes[..publish.bytes.len()]);
        }
        assert_eq!(device.poll_publish(), None);
    }

    #[test]
    fn a_full_outbox_takes_nothing_until_an_acknowledgement_comes() {
        let mut device = device();
        for _ in 0..3 {
            device.seal_reading(None, 42, b"x").unwrap();
        }
        assert_eq!(device.seal_reading(None, 42, b"x"), Err(SealReadingError::OutboxFull));
        device.handle_ack(1);
        assert_eq!(
            device.seal_reading(None, 42, b"x"),
            Err(SealReadingError::OutboxFull),
            "what was not sent is not acked"
        );
        device.poll_publish().unwrap();
        device.handle_ack(1);
        assert_eq!(
            device.seal_reading(None, 42, b"x").map(|queued| queued.counter),
            Ok(BOOT_7 + 4),
            "a refusal for want of room uses no counter up"
        );
    }

    #[test]
    fn a_counter_is_not_used_again_after_a_failure() {
        let mut device = device();
        let too_long = device.seal_reading(None, 42, &[0; 100]);
        assert_eq!(too_long, Err(SealReadingError::Sealing(SealError::Room)));
        assert_eq!(device.seal_reading(None, 42, b"x"), Ok(Queued { packet_id: 1, counter: BOOT_7 + 2 }));
    }

    #[test]
    fn a_packet_id_in_use_is_passed_over_when_the_ids_have_gone_round() {
        let mut device = device();
        device.seal_reading(None, 42, b"kept").unwrap();
        assert_eq!(device.poll_publish().unwrap().packet_id, 1);
        for _ in 0..70_000 {
            device.seal_reading(None, 42, b"x").unwrap();
            let packet_id = device.poll_publish().unwrap().packet_id;
            assert!(packet_id > 1);
            device.handle_ack(packet_id);
        }
    }

    #[test]
    fn what_was_sealed_elsewhere_is_sent_as_it_is() {
        let mut device = device();
        assert_eq!(device.forward(b"sealed elsewhere", Attempt::Again), Ok(1));
        assert_eq!(
            device.poll_publish(),
            Some(Publish { packet_id: 1, attempt: Attempt::Again, bytes: b"sealed elsewhere" })
        );
        assert_eq!(device.handle_ack(1), Some(&b"sealed elsewhere"[..]));
        assert_eq!(device.handle_ack(1), None);
        assert_eq!(device.room(), 3);
        assert_eq!(device.forward(&[0; 101], Attempt::First), Err(SealReadingError::Sealing(SealError::Room)));
    }
}
