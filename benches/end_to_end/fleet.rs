//! The devices and what they will send, sealed and encoded before any clock starts.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use bytes::BytesMut;
use sealgate::mqtt::{Packet, Publish, QoS, Topic, Version, encode};
use sealgate_envelope::{Algorithm, DeviceId, DeviceKey, Direction, Key, Message, frame_bytes, seal_frame};

use super::common::wire::{Login, packet_id};

/// What the specification of this benchmark says that an envelope has.
pub(crate) const ENVELOPE_BYTES: usize = 200;
const SENML_JSON: u16 = 110;
/// A reading each quarter of a second, the last one now.
const INTERVAL_MS: i64 = 250;
/// Of nobody.
const OTHER_KEY: [u8; 32] = [9; 32];

/// What `sealgate device add` printed.
pub(crate) struct Credentials {
    pub(crate) device_id: String,
    pub(crate) key: [u8; 32],
    pub(crate) key_version: u8,
    /// The device's id, or the account that a broker has for all.
    pub(crate) user_name: String,
    /// Of the token endpoint, or the account's password; empty for a peer that asks for none.
    pub(crate) token: String,
}

/// A device with all that it will send.
pub(crate) struct Device {
    pub(crate) device_id: String,
    pub(crate) user_name: String,
    pub(crate) token: String,
    pub(crate) version: Version,
    pub(crate) envelopes: Vec<Envelope>,
    /// PUBLISH packets of one size, back to back, so that a window is one slice of them.
    pub(crate) packets: Vec<u8>,
    pub(crate) packet_bytes: usize,
}

/// One sealed message.
pub(crate) struct Envelope {
    pub(crate) key_version: u8,
    pub(crate) counter: u64,
    pub(crate) time_ms: i64,
    pub(crate) bytes: Vec<u8>,
}

/// All devices.
pub(crate) struct Fleet {
    pub(crate) devices: Vec<Device>,
}

impl Credentials {
    /// For peers that check nothing.
    pub(crate) fn invented(devices: usize) -> Vec<Credentials> {
        let of = |number| Credentials {
            device_id: name(number),
            key: [7; 32],
            key_version: 1,
            user_name: name(number),
            token: String::new(),
        };
        (0..devices).map(of).collect()
    }
}

/// All of one length, so that packets are.
pub(crate) fn name(number: usize) -> String {
    format!("bench-{number:05}")
}

/// What each device is to send.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// What their PUBLISH is written in.
    pub(crate) version: Version,
    /// How many messages.
    pub(crate) messages: usize,
    /// How many it has sent before: their counters are used.
    pub(crate) before: usize,
    /// One message in so many is genuine, the first one among them; the others are sealed under another key. None: all of them are.
    pub(crate) genuine_in: Option<usize>,
}

impl Fleet {
    /// Seals and encodes `messages` for each device.
    pub(crate) fn seal(credentials: &[Credentials], messages: usize) -> Result<Fleet> {
        Fleet::of(credentials, Plan { version: Version::V5, messages, before: 0, genuine_in: Some(1) })
    }

    /// Seals and encodes what is planned for each device.
    pub(crate) fn of(credentials: &[Credentials], plan: Plan) -> Result<Fleet> {
        let first_ms = now_ms() - plan.messages as i64 * INTERVAL_MS;
        let device = |(number, of): (usize, &Credentials)| Device::seal(number, of, plan, first_ms);
        Ok(Fleet { devices: credentials.iter().enumerate().map(device).collect::<Result<_>>()? })
    }

    pub(crate) fn len(&self) -> usize {
        self.devices.iter().map(|device| device.envelopes.len()).sum()
    }
}

