//! What a device is told about its messages: sealed for it alone, and worth more than an acknowledgement.
//!
//! That each kind of envelope, in each encoding, at either version and at QoS 1 and 2, gets the receipt that the specification says is
//! seen by `envelopes`, through paho.

mod careful;

use sealgate::mqtt::{Ack, Packet, Publish, QoS, ReasonCode, Version};
use sealgate_envelope::{DeviceId, DeviceKey, Direction, Key, Policy, Reason, Sealed, Verdict};
use sha2::{Digest as _, Sha256};

use crate::harness::{Client, Device, Draft, Gateway, Login, eventually};
use crate::ingest::Lock;

const VERSIONS: [Version; 2] = [Version::V5, Version::V311];

/// What a receipt says of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    counter: Option<u64>,
    digest: Vec<u8>,
    verdict: Verdict,
}

impl Line {
    fn of(counter: impl Into<Option<u64>>, message: &[u8], verdict: Verdict) -> Self {
        Line { counter: counter.into(), digest: Sha256::digest(message)[..8].to_vec(), verdict }
    }
}

/// The payload of a frame, if it is a receipt for this device.
fn opened(frame: &[u8], device: &Device) -> Result<Vec<Line>, Reason> {
    let id: DeviceId = device.id.parse().unwrap();
    let sealed = Sealed::parse(frame, &Policy::default())?;
    let payload = sealed.open(&Key::new(&DeviceKey::from(device.key)), &id, Direction::Receipt)?;
    assert_eq!((sealed.header().content_format, sealed.header().key_version), (Some(60), device.key_version));
    let mut cbor = minicbor::Decoder::new(&payload);
    let lines = (0..cbor.array().unwrap().unwrap()).map(|_| line(&mut cbor)).collect();
    assert_eq!(cbor.position(), payload.len());
    Ok(lines)
}

fn line(cbor: &mut minicbor::Decoder<'_>) -> Line {
    assert_eq!(cbor.array().unwrap(), Some(3));
    let (counter, digest) = (cbor.decode().unwrap(), cbor.bytes().unwrap().to_vec());
    Line { counter, digest, verdict: Verdict::from_code(cbor.u8().unwrap()).unwrap() }
}

fn topic(device: &Device) -> String {
    format!("devices/{}/receipts", device.id)
}

/// A device that listens to its receipts.
struct Listener<'a> {
    device: &'a Device,
    client: Client,
    receipts: Vec<Vec<Line>>,
}

impl<'a> Listener<'a> {
    fn new(gateway: &Gateway, version: Version, device: &'a Device) -> Self {
        let mut client = Client::of_device(gateway, version, device);
        assert_eq!(client.subscribe(&topic(device), QoS::AtLeastOnce), ReasonCode::GrantedQoS1);
        Listener { device, client, receipts: Vec::new() }
    }

    /// Takes the next packet: a receipt, which is acknowledged, or an acknowledgement, which comes back.
    fn receive(&mut self) -> Option<Ack> {
        match self.client.receive() {
            Packet::PubAck(ack) => Some(ack),
            Packet::Publish(Publish { topic: heard, payload, qos, retain, packet_id, .. }) => {
                assert_eq!(
                    (heard.unwrap().as_str(), qos, retain),
                    (topic(self.device).as_str(), QoS::AtLeastOnce, false)
                );
                self.client.send(&Packet::PubAck(Ack::new(packet_id.unwrap(), ReasonCode::Success)));
                self.receipts.push(opened(&payload, self.device).expect("it is sealed for this device"));
                None
            }
            other => panic!("neither a receipt nor an acknowledgement: {other:?}"),
        }
    }

    /// Publishes a message, and gives back what is told of it: in the acknowledgement, and in the receipt.
    fn say(&mut self, message: &[u8]) -> (Ack, Line) {
        self.client.publish(&self.device.topic(), QoS::AtLeastOnce, message.to_vec());
        let mut ack = None;
        while ack.is_none() || self.receipts.is_empty() {
            ack = self.receive().or(ack);
        }
        let mut receipts = std::mem::take(&mut self.receipts);
        assert_eq!((receipts.len(), receipts[0].len()), (1, 1), "{receipts:?}");
        (ack.unwrap(), receipts.remove(0).remove(0))
    }

