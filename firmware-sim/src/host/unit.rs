//! One device of a fleet: readings in, messages out, acknowledgements back. Pure: its clock is a parameter, its chance seeded.
//!
//! It holds beside each message in the outbox what went wrong with it and what must become of it, and compares the answer.

mod faulty;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use fastrand::Rng;
use sealgate_envelope::{Algorithm, Key, Message, Verdict};

use super::credentials::Credentials;
use super::fault::{Expected, Fault};
use super::forge;
use super::ledger::{Acknowledged, Ledger, sha256_hex};
use super::link::{Answer, MqttVersion};
use super::sensor::Sensors;
use super::settings::{KeepUntil, PubAck, Settings};
use super::tally::Tally;
use crate::outbox::{Attempt, Publish};
use crate::seal::Encoding;
use crate::{Acked, Counter, Device, SealReadingError, Slot};

/// A device with its sensors, its faults, and what it remembers.
pub(super) struct Unit {
    settings: Arc<Settings>,
    key: Key,
    key_version: u8,
    encoding: Encoding,
    version: MqttVersion,
    device: Device<Vec<Slot<Vec<u8>>>>,
    sensors: Sensors,
    topic: String,
    wrong_topic: String,
    receipts_topic: String,
    under_way: HashMap<u16, Kind>,
    /// Messages that were sent on this connection and are not acknowledged.
    sent: usize,
    /// Stored envelopes with their counters, for replays and counters used again.
    stored: VecDeque<(u64, Vec<u8>)>,
    rng: Rng,
    tally: Tally,
    ledger: Option<Ledger>,
}

/// What is known of a message under way.
#[derive(Clone, Copy)]
struct Kind {
    fault: Option<Fault>,
    expected: Expected,
    counter: Option<u64>,
    was_sent: bool,
}

/// What is to be done beside sending what was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing.
    GoOn,
    /// The connection breaks.
    DropConnection,
}

/// What a device remembers of what was stored.
const STORED_KEPT: usize = 8;