impl Device {
    pub(crate) fn login(&self) -> Login<'_> {
        match self.token.as_str() {
            "" => Login::None,
            token => Login::As { user_name: &self.user_name, token },
        }
    }

    fn seal(number: usize, credentials: &Credentials, plan: Plan, first_ms: i64) -> Result<Device> {
        let Plan { version, messages, before, genuine_in } = plan;
        let device_id: DeviceId = credentials.device_id.parse().ok().context("a device id")?;
        let (key, other) = (Key::new(&DeviceKey::from(credentials.key)), Key::new(&DeviceKey::from(OTHER_KEY)));
        let topic = Topic::new(format!("devices/{}/telemetry", credentials.device_id).as_str())?;
        let (mut envelopes, mut packets) = (Vec::with_capacity(messages), BytesMut::new());
        for index in 0..messages {
            let counter = (before + index) as u64 + 1;
            let time_ms = first_ms + index as i64 * INTERVAL_MS;
            let payload = payload(number, counter, time_ms);
            let message = Message {
                algorithm: Algorithm::HmacSha256,
                key_version: credentials.key_version,
                content_format: SENML_JSON,
                counter,
                time_ms: Some(time_ms),
                payload: payload.as_bytes(),
            };
            let mut bytes = vec![0; frame_bytes(payload.len(), message.algorithm)];
            ensure!(bytes.len() == ENVELOPE_BYTES, "{} bytes of envelope: {payload}", bytes.len());
            let key = if is_genuine(index, genuine_in) { &key } else { &other };
            seal_frame(&mut bytes, &message, key, &device_id, Direction::FromDevice)
                .map_err(|error| anyhow::anyhow!("{error:?}"))?;
            encode(&Packet::Publish(publish(&topic, index, &bytes)), version, &mut packets);
            envelopes.push(Envelope { key_version: credentials.key_version, counter, time_ms, bytes });
        }
        let packet_bytes = packets.len() / messages.max(1);
        let Credentials { device_id, user_name, token, .. } = credentials;
        Ok(Device {
            device_id: device_id.clone(),
            user_name: user_name.clone(),
            token: token.clone(),
            version,
            envelopes,
            packets: packets.into(),
            packet_bytes,
        })
    }
}

/// Whether the nth message of a device is, where one in so many is.
pub(crate) fn is_genuine(index: usize, genuine_in: Option<usize>) -> bool {
    genuine_in.is_some_and(|genuine_in| index.is_multiple_of(genuine_in))
}

fn publish(topic: &Topic, index: usize, bytes: &[u8]) -> Publish {
    let mut publish = Publish::new(topic.clone(), bytes.to_vec().into());
    (publish.qos, publish.packet_id) = (QoS::AtLeastOnce, Some(packet_id(index)));
    publish
}

/// Two readings, as `benches/content.rs` has them, with as many digits as 140 bytes take.
fn payload(number: usize, counter: u64, time_ms: i64) -> String {
    let plant = number % 100;
    let (secs, millis) = (time_ms / 1000, time_ms % 1000);
    let (celsius, pascal) = (counter % 1_000_000, counter * 37 % 10_000);
    format!(
        r#"[{{"bn":"plant-{plant:02}/hall-3/pump-012/","bt":{secs}.{millis:03},"n":"temperature","u":"Cel","v":21.{celsius:06}}},{{"n":"pressure","u":"Pa","v":101325.{pascal:04}}}]"#
    )
}

#[expect(clippy::disallowed_methods, reason = "what is sealed bears the time of its sealing")]
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Fleet {
    /// The same bytes, for peers that ask for no token.
    pub(crate) fn without_tokens(&self) -> Fleet {
        let bare = |device: &Device| Device {
            device_id: device.device_id.clone(),
            user_name: device.user_name.clone(),
            token: String::new(),
            version: device.version,
            envelopes: device.envelopes.iter().map(Envelope::copied).collect(),
            packets: device.packets.clone(),
            packet_bytes: device.packet_bytes,
        };
        Fleet { devices: self.devices.iter().map(bare).collect() }
    }
}

impl Envelope {
    fn copied(&self) -> Envelope {
        Envelope { bytes: self.bytes.clone(), ..*self }
    }
}
