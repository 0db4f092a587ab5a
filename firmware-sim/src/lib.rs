//! The device: what firmware does, as a pure machine that needs neither std nor an allocator.
//!
//! It seals readings, keeps them until they are acknowledged, or until a receipt that the gateway has sealed says that they are
//! safe, and sends the very bytes again after a connection was lost. It
//! opens no socket, reads no clock and speaks no MQTT: events come in through `handle_*`, what is to be sent goes out through
//! `poll_*`, and time and chance are parameters. It shares the envelope with the gateway and nothing else, so that what the two
//! agree on is the contract alone.
//!
//! The `host` module (the feature of that name) gives the machine a socket, a login, a clock and faults, ten thousand
//! times over, and stands in for a fleet.
#![cfg_attr(not(feature = "host"), no_std)]

mod backoff;
mod counter;
mod device;
mod outbox;
mod receipt;
mod renewal;
mod seal;
mod storage;

#[cfg(feature = "host")]
pub mod host;

pub use backoff::Backoff;
pub use counter::{BadBootCount, Counter};
pub use device::{Device, FixedDevice, Queued, SealReadingError};
pub use outbox::{Acked, Attempt, Keep, Publish, Told};
pub use receipt::BadReceipt;
pub use renewal::renewal_ms;
pub use seal::Encoding;
pub use storage::{Buffer, Slot, Storage};
