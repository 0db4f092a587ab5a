//! `[store]`: where the data lies, and how much of what was refused is kept.

use crate::setting::{Mistake, outside};
use serde::Deserialize;
use std::path::PathBuf;

/// The settings of the store.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The directory of `sealgate.db`.
    pub data_dir: PathBuf,
    /// Messages in quarantine, of all devices.
    pub quarantine_rows_max: u64,
    /// Their bytes in sum.
    pub quarantine_bytes_max: u64,
    /// Messages in quarantine, of one device: so that one broken device cannot push out what the others send.
    pub quarantine_device_rows_max: u64,
    /// Their bytes in sum.
    pub quarantine_device_bytes_max: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            data_dir: PathBuf::from("./sealgate-data"),
            quarantine_rows_max: 1_000_000,
            quarantine_bytes_max: 1 << 30,
            quarantine_device_rows_max: 1_000,
            quarantine_device_bytes_max: 8 << 20,
        }
    }
}

impl Config {
    /// What is wrong with values that are well-formed: each with its key.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let unnamed = self.data_dir.as_os_str().is_empty();
        let found = [
            unnamed.then(|| ("data_dir", "a data directory has a name; the current one is `.`".to_owned())),
            outside("quarantine_rows_max", self.quarantine_rows_max, 0..=COUNT_MAX),
            outside("quarantine_bytes_max", self.quarantine_bytes_max, 0..=COUNT_MAX),
            outside("quarantine_device_rows_max", self.quarantine_device_rows_max, 0..=COUNT_MAX),
            outside("quarantine_device_bytes_max", self.quarantine_device_bytes_max, 0..=COUNT_MAX),
        ];
        found.into_iter().flatten().collect()
    }
}

/// The database counts in signed 64 bits.
const COUNT_MAX: u64 = i64::MAX as u64;
