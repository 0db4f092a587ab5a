//! The golden vectors of the specification, through all that an envelope passes before the store: the judge and the decoder.
//!
//! They are a promise: if one fails, the code is wrong, not the vector. What the envelope's own crate makes of them is tested
//! there; here are the order of the judge, the keys derived from masters, and payloads that do not decode.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::content;
use crate::seal::config::TruncatedTag;
use crate::seal::{self, MasterKeys, Reason, Sender, TimePolicy};
use crate::store::{Device, State};

/// Sealed for the device, not by it: to the judge, who opens what devices send, these are forgeries.
const TO_THE_DEVICE: [(&str, &str); 2] = [
    ("frame to the device", "a command is sealed with another label"),
    ("receipt to the device", "a receipt is sealed with another label"),
];

#[derive(Deserialize)]
struct Fixture {
    masters: BTreeMap<u8, String>,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    device: String,
    bytes: String,
    open: Option<Facts>,
    reject: Option<String>,
    direction: Option<String>,
    #[serde(default)]
    allow_truncated_tag: bool,
}

#[derive(Deserialize, Debug, PartialEq)]
struct Facts {
    counter: i64,
    /// 0 if there is no clock.
    time_ms: i64,
    content_format: u16,
    key_version: u8,
    payload: String,
}

#[test]
fn every_vector_is_judged_and_decoded_as_the_specification_says() {
    let fixture: Fixture =
        serde_json::from_str(include_str!("../../crates/envelope/fixtures/envelope-vectors.json")).unwrap();
    let masters = fixture.masters();
    assert_eq!(fixture.vectors.len(), 96);
    for vector in &fixture.vectors {
        let result = vector.accepted(&masters);
        match vector.expected() {
            Ok(facts) => assert_eq!(result.as_ref(), Ok(facts), "{}", vector.name),
            Err(reason) => assert_eq!(result, Err(reason), "{}", vector.name),
        }
    }
    let to_the_device = fixture.vectors.iter().filter(|vector| vector.direction.is_some());
    let named: Vec<&str> = to_the_device.map(|vector| &*vector.name).collect();
    assert_eq!(named, TO_THE_DEVICE.map(|(name, _)| name));
}

impl Fixture {
    fn masters(&self) -> MasterKeys {
        let bytes = |digits: &String| hex::decode(digits).unwrap().try_into().unwrap();
        MasterKeys::of(self.masters.iter().map(|(version, digits)| (*version, bytes(digits))))
    }
}

impl Vector {
    fn expected(&self) -> Result<&Facts, Reason> {
        if TO_THE_DEVICE.iter().any(|(name, _)| *name == self.name) {
            return Err(Reason::BadSeal);
        }
        match (&self.open, &self.reject) {
            (Some(facts), None) => Ok(facts),
            (None, Some(reason)) => Err(reason.parse().unwrap()),
            _ => panic!("{}: a vector either opens or is refused", self.name),
        }
    }

    /// What would go to the store, and what it is refused for.
    fn accepted(&self, masters: &MasterKeys) -> Result<Facts, Reason> {
        let (bytes, sender) = (hex::decode(&self.bytes).unwrap(), self.sender(masters));
        let truncated_tag = if self.allow_truncated_tag { TruncatedTag::Allow } else { TruncatedTag::Refuse };
        let policy = seal::Config { truncated_tag, ..seal::Config::default() }.policy();
        let genuine = seal::judge(&bytes, Some(&sender), &policy, 0).map_err(|refusal| refusal.reason)?;
        let header = genuine.header;
        content::decode(header.content_format, &genuine.payload, 0).map_err(|_| Reason::BadPayload)?;
        assert_eq!((genuine.seen.device, genuine.seen.key_version), (sender.row, header.key_version), "{}", self.name);
        Ok(Facts {
            counter: genuine.seen.counter,
            time_ms: header.time_ms.unwrap_or(0),
            content_format: header.content_format.unwrap(),
            key_version: header.key_version,
            payload: hex::encode(&*genuine.payload),
        })
    }

    fn sender(&self, masters: &MasterKeys) -> Sender {
        let device = Device {
            row: 7,
            device_id: Arc::from(&*self.device),
            state: State::Enabled,
            key_version_min: 1,
            group: None,
            issuer: None,
            created_at_ms: 0,
        };
        Sender::new(&device, TimePolicy::NONE, masters).unwrap()
    }
}