    /// Publishes a message that is refused.
    fn is_refused(&mut self, message: &[u8], counter: Option<u64>, reason: Reason) {
        let (ack, line) = self.say(message);
        assert_eq!(line, Line::of(counter, message, Verdict::Rejected(reason)), "{reason}");
        // A PUBACK of 3.1.1 has no words; that it came is all there is of it.
        let words = ack.reason_string.as_deref();
        assert!(words.is_none() || words == Some(reason.as_str()), "{words:?}");
    }
}

#[test]
fn each_message_is_named_with_its_counter_hash_and_verdict() {
    for version in VERSIONS {
        let gateway = Gateway::start_with(&[("seal.age_max", "1h"), ("seal.envelope_bytes_max", "2000")]);
        let pump = gateway.add_device("pump");
        let mut listener = Listener::new(&gateway, version, &pump);
        let good = pump.draft(1.0);
        for verdict in [Verdict::Stored, Verdict::Duplicate, Verdict::Duplicate] {
            let (ack, line) = listener.say(&good.seal());
            assert_eq!((ack.code, line), (ReasonCode::Success, Line::of(good.counter, &good.seal(), verdict)));
        }
        refusals(&mut listener, &pump);
        let left_out = gateway.metrics().sum("sealgate_ingest_receipts_left_out_total");
        assert_eq!((left_out, gateway.law_holds()), (0.0, true));
    }
}

/// Those that the message alone is to blame for.
fn refusals(listener: &mut Listener<'_>, pump: &Device) {
    let message = |change: &dyn Fn(&mut Draft)| {
        let mut draft = pump.draft(2.0);
        change(&mut draft);
        (draft.seal(), Some(draft.counter))
    };
    listener.is_refused(b"no envelope", None, Reason::Malformed);
    listener.is_refused(b"", None, Reason::Malformed);
    listener.is_refused(&vec![b'S'; 2001], None, Reason::TooLarge);
    let (mut corrupt, _) = message(&|_| {});
    *corrupt.last_mut().unwrap() ^= 1;
    listener.is_refused(&corrupt, None, Reason::Corrupt);
    let (unknown_key, counter) = message(&|draft| draft.key_version = 9);
    listener.is_refused(&unknown_key, counter, Reason::UnknownKey);
    let (bad_seal, counter) = message(&|draft| draft.key = [0; 32]);
    listener.is_refused(&bad_seal, counter, Reason::BadSeal);
    let (stale, counter) = message(&|draft| draft.time_ms = Some(1_700_000_000_000));
    listener.is_refused(&stale, counter, Reason::Stale);
    let (future, counter) = message(&|draft| draft.time_ms = Some(9_999_999_999_999));
    listener.is_refused(&future, counter, Reason::Future);
    let (bad_payload, counter) = message(&|draft| draft.payload = b"{".to_vec());
    listener.is_refused(&bad_payload, counter, Reason::BadPayload);
    // Counter 1 was stored with another reading.
    let (replayed, counter) = message(&|draft| draft.counter = 1);
    listener.is_refused(&replayed, counter, Reason::Replayed);
}

#[test]
fn a_message_at_qos_0_is_told_of_too() {
    for version in VERSIONS {
        let gateway = Gateway::start();
        let pump = gateway.add_device("pump");
        let mut listener = Listener::new(&gateway, version, &pump);
        let message = pump.seal(1.0);
        listener.client.publish(&pump.topic(), QoS::AtMostOnce, message.clone());
        assert_eq!(listener.receive(), None);
        assert_eq!(listener.receipts, [[Line::of(1, &message, Verdict::Stored)]]);
    }
}

#[test]
fn a_device_without_a_valid_key_is_acknowledged_and_told_nothing() {
    let gateway = Gateway::start();
    let pump = gateway.add_device("pump");
    let mut listener = Listener::new(&gateway, Version::V311, &pump);
    gateway.change_by_hand("UPDATE devices SET key_version_min = 2 WHERE device_id = 'pump'");
    eventually("what could not be told is counted", || {
        listener.client.publish(&pump.topic(), QoS::AtLeastOnce, pump.seal(1.0));
        while listener.receive().is_none() {}
        let left_out = gateway.metrics().value("sealgate_ingest_receipts_left_out_total", &[("cause", "no_key")]);
        (left_out > 0.0).then_some(())
    });
}

