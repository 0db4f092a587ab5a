//! The golden vectors of the specification. They are a promise: if one fails, the code is wrong, not the vector.

use std::collections::BTreeMap;

use sealgate_envelope::inspect::{Finding, explain};
use sealgate_envelope::{
    Algorithm, DeviceId, Direction, Encoding, Key, MasterKey, Message, Policy, Reason, Sealed, TruncatedTag, seal_cose,
    seal_frame, seal_jws,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    masters: BTreeMap<u8, String>,
    device_keys: BTreeMap<String, String>,
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
    counter: u64,
    /// 0 if there is no clock.
    time_ms: i64,
    content_format: u16,
    key_version: u8,
    payload: String,
}

impl Fixture {
    fn read() -> Self {
        serde_json::from_str(include_str!("../fixtures/envelope-vectors.json")).unwrap()
    }

    fn master(&self, version: u8) -> Option<MasterKey> {
        let master = self.masters.get(&version)?;
        Some(<[u8; 32]>::try_from(hex::decode(master).unwrap()).unwrap().into())
    }

    fn key(&self, version: u8, device: &DeviceId) -> Option<Key> {
        self.master(version).map(|master| Key::new(&master.device_key(device)))
    }

    /// What a gateway that knows the masters makes of a vector.
    fn open(&self, vector: &Vector) -> Result<Facts, Reason> {
        let bytes = vector.bytes();
        let sealed = Sealed::parse(&bytes, &vector.policy())?;
        let header = *sealed.header();
        let key = self.key(header.key_version, &vector.device()).ok_or(Reason::UnknownKey)?;
        let payload = sealed.open(&key, &vector.device(), vector.direction())?;
        Ok(Facts {
            counter: header.counter,
            time_ms: header.time_ms.unwrap_or(0),
            content_format: header.content_format.ok_or(Reason::BadPayload)?,
            key_version: header.key_version,
            payload: hex::encode(&*payload),
        })
    }
}

impl Vector {
    fn bytes(&self) -> Vec<u8> {
        hex::decode(&self.bytes).unwrap()
    }

    fn device(&self) -> DeviceId {
        self.device.parse().unwrap()
    }

    fn policy(&self) -> Policy {
        let truncated_tag = if self.allow_truncated_tag { TruncatedTag::Allow } else { TruncatedTag::Refuse };
        Policy { truncated_tag, ..Policy::default() }
    }

    fn direction(&self) -> Direction {
        match self.direction.as_deref() {
            None => Direction::FromDevice,
            Some("down") => Direction::Command,
            Some("receipt") => Direction::Receipt,
            Some(other) => panic!("{}: unknown direction {other}", self.name),
        }
    }
}

#[test]
fn every_vector_gives_what_the_specification_says() {
    let fixture = Fixture::read();
    assert_eq!(fixture.vectors.len(), 96);
    for vector in &fixture.vectors {
        let opened = fixture.open(vector);
        match (&vector.open, vector.reject.as_deref()) {
            (Some(facts), None) => assert_eq!(opened.as_ref(), Ok(facts), "{}", vector.name),
            // Content is decoded by who opens: here such a message opens, or names a media type without a number.
            (None, Some("bad_payload")) => {
                assert!(matches!(opened, Ok(_) | Err(Reason::BadPayload)), "{}: {opened:?}", vector.name);
            }
            (None, Some(reason)) => assert_eq!(opened, Err(reason.parse().unwrap()), "{}", vector.name),
            _ => panic!("{}: a vector either opens or is refused", vector.name),
        }
    }
}

#[test]
fn sealing_gives_the_very_bytes_of_the_vectors() {
    let fixture = Fixture::read();
    let mut sealed_again = 0;
    for vector in fixture.vectors.iter().filter(|vector| is_written_as_we_write(vector)) {
        let Some(facts) = &vector.open else { continue };
        assert_eq!(hex::encode(seal(&fixture, vector, facts)), vector.bytes, "{}", vector.name);
        sealed_again += 1;
    }
    assert!(sealed_again >= 18, "{sealed_again}");
}

/// A header with more than we put into it opens all the same.
fn is_written_as_we_write(vector: &Vector) -> bool {
    !vector.name.contains("unlisted") && !vector.name.contains("cty without")
}

