//! One device: its identity, its key, its counter and its outbox.

use core::fmt;

use sealgate_envelope::{Algorithm, DeviceId, Key, Message, SealError};

use crate::counter::Counter;
use crate::outbox::{Acked, Attempt, Keep, Outbox, Publish, Told};
use crate::receipt::{BadReceipt, Receipt};
use crate::seal::Encoding;
use crate::storage::{Slot, Storage};

/// A device that keeps frames of at most `BYTES` bytes in `SLOTS` places until they are acknowledged, without an allocator.
pub type FixedDevice<const SLOTS: usize, const BYTES: usize> = Device<[Slot<[u8; BYTES]>; SLOTS]>;

/// A device that keeps as many messages as its storage has slots until they are acknowledged, or told to be safe by a [receipt](Keep).
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

    /// The same device with another rule for what lets a message go; made before anything is sealed.
    #[must_use]
    pub fn keeping(mut self, keep: Keep) -> Self {
        self.outbox.keep = keep;
        self
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

    /// The gateway has acknowledged a message, at `uptime_ms` of a clock that only goes forward; none if no such message awaits it.
    /// What the gateway thinks of it makes no difference here: it has it.
    pub fn handle_ack(&mut self, packet_id: u16, uptime_ms: u64) -> Option<Acked<'_>> {
        self.outbox.acknowledge(packet_id, uptime_ms)
    }

    /// A message has come on `devices/{id}/receipts`. If the gateway has sealed it for this device, what it names is dropped, and
    /// `told` is called for each; if not, nothing is changed. What it names and is not here was told before.
    pub fn handle_receipt(&mut self, frame: &[u8], mut told: impl FnMut(Told<'_>)) -> Result<(), BadReceipt> {
        let Self { id, key, key_version, outbox, .. } = self;
        Receipt::open(frame, id, key, *key_version)?.each_line(|line| {
            if let Some(one) = outbox.tell(line) {
                told(one);
            }
        });
        Ok(())
    }

    /// Drops a message that is acknowledged and that no receipt will name, and gives its bytes: one that was published elsewhere
    /// than to the device's telemetry.
    pub fn give_up(&mut self, packet_id: u16) -> Option<&[u8]> {
        self.outbox.give_up(packet_id)
    }

    /// When [`Device::handle_timeout`] is due, on the clock of [`Device::handle_ack`]; none: no receipt is waited for.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.outbox.due_ms()
    }

    /// Messages for which no receipt came in time are to be sent again: the answer is that they are duplicates.
    pub fn handle_timeout(&mut self, uptime_ms: u64) {
        self.outbox.resend_due(uptime_ms);
    }

    /// A new connection stands: what the last one left unacknowledged, or acknowledged and without a receipt, is sent again, the very same bytes [MQTT-4.4.0-1].
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
    use sealgate_envelope::{DeviceKey, Direction, Policy, Reason, Sealed, Verdict};
    use sha2::{Digest as _, Sha256};

    use crate::receipt;

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
        device.handle_ack(2, 0);
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
        device.handle_ack(1, 0);
        assert_eq!(
            device.seal_reading(None, 42, b"x"),
            Err(SealReadingError::OutboxFull),
            "what was not sent is not acked"
        );
        device.poll_publish().unwrap();
        device.handle_ack(1, 0);
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
            device.handle_ack(packet_id, 0);
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
        assert_eq!(device.handle_ack(1, 0), Some(Acked::Dropped(b"sealed elsewhere")));
        assert_eq!(device.handle_ack(1, 0), None);
        assert_eq!(device.room(), 3);
        assert_eq!(device.forward(&[0; 101], Attempt::First), Err(SealReadingError::Sealing(SealError::Room)));
    }

    /// A device whose messages outlive their acknowledgements, and wait ten seconds for a receipt.
    fn careful() -> Small {
        device().keeping(Keep::UntilReceipt { patience_ms: 10_000 })
    }

    /// Seals a message and sends it; gives its counter and bytes.
    fn send(device: &mut Small) -> (u64, Vec<u8>) {
        let counter = device.seal_reading(None, 42, b"x").unwrap().counter;
        (counter, device.poll_publish().unwrap().bytes.to_vec())
    }

    /// What the gateway says about these messages.
    fn receipt(key: &Key, lines: &[(Option<u64>, &[u8], u8)]) -> Vec<u8> {
        let mut cbor = minicbor::Encoder::new(Vec::new());
        cbor.array(lines.len() as u64).unwrap();
        for (counter, message, verdict) in lines {
            cbor.array(3).unwrap().encode(counter).unwrap();
            cbor.bytes(&Sha256::digest(message)[..8]).unwrap().u8(*verdict).unwrap();
        }
        receipt::tests::seal(&cbor.into_writer(), 60, key, &"pump".parse().unwrap(), Direction::Receipt)
    }

    /// The packet ids and verdicts that the device takes out of a receipt.
    fn tell(device: &mut Small, receipt: &[u8]) -> Result<Vec<(u16, Verdict)>, BadReceipt> {
        let mut told = Vec::new();
        device.handle_receipt(receipt, |one| told.push((one.packet_id, one.verdict)))?;
        Ok(told)
    }

    #[test]
    fn a_careful_device_keeps_a_message_until_a_receipt_names_it() {
        for (code, verdict) in [
            (0, Verdict::Stored),
            (1, Verdict::Duplicate),
            (2, Verdict::Spooled),
            (9, Verdict::Rejected(Reason::BadSeal)),
        ] {
            let mut device = careful();
            let (counter, bytes) = send(&mut device);
            assert_eq!(device.handle_ack(1, 0), Some(Acked::Kept));
            assert_eq!(device.room(), 2);
            let receipt = receipt(&key(), &[(Some(counter), &bytes, code)]);
            assert_eq!(tell(&mut device, &receipt), Ok(vec![(1, verdict)]));
            assert_eq!((device.room(), device.poll_timeout()), (3, None));
            assert_eq!(tell(&mut device, &receipt), Ok(vec![]), "it was told before");
        }
    }

    #[test]
    fn a_receipt_that_is_faster_than_the_acknowledgement_counts() {
        let mut device = careful();
        let (counter, bytes) = send(&mut device);
        let receipt = receipt(&key(), &[(Some(counter), &bytes, 0)]);
        assert_eq!(tell(&mut device, &receipt), Ok(vec![(1, Verdict::Stored)]));
        assert_eq!(device.room(), 2, "its packet id is in use until the acknowledgement comes");
        assert_eq!(device.handle_ack(1, 0), Some(Acked::Told));
        assert_eq!(device.room(), 3);
        send(&mut device);
        device.handle_connected();
        assert_eq!(device.poll_publish().unwrap().packet_id, 2, "what was told is not sent again");
        assert_eq!(device.poll_publish(), None);
    }

    #[test]
    fn a_receipt_must_name_counter_and_hash() {
        let mut device = careful();
        let (counter, bytes) = send(&mut device);
        device.handle_ack(1, 0);
        for wrong in [
            (Some(counter + 1), &bytes[..], 0),
            (Some(counter), b"another message", 0),
            (None, &bytes, 0),
            (Some(counter), &bytes, 99),
        ] {
            assert_eq!(tell(&mut device, &receipt(&key(), &[wrong])), Ok(vec![]), "{wrong:?}");
        }
        let unread = receipt(&key(), &[(None, &bytes, 3)]);
        assert_eq!(tell(&mut device, &unread), Ok(vec![(1, Verdict::Rejected(Reason::Malformed))]));
    }

    #[test]
    fn a_forged_receipt_changes_nothing() {
        let mut device = careful();
        let (counter, bytes) = send(&mut device);
        device.handle_ack(1, 0);
        let others = Key::new(&DeviceKey::from([8; 32]));
        let forged = receipt(&others, &[(Some(counter), &bytes, 0)]);
        assert_eq!(tell(&mut device, &forged), Err(BadReceipt::Forged));
        let mut damaged = receipt(&key(), &[(Some(counter), &bytes, 0)]);
        damaged[30] ^= 1;
        assert_eq!(tell(&mut device, &damaged), Err(BadReceipt::Damaged));
        assert_eq!((device.room(), device.poll_timeout()), (2, Some(10_000)));
    }

    #[test]
    fn without_a_receipt_a_message_is_sent_again_in_time_and_after_a_lost_connection() {
        let mut device = careful();
        let (counter, bytes) = send(&mut device);
        device.handle_ack(1, 500);
        assert_eq!(device.poll_timeout(), Some(10_500));
        device.handle_timeout(10_499);
        assert_eq!(device.poll_publish(), None);
        device.handle_timeout(10_500);
        let again = Publish { packet_id: 1, attempt: Attempt::Again, bytes: &bytes };
        assert_eq!(device.poll_publish(), Some(again));
        assert_eq!(device.poll_timeout(), None, "the acknowledgement is waited for first");
        device.handle_ack(1, 11_000);
        device.handle_connected();
        assert_eq!(device.poll_publish(), Some(again));
        let duplicate = receipt(&key(), &[(Some(counter), &bytes, 1)]);
        assert_eq!(tell(&mut device, &duplicate), Ok(vec![(1, Verdict::Duplicate)]));
    }

    #[test]
    fn of_two_copies_each_line_of_a_receipt_is_about_one() {
        let mut device = careful();
        let (counter, bytes) = send(&mut device);
        device.forward(&bytes, Attempt::Again).unwrap();
        device.poll_publish().unwrap();
        let lines = [(Some(counter), &bytes[..], 0), (Some(counter), &bytes, 1), (Some(counter), &bytes, 1)];
        let told = tell(&mut device, &receipt(&key(), &lines));
        assert_eq!(told, Ok(vec![(1, Verdict::Stored), (2, Verdict::Duplicate)]));
    }

    #[test]
    fn what_no_receipt_will_name_can_be_given_up() {
        let mut device = careful();
        let (_, bytes) = send(&mut device);
        assert_eq!(device.give_up(1), None, "it is not acknowledged");
        device.handle_ack(1, 0);
        assert_eq!(device.give_up(1), Some(&bytes[..]));
        assert_eq!((device.room(), device.give_up(1)), (3, None));
    }
}
