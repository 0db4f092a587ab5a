//! The messages of a device with which something is wrong.

use sealgate_envelope::{DeviceKey, Key, Reason};

use super::Unit;
use crate::SealReadingError;
use crate::host::fault::{Expected, Fault};
use crate::host::forge;
use crate::outbox::Attempt;

const HOUR_MS: i64 = 3_600_000;
const MONTH_MS: i64 = 30 * 24 * HOUR_MS;

impl Unit {
    pub(super) fn deliver_twice(&mut self, now_ms: i64) -> Result<(), SealReadingError> {
        let payload = self.measure(now_ms);
        let (counter, envelope) = self.sealed(now_ms, &payload, &self.key.clone())?;
        self.put(&envelope, Attempt::First, None, Expected::Stored, Some(counter))?;
        self.put(&envelope, Attempt::Again, Some(Fault::DuplicateDelivery), Expected::Duplicate, Some(counter))
    }

    pub(super) fn damage(&mut self, now_ms: i64, fault: Option<Fault>) -> Result<(), SealReadingError> {
        let payload = self.measure(now_ms);
        let (_, mut envelope) = self.sealed(now_ms, &payload, &self.key.clone())?;
        let damage = if fault == Some(Fault::BitFlip) { forge::flip_a_bit } else { forge::forge_payload };
        let expected = damage(&mut envelope, self.encoding, payload.len(), &mut self.rng);
        self.put(&envelope, Attempt::First, fault, expected, None)
    }

    pub(super) fn seal_with_another_key(&mut self, now_ms: i64) -> Result<(), SealReadingError> {
        let payload = self.measure(now_ms);
        let mut bytes = [0; 32];
        self.rng.fill(&mut bytes);
        let (_, envelope) = self.sealed(now_ms, &payload, &Key::new(&DeviceKey::from(bytes)))?;
        let expected = Expected::Rejected(Reason::BadSeal);
        self.put(&envelope, Attempt::First, Some(Fault::WrongKey), expected, None)
    }

    pub(super) fn seal_in_the_past(&mut self, now_ms: i64) -> Result<(), SealReadingError> {
        let age_max = self.settings.policy.age_max;
        let back_ms = age_max.map_or(MONTH_MS, |max| max.as_millis() as i64 + HOUR_MS);
        let expected = if age_max.is_some() { Expected::Rejected(Reason::Stale) } else { Expected::Stored };
        self.seal_at(now_ms - back_ms, Fault::Stale, expected)
    }

    pub(super) fn seal_in_the_future(&mut self, now_ms: i64) -> Result<(), SealReadingError> {
        let ahead_ms = self.settings.policy.future_tolerance.as_millis() as i64 + HOUR_MS;
        self.seal_at(now_ms + ahead_ms, Fault::Future, Expected::Rejected(Reason::Future))
    }

    fn seal_at(&mut self, device_ms: i64, fault: Fault, expected: Expected) -> Result<(), SealReadingError> {
        let payload = self.measure(device_ms);
        let (counter, envelope) = self.sealed(device_ms, &payload, &self.key.clone())?;
        let counter = (expected == Expected::Stored).then_some(counter);
        self.put(&envelope, Attempt::First, Some(fault), expected, counter)
    }

    pub(super) fn send_garbage(&mut self) -> Result<(), SealReadingError> {
        let (bytes, expected) = forge::garbage(&mut self.rng);
        self.put(&bytes, Attempt::First, Some(Fault::Garbage), expected, None)
    }

    /// What is stored already, again; as long as nothing is, a good message.
    pub(super) fn replay(&mut self, now_ms: i64) -> Result<(), SealReadingError> {
        let Some((counter, envelope)) = self.one_that_is_stored() else { return self.seal(now_ms, None) };
        self.put(&envelope, Attempt::First, Some(Fault::Replay), Expected::Duplicate, Some(counter))
    }

    /// A new reading under a counter that is used; as long as none is, a good message.
    pub(super) fn use_a_counter_again(&mut self, now_ms: i64) -> Result<(), SealReadingError> {
        let Some((counter, _)) = self.one_that_is_stored() else { return self.seal(now_ms, None) };
        let payload = self.measure(now_ms);
        let envelope = self.sealed_under(counter, now_ms, &payload, &self.key.clone())?;
        let expected = Expected::Rejected(Reason::Replayed);
        self.put(&envelope, Attempt::First, Some(Fault::ReusedCounter), expected, None)
    }

    fn one_that_is_stored(&mut self) -> Option<(u64, Vec<u8>)> {
        let at = self.rng.usize(..self.stored.len().max(1));
        self.stored.get(at).cloned()
    }
}
