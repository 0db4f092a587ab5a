//! The broker rumqttd in this process, unmodified: devices log in to it with our tokens, and we read what they publish on a link of its own.
//!
//! It is the plain shape of broker, subscriber and database, and promises less than our own door ([`EMBEDDED_CAVEATS`](super::EMBEDDED_CAVEATS)): firmware relies on its
//! receipts. What its log has overwritten before we read it is counted as far as it can be seen; a probe of our own finds out when its
//! router no longer answers, and ends the process.

#[cfg(feature = "rumqttd")]
mod broker;
mod config;
#[cfg(feature = "rumqttd")]
mod gap;
#[cfg(feature = "rumqttd")]
mod probe;

#[cfg(feature = "rumqttd")]
pub use broker::{Embedded, EmbeddedError, Publications};
pub use config::Config as EmbeddedConfig;