fn seal(fixture: &Fixture, vector: &Vector, facts: &Facts) -> Vec<u8> {
    let payload = hex::decode(&facts.payload).unwrap();
    let algorithm = if vector.allow_truncated_tag { Algorithm::HmacSha256Truncated } else { Algorithm::HmacSha256 };
    let message = Message {
        algorithm,
        key_version: facts.key_version,
        content_format: facts.content_format,
        counter: facts.counter,
        time_ms: Some(facts.time_ms).filter(|time_ms| *time_ms != 0),
        payload: &payload,
    };
    let device = vector.device();
    let key = fixture.key(facts.key_version, &device).unwrap();
    let mut out = vec![0; 1024];
    let len = match Encoding::of(vector.bytes().first().copied()).unwrap() {
        Encoding::Frame => seal_frame(&mut out, &message, &key, &device, vector.direction()).unwrap(),
        Encoding::Cose => seal_cose(&mut out, &message, &key, &device).unwrap(),
        Encoding::Jws => return seal_jws(&message, &key, &device).unwrap(),
    };
    out.truncate(len);
    out
}

#[test]
fn device_keys_are_derived_as_the_specification_says() {
    let fixture = Fixture::read();
    assert!(!fixture.device_keys.is_empty());
    for (name, expected) in &fixture.device_keys {
        let (device, version) = name.split_once(" v").unwrap();
        let master = fixture.master(version.parse().unwrap()).unwrap();
        let derived = master.device_key(&device.parse().unwrap());
        // `assert_eq` would print the keys.
        assert!(hex::encode(derived.as_bytes()) == *expected, "the key of {name} is another");
    }
}

#[test]
fn inspection_finds_what_opening_finds() {
    let fixture = Fixture::read();
    for vector in &fixture.vectors {
        let (bytes, device) = (vector.bytes(), vector.device());
        let Some(key) = fixture.key(1, &device) else { panic!("there is no master 1") };
        let explained = explain(&bytes, &vector.policy(), Some((&key, &device, vector.direction())));
        let judged = Sealed::parse(&bytes, &vector.policy())
            .and_then(|sealed| sealed.open(&key, &device, vector.direction()).map(drop));
        match (&explained.finding, judged) {
            (Finding::Genuine, Ok(())) => {}
            (Finding::Refused { reason, .. }, Err(judged)) => assert_eq!(*reason, judged, "{}", vector.name),
            (finding, judged) => panic!("{}: {finding:?}, {judged:?}", vector.name),
        }
    }
}

#[test]
fn inspection_shows_the_fields_of_each_encoding() {
    let fixture = Fixture::read();
    let printed = |name: &str| {
        let vector = fixture.vectors.iter().find(|vector| vector.name == name).unwrap();
        explain(&vector.bytes(), &vector.policy(), None).to_string()
    };
    for (name, line) in [
        ("COSE", "      6..7        1 alg         5"),
        ("COSE", "     11..13       4 kid         h'01'"),
        ("COSE", "     17..28       15 claims     {6: 1.79000000025e9}"),
        ("JWS", r#"header          {"alg":"HS256","kid":"1","sub":"plant-7.pump:12""#),
        ("JWS, four parts", "Refused as malformed, at the form: a JWS has three parts, divided by dots."),
        ("COSE, crit", "Refused as malformed, at the form: there is a crit"),
        ("plain JSON", "no known encoding, 20 bytes"),
    ] {
        assert!(printed(name).contains(line), "{name}: {line}\n{}", printed(name));
    }
}

#[test]
fn the_limit_comes_before_all_else() {
    let policy = Policy { bytes_max: 10, ..Policy::default() };
    assert_eq!(Sealed::parse(&[0; 10], &policy).unwrap_err(), Reason::Malformed);
    assert_eq!(Sealed::parse(&[0; 11], &policy).unwrap_err(), Reason::TooLarge);
    assert_eq!(Sealed::parse(&[0; 65_537], &Policy::default()).unwrap_err(), Reason::TooLarge);
}

#[test]
fn only_frames_go_to_the_device() {
    let fixture = Fixture::read();
    let of = |name: &str| fixture.vectors.iter().find(|vector| vector.name == name).unwrap();
    for name in ["COSE", "JWS"] {
        let bytes = of(name).bytes();
        let device = of(name).device();
        let sealed = Sealed::parse(&bytes, &Policy::default()).unwrap();
        let key = fixture.key(1, &device).unwrap();
        assert!(sealed.open(&key, &device, Direction::FromDevice).is_ok(), "{name}");
        for direction in [Direction::Command, Direction::Receipt] {
            assert_eq!(sealed.open(&key, &device, direction), Err(Reason::BadSeal), "{name}, {direction:?}");
        }
    }
}
