//! The device: what firmware does, as a pure machine that needs neither std nor an allocator.
//!
//! It seals readings, keeps them until they are acknowledged, and sends the very bytes again after a connection was lost. It
//! opens no socket, reads no clock and speaks no MQTT: events come in through `handle_*`, what is to be sent goes out through
//! `poll_*`, and the time is a parameter. It shares the envelope with the gateway and nothing else, so that what the two
//! agree on is the contract alone.
#![no_std]

mod counter;
mod device;
mod outbox;

pub use counter::{BadBootCount, Counter};
pub use device::{Device, SealReadingError};
pub use outbox::{Attempt, Publish};
