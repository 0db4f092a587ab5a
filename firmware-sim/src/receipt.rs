//! What the gateway says became of messages: a frame that it has sealed under the device's own key.
//!
//! An acknowledgement is made by whoever holds the other end of the connection; a receipt by whoever holds the key. What does not open
//! is nobody's word and changes nothing.

use core::fmt;

use minicbor::Decoder;
use minicbor::data::Type;
use sealgate_envelope::{DeviceId, Direction, Key, Payload, Policy, Sealed, Verdict};

/// The first bytes of a message's SHA-256, by which a receipt names it.
pub(crate) type Digest = [u8; 8];

/// A receipt that opened and that can be read to its end.
pub(crate) struct Receipt<'a>(Payload<'a>);

/// What it says of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// None where the gateway could not read so far.
    pub(crate) counter: Option<u64>,
    pub(crate) digest: Digest,
    /// None of a verdict that this firmware does not know.
    pub(crate) verdict: Option<Verdict>,
}

/// Why a receipt is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadReceipt {
    /// It is no frame, or was damaged on its way.
    Damaged,
    /// It was not sealed under this device's key, for it, as a receipt.
    Forged,
    /// It is genuine, and says nothing that can be read.
    Unreadable,
}

impl fmt::Display for BadReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Damaged => "the receipt is no frame, or was damaged on its way",
            Self::Forged => "the receipt was not sealed under this device's key",
            Self::Unreadable => "the receipt cannot be read",
        })
    }
}

impl core::error::Error for BadReceipt {}

/// application/cbor
const CBOR: u16 = 60;

impl<'a> Receipt<'a> {
    /// Opens `frame`, which is for the device `id` and sealed under its `key` of `key_version`.
    pub(crate) fn open(frame: &'a [u8], id: &DeviceId, key: &Key, key_version: u8) -> Result<Self, BadReceipt> {
        let sealed = Sealed::parse(frame, &Policy::default()).map_err(|_| BadReceipt::Damaged)?;
        let header = *sealed.header();
        if header.key_version != key_version {
            return Err(BadReceipt::Forged);
        }
        let payload = sealed.open(key, id, Direction::Receipt).map_err(|_| BadReceipt::Forged)?;
        let receipt = Receipt(payload);
        let is_whole = header.content_format == Some(CBOR) && receipt.read(|_| {}).is_ok();
        if is_whole { Ok(receipt) } else { Err(BadReceipt::Unreadable) }
    }

    /// Gives out each of its lines.
    pub(crate) fn each_line(&self, line: impl FnMut(Line)) {
        // It was read to its end before.
        let _ = self.read(line);
    }

    fn read(&self, mut line: impl FnMut(Line)) -> Result<(), Unreadable> {
        let mut cbor = Decoder::new(&self.0);
        for _ in 0..cbor.array()?.ok_or(Unreadable)? {
            line(read_line(&mut cbor)?);
        }
        if cbor.position() == self.0.len() { Ok(()) } else { Err(Unreadable) }
    }
}

fn read_line(cbor: &mut Decoder<'_>) -> Result<Line, Unreadable> {
    if cbor.array()? != Some(3) {
        return Err(Unreadable);
    }
    let counter = match cbor.datatype()? {
        Type::Null => cbor.null().map(|()| None)?,
        _ => Some(cbor.u64()?),
    };
    let digest = cbor.bytes()?.try_into().map_err(|_| Unreadable)?;
    Ok(Line { counter, digest, verdict: Verdict::from_code(cbor.u8()?) })
}

struct Unreadable;

