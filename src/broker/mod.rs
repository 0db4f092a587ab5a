//! Sessions, and who gets what.
//!
//! A [`Session`] is pure: packets, receipts and time go in, [`Output`]s come out, and `edge` carries them out. The [`Hub`] is
//! where sessions meet: it knows which of them are connected or kept, and holds the subscription tree. Between a publisher and
//! a subscriber lies the subscriber's [`Mailbox`], which has a bound. Envelopes are not the broker's affair: what a device
//! publishes as telemetry goes to `ingest`, and only what `ingest` has verified comes back, to be published below `readings/`.
//!
//! Retained messages, shared subscriptions and sessions that outlive the process are not here yet; CONNACK says so.

mod answers;
pub mod config;
mod hub;
mod inbound;
mod mailbox;
mod message;
mod metrics;
mod outbound;
mod readings;
mod session;
mod tree;
mod will;

pub use config::Config;
pub use hub::{Attachment, Echo, Hub, Remains, SessionId, SessionKey, TooManySessions};
pub use mailbox::Mailbox;
pub use message::Message;
pub use metrics::Metrics;
pub use readings::publish_readings;
pub use session::{Ended, Output, ProblemInformation, Session, SessionState, Telemetry, Terms, telemetry_of};
pub use will::{Will, publish_wills};
