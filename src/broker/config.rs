//! The section `[broker]`: what a session may hold while its client is slow or away.

use std::time::Duration;

use serde::Deserialize;

use crate::setting::{Mistake, outside};

/// The bounds of sessions, each of its own and all together.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Messages that wait for one client.
    pub queue_messages_max: usize,
    /// Bytes of the messages that wait for one client.
    pub queue_bytes_max: usize,
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
}

impl Default for Config {
    fn default() -> Self {
        Config {
            queue_messages_max: 1000,
            queue_bytes_max: 1024 * 1024,
            session_expiry_max: Duration::from_secs(3600),
            sessions_max: 100_000,
            subscriptions_per_session_max: 100,
            topic_bytes_max: 1024,
            topic_levels_max: 32,
        }
    }
}

impl Config {
    /// What is wrong with values that are well-formed: each with its key.
    pub fn mistakes(&self) -> Vec<Mistake> {
        // Session Expiry Interval is 32 bits of seconds, and 0xFFFFFFFF means never [MQTT-3.1.2.11.2].
        let expiry_max = Duration::from_secs(u64::from(u32::MAX) - 1);
        let found = [
            outside("queue_messages_max", self.queue_messages_max, 1..=1_000_000),
            outside("queue_bytes_max", self.queue_bytes_max, 1..=usize::MAX),
            outside("session_expiry_max", self.session_expiry_max, Duration::ZERO..=expiry_max),
            outside("sessions_max", self.sessions_max, 1..=usize::MAX),
            outside("subscriptions_per_session_max", self.subscriptions_per_session_max, 1..=1_000_000),
            outside("topic_bytes_max", self.topic_bytes_max, 128..=65_535),
            outside("topic_levels_max", self.topic_levels_max, 8..=65_535),
        ];
        found.into_iter().flatten().collect()
    }
}
