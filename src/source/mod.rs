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
mod config;
mod login;
mod metrics;
mod publisher;
mod session;
mod subscriber;
mod topic;
mod window;

pub use config::Config;
pub use login::{Credentials, LoginError};
pub use metrics::Metrics;
pub use publisher::Publisher;
pub use subscriber::Subscriber;
