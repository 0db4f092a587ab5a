//! The section `[ingest]`: how much is committed at a time, and how much may wait for it.

use std::time::Duration;

use serde::Deserialize;

use crate::setting::{Mistake, outside};

/// The bounds of the pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where messages come from.
    pub source: Source,
    /// Messages in one transaction at most.
    pub batch_rows_max: usize,
    /// Bytes of envelopes in one transaction at most; a single larger envelope still goes, alone.
    pub batch_bytes_max: usize,
    /// Bytes of unacknowledged messages of all clients together; at the bound their sockets are not read.
    pub in_flight_bytes_max: usize,
    /// The longest pause between two tries of a commit that failed for a passing cause.
    #[serde(with = "humantime_serde")]
    pub retry_delay_max: Duration,
    /// How long after a device's reconnect an envelope that is stored already counts as a retry of the device, not as a replay.
    #[serde(with = "humantime_serde")]
    pub retry_window: Duration,
}

/// Where messages come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Our own door: `[edge]`.
    Edge,
    /// Another broker, of which we are a client: `[source]`.
    Mqtt,
    /// The broker rumqttd in this process, if it is built in.
    Rumqttd,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            source: Source::Edge,
            batch_rows_max: 4096,
            batch_bytes_max: 8 * 1024 * 1024,
            in_flight_bytes_max: 256 * 1024 * 1024,
            retry_delay_max: Duration::from_secs(5),
            retry_window: Duration::from_secs(60),
        }
    }
}

impl Config {
    /// What is wrong with values that are well-formed: each with its key.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let is_missing = self.source == Source::Rumqttd && cfg!(not(feature = "rumqttd"));
        let found = [
            is_missing.then(|| {
                ("source", "this program is built without rumqttd; build it with `--features rumqttd`".to_owned())
            }),
            outside("batch_rows_max", self.batch_rows_max, 1..=1_000_000),
            outside("batch_bytes_max", self.batch_bytes_max, 1..=1024 * 1024 * 1024),
            outside("in_flight_bytes_max", self.in_flight_bytes_max, 1024 * 1024..=usize::MAX),
            outside("retry_delay_max", self.retry_delay_max, Duration::from_millis(50)..=Duration::from_secs(3600)),
            outside("retry_window", self.retry_window, Duration::ZERO..=RETRY_WINDOW_MAX),
        ];
        found.into_iter().flatten().collect()
    }
}

/// A device that still repeats itself after a day is not waiting for an answer. Bounded at all because the window is added to
/// the time of a connection, and there is a last [`Instant`](std::time::Instant).
const RETRY_WINDOW_MAX: Duration = Duration::from_secs(24 * 3600);
