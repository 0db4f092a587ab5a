//! What a session works within, as CONNECT, the grant and the settings have it together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::auth::Grant;
use crate::broker::mailbox::Together;
use crate::broker::will::Will;
use crate::mqtt::Version;

/// What a session works within: its client's wishes and the gateway's bounds.
pub struct Terms {
    /// The protocol.
    pub version: Version,
    /// Who, which topics, until when.
    pub grant: Arc<Grant>,
    /// Messages that the client may have under way to us.
    pub receive_maximum: u16,
    /// Messages that a client which cannot be told so may have under way to us.
    pub in_flight_max: usize,
    /// Messages that we may have under way to the client.
    pub client_receive_maximum: u16,
    /// The same in bytes, beyond which no further message is sent.
    pub client_bytes_max: usize,
    /// The sum to which they count.
    pub together: Together,
    /// The largest packet that the client takes [MQTT-3.1.2-24].
    pub client_packet_bytes_max: u32,
    /// Whether answers may bear reason strings and user properties [MQTT-3.1.2-29].
    pub problem_information: ProblemInformation,
    /// After how long a silence the connection ends; none: never.
    pub silence_max: Option<Duration>,
    /// When the grant ends.
    pub grant_ends: Instant,
    /// Until then a duplicate counts as a retry.
    pub retries_until: Instant,
    /// How many filters the session may hold.
    pub subscriptions_max: usize,
    /// What a topic or a filter may have.
    pub topics: TopicBounds,
    /// What is published if the connection ends without a goodbye.
    pub will: Option<Box<Will>>,
    /// How long the session outlives the connection.
    pub expiry: Duration,
    /// How long it may.
    pub expiry_max: Duration,
}

/// How long and how deep a topic or a filter may be.
#[derive(Debug, Clone, Copy)]
pub struct TopicBounds {
    /// In bytes.
    pub bytes_max: usize,
    /// In levels.
    pub levels_max: usize,
}

impl TopicBounds {
    /// Whether this one is within the bounds.
    pub fn hold(self, topic: &str) -> bool {
        topic.len() <= self.bytes_max && topic.bytes().filter(|&byte| byte == b'/').count() < self.levels_max
    }
}

/// Whether the client wants to be told more than codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemInformation {
    /// It does.
    Wanted,
    /// It does not.
    Unwanted,
}
