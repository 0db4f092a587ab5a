//! Door 1b: messages that come in by another broker.
//!
//! Here we are a client like any other: some workers subscribe to what devices publish, hand it to `ingest`, and acknowledge a message
//! when its receipt has settled and not before ([`Subscriber`]). What they have not acknowledged the broker delivers again, to them or
//! to another worker; a row is unique whatever is delivered twice. Verified readings and sealed receipts go back through the same
//! broker ([`Publisher`]).
//!
//! The broker decides who may publish where, and its acknowledgement to the device says what its makers say it does. What a message is
//! worth its seal says; what became of it the device learns from its receipt.

mod backoff;
mod broker;
mod clock;
mod config;
mod embedded;
mod login;
mod metrics;
mod publisher;
mod results;
mod session;
mod subscriber;
mod topic;
mod window;

pub use config::Config;
pub use embedded::EmbeddedConfig;
#[cfg(feature = "rumqttd")]
pub use embedded::{Embedded, EmbeddedError, Publications};
pub use login::{Credentials, LoginError};
pub use metrics::Metrics;
pub use publisher::Publisher;
pub use subscriber::Subscriber;

/// What another broker promises less than our own door does.
pub const BROKER_CAVEATS: &[&str] = &[
    "the broker acknowledges a message when it has received it: a device keeps it until its receipt says what became of it",
    "who may connect, publish and subscribe there, and for how long, the broker decides",
];

/// What rumqttd in this process promises less.
pub const EMBEDDED_CAVEATS: &[&str] = &[
    "rumqttd acknowledges a message when it has received it: a device keeps it until its receipt says what became of it",
    "rumqttd authorises no topics: every device may read and publish all of them",
    "rumqttd ends no connection when its token ends",
    "rumqttd overwrites what a subscriber has not read in time, and keeps nothing when it ends",
    "rumqttd listens without TLS here: put a proxy before it that has it",
];
