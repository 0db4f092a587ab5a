//! Keys and secrets that make way for others: which versions a device's envelopes may have, which it has fetched and used, and a client's secret
//! beside the one before it.

use super::{Engine, Event, Found, Kind, Store, StoreError};

/// How the devices stand towards one version of the master key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyUsage {
    /// The version.
    pub version: u8,
    /// Devices whose lowest version this is.
    pub lowest: u64,
    /// Devices that have fetched their key of this version.
    pub fetched: u64,
    /// Devices whose newest stored envelope has this version.
    pub newest_used: u64,
    /// Envelopes of this version whose counter is remembered.
    pub envelopes: u64,
}

/// A secret that takes the place of another.
#[derive(Clone, Copy, Debug)]
pub struct NewSecret {
    /// Its SHA-256.
    pub secret_sha256: [u8; 32],
    /// Until when the one before it is good too, Unix ms.
    pub old_until_ms: i64,
}

impl Store {
    /// Raises the lowest version of a device; one that is as high stays.
    pub async fn raise_key_version(&self, device_id: &str, lowest: u8) -> Result<Found, StoreError> {
        ask!(&self.0, raise_key_version(&self.1, device_id, lowest))
    }

    /// The same for all devices; how many were raised.
    pub async fn raise_key_versions(&self, lowest: u8) -> Result<u64, StoreError> {
        ask!(&self.0, raise_key_versions(&self.1, lowest))
    }

    /// The newest version of which an envelope of this device is stored.
    pub async fn newest_key_version_used(&self, device_id: &str) -> Result<Option<u8>, StoreError> {
        ask!(&self.0, newest_key_version_used(device_id))
    }

    /// How the devices stand towards each version that one of them has to do with, ascending. Goes through all counters that are remembered.
    pub async fn key_usage(&self) -> Result<Vec<KeyUsage>, StoreError> {
        ask!(&self.0, key_usage())
    }

    /// Notes that a device fetches its key of a version, together with the entry in the audit log: nobody gets a key of which the log knows nothing.
    pub async fn note_key_fetch(&self, device_id: &str, version: u8, event: &Event) -> Result<(), StoreError> {
        ask!(&self.0, note_key_fetch(device_id, version, event))
    }

    /// Gives the client of a device or a service another secret.
    pub async fn rotate_secret(&self, kind: Kind, name: &str, secret: &NewSecret) -> Result<Found, StoreError> {
        ask!(&self.0, rotate_secret(&self.1, kind, name, secret))
    }

    /// Ends the secret before the one of now.
    pub async fn end_old_secret(&self, kind: Kind, name: &str) -> Result<Found, StoreError> {
        ask!(&self.0, end_old_secret(&self.1, kind, name))
    }
}

/// The parts of [`KeyUsage`] as the databases count them: the version and a number, for each part.
pub(super) fn usage(parts: [Vec<(i64, i64)>; 4]) -> Vec<KeyUsage> {
    let mut all = std::collections::BTreeMap::<u8, KeyUsage>::new();
    for (part, counts) in parts.into_iter().enumerate() {
        for (version, count) in counts {
            let Ok(version) = u8::try_from(version) else { continue };
            let usage = all.entry(version).or_insert(KeyUsage { version, ..KeyUsage::default() });
            let place = [&mut usage.lowest, &mut usage.fetched, &mut usage.newest_used, &mut usage.envelopes];
            *place.into_iter().nth(part).expect("there are as many parts") = count.unsigned_abs();
        }
    }
    all.into_values().collect()
}
