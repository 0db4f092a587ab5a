//! The frame in which a device is told what became of its messages: sealed under a key of its own, for nobody else.
//!
//! What it says is `ingest`'s affair; here are the key, the direction and the clock.

use sealgate_envelope::{Algorithm, Direction, Key, Message, frame_bytes, seal_frame};

use super::{Guard, Sender};
use crate::store::State;

/// application/cbor, <https://www.iana.org/assignments/core-parameters>.
const CBOR: u16 = 60;

/// A row that no device has.
const NO_ROW: i64 = -1;

impl Sender {
    /// The version of the key under which the device is told about a message that claims `claimed`: that one where it opens,
    /// else the newest that does; none: no key of the device opens.
    pub fn receipt_key_version(&self, claimed: Option<u8>) -> Option<u8> {
        let same = claimed.filter(|version| self.key(*version).is_some());
        same.or_else(|| self.newest_key_version())
    }

    /// A receipt that says `payload`, which is CBOR, at `now_ms`; none: there is no such key, or no such time.
    pub fn seal_receipt(&self, key_version: u8, payload: &[u8], now_ms: i64) -> Option<Vec<u8>> {
        let key: &Key = self.key(key_version)?;
        // A frame says "no clock" with a time of 0, and a counter starts at 1.
        let time_ms = now_ms.max(1);
        let message = Message {
            algorithm: Algorithm::HmacSha256,
            key_version,
            content_format: CBOR,
            counter: u64::try_from(time_ms).ok()?,
            time_ms: Some(time_ms),
            payload,
        };
        let mut frame = vec![0; frame_bytes(payload.len(), message.algorithm)];
        let bytes = seal_frame(&mut frame, &message, key, &self.id, Direction::Receipt).ok()?;
        frame.truncate(bytes);
        Some(frame)
    }
}

impl Guard {
    /// A device that has logged in and that the registry does not have (any more), with the keys that are derived for its name: it
    /// is told `unknown_device`, and nothing that it sends is accepted. None: no seal can bear the name.
    pub fn stranger(&self, device_id: &str) -> Option<Sender> {
        self.derived(device_id, NO_ROW, State::Disabled)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sealgate_envelope::{Policy, Reason, Sealed};

    use super::*;
    use crate::seal::{MasterKeys, TimePolicy};
    use crate::store::Device;

    fn sender(device_id: &str, key_version_min: u8) -> Sender {
        let masters = MasterKeys::of([(1, [1; 32]), (2, [2; 32]), (4, [4; 32])]);
        let device_id = Arc::from(device_id);
        let device = Device {
            row: 7,
            device_id,
            state: State::Enabled,
            key_version_min,
            group: None,
            issuer: None,
            created_at_ms: 0,
        };
        Sender::new(&device, TimePolicy::NONE, &masters).unwrap()
    }

    #[test]
    fn a_receipt_has_the_key_of_its_message_or_the_newest_one() {
        let sender = sender("pump", 2);
        for (claimed, version) in [(Some(2), 2), (Some(4), 4), (Some(1), 4), (Some(3), 4), (None, 4)] {
            assert_eq!(sender.receipt_key_version(claimed), Some(version), "{claimed:?}");
        }
        assert_eq!(self::sender("pump", 5).receipt_key_version(Some(4)), None);
    }

    #[test]
    fn it_opens_for_its_device_as_a_receipt_alone() {
        let sender = sender("pump", 1);
        let frame = sender.seal_receipt(2, b"\x80", 1_790_000_000_250).unwrap();
        let sealed = Sealed::parse(&frame, &Policy::default()).unwrap();
        let header = sealed.header();
        assert_eq!((header.key_version, header.content_format), (2, Some(60)));
        assert_eq!((header.counter, header.time_ms), (1_790_000_000_250, Some(1_790_000_000_250)));
        let key = sender.key(2).unwrap();
        let opened = sealed.open(key, &sender.id, Direction::Receipt);
        assert_eq!(opened.as_deref(), Ok(&b"\x80"[..]));
        for direction in [Direction::FromDevice, Direction::Command] {
            assert_eq!(sealed.open(key, &sender.id, direction).err(), Some(Reason::BadSeal), "{direction:?}");
        }
        let other = self::sender("fan", 1);
        let by_another = sealed.open(other.key(2).unwrap(), &other.id, Direction::Receipt);
        assert_eq!(by_another.err(), Some(Reason::BadSeal));
    }

    #[test]
    fn a_clock_that_was_never_set_makes_no_receipt_without_a_time() {
        let sender = sender("pump", 1);
        for now_ms in [0, -5] {
            let frame = sender.seal_receipt(1, b"\x80", now_ms).unwrap();
            let header = *Sealed::parse(&frame, &Policy::default()).unwrap().header();
            assert_eq!((header.counter, header.time_ms), (1, Some(1)));
        }
        assert_eq!(sender.seal_receipt(1, b"\x80", i64::MAX), None);
        assert_eq!(sender.seal_receipt(3, b"\x80", 1), None);
    }
}
