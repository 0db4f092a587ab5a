//! A device's own key, for the device: how it comes by another version without anybody's hand.
//!
//! Only a device that is enabled gets one, only its own, and only of versions that open now. Each is noted, with the entry in the audit log, before
//! it is given out.

use sealgate_envelope::{DeviceId, DeviceKey};

use super::Guard;
use crate::store::{Event, State, StoreError};

/// A key that is handed out. It is wiped when it is dropped.
pub struct HandedOut {
    /// Its version.
    pub version: u8,
    /// The key.
    pub key: DeviceKey,
}

/// Why no key is handed out.
#[derive(Debug, thiserror::Error)]
pub enum HandOutError {
    /// The registry has no such device, or it is disabled.
    #[error("the device is not registered, or disabled")]
    NoDevice,
    /// No key of that version opens envelopes of this device.
    #[error("there is no key of that version for this device")]
    NoVersion,
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Guard {
    /// The key of the device of this name, of the version `wanted` or the newest, to whoever has shown to be the device, at the address `origin`.
    ///
    /// # Errors
    /// [`HandOutError`] says why there is none. Nothing is noted then.
    pub async fn hand_out(
        &self,
        device_id: &str,
        wanted: Option<u8>,
        origin: &str,
        now_ms: i64,
    ) -> Result<HandedOut, HandOutError> {
        let id: DeviceId = device_id.parse().map_err(|_| HandOutError::NoDevice)?;
        let device = self.store().device(device_id).await?.filter(|device| device.state == State::Enabled);
        let device = device.ok_or(HandOutError::NoDevice)?;
        let masters = self.masters();
        let version = wanted.unwrap_or(masters.newest());
        if version < device.key_version_min {
            return Err(HandOutError::NoVersion);
        }
        let key = masters.device_key(version, &id).ok_or(HandOutError::NoVersion)?;
        let event = Event {
            at_ms: now_ms,
            who: device_id.to_owned(),
            origin: origin.to_owned(),
            action: "seal_key_fetched",
            subject: device_id.to_owned(),
            detail: format!("version {version}"),
        };
        self.store().note_key_fetch(device_id, version, &event).await?;
        self.metrics().inspect(|metrics| metrics.fetched.inc());
        Ok(HandedOut { version, key })
    }
}
