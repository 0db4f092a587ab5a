//! One device: its identity, its key, its counter and its outbox.

use core::fmt;

use sealgate_envelope::{Algorithm, DeviceId, Direction, Key, Message, SealError, seal_frame};

use crate::counter::Counter;
use crate::outbox::{Outbox, Publish};

/// A device that keeps up to `SLOTS` frames of at most `BYTES` bytes until they are acknowledged.
pub struct Device<const SLOTS: usize, const BYTES: usize> {
    id: DeviceId,
    key: Key,
    key_version: u8,
    counter: Counter,
    outbox: Outbox<SLOTS, BYTES>,
}

impl<const SLOTS: usize, const BYTES: usize> Device<SLOTS, BYTES> {
    /// A device after its boot, with nothing to send.
    pub fn new(id: DeviceId, key: Key, key_version: u8, counter: Counter) -> Self {
        Self { id, key, key_version, counter, outbox: Outbox::new() }
    }

    /// Who it is.
    pub fn id(&self) -> &DeviceId {
        &self.id
    }

    /// Seals a reading of `content_format` (a CoAP content-format) under the next counter, and puts it into the outbox. Gives
    /// the counter. `now_ms` is the device's clock in Unix ms, none if it has no clock.
    pub fn seal_reading(
        &mut self,
        now_ms: Option<i64>,
        content_format: u16,
        payload: &[u8],
    ) -> Result<u64, SealReadingError> {
        if self.outbox.is_full() {
            return Err(SealReadingError::OutboxFull);
        }
        // A counter is used up even if sealing fails: a gap does no harm, a counter used twice does.
        let counter = self.counter.take().ok_or(SealReadingError::CounterSpent)?;
        let Self { id, key, key_version, outbox, .. } = self;
        let message = Message {
            algorithm: Algorithm::HmacSha256,
            key_version: *key_version,
            content_format,
            counter,
            time_ms: now_ms,
            payload,
        };
        let put = outbox.put(|room| seal_frame(room, &message, key, id, Direction::FromDevice));
        put.ok_or(SealReadingError::OutboxFull)?.map_err(SealReadingError::Sealing)?;
        Ok(counter)
    }

    /// The next message to publish, the oldest first; none until something is sealed or a connection is lost.
    pub fn poll_publish(&mut self) -> Option<Publish<'_>> {
        self.outbox.poll()
    }

    /// The gateway has acknowledged a message. What it thinks of it makes no difference here: it has it.
    pub fn handle_ack(&mut self, packet_id: u16) {
        self.outbox.acknowledge(packet_id);
    }

    /// A new connection stands: what the last one left unacknowledged is sent again, the very same bytes [MQTT-4.4.0-1].
    pub fn handle_connected(&mut self) {
        self.outbox.resend();
    }
}

impl<const SLOTS: usize, const BYTES: usize> fmt::Debug for Device<SLOTS, BYTES> {
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
    use crate::outbox::Attempt;
    use sealgate_envelope::{DeviceKey, Policy, Sealed};

    type Small = Device<3, 100>;

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
            device.seal_reading(None, 42, b"x"),
            Ok(BOOT_7 + 4),
            "a refusal for want of room uses no counter up"
        );
    }

    #[test]
    fn a_counter_is_not_used_again_after_a_failure() {
        let mut device = device();
        let too_long = device.seal_reading(None, 42, &[0; 100]);
        assert_eq!(too_long, Err(SealReadingError::Sealing(SealError::Room)));
        assert_eq!(device.seal_reading(None, 42, b"x"), Ok(BOOT_7 + 2));
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
}
