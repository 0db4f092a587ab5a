//! The section `[broker]`: what a session may hold while its client is slow or away, and when a device is said to be.

use std::time::Duration;

use serde::Deserialize;

use crate::setting::{Mistake, outside};

/// The bounds of sessions, each of its own and all together.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Messages that wait for one client. Above it QoS 0 is dropped; a publisher at QoS 1 waits for a client that takes as many
    /// within a second.
    pub queue_messages_max: usize,
    /// Bytes of the messages that wait for one client.
    pub queue_bytes_max: usize,
    /// Bytes of the messages that wait for all clients together.
    pub queues_bytes_max: usize,
    /// The longest that a session outlives its connection.
    #[serde(with = "humantime_serde")]
    pub session_expiry_max: Duration,
    /// Sessions at a time, connected or not.
    pub sessions_max: usize,
    /// Subscriptions of one session.
    pub subscriptions_per_session_max: usize,
    /// Bytes of a topic or a filter.
    pub topic_bytes_max: usize,
    /// Levels of a topic or a filter.
    pub topic_levels_max: usize,
    /// How long a device may be away before it is told to be offline.
    #[serde(with = "humantime_serde")]
    pub offline_grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            queue_messages_max: 1000,
            queue_bytes_max: 1024 * 1024,
            queues_bytes_max: 256 * 1024 * 1024,
            session_expiry_max: Duration::from_secs(3600),
            sessions_max: 100_000,
            subscriptions_per_session_max: 100,
            topic_bytes_max: 1024,
            topic_levels_max: 32,
            offline_grace: Duration::from_secs(10),
        }
    }
}

/// A device that is away for longer than a day is offline, whatever else it is.
const OFFLINE_GRACE_MAX: Duration = Duration::from_secs(24 * 3600);

impl Config {
    /// What is wrong with values that are well-formed: each with its key.
    pub fn mistakes(&self) -> Vec<Mistake> {
        // Session Expiry Interval is 32 bits of seconds, and 0xFFFFFFFF means never [MQTT-3.1.2.11.2].
        let expiry_max = Duration::from_secs(u64::from(u32::MAX) - 1);
        let found = [
            outside("queue_messages_max", self.queue_messages_max, 1..=1_000_000),
            outside("queue_bytes_max", self.queue_bytes_max, 1..=usize::MAX),
            outside("queues_bytes_max", self.queues_bytes_max, 1..=usize::MAX),
            outside("session_expiry_max", self.session_expiry_max, Duration::ZERO..=expiry_max),
            outside("sessions_max", self.sessions_max, 1..=usize::MAX),
            outside("subscriptions_per_session_max", self.subscriptions_per_session_max, 1..=1_000_000),
            outside("topic_bytes_max", self.topic_bytes_max, 128..=65_535),
            outside("topic_levels_max", self.topic_levels_max, 8..=65_535),
            outside("offline_grace", self.offline_grace, Duration::ZERO..=OFFLINE_GRACE_MAX),
        ];
        found.into_iter().flatten().collect()
    }
}