impl Unit {
    /// The device at `place` in its fleet, after its boot.
    pub(super) fn new(
        settings: Arc<Settings>,
        credentials: &Credentials,
        place: usize,
        tally: Tally,
        ledger: Option<Ledger>,
    ) -> Self {
        let mut rng = Rng::with_seed(settings.seed ^ (place as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let (encoding, version) = (settings.encoding.of(place), settings.mqtt.of(place));
        let counter = Counter::at_boot(settings.boot_count).expect("the fleet has checked its boot count");
        // One more than may be sent: a message that is delivered twice is made at once.
        let slots = (0..=settings.window.max(1)).map(|_| Slot::free(Vec::new())).collect();
        let keep = settings.keep_until.of(settings.receipt_timeout);
        let id = credentials.device_id;
        let key = credentials.key.clone();
        Unit {
            topic: format!("devices/{id}/telemetry"),
            wrong_topic: format!("devices/not-{id}/telemetry"),
            receipts_topic: format!("devices/{id}/receipts"),
            device: Device::with(id, key.clone(), credentials.key_version, counter, encoding, slots).keeping(keep),
            key,
            key_version: credentials.key_version,
            encoding,
            version,
            sensors: Sensors::new(&mut rng),
            under_way: HashMap::new(),
            sent: 0,
            stored: VecDeque::new(),
            rng,
            settings,
            tally,
            ledger,
        }
    }

    /// Its name, which is its user name and client id too.
    pub(super) fn id(&self) -> &str {
        self.device.id().as_str()
    }

    /// What it speaks.
    pub(super) fn version(&self) -> MqttVersion {
        self.version
    }

    /// Where it hears what became of its messages, if it waits for that.
    pub(super) fn receipts_topic(&self) -> Option<&str> {
        (self.settings.keep_until == KeepUntil::Receipt).then_some(&self.receipts_topic)
    }

    /// A number of this device's own chance.
    pub(super) fn random(&mut self) -> u32 {
        self.rng.u32(..)
    }

    /// A number of the same in 0..1.
    pub(super) fn chance(&mut self) -> f64 {
        self.rng.f64()
    }

    /// True: the next reading finds room, whatever goes wrong with it.
    pub(super) fn has_room(&self) -> bool {
        self.device.room() >= 2
    }

    /// True: everything that was made is acknowledged, or told of by a receipt if that is what it is kept for.
    pub(super) fn is_settled(&self) -> bool {
        self.under_way.is_empty()
    }

    /// True: one more may be sent on this connection, of which the gateway takes `window` at a time.
    pub(super) fn may_send(&self, window: usize) -> bool {
        self.sent < window.min(self.settings.window.into())
    }

    /// A token that chance has tampered with, if it is this connection's turn.
    pub(super) fn draw_bad_token(&mut self, token: &str) -> Option<String> {
        let probability = self.settings.faults.of(Fault::BadToken);
        (self.rng.f64() < probability).then(|| forge::tamper_with(token, &mut self.rng))
    }

    /// Makes the next message out of a reading, and lets chance at it.
    pub(super) fn handle_reading(&mut self, now_ms: i64) -> Result<Then, SealReadingError> {
        let fault = self.settings.faults.draw(self.rng.f64());
        self.tally.change(|counts| counts.readings += 1);
        match fault {
            None => self.seal(now_ms, None)?,
            Some(Fault::DroppedConnection) => {
                self.seal(now_ms, fault)?;
                return Ok(Then::DropConnection);
            }
            Some(Fault::WrongTopic) => self.seal(now_ms, fault)?,
            Some(Fault::DuplicateDelivery) => self.deliver_twice(now_ms)?,
            Some(Fault::BitFlip | Fault::ForgedPayload) => self.damage(now_ms, fault)?,
            Some(Fault::WrongKey) => self.seal_with_another_key(now_ms)?,
            Some(Fault::Stale) => self.seal_in_the_past(now_ms)?,
            Some(Fault::Future) => self.seal_in_the_future(now_ms)?,
            Some(Fault::Garbage) => self.send_garbage()?,
            Some(Fault::Replay) => self.replay(now_ms)?,
            Some(Fault::ReusedCounter) => self.use_a_counter_again(now_ms)?,
            Some(Fault::BadToken) => {}
        }
        Ok(Then::GoOn)
    }

    /// The next message to be sent, and its topic.
    pub(super) fn poll_publish(&mut self) -> Option<(&str, Publish<'_>)> {
        let publish = self.device.poll_publish()?;
        let kind = self.under_way.get_mut(&publish.packet_id)?;
        let (fault, expected, again) = (kind.fault, kind.expected, std::mem::replace(&mut kind.was_sent, true));
        self.sent += 1;
        self.tally.change(|counts| {
            counts.cell(fault, expected).sent_again += u64::from(again);
            counts.unacknowledged += 1;
        });
        let topic = if fault == Some(Fault::WrongTopic) { &self.wrong_topic } else { &self.topic };
        Some((topic, publish))
    }

    /// A connection stands: what is not acknowledged is sent again.
    pub(super) fn handle_connected(&mut self) {
        self.device.handle_connected();
    }

    /// The connection is gone.
    pub(super) fn handle_disconnected(&mut self) {
        let sent = std::mem::take(&mut self.sent) as u64;
        self.tally.change(|counts| counts.unacknowledged -= sent);
    }

    /// A message is acknowledged.
    pub(super) fn handle_ack(&mut self, packet_id: u16, answer: &Answer, uptime_ms: u64) {
        let dropped = match self.device.handle_ack(packet_id, uptime_ms) {
            None => {
                let id = self.device.id();
                return self
                    .tally
                    .change(|counts| counts.surprise(|| format!("{id}: PUBACK {packet_id} of no message")));
            }
            Some(Acked::Dropped(envelope)) => Some(envelope.to_vec()),
            Some(Acked::Kept | Acked::Told) => None,
        };
        self.sent -= 1;
        self.tally.change(|counts| counts.unacknowledged -= 1);
        let answer = match (answer, self.settings.puback) {
            (Answer::Accepted, PubAck::Received) => &Answer::Silent,
            _ => answer,
        };
        match dropped {
            Some(envelope) => self.settle(packet_id, answer, envelope),
            None => self.wait_for_receipt(packet_id, answer),
        }
    }

    /// A message is acknowledged and kept. Its acknowledgement must fit all the same, and of one that never reached the gateway's
    /// judgement no receipt will tell.
    fn wait_for_receipt(&mut self, packet_id: u16, answer: &Answer) {
        let Some(Kind { expected, .. }) = self.under_way.get(&packet_id).copied() else { return };
        if expected == Expected::NotAuthorized {
            let given_up = self.device.give_up(packet_id).map(<[u8]>::to_vec);
            return self.settle(packet_id, answer, given_up.unwrap_or_default());
        }
        self.expect(expected, answer);
    }

    /// A message has come for the device.
    pub(super) fn handle_message(&mut self, topic: &[u8], payload: &[u8]) {
        if topic != self.receipts_topic.as_bytes() {
            let id = self.device.id();
            return self.tally.change(|counts| counts.surprise(|| format!("{id}: a message that was not asked for")));
        }
        let mut told = Vec::new();
        let opened =
            self.device.handle_receipt(payload, |one| told.push((one.packet_id, one.verdict, one.bytes.to_vec())));
        self.tally.change(|counts| match opened {
            Ok(()) => counts.receipts.believed += 1,
            Err(_) => counts.receipts.ignored += 1,
        });
        for (packet_id, verdict, envelope) in told {
            self.settle(packet_id, &self.told(verdict), envelope);
        }
    }

    /// A verdict in the words of an acknowledgement.
    fn told(&self, verdict: Verdict) -> Answer {
        let Verdict::Rejected(reason) = verdict else { return Answer::Accepted };
        self.tally.change(|counts| *counts.receipts.refused.entry(reason.as_str()).or_default() += 1);
        Answer::Refused(reason.as_str().to_owned())
    }

    /// When [`Unit::handle_timeout`] is due, in ms of the device's uptime.
    pub(super) fn poll_timeout(&self) -> Option<u64> {
        self.device.poll_timeout()
    }

    /// What has waited for its receipt long enough is sent again.
    pub(super) fn handle_timeout(&mut self, uptime_ms: u64) {
        self.device.handle_timeout(uptime_ms);
    }

    /// What became of a message is known, and the device has dropped it.
    fn settle(&mut self, packet_id: u16, answer: &Answer, envelope: Vec<u8>) {
        let Some(kind) = self.under_way.remove(&packet_id) else { return };
        self.tally.change(|counts| counts.cell(kind.fault, kind.expected).settled += 1);
        self.expect(kind.expected, answer);
        self.remember(kind, answer, envelope);
    }

    fn expect(&self, expected: Expected, answer: &Answer) {
        if !fits(expected, answer) {
            let id = self.device.id();
            let surprise = || format!("{id}: {expected} was due, and the answer was {answer:?}");
            self.tally.change(|counts| counts.surprise(surprise));
        }
    }

    /// Keeps what is stored now, and writes it down.
    fn remember(&mut self, kind: Kind, answer: &Answer, envelope: Vec<u8>) {
        let Some(counter) = kind.counter.filter(|_| is_acknowledged(kind, answer)) else { return };
        if let Some(ledger) = &self.ledger {
            ledger.write(&Acknowledged {
                device: self.id().to_owned(),
                key_version: self.key_version,
                counter,
                sha256: sha256_hex(&envelope),
                mqtt: self.version.as_str().to_owned(),
            });
        }
        if kind.expected == Expected::Stored {
            self.stored.truncate(STORED_KEPT - 1);
            self.stored.push_front((counter, envelope));
        }
    }

    /// A good message.
    fn seal(&mut self, now_ms: i64, fault: Option<Fault>) -> Result<(), SealReadingError> {
        let payload = self.measure(now_ms);
        let queued = self.device.seal_reading(Some(now_ms), self.settings.content.format(), &payload)?;
        let expected = match fault {
            Some(Fault::WrongTopic) => Expected::NotAuthorized,
            _ => Expected::Stored,
        };
        self.note(queued.packet_id, Kind { fault, expected, counter: Some(queued.counter), was_sent: false });
        Ok(())
    }

    fn measure(&mut self, now_ms: i64) -> Vec<u8> {
        self.sensors.measure(now_ms, self.settings.content, self.settings.payload_bytes, &mut self.rng)
    }

    /// An envelope under the next counter, not in the outbox yet.
    fn sealed(&mut self, device_ms: i64, payload: &[u8], key: &Key) -> Result<(u64, Vec<u8>), SealReadingError> {
        let counter = self.device.take_counter().ok_or(SealReadingError::CounterSpent)?;
        Ok((counter, self.sealed_under(counter, device_ms, payload, key)?))
    }

    fn sealed_under(
        &self,
        counter: u64,
        device_ms: i64,
        payload: &[u8],
        key: &Key,
    ) -> Result<Vec<u8>, SealReadingError> {
        let message = Message {
            algorithm: Algorithm::HmacSha256,
            key_version: self.key_version,
            content_format: self.settings.content.format(),
            counter,
            time_ms: Some(device_ms),
            payload,
        };
        let mut envelope = vec![0; self.encoding.bytes_max(&message)];
        let sealed = self.encoding.seal(&mut envelope, &message, key, self.device.id());
        envelope.truncate(sealed.map_err(SealReadingError::Sealing)?);
        Ok(envelope)
    }

    fn put(
        &mut self,
        envelope: &[u8],
        attempt: Attempt,
        fault: Option<Fault>,
        expected: Expected,
        counter: Option<u64>,
    ) -> Result<(), SealReadingError> {
        let packet_id = self.device.forward(envelope, attempt)?;
        self.note(packet_id, Kind { fault, expected, counter, was_sent: false });
        Ok(())
    }

    fn note(&mut self, packet_id: u16, kind: Kind) {
        self.under_way.insert(packet_id, kind);
        self.tally.change(|counts| counts.cell(kind.fault, kind.expected).made += 1);
    }
}

/// Whether an answer is what the specification gives. A Reason String is the reason's own word.
fn fits(expected: Expected, answer: &Answer) -> bool {
    match answer {
        Answer::Silent => true,
        Answer::Accepted => expected.is_accepted(),
        Answer::Refused(words) => !expected.is_accepted() && words == expected.as_str(),
    }
}

/// What may stand in a ledger: at 3.1.1 an acknowledgement of something broken says nothing.
fn is_acknowledged(kind: Kind, answer: &Answer) -> bool {
    match answer {
        Answer::Silent => kind.fault.is_none() || kind.fault == Some(Fault::DroppedConnection),
        Answer::Accepted => true,
        Answer::Refused(_) => false,
    }
}
