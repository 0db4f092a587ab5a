//! Who the senders are and which of their keys open: a bounded cache over the registry.
//!
//! A message finds its sender here without waiting ([`Guard::known`]); only the first one after a start, a change of the
//! registry or an eviction has to ask the store ([`Guard::look_up`]). An absent device is never cached, so one that is added
//! is known at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use quick_cache::sync::Cache;
use sealgate_envelope::{DeviceId, Key, Policy};

use super::group::Policies;
use super::metrics::{KeyAge, Metrics};
use super::{Config, Genuine, MasterKeys, Refusal, TimePolicy, judge};
use crate::store::{Device, State, Store, StoreError};

/// A device as far as opening its envelopes needs it.
pub struct Sender {
    /// Its integer in the database.
    pub row: i64,
    /// Its name, as it stands under the seal.
    pub id: DeviceId,
    /// Whether it may send.
    pub state: State,
    /// How far its clock may be from the gateway's.
    pub time: TimePolicy,
    keys: Vec<(u8, Key)>,
}

impl Sender {
    /// The key of `version`, if that version opens now.
    pub fn key(&self, version: u8) -> Option<&Key> {
        self.keys.iter().find(|(valid, _)| *valid == version).map(|(_, key)| key)
    }

    /// The newest version that opens now.
    pub(super) fn newest_key_version(&self) -> Option<u8> {
        self.keys.iter().map(|(version, _)| *version).max()
    }

    /// The sender that `device` is; none: its name is not one that seals can bear.
    pub(crate) fn new(device: &Device, time: TimePolicy, masters: &MasterKeys) -> Option<Self> {
        let id: DeviceId = device.device_id.parse().ok()?;
        let derived = masters.device_keys(&id, device.key_version_min);
        let keys = derived.iter().map(|(version, key)| (*version, Key::new(key))).collect();
        Some(Sender { row: device.row, id, state: device.state, time, keys })
    }

    /// The same sender, with keys of these versions too, as far as there are any.
    fn accepting(mut self, versions: &[u8], masters: &MasterKeys) -> Self {
        for version in versions {
            if self.key(*version).is_none()
                && let Some(key) = masters.device_key(*version, &self.id)
            {
                self.keys.push((*version, Key::new(&key)));
            }
        }
        self
    }
}

/// Why a sender is not known now, though it may be later.
#[derive(Debug, thiserror::Error)]
pub enum LookUpError {
    /// The registry does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody has raised the device's lowest version before this gateway had the key.
    #[error("this gateway has no master key of version {0} yet: give it the same master keys as the others")]
    NoMasterKey(u8),
}

/// Judges envelopes, and knows whom they can be from.
pub struct Guard {
    policy: Policy,
    times: Policies,
    masters: RwLock<Arc<MasterKeys>>,
    store: Store,
    senders: Cache<Arc<str>, Arc<Sender>>,
    /// Versions that open whatever a device's lowest one is.
    accepted: Vec<u8>,
    metrics: Option<Metrics>,
    /// Counts the registry's changes, so that a look-up that began before one is not cached after it.
    generation: AtomicU64,
}

impl Guard {
    /// A guard over the devices of `store`.
    pub fn new(config: &Config, masters: MasterKeys, store: Store) -> Self {
        Guard {
            policy: config.policy(),
            times: Policies::new(config),
            masters: RwLock::new(Arc::new(masters)),
            store,
            senders: Cache::new(config.device_cache_entries),
            accepted: Vec::new(),
            metrics: None,
            generation: AtomicU64::new(0),
        }
    }

    /// The same guard, to whom keys of these versions are valid though they have ended.
    pub fn accepting(self, versions: Vec<u8>) -> Self {
        Guard { accepted: versions, ..self }
    }

    /// The same guard, which counts.
    pub fn counting(self, metrics: Metrics) -> Self {
        metrics.newest.set(i64::from(self.masters().newest()));
        Guard { metrics: Some(metrics), ..self }
    }

    pub(super) fn metrics(&self) -> Option<&Metrics> {
        self.metrics.as_ref()
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// The sender of that name, if it is in the cache.
    pub fn known(&self, device_id: &str) -> Option<Arc<Sender>> {
        self.senders.get(device_id)
    }

    /// The sender of that name, as the registry has it now; none: nobody bears it.
    ///
    /// # Errors
    /// The registry does not answer, or the device's keys are of a version that this gateway does not have yet: whoever asks waits.
    pub async fn look_up(&self, device_id: &Arc<str>) -> Result<Option<Arc<Sender>>, LookUpError> {
        let generation = self.generation.load(Ordering::Acquire);
        let Some(device) = self.store.device(device_id).await? else { return Ok(None) };
        let (time, masters) = (self.times.of(device.group.as_deref()), self.masters());
        let lowest = device.key_version_min;
        // What the device has used is there at another gateway; what nobody has, opens nothing.
        if lowest > masters.newest()
            && self.store.newest_key_version_used(device_id).await?.is_some_and(|used| used >= lowest)
        {
            return Err(LookUpError::NoMasterKey(lowest));
        }
        let Some(sender) = Sender::new(&device, time, &masters) else { return Ok(None) };
        let sender = Arc::new(sender.accepting(&self.accepted, &masters));
        self.senders.insert(device_id.clone(), sender.clone());
        if self.generation.load(Ordering::Acquire) != generation {
            self.senders.remove(device_id);
        }
        Ok(Some(sender))
    }

    /// The sender of that name with every key that is derived for it, whatever the registry says.
    pub(super) fn derived(&self, device_id: &str, row: i64, state: State) -> Option<Sender> {
        let device_id = device_id.into();
        let device = Device { row, device_id, state, key_version_min: 1, group: None, issuer: None, created_at_ms: 0 };
        Sender::new(&device, self.times.of(None), &self.masters())
    }

    /// The master keys of now.
    pub fn masters(&self) -> Arc<MasterKeys> {
        Arc::clone(&self.masters.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on it is these, which have to belong to the same database.
    pub fn replace_masters(&self, masters: MasterKeys) {
        if let Some(metrics) = &self.metrics {
            metrics.newest.set(i64::from(masters.newest()));
        }
        *self.masters.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(masters);
        self.registry_changed();
    }

    /// Forgets what the registry may have changed.
    pub fn registry_changed(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.senders.clear();
    }

    /// Judges one envelope; see [`judge()`].
    pub fn judge<'a>(&self, bytes: &'a [u8], sender: Option<&Sender>, now_ms: i64) -> Result<Genuine<'a>, Refusal> {
        let judged = judge(bytes, sender, &self.policy, now_ms);
        if let (Ok(genuine), Some(sender), Some(metrics)) = (&judged, sender, &self.metrics) {
            let is_newest = sender.newest_key_version() == Some(genuine.header.key_version);
            metrics.opened.inc(if is_newest { KeyAge::Newest } else { KeyAge::Older });
        }
        judged
    }
}