#[test]
fn a_batch_is_told_in_one_receipt() {
    const MESSAGES: u64 = 20;
    for version in VERSIONS {
        let gateway = Gateway::start_with(&[("ingest.retry_delay_max", "100ms")]);
        let pump = gateway.add_device("pump");
        let mut listener = Listener::new(&gateway, version, &pump);
        listener.say(&pump.seal(0.0));
        let lock = Lock::take(&gateway);
        let drafts: Vec<_> = (0..MESSAGES).map(|_| pump.draft(1.0)).collect();
        for draft in &drafts {
            listener.client.publish(&pump.topic(), QoS::AtLeastOnce, draft.seal());
        }
        eventually("all are in flight", || {
            (gateway.metrics().value("sealgate_ingest_in_flight", &[]) == MESSAGES as f64).then_some(())
        });
        drop(lock);
        while listener.receipts.concat().len() < drafts.len() {
            listener.receive();
        }
        let lines: Vec<_> = drafts.iter().map(|one| Line::of(one.counter, &one.seal(), Verdict::Stored)).collect();
        assert_eq!(listener.receipts.concat(), lines);
        // The writer took what had come before it found the database locked, and then all the rest together.
        assert!(listener.receipts.len() <= 2, "{}", listener.receipts.len());
        assert_eq!(gateway.metrics().value("sealgate_ingest_receipts_total", &[]), MESSAGES as f64 + 1.0);
    }
}

#[test]
fn what_nobody_listens_for_is_not_sealed() {
    let gateway = Gateway::start();
    let (pump, fan) = (gateway.add_device("pump"), gateway.add_device("fan"));
    let sealed = || gateway.metrics().value("sealgate_ingest_receipts_total", &[]);
    let mut client = Client::of_device(&gateway, Version::V5, &pump);
    client.publish_acknowledged(&pump.topic(), pump.seal(1.0));
    let mut listener = Listener::new(&gateway, Version::V5, &fan);
    client.publish_acknowledged(&pump.topic(), pump.seal(2.0));
    // What is told of this comes after what would be told of the pump's.
    listener.say(&fan.seal(1.0));
    assert_eq!(sealed(), 1.0);
    assert_eq!(gateway.metrics().sum("sealgate_ingest_receipts_left_out_total"), 0.0);
}

#[test]
fn a_receipt_is_for_its_device_alone() {
    let gateway = Gateway::start();
    let (pump, fan) = (gateway.add_device("pump"), gateway.add_device("fan"));
    let console = gateway.add_service("console", &["sub:devices/+/receipts", "pub:#"]);
    let login = Login::of_service(&gateway, &console);
    for version in VERSIONS {
        let mut stranger = Client::of_device(&gateway, version, &fan);
        let refused = stranger.subscribe(&topic(&pump), QoS::AtLeastOnce);
        assert!(matches!(refused, ReasonCode::NotAuthorized | ReasonCode::UnspecifiedError), "{refused:?}");
    }
    // A service may watch, if its scopes say so, and has no key.
    let mut watcher = Client::connect(&gateway, Version::V5, &login);
    assert_eq!(watcher.subscribe("devices/+/receipts", QoS::AtLeastOnce), ReasonCode::GrantedQoS1);
    for device in [&pump, &fan] {
        let ack = Client::of_device(&gateway, Version::V5, device).publish_acknowledged(&topic(&pump), "x");
        assert_eq!(ack.code, ReasonCode::NotAuthorized, "no device says what became of messages");
    }
    assert_eq!(watcher.publish_acknowledged(&topic(&pump), "x").code, ReasonCode::NotAuthorized, "and no service");
    Client::of_device(&gateway, Version::V5, &pump).publish_acknowledged(&pump.topic(), pump.seal(1.0));
    let Packet::Publish(receipt) = watcher.receive() else { panic!("a receipt was due") };
    assert_eq!(receipt.topic.as_ref().unwrap().as_str(), topic(&pump));
    assert!(opened(&receipt.payload, &pump).is_ok());
    assert_eq!(opened(&receipt.payload, &fan), Err(Reason::BadSeal));
}
