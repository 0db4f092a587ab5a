//! The section `[seal]`: which envelopes are taken for genuine and timely.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sealgate_envelope::Policy;
use serde::{Deserialize, Deserializer};

use super::MasterKeySource;
use super::group::{AgeMax, FutureTolerance, GroupConfig, GroupName};
use crate::setting::{Mistake, outside};

/// The policy under which envelopes are opened.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The file with the master keys; none: `master.keys` in the data directory, which is made at the first start.
    pub master_keys_file: Option<PathBuf>,
    /// The variable that holds them instead; empty: none.
    pub master_keys_env: String,
    /// The program, with its arguments, that prints them instead.
    pub master_keys_command: Vec<String>,
    /// The largest envelope; a larger one is `too_large`.
    pub envelope_bytes_max: usize,
    /// What to do with a tag of 8 bytes instead of 32.
    pub truncated_tag: TruncatedTag,
    /// A device time that is ahead of the gateway's by more than this is `future`.
    #[serde(deserialize_with = "future_tolerance")]
    pub future_tolerance: Duration,
    /// A device time that is older than this is `stale`; none: no limit on age.
    #[serde(deserialize_with = "age_max")]
    pub age_max: Option<Duration>,
    /// Devices whose keys are held ready; beyond that the registry is asked again.
    pub device_cache_entries: usize,
    /// What is another for the devices of a group.
    pub group: BTreeMap<GroupName, GroupConfig>,
}

/// Whether HMAC-SHA-256 truncated to 8 bytes counts as a seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TruncatedTag {
    /// It does not: such an envelope is `malformed`.
    Refuse,
    /// It does, for links where 24 bytes matter; a forger has one chance in 2^64 a try.
    Allow,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            master_keys_file: None,
            master_keys_env: String::new(),
            master_keys_command: Vec::new(),
            envelope_bytes_max: 64 * 1024,
            truncated_tag: TruncatedTag::Refuse,
            future_tolerance: Duration::from_secs(300),
            age_max: None,
            device_cache_entries: 100_000,
            group: BTreeMap::new(),
        }
    }
}

impl Config {
    /// What `open` lets through.
    pub fn policy(&self) -> Policy {
        let truncated_tag = match self.truncated_tag {
            TruncatedTag::Refuse => sealgate_envelope::TruncatedTag::Refuse,
            TruncatedTag::Allow => sealgate_envelope::TruncatedTag::Allow,
        };
        Policy { bytes_max: self.envelope_bytes_max, truncated_tag }
    }

    /// What is wrong with values that are well-formed: each with its key. Times are checked where they are read, for those of a
    /// group have no key that is known beforehand.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let found = [
            // The smallest frame has 24 bytes of header, 32 of tag and 4 of CRC; the largest MQTT packet bounds the rest.
            outside("envelope_bytes_max", self.envelope_bytes_max, 60..=268_435_455),
            outside("device_cache_entries", self.device_cache_entries, 1..=usize::MAX),
        ];
        found.into_iter().flatten().chain(self.master_keys_mistake()).collect()
    }

    fn master_keys_mistake(&self) -> Option<Mistake> {
        let set = [
            ("master_keys_file", self.master_keys_file.is_some()),
            ("master_keys_env", !self.master_keys_env.is_empty()),
            ("master_keys_command", !self.master_keys_command.is_empty()),
        ];
        let mut set = set.into_iter().filter(|(_, is_set)| *is_set).map(|(key, _)| key);
        let (first, second) = (set.next()?, set.next()?);
        Some((second, format!("{first} is set too: the master keys come from one place")))
    }

    /// Where the master keys are.
    pub fn master_keys(&self, data_dir: &Path) -> MasterKeySource {
        match &self.master_keys_file {
            Some(path) => MasterKeySource::Given { path: path.clone() },
            None if !self.master_keys_env.is_empty() => MasterKeySource::Variable(self.master_keys_env.clone()),
            None if !self.master_keys_command.is_empty() => MasterKeySource::Command(self.master_keys_command.clone()),
            None => MasterKeySource::of_data_dir(data_dir),
        }
    }
}

fn future_tolerance<'de, D: Deserializer<'de>>(written: D) -> Result<Duration, D::Error> {
    FutureTolerance::deserialize(written).map(FutureTolerance::duration)
}

fn age_max<'de, D: Deserializer<'de>>(written: D) -> Result<Option<Duration>, D::Error> {
    AgeMax::deserialize(written).map(AgeMax::limit)
}
