//! The contract between a device and the gateway: the sealed envelope, version 1.
//!
//! An envelope is a payload with what is needed to know that it is whole (CRC), genuine (HMAC) and new (counter). Firmware,
//! gateway and simulator share this crate, so the three cannot drift apart; the golden vectors in `fixtures/` hold it to the
//! format. It opens and seals. It decodes no payload, knows no database and remembers no counter: whether a key version is
//! valid, a time acceptable or a counter new is decided by who calls.
//!
//! The way in is [`Sealed::parse`] and then [`Sealed::open`], the way out [`seal_frame`], [`seal_cose`] and [`seal_jws`].
//!
//! | feature | what it adds | needs |
//! |---|---|---|
//! | none | frames | `core` |
//! | `cose` | COSE_Mac0 | `core` |
//! | `jws` | JWS compact | `alloc` |
//! | `std` | [`inspect`] | `std` |
//! | `wide-crc` | CRC-32C by a table of 16 KiB instead of 1 KiB | |
//!
//! An encoding whose feature is off is `malformed`, as any other unknown first byte is.
#![no_std]
#![cfg_attr(not(all(feature = "cose", feature = "jws", feature = "std")), allow(rustdoc::broken_intra_doc_links))]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod device_id;
mod direction;
mod fault;
mod header;
mod reason;
mod verdict;

mod crc;
mod key;
mod tag;

#[cfg(feature = "cose")]
mod cbor;
#[cfg(feature = "cose")]
mod cose;
mod frame;
#[cfg(feature = "jws")]
mod jws;
mod message;
mod sealed;

#[cfg(feature = "std")]
pub mod inspect;
#[cfg(feature = "cose")]
pub use cose::{cose_bytes_max, seal_cose};
pub use device_id::{BadDeviceId, DeviceId};
pub use direction::Direction;
pub use frame::{frame_bytes, seal_frame};
pub use header::{Algorithm, COUNTER_MAX, Encoding, Header, JWS_COUNTER_MAX, TIME_MAX_MS};
#[cfg(feature = "jws")]
pub use jws::seal_jws;
pub use key::{DeviceKey, Key, MasterKey};
pub use message::{Message, SealError};
pub use reason::{Reason, UnknownReason};
pub use sealed::{Payload, Policy, Sealed, TruncatedTag};
pub use tag::Tag;
pub use verdict::Verdict;
