//! The guard of payloads: is an envelope whole, genuine, and sealed by the device that sent it?
//!
//! Two things live here. [`MasterKeys`] are the secrets that every derived device key comes from. The [`Guard`] knows the
//! devices (a bounded cache over the registry) and [judges](judge()) one envelope in the order that the specification gives:
//! length, CRC, header, sender, key, HMAC, time; a device's group says which times. A [`Sender`] seals what its device is told in return.
//! What the payload *says*, and whether its counter was used before, are the
//! affairs of `ingest` and `store`.

pub mod config;
mod group;
mod guard;
mod handout;
mod judge;
mod master_keys;
mod metrics;
mod proof_key;
mod receipt;

pub use config::Config;
pub use group::{GroupConfig, GroupName, NoGroupName};
pub use guard::{Guard, LookUpError, Sender};
pub use handout::{HandOutError, HandedOut};
pub use judge::{Genuine, Refusal, TimePolicy, judge};
pub use master_keys::{MasterKeySource, MasterKeys, MasterKeysError, VersionError, VersionState};
pub use metrics::Metrics;
pub use proof_key::{Opener, ProofKey};
pub use sealgate_envelope::{DeviceId, DeviceKey, Encoding, Header, Payload, Policy, Reason, Verdict};
