//! Who may log in, and a device's sealing hand.

use std::sync::atomic::{AtomicU64, Ordering};

use sealgate_envelope::{
    Algorithm, DeviceId, DeviceKey, Direction, Encoding, Key, Message, cose_bytes_max, frame_bytes, seal_cose,
    seal_frame, seal_jws,
};

/// A device as `device add` made it. It counts its messages from 1.
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) key_version: u8,
    pub(crate) key: [u8; 32],
    counter: AtomicU64,
}

/// A service as `client add` made it.
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
}

/// A message before it is sealed, every fact of it open to a test: by default a frame of SenML+JSON with the next counter and no
/// clock.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) device: String,
    pub(crate) key: [u8; 32],
    pub(crate) encoding: Encoding,
    pub(crate) key_version: u8,
    pub(crate) content_format: u16,
    pub(crate) counter: u64,
    pub(crate) time_ms: Option<i64>,
    pub(crate) payload: Vec<u8>,
}

impl Device {
    /// What `device add --format json` printed.
    pub(crate) fn from_json(printed: &serde_json::Value) -> Self {
        let text =
            |field: &str| printed[field].as_str().unwrap_or_else(|| panic!("no {field} in {printed}")).to_owned();
        let key = hex::decode(text("seal_key")).unwrap();
        Device {
            id: text("device_id"),
            client_id: text("client_id"),
            client_secret: text("client_secret"),
            key_version: printed["key_version"].as_u64().unwrap().try_into().unwrap(),
            key: key.try_into().unwrap(),
            counter: AtomicU64::new(1),
        }
    }

    /// The same device with another key, which counts from 1 (the counter belongs to the key).
    pub(crate) fn with_key(&self, key_version: u8, key: [u8; 32]) -> Self {
        Device {
            id: self.id.clone(),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
            key_version,
            key,
            counter: AtomicU64::new(1),
        }
    }

    /// The topic of its readings.
    pub(crate) fn topic(&self) -> String {
        format!("devices/{}/telemetry", self.id)
    }

    /// A reading of `value`, not sealed yet.
    pub(crate) fn draft(&self, value: f64) -> Draft {
        Draft {
            device: self.id.clone(),
            key: self.key,
            encoding: Encoding::Frame,
            key_version: self.key_version,
            content_format: SENML_JSON,
            counter: self.counter.fetch_add(1, Ordering::Relaxed),
            time_ms: None,
            payload: format!(r#"[{{"n":"temperature","u":"Cel","v":{value}}}]"#).into_bytes(),
        }
    }

    /// A reading of `value`, sealed in a frame.
    pub(crate) fn seal(&self, value: f64) -> Vec<u8> {
        self.draft(value).seal()
    }
}

impl Service {
    /// What `client add --format json` printed.
    pub(crate) fn from_json(name: &str, printed: &serde_json::Value) -> Self {
        let text =
            |field: &str| printed[field].as_str().unwrap_or_else(|| panic!("no {field} in {printed}")).to_owned();
        Service { name: name.to_owned(), client_id: text("client_id"), client_secret: text("client_secret") }
    }
}

impl Draft {
    pub(crate) fn seal(&self) -> Vec<u8> {
        let device: DeviceId = self.device.parse().unwrap();
        let key = Key::new(&DeviceKey::from(self.key));
        let message = Message {
            algorithm: Algorithm::HmacSha256,
            key_version: self.key_version,
            content_format: self.content_format,
            counter: self.counter,
            time_ms: self.time_ms,
            payload: &self.payload,
        };
        match self.encoding {
            Encoding::Frame => {
                let mut frame = vec![0; frame_bytes(self.payload.len(), message.algorithm)];
                seal_frame(&mut frame, &message, &key, &device, Direction::FromDevice).unwrap();
                frame
            }
            Encoding::Cose => {
                let mut cose = vec![0; cose_bytes_max(self.payload.len())];
                let bytes = seal_cose(&mut cose, &message, &key, &device).unwrap();
                cose.truncate(bytes);
                cose
            }
            Encoding::Jws => seal_jws(&message, &key, &device).unwrap(),
        }
    }
}

const SENML_JSON: u16 = 110;
