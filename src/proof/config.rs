//! The section `[proof]`: how often what was stored is signed.

use std::time::Duration;

use serde::Deserialize;

use crate::setting::{Mistake, outside};

/// When checkpoints are made.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long after one checkpoint the next one is made, if anything has come.
    #[serde(with = "humantime_serde")]
    pub checkpoint_interval: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config { checkpoint_interval: Duration::from_secs(60) }
    }
}

impl Config {
    /// What is wrong with values that are well-formed: each with its key.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let range = Duration::from_millis(100)..=Duration::from_secs(24 * 3600);
        outside("checkpoint_interval", self.checkpoint_interval, range).into_iter().collect()
    }
}