impl From<minicbor::decode::Error> for Unreadable {
    fn from(_: minicbor::decode::Error) -> Self {
        Unreadable
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use sealgate_envelope::{Algorithm, DeviceKey, Message, Reason, frame_bytes, seal_frame};

    pub(crate) fn key(byte: u8) -> Key {
        Key::new(&DeviceKey::from([byte; 32]))
    }

    pub(crate) fn id(name: &str) -> DeviceId {
        name.parse().unwrap()
    }

    /// A frame to `device` under a key of version 1.
    pub(crate) fn seal(
        payload: &[u8],
        content_format: u16,
        key: &Key,
        device: &DeviceId,
        direction: Direction,
    ) -> Vec<u8> {
        let algorithm = Algorithm::HmacSha256;
        let message = Message { algorithm, key_version: 1, content_format, counter: 1, time_ms: Some(1), payload };
        let mut frame = vec![0; frame_bytes(payload.len(), algorithm)];
        seal_frame(&mut frame, &message, key, device, direction).unwrap();
        frame
    }

    fn open(frame: &[u8]) -> Result<Vec<Line>, BadReceipt> {
        let mut lines = Vec::new();
        Receipt::open(frame, &id("pump"), &key(7), 1)?.each_line(|line| lines.push(line));
        Ok(lines)
    }

    fn open_payload(hexadecimal: &str) -> Result<Vec<Line>, BadReceipt> {
        open(&seal(&hex::decode(hexadecimal).unwrap(), CBOR, &key(7), &id("pump"), Direction::Receipt))
    }

    /// The bytes are what Python's cbor2 writes with `canonical=True`.
    #[test]
    fn each_line_is_read() {
        let lines = open_payload(
            "86830148ca978112ca1bbdca008317483e23e8160039594a01831818482e7d2c03a9507ae20283f64818ac3e7343f0168903\
             831b0000000100000000483f79bb7b435b053208831b7fffffffffffffff48e3b0c44298fc1c140d",
        )
        .unwrap();
        let told: Vec<_> = lines.iter().map(|line| (line.counter, line.verdict.unwrap())).collect();
        assert_eq!(
            told,
            [
                (Some(1), Verdict::Stored),
                (Some(23), Verdict::Duplicate),
                (Some(24), Verdict::Spooled),
                (None, Verdict::Rejected(Reason::Malformed)),
                (Some(1 << 32), Verdict::Rejected(Reason::UnknownKey)),
                (Some(i64::MAX as u64), Verdict::Rejected(Reason::Replayed)),
            ]
        );
        assert_eq!(lines[5].digest[..], hex::decode("e3b0c44298fc1c14").unwrap());
        assert_eq!(open_payload("80"), Ok(Vec::new()));
        assert_eq!(open_payload("81830148ca978112ca1bbdca18ff").unwrap()[0].verdict, None);
    }

    #[test]
    fn what_is_not_a_receipts_payload_is_unreadable() {
        for payload in [
            "",                                           // nothing
            "83",                                         // cut
            "81830148ca978112ca1bbdca",                   // cut in its line
            "81830148ca978112ca1bbdca0000",               // something behind it
            "9f830148ca978112ca1bbdca00ff",               // an indefinite length
            "81820148ca978112ca1bbdca",                   // two parts
            "81830147ca978112ca1bbd00",                   // a digest of seven bytes
            "81832048ca978112ca1bbdca00",                 // a negative counter
            "81830148ca978112ca1bbdca190100",             // a verdict of two bytes
            "9bffffffffffffffff830148ca978112ca1bbdca00", // more lines than there are bytes
        ] {
            assert_eq!(open_payload(payload), Err(BadReceipt::Unreadable), "{payload}");
        }
        let other_format = seal(b"\x80", 42, &key(7), &id("pump"), Direction::Receipt);
        assert_eq!(open(&other_format), Err(BadReceipt::Unreadable));
    }

    #[test]
    fn what_the_gateway_did_not_seal_for_this_device_is_forged() {
        let (ours, pump) = (key(7), id("pump"));
        for (key, device, direction) in [
            (&key(8), &pump, Direction::Receipt),
            (&ours, &id("fan"), Direction::Receipt),
            (&ours, &pump, Direction::Command),
            (&ours, &pump, Direction::FromDevice),
        ] {
            assert_eq!(open(&seal(b"\x80", CBOR, key, device, direction)), Err(BadReceipt::Forged), "{direction:?}");
        }
        let frame = seal(b"\x80", CBOR, &ours, &pump, Direction::Receipt);
        assert_eq!(Receipt::open(&frame, &pump, &ours, 2).err(), Some(BadReceipt::Forged), "another version");
    }

    #[test]
    fn whatever_is_damaged_on_its_way_is_not_believed() {
        let frame = seal(b"\x80", CBOR, &key(7), &id("pump"), Direction::Receipt);
        for place in 0..frame.len() {
            let mut damaged = frame.clone();
            damaged[place] ^= 1;
            assert_eq!(open(&damaged), Err(BadReceipt::Damaged), "at {place}");
            assert_eq!(open(&frame[..place]), Err(BadReceipt::Damaged), "cut at {place}");
        }
        assert_eq!(open(b"e30.e30."), Err(BadReceipt::Damaged), "to the device there are frames alone");
    }
}
