//! Sessions, and who gets what.
//!
//! A [`Session`] is pure: packets, receipts and time go in, [`Output`]s come out, and `edge` carries them out. The [`Hub`] is
//! where sessions meet: it knows which of them are connected or kept, and holds the subscription tree. Between a publisher and
//! a subscriber lies the subscriber's [`Mailbox`], which has a bound; where it is full, the publisher's connection holds a message at
//! QoS 1 for as long as the subscriber keeps up. Envelopes are not the broker's affair: what a device
//! publishes as telemetry goes to `ingest`, and only what `ingest` has verified comes back, to be published below `readings/`; and
//! what became of each message, sealed for its device, to `devices/{id}/receipts`.
//!
//! Of retained messages there are the gateway's own alone, a status for each device ([`Presence`]). What clients would retain, shared
//! subscriptions and subscription identifiers are not here yet, and CONNACK says so; nor are sessions
//! that outlive the process, delivery at QoS 2 (a subscription is granted QoS 1 at most) and message expiry, which is not obeyed.

mod answers;
mod backlog;
pub mod config;
mod ending;
mod held;
mod hub;
mod inbound;
mod intake;
mod mailbox;
mod message;
mod metrics;
mod outbound;
mod outlets;
mod presence;
mod readings;
mod receipts;
mod retained;
mod session;
mod tree;
mod will;

use std::time::{Duration, Instant};

pub use config::Config;
pub use ending::Ending;
pub use held::Held;
pub use hub::{Attachment, Earlier, Echo, Hub, Remains, SentAway, SessionId, SessionKey, TooManySessions};
pub use intake::Intake;
pub use mailbox::{Mailbox, Queued, Together};
pub use message::Message;
pub use metrics::Metrics;
pub use outlets::publish_outlets;
pub use presence::{Presence, Present, keep_presence};
pub use session::{
    Ended, Output, ProblemInformation, Session, SessionState, Telemetry, Terms, TopicBounds, telemetry_of,
};
pub use will::{Will, publish_wills};

use crate::ingest::{Budget, Ingest};

/// What a door needs of the rooms behind it: sessions, and the way to `ingest`. Clones are one.
#[derive(Clone)]
pub struct Broker {
    /// Where sessions meet.
    pub hub: Hub,
    /// The bounds.
    pub config: Config,
    /// Which devices are online.
    pub presence: Presence,
    metrics: Metrics,
    ingest: Ingest,
    budget: Budget,
    retry_window: Duration,
}

impl Broker {
    /// Puts the rooms together. Within `retry_window` of a reconnect a duplicate counts as a retry.
    pub fn new(
        config: Config,
        hub: Hub,
        presence: Presence,
        metrics: Metrics,
        ingest: Ingest,
        budget: Budget,
        retry_window: Duration,
    ) -> Self {
        Broker { hub, config, presence, metrics, ingest, budget, retry_window }
    }

    /// A session that begins, or goes on, now.
    pub fn session(&self, terms: Terms, state: SessionState, now: Instant) -> Session {
        Session::new(terms, state, self.metrics.clone(), now)
    }

    /// A connection's way to `ingest`.
    pub fn intake(&self) -> Intake {
        Intake::new(self.ingest.clone(), &self.budget)
    }

    /// Publishes a will apart from any connection.
    pub async fn publish_will(self, will: Will) {
        self.intake().publish_will(will, &self.hub).await;
    }

    /// Until when a duplicate of a client that has come in now counts as a retry.
    pub fn retries_until(&self, now: Instant) -> Instant {
        now + self.retry_window
    }
}
